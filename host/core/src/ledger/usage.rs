//! What the tasks of each tenant have used, since the grid's first job. It is counted with the
//! records that end tasks and append inputs, and outlives the jobs.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
};

use wasmgrid_proto::{EndedTasks, Record, UsageTotal};

/// Tenants that are counted apart: each is in memory and in every snapshot for good.
const TENANTS_MAX: usize = 10_000;

/// Under this name are all tenants together that came after so many; no tenant has it.
const OTHERS: &str = "";

/// By tenant and of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usages {
    tenants: BTreeMap<String, UsageTotal>,
    total: UsageTotal,
}

impl Usages {
    /// Counts what a record says that is of a job of this tenant, and that ended these tasks.
    pub(super) fn count(&mut self, tenant: &str, record: &Record, ended: EndedTasks) {
        let usage = match record {
            Record::InputsAppended { bytes, .. } => {
                UsageTotal { input_bytes: *bytes, ..UsageTotal::default() }
            }
            Record::Committed { cost, .. } => {
                UsageTotal { ended, cost: *cost, ..UsageTotal::default() }
            }
            _ => UsageTotal { ended, ..UsageTotal::default() },
        };
        if usage == UsageTotal::default() {
            return;
        }
        let is_apart = self.tenants.contains_key(tenant) || self.tenants.len() < TENANTS_MAX;
        self.add(if is_apart { tenant } else { OTHERS }, usage);
    }

    /// Adds what was used under a name.
    pub(super) fn add(&mut self, name: &str, usage: UsageTotal) {
        self.total.add(usage);
        match self.tenants.get_mut(name) {
            Some(total) => total.add(usage),
            None => _ = self.tenants.insert(name.to_string(), usage),
        }
    }

    /// What a tenant's tasks have used, if it is counted apart and they have.
    pub(crate) fn of(&self, tenant: &str) -> Option<UsageTotal> {
        self.tenants.get(tenant).copied()
    }

    /// What all tenants' tasks have used.
    pub(crate) const fn total(&self) -> UsageTotal {
        self.total
    }

    /// All names, with what was used under each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, UsageTotal)> {
        self.tenants.iter().map(|(name, usage)| (name, *usage))
    }

    /// The tenants that are counted apart.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &String> {
        self.tenants.keys().filter(|name| *name != OTHERS)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use wasmgrid_proto::{JobId, OutcomeClass, TaskRange};

    use super::*;

    fn ended(tasks: u64) -> EndedTasks {
        let mut ended = EndedTasks::default();
        ended.count(OutcomeClass::Cancelled, tasks);
        ended
    }

    #[test]
    fn tenants_beyond_those_that_are_counted_apart_are_counted_together() {
        let record = Record::Ended {
            job: JobId(1),
            tasks: [TaskRange::one(0)].into(),
            class: OutcomeClass::Cancelled,
        };
        let mut usages = Usages::default();
        for number in 0..TENANTS_MAX + 3 {
            usages.count(&format!("tenant-{number}"), &record, ended(2));
        }
        usages.count("tenant-0", &record, ended(1));
        let cancelled = |name: &str| usages.of(name).map(|usage| usage.ended.cancelled);
        assert_eq!(cancelled("tenant-0"), Some(3));
        assert_eq!(cancelled(&format!("tenant-{TENANTS_MAX}")), None);
        assert_eq!(cancelled(OTHERS), Some(6));
        assert_eq!(usages.total().ended.cancelled, 2 * (TENANTS_MAX as u64 + 3) + 1);
        assert_eq!(usages.tenants().count(), TENANTS_MAX);
        let mut restored = Usages::default();
        usages.iter().for_each(|(name, usage)| restored.add(name, usage));
        assert_eq!(restored, usages);
    }
}
