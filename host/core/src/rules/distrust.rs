//! Workers that cannot run tasks, or only fail, and what is kept from them; see
//! [`Distrust`](crate::placement::Distrust).

use alloc::{collections::BTreeSet, string::ToString, sync::Arc, vec::Vec};

use wasmgrid_proto::{JobId, LeaseId, WorkerId, wire::Unable};

use super::grid::Grid;
use crate::{
    io::Output,
    placement::{Demand, Worker},
    timers::Timer,
};

impl Grid {
    /// A worker says whether it can run tasks. One that says it can, and then cannot, is believed
    /// later each time.
    pub(super) fn worker_health(&mut self, id: WorkerId, unable: Option<Unable>) {
        self.hear(id);
        let (now, unable) = (self.now, unable.map(|unable| unable.to_string()));
        let config = &self.config;
        let change = |worker: &mut Worker| worker.set_unable(unable, now, config);
        let Some(until) = self.placement.change_worker(id, change) else { return };
        if let Some(until) = until {
            self.timers.set(until, Timer::Rest(id));
        }
        self.tell_failing(id);
    }

    /// A worker's pause may be over.
    pub(super) fn rested(&mut self, id: WorkerId) {
        let now = self.now;
        if self.placement.change_worker(id, |worker| worker.end_rest(now)) == Some(true) {
            self.tell_failing(id);
        }
    }

    /// An attempt was lost on a worker, or given back as one that it cannot run.
    pub(super) fn distrust(&mut self, id: WorkerId, job: JobId, lease: LeaseId, reason: &str) {
        self.distrust_by(id, job, lease, (reason, 1));
    }

    /// An attempt was lost in a way that no task can cause.
    pub(super) fn distrust_at_once(
        &mut self,
        id: WorkerId,
        job: JobId,
        lease: LeaseId,
        reason: &str,
    ) {
        self.distrust_by(id, job, lease, (reason, self.config.failing_after.max(1)));
    }

    fn distrust_by(
        &mut self,
        id: WorkerId,
        job: JobId,
        lease: LeaseId,
        (reason, weight): (&str, u32),
    ) {
        let Some(tenant) = self.placement.tenant(job).cloned() else { return };
        let claim = (&tenant, id, lease);
        let Some(until) = self.distrust.lost(claim, self.now, (reason, weight), &self.config)
        else {
            return;
        };
        self.timers.set(until, Timer::Rest(id));
        self.tell_failing(id);
        self.relieve(id, &tenant);
    }

    /// Asks back what a resting worker has of a tenant, where others can have that.
    fn relieve(&mut self, id: WorkerId, tenant: &Arc<str>) {
        let of_tenant = |lease: &LeaseId| {
            let queue = self.placement.queue(self.placement.lease(*lease)?.job())?;
            (queue.tenant() == tenant).then_some(queue.demand())
        };
        let held = self.placement.leases_of(id).into_iter();
        let held = held.filter_map(|lease| Some((lease, of_tenant(&lease)?)));
        let is_linked = self.placement.worker(id).is_some_and(Worker::is_linked);
        let relieved = |(_, demand): &(LeaseId, Demand)| {
            is_linked && self.avoided(tenant, *demand, &[]).contains(&id)
        };
        let held: Vec<(LeaseId, Demand)> = held.filter(relieved).collect();
        for (lease, _) in held {
            self.revoke(lease, u64::MAX);
        }
    }

    /// A worker ran a task to its end.
    pub(super) fn trust(&mut self, id: WorkerId) {
        if let Some(seen) = self.placement.seen_mut(id) {
            seen.note_run();
        }
        if !self.distrust.is_empty() && self.distrust.did(id) {
            self.tell_failing(id);
        }
    }

    /// A worker is given tasks of a job.
    pub(super) fn note_trial(&mut self, id: WorkerId, job: JobId, lease: LeaseId) {
        if self.distrust.is_empty() {
            return;
        }
        let Some(tenant) = self.placement.tenant(job) else { return };
        let claim = (&**tenant, id, lease);
        if let Some(until) = self.distrust.given(claim, self.now, &self.config) {
            self.timers.set(until, Timer::Rest(id));
        }
    }

    /// The workers that tasks are not given to, as long as there are others that take such tasks:
    /// those that lost them, and those that rest for the tenant.
    pub(super) fn avoided(
        &self,
        tenant: &str,
        demand: Demand,
        lost_by: &[WorkerId],
    ) -> Vec<WorkerId> {
        if lost_by.is_empty() && self.distrust.is_empty() {
            return Vec::new();
        }
        let fits = |id: &WorkerId| self.placement.fleet().could_take(*id, demand);
        let resting = self.distrust.resting(tenant, self.now).map(|(id, _)| id);
        let resting: BTreeSet<WorkerId> = resting.filter(fits).collect();
        let lost_by: BTreeSet<WorkerId> = lost_by.iter().copied().filter(fits).collect();
        let all = self.placement.fleet().fitting(demand);
        let leaves_some = |set: &BTreeSet<WorkerId>| (set.len() as u64) < all;
        let both: BTreeSet<WorkerId> = resting.union(&lost_by).copied().collect();
        let set = [both, resting, lost_by].into_iter().find(leaves_some).unwrap_or_default();
        set.into_iter().collect()
    }

    fn tell_failing(&mut self, id: WorkerId) {
        let Some(worker) = self.placement.worker(id) else { return };
        let failing = worker.unable().cloned().or_else(|| self.distrust.of_worker(id, self.now));
        let failing = failing.map(|failing| self.ledger.clock().dated(failing));
        let name = worker.name().to_string();
        self.output(Output::Failing { worker: id, name, failing });
    }
}
