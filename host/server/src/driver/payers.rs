//! Whose bytes it counts among what lies in the store under a digest: each tenant that has sent it
//! or names it has it counted in full, until none of its jobs names it and it did not ask for a while.

use std::collections::{BTreeMap, BTreeSet};

use wasmgrid_proto::{Digest, Micros, Millis};

/// How long something stays that no job names: a client that has sent it, or was told that it is
/// here, submits soon.
pub(super) const UNUSED_AFTER: Millis = Millis(60 * 60 * 1_000);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Payers {
    uses: BTreeMap<(Digest, String), Use>,
    /// No zeros.
    totals: BTreeMap<String, Total>,
}

#[derive(Debug)]
struct Use {
    size_bytes: u64,
    /// When the tenant last asked for it or named it.
    touched_at: Micros,
}

/// What one tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) count: usize,
    pub(super) bytes: u64,
}

impl Payers {
    /// It counts among what this tenant has from now on.
    pub(super) fn add(&mut self, tenant: &str, digest: Digest, size_bytes: u64, now: Micros) {
        let place = (digest, tenant.to_owned());
        self.forget(&place);
        let total = self.totals.entry(tenant.to_owned()).or_default();
        total.count += 1;
        total.bytes = total.bytes.saturating_add(size_bytes);
        self.uses.insert(place, Use { size_bytes, touched_at: now });
    }

    /// True if it counts among what this tenant has; then it stays for a while.
    pub(super) fn touch(&mut self, tenant: &str, digest: Digest, now: Micros) -> bool {
        let found = self.uses.get_mut(&(digest, tenant.to_owned()));
        found.map(|found| found.touched_at = now).is_some()
    }

    /// How many tenants have it.
    pub(super) fn count_of(&self, digest: Digest) -> usize {
        self.of(digest).count()
    }

    /// The tenants that have it, by name.
    pub(super) fn of(&self, digest: Digest) -> impl Iterator<Item = &str> {
        let from = self.uses.range((digest, String::new())..);
        let all = from.take_while(move |((found, _), _)| *found == digest);
        all.map(|((_, tenant), _)| tenant.as_str())
    }

    /// True if it counts among what this tenant has.
    pub(super) fn has(&self, tenant: &str, digest: Digest) -> bool {
        self.uses.contains_key(&(digest, tenant.to_owned()))
    }

    /// What a tenant has.
    pub(super) fn total(&self, tenant: &str) -> Total {
        self.totals.get(tenant).copied().unwrap_or_default()
    }

    /// Who has something.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &String> {
        self.totals.keys()
    }

    /// What no job of its tenant's names, and the tenant did not ask for lately.
    pub(super) fn unused(
        &self,
        named: &BTreeSet<(&str, Digest)>,
        now: Micros,
    ) -> Vec<(Digest, String)> {
        let unused = |((digest, tenant), found): &(&(Digest, String), &Use)| {
            found.touched_at.after(UNUSED_AFTER) <= now
                && !named.contains(&(tenant.as_str(), *digest))
        };
        self.uses.iter().filter(unused).map(|(place, _)| place.clone()).collect()
    }

    /// It no longer counts among what this tenant has.
    pub(super) fn forget(&mut self, place: &(Digest, String)) {
        let Some(gone) = self.uses.remove(place) else { return };
        let (_, tenant) = place;
        let Some(total) = self.totals.get_mut(tenant) else { return };
        total.count = total.count.saturating_sub(1);
        total.bytes = total.bytes.saturating_sub(gone.size_bytes);
        if total.count == 0 {
            self.totals.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(of: &str) -> Digest {
        Digest::of(of.as_bytes())
    }

    #[test]
    fn each_tenant_that_names_something_has_all_of_it_counted_once() {
        let mut payers = Payers::default();
        payers.add("ann", digest("a"), 3, Micros(0));
        payers.add("bob", digest("a"), 3, Micros(0));
        payers.add("bob", digest("b"), 4, Micros(0));
        payers.add("bob", digest("b"), 4, Micros(0));
        assert_eq!(payers.total("ann"), Total { count: 1, bytes: 3 });
        assert_eq!(payers.total("bob"), Total { count: 2, bytes: 7 });
        assert_eq!((payers.count_of(digest("a")), payers.count_of(digest("b"))), (2, 1));
        payers.forget(&(digest("a"), "ann".into()));
        assert_eq!(payers.total("ann"), Total::default());
        assert!(payers.tenants().eq(["bob"]));
        assert_eq!(payers.count_of(digest("a")), 1);
    }

    #[test]
    fn it_is_unused_an_hour_after_its_tenant_last_asked_unless_a_job_of_it_names_it() {
        let later = Micros(0).after(UNUSED_AFTER);
        let mut payers = Payers::default();
        for tenant in ["ann", "bob"] {
            payers.add(tenant, digest("a"), 3, Micros(0));
        }
        assert_eq!(payers.unused(&BTreeSet::new(), Micros(later.0 - 1)), []);
        let named = BTreeSet::from([("ann", digest("a"))]);
        assert_eq!(payers.unused(&named, later), [(digest("a"), "bob".to_owned())]);
        assert!(payers.touch("bob", digest("a"), later));
        assert!(!payers.touch("cat", digest("a"), later), "another's use is none of hers");
        assert_eq!(payers.unused(&named, later), []);
    }
}
