//! What workers say they hold when they join: of this term it is compared with the books; of an
//! earlier one it is believed where they prove that they were given it, and where it fits.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use wasmgrid_proto::{JobId, LeaseId, LeaseProof, TaskRange, WorkerId, wire::HeldLease};

use super::grid::Grid;
use crate::{
    io::Output,
    placement::{Lease, Recall, epoch_of},
    planted::Planted,
    proof::Given,
    ranges::RangeSet,
};

/// What a worker that joins says it holds.
#[derive(Debug)]
pub(crate) struct Claims {
    held: Vec<HeldLease>,
    /// By the leases that they are of.
    proofs: BTreeMap<LeaseId, LeaseProof>,
}

impl Claims {
    pub(crate) fn new(held: Vec<HeldLease>, proofs: Vec<LeaseProof>) -> Self {
        Self { held, proofs: proofs.into_iter().map(|proof| (proof.lease, proof)).collect() }
    }
}

impl Grid {
    /// Compares what a worker holds with what it should hold. Where its process `lived_on`, what it
    /// lacks never arrived or was given back in words that were lost with the link: nobody's fault.
    pub(crate) fn reconcile(&mut self, id: WorkerId, claims: &Claims, lived_on: bool) {
        let Claims { held, proofs } = claims;
        let mut brought: BTreeMap<LeaseId, RangeSet> = BTreeMap::new();
        for lease in held {
            let tasks = brought.entry(lease.lease).or_default();
            lease.tasks.iter().for_each(|part| tasks.insert(*part));
        }
        let leases: Vec<LeaseId> = self.leases_of(id);
        for lease in leases {
            let has = brought.get(&lease);
            let Some(entry) = self.leases.get(lease) else { continue };
            let missing: Vec<TaskRange> = has
                .map_or_else(|| entry.tasks.clone(), |has| entry.tasks.without(has))
                .iter()
                .collect();
            if lived_on {
                self.release(lease, &missing);
            } else {
                self.lose_part(lease, &missing, "the worker came back without it");
            }
        }
        let mut ended = BTreeSet::new();
        for lease in held {
            if self.queues.contains_key(&lease.job) {
                self.adopt(id, lease, proofs.get(&lease.lease));
            } else if ended.insert(lease.job) {
                let by = self.ender(lease.job);
                self.output(Output::Cancel { worker: id, job: lease.job, by });
            }
        }
    }

    /// Why nothing of a job that is not active is wanted.
    fn ender(&self, job: JobId) -> String {
        match self.ledger.job(job) {
            Some(entry) => entry.cancelled_by().unwrap_or("the job's end"),
            None => "a scheduler that does not know the job",
        }
        .into()
    }

    /// Believes a worker that it holds a lease of an earlier term, as far as that is proved and fits;
    /// the rest is asked back.
    fn adopt(&mut self, id: WorkerId, held: &HeldLease, proof: Option<&LeaseProof>) {
        let known = self.leases.get(held.lease);
        if known.is_some_and(|lease| lease.worker == id && lease.job == held.job) {
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
        let suspect = self.has_suspect(held.job, &tasks);
        let (job, asked) = (held.job, RangeSet::default());
        let charged_ns = self.charge(job, tasks.len());
        let (attempt, recall) = (held.attempt, Recall::No);
        let given = self.fleet.get(id).map_or(self.now, |worker| worker.time(self.now));
        let lease = Lease { job, worker: id, attempt, charged_ns, tasks, asked, given, recall };
        self.book(held.lease, lease);
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.alone |= suspect;
        }
        self.changed.insert(held.job);
        self.refresh_job(held.job);
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
        let queue = self.queues.get(&job)?;
        if self.config.breaks(Planted::UnprovedLease) {
            return Some(TaskRange::ALL);
        }
        let given = Given { worker, job, tenant: &queue.tenant, attempt };
        let proof = proof.filter(|proof| self.key.proves(proof, given))?;
        self.fleet.suits(worker, queue.demand).then_some(proof.tasks)
    }

    /// Takes from the queue what a worker has already, of the tasks that it was `given`, under the
    /// attempt that is the next.
    fn adoptable(&mut self, held: &HeldLease, given: TaskRange) -> RangeSet {
        let mut adopted = RangeSet::default();
        let term = epoch_of(held.lease);
        let Some(entry) = self.ledger.job(held.job) else { return adopted };
        let Some(queue) = self.queues.get_mut(&held.job) else { return adopted };
        if term >= self.ledger.epoch() {
            return adopted;
        }
        // What was not durable when it was leased may be another job, or other inputs, now.
        let upto = if self.config.breaks(Planted::LeaseOfLostInput) && term >= entry.epoch() {
            queue.recovered
        } else {
            entry.leased_upto(term)
        };
        let believes_all = self.config.breaks(Planted::StaleAdoption);
        for part in &held.tasks {
            let Some(durable) = part.intersect(given) else { continue };
            let durable = TaskRange::between(durable.first, durable.end().min(upto));
            let first_hand = RangeSet::from_iter([durable]).without(&queue.given);
            let parts = first_hand.iter().flat_map(|part| entry.by_history(part));
            for (part, history) in parts.collect::<Vec<_>>() {
                if history.attempt() == held.attempt || believes_all {
                    let taken = queue.adopt(part, entry, history, &self.config);
                    taken.iter().for_each(|part| adopted.insert(part));
                }
            }
        }
        adopted
    }

    fn has_suspect(&self, job: JobId, tasks: &RangeSet) -> bool {
        let Some(entry) = self.ledger.job(job) else { return false };
        let histories = tasks.iter().flat_map(|part| entry.by_history(part));
        histories.into_iter().any(|(_, history)| history.is_suspect(&self.config))
    }
}
