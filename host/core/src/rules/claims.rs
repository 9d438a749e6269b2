//! Leases that workers claim when they join. Claims of this term are compared with what is booked;
//! claims of an earlier term are accepted if the worker proves that it was given the lease, and as far
//! as they fit.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use wasmgrid_proto::{JobId, LeaseId, LeaseProof, Micros, TaskRange, WorkerId, wire::HeldLease};

use super::grid::Grid;
use crate::{
    io::Output,
    placement::{Booking, Lease, Worker, epoch_of},
    planted::Planted,
    proof::Given,
    ranges::RangeSet,
};

/// What a worker that joins says it holds.
#[derive(Debug)]
pub(super) struct Claims {
    held: Vec<HeldLease>,
    /// By the leases that they are of.
    proofs: BTreeMap<LeaseId, LeaseProof>,
}

impl Claims {
    pub(super) fn new(held: Vec<HeldLease>, proofs: Vec<LeaseProof>) -> Self {
        Self { held, proofs: proofs.into_iter().map(|proof| (proof.lease, proof)).collect() }
    }
}

/// Who wants the place of a worker that is linked.
#[derive(Debug)]
pub(super) struct Rival {
    pub(super) joined: Worker,
    pub(super) claims: Claims,
    /// When the worker was asked.
    pub(super) asked_at: Micros,
}

impl Grid {
    /// Compares what a worker holds with what it should hold. Where its process `lived_on`, what it
    /// lacks never arrived or was given back in words that were lost with the link: nobody's fault.
    pub(super) fn reconcile(&mut self, id: WorkerId, claims: &Claims, lived_on: bool) {
        let Claims { held, proofs } = claims;
        let mut brought: BTreeMap<LeaseId, RangeSet> = BTreeMap::new();
        for lease in held {
            let tasks = brought.entry(lease.lease).or_default();
            lease.tasks.iter().for_each(|part| tasks.insert(*part));
        }
        for lease in self.placement.leases_of(id) {
            let has = brought.get(&lease);
            let Some(tasks) = self.placement.lease(lease).map(Lease::tasks) else { continue };
            let missing: Vec<TaskRange> =
                has.map_or_else(|| tasks.clone(), |has| tasks.without(has)).iter().collect();
            if lived_on {
                self.release(lease, &missing);
            } else {
                self.lose_part(lease, &missing, "the worker came back without it");
            }
        }
        let mut ended = BTreeSet::new();
        for lease in held {
            if self.placement.is_active(lease.job) {
                self.adopt(id, lease, proofs.get(&lease.lease));
            } else if ended.insert(lease.job) {
                let by = self.ender(lease.job);
                self.output(Output::Cancel { worker: id, job: lease.job, by });
            }
        }
    }

    /// Why nothing of a job that is not active is wanted.
    fn ender(&self, job: JobId) -> String {
        let by = match self.ledger.job(job) {
            Some(entry) => entry.cancelled_by().unwrap_or("the job's end"),
            None => "a scheduler that does not know the job",
        };
        by.into()
    }

    /// Believes a worker that it holds a lease of an earlier term, as far as that is proved and fits;
    /// the rest is asked back.
    fn adopt(&mut self, id: WorkerId, held: &HeldLease, proof: Option<&LeaseProof>) {
        let known = self.placement.lease(held.lease);
        if known.is_some_and(|lease| lease.worker() == id && lease.job() == held.job) {
            return;
        }
        let tasks = match self.given(id, held, proof).filter(|_| known.is_none()) {
            Some(given) => self.adoptable(held, given),
            None => RangeSet::default(),
        };
        let held_tasks: RangeSet = held.tasks.iter().copied().collect();
        let refused: Vec<TaskRange> = held_tasks.without(&tasks).iter().collect();
        if !refused.is_empty() {
            let (job, lease) = (held.job, held.lease);
            self.output(Output::Revoke { worker: id, job, lease, tasks: refused });
        }
        if tasks.is_empty() {
            return;
        }
        let (job, attempt, alone) = (held.job, held.attempt, self.has_suspect(held.job, &tasks));
        let booking = Booking { job, worker: id, attempt, tasks, alone };
        self.placement.book(held.lease, booking, self.now, &self.config);
    }

    /// All tasks of a lease that a worker proves it was given for this job and attempt, where it
    /// could be given such tasks now too: since then its labels and memory may have become others.
    fn given(
        &self,
        worker: WorkerId,
        held: &HeldLease,
        proof: Option<&LeaseProof>,
    ) -> Option<TaskRange> {
        let (job, attempt) = (held.job, held.attempt);
        let queue = self.placement.queue(job)?;
        if self.config.breaks(Planted::UnprovedLease) {
            return Some(TaskRange::ALL);
        }
        let given = Given { worker, job, tenant: queue.tenant(), attempt };
        let proof = proof.filter(|proof| self.key.proves(proof, given))?;
        self.placement.fleet().suits(worker, queue.demand()).then_some(proof.tasks)
    }

    /// Takes from the queue what a worker has already, of the tasks that it was `given`, under the
    /// attempt that is the next.
    fn adoptable(&mut self, held: &HeldLease, given: TaskRange) -> RangeSet {
        let term = epoch_of(held.lease);
        let entry = self.ledger.job(held.job).filter(|_| term < self.ledger.epoch());
        let Some(entry) = entry else { return RangeSet::default() };
        let config = &self.config;
        let adopted = self.placement.change_queue(held.job, |queue| {
            // What was not durable when it was leased may be another job, or other inputs, now.
            let upto = if config.breaks(Planted::LeaseOfLostInput) && term >= entry.epoch() {
                queue.recovered()
            } else {
                entry.leased_upto(term)
            };
            let believes_all = config.breaks(Planted::StaleAdoption);
            let mut adopted = RangeSet::default();
            for part in held.tasks.iter().filter_map(|part| part.intersect(given)) {
                let durable = TaskRange::between(part.first, part.end().min(upto));
                let first_hand = RangeSet::from_iter([durable]).without(queue.given());
                let parts = first_hand.iter().flat_map(|part| entry.by_history(part));
                for (part, history) in parts {
                    if history.attempt() == held.attempt || believes_all {
                        let taken = queue.adopt(part, entry, history, config);
                        taken.iter().for_each(|part| adopted.insert(part));
                    }
                }
            }
            adopted
        });
        adopted.unwrap_or_default()
    }

    fn has_suspect(&self, job: JobId, tasks: &RangeSet) -> bool {
        let Some(entry) = self.ledger.job(job) else { return false };
        let histories = tasks.iter().flat_map(|part| entry.by_history(part));
        histories.into_iter().any(|(_, history)| history.is_suspect(&self.config))
    }
}
