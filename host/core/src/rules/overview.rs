//! How the grid is as a whole: its slots, what fills the store, and what somebody should look at. No
//! rule rests on any of this. It looks at each worker, and at no job that has ended or can run.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use wasmgrid_proto::{Attention, DiskUse, JobId, SlotCounts, Wait, WorkerId, WorkerState, Workers};

use super::{grid::Grid, stored::LogBytes};
use crate::placement::{Demand, Worker};

/// Needs of waiting tasks that are looked at: each costs a look at all workers.
const UNMET_MAX: usize = 16;

/// Groups of jobs that cannot run and are told.
const STUCK_MAX: usize = 32;

/// Jobs of one such group that are named.
const JOBS_NAMED: usize = 3;

impl Grid {
    /// The workers' slots by what they do.
    #[must_use]
    pub fn slots(&self) -> SlotCounts {
        let mut counts = SlotCounts::default();
        for (id, worker) in self.placement.fleet().iter() {
            let slots = worker.slots();
            let busy = (worker.running().len() as u64).min(slots);
            let free = match worker.state(self.distrust.of_worker(id, self.now)) {
                WorkerState::Ready => &mut counts.idle,
                WorkerState::Cordoned => &mut counts.cordoned,
                WorkerState::Draining | WorkerState::Drained => &mut counts.draining,
                WorkerState::Failing(_) => &mut counts.failing,
                WorkerState::Gone => &mut counts.gone,
            };
            *free += slots - busy;
            counts.busy += busy;
        }
        counts
    }

    /// How many slots linked workers have.
    #[must_use]
    pub fn linked_slots(&self) -> u64 {
        let linked = self.placement.fleet().iter().filter(|(_, worker)| worker.is_linked());
        linked.map(|(_, worker)| worker.slots()).sum()
    }

    /// What takes room in the store, without the journal.
    #[must_use]
    pub fn disk_use(&self) -> DiskUse {
        let LogBytes { inputs, results, kept } = self.stored.total();
        let modules = self.stored.accounts().map(|account| account.module_bytes).sum();
        DiskUse { inputs, results, logs: kept, modules, journal: 0 }
    }

    /// What of workers and waiting jobs somebody should look at, the gravest first.
    #[must_use]
    pub fn attention(&self) -> Vec<Attention> {
        let (mut gone, mut failing, mut resting) =
            (Workers::default(), Workers::default(), Workers::default());
        let (mut all, mut ready) = (0, false);
        for (id, worker) in self.placement.fleet().iter() {
            all += 1;
            match worker.state(self.distrust.of_worker(id, self.now)) {
                WorkerState::Ready => ready = true,
                WorkerState::Gone => gone.add(worker.name()),
                WorkerState::Failing(_) => failing.add(worker.name()),
                WorkerState::Cordoned | WorkerState::Draining | WorkerState::Drained => {
                    resting.add(worker.name());
                }
            }
        }
        let mut found = Vec::new();
        if !ready {
            found.push(Attention::NoWorker { workers: all });
        }
        let some = |workers: Workers| Some(workers).filter(|workers| workers.count > 0);
        found.extend(some(gone).map(Attention::Gone));
        found.extend(some(failing).map(Attention::Failing));
        found.extend(self.stuck());
        found.extend(some(resting).map(Attention::NotTaking));
        found
    }

    /// Jobs of which nothing can run before workers come or change, by tenant and by what they need.
    fn stuck(&self) -> Vec<Attention> {
        let mut waits: BTreeMap<Demand, Option<Wait>> = BTreeMap::new();
        let mut stuck = Vec::new();
        for (demand, tenant, jobs) in self.placement.shares().unmet() {
            if stuck.len() >= STUCK_MAX
                || (waits.len() >= UNMET_MAX && !waits.contains_key(&demand))
            {
                break;
            }
            let wait = waits.entry(demand).or_insert_with(|| self.obstacle(demand));
            let Some(wait) = wait.clone() else { continue };
            let count = jobs.len() as u64;
            let jobs: Vec<JobId> = jobs.iter().map(|(_, job)| *job).take(JOBS_NAMED).collect();
            stuck.push(Attention::Stuck { tenant: String::from(&**tenant), jobs, count, wait });
        }
        stuck
    }

    /// What a worker's tasks may take together, by their memory limits.
    #[must_use]
    pub fn memory_taken_on(&self, worker: WorkerId) -> u64 {
        self.placement.worker(worker).map_or(0, Worker::memory_taken)
    }
}
