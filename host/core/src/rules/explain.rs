//! Why a job's tasks wait, from what the scheduler knows; see [`Explanation`].

use alloc::{string::String, vec::Vec};
use core::cmp::Reverse;

use wasmgrid_proto::{
    ByteCount, Explanation, JobId, LabelCount, NAMED_MAX, TenantShare, Wait, WaitReason, WorkerId,
};

use super::grid::Grid;
use crate::{
    placement::{Demand, Queue, TenantView, Worker, could_run},
    timers::Timer,
};

/// Stands for all tenants but one; no tenant has a name with a space.
const OTHERS: &str = "other tenants";

impl Grid {
    /// Why a job's tasks wait; nothing where none does. It looks at every worker once.
    #[must_use]
    pub fn explain(&self, job: JobId) -> Option<Explanation> {
        let status = self.job(job)?;
        let mut reasons = Vec::new();
        if let Some(queue) = self.placement.queue(job) {
            if queue.is_recovering() {
                let until = self.timers.at(Timer::Recovery).unwrap_or(self.now);
                let until = self.ledger.clock().date_of(until);
                let tasks = status.counts.queued.saturating_sub(queue.paused_len());
                reasons.push(WaitReason { tasks, wait: Wait::Recovering { until } });
            } else {
                self.explain_ready(job, queue, &mut reasons);
                self.explain_elsewhere(queue, &mut reasons);
                self.explain_suspects(queue, &mut reasons);
            }
            if queue.paused_len() > 0 {
                let until = self.timers.next_retry(job).unwrap_or(self.now);
                let until = self.ledger.clock().date_of(until);
                reasons
                    .push(WaitReason { tasks: queue.paused_len(), wait: Wait::Paused { until } });
            }
            if !queue.preparing().is_empty() {
                let workers = queue.preparing().len() as u64;
                reasons.push(WaitReason { tasks: 0, wait: Wait::Preparing { workers } });
            }
            if !status.closed && status.counts.queued == 0 {
                reasons.push(WaitReason { tasks: 0, wait: Wait::OpenInputs });
            }
        }
        reasons.retain(|reason| reason.tasks > 0 || reason.wait.adds());
        let (tenant, state, counts) = (status.spec.task.tenant, status.state, status.counts);
        Some(Explanation { job, tenant, state, counts, reasons })
    }

    fn explain_ready(&self, job: JobId, queue: &Queue, reasons: &mut Vec<WaitReason>) {
        let tasks = queue.ready_len();
        if tasks == 0 {
            return;
        }
        let mut say = |tasks, wait| reasons.push(WaitReason { tasks, wait });
        if let Some(wait) = self.held_by(queue.tenant()) {
            return say(tasks, wait);
        }
        if let Some(wait) = self.obstacle(queue.demand()) {
            return say(tasks, wait);
        }
        let avoided = self.avoided(queue.tenant(), queue.demand(), &[]);
        if self.placement.fleet().roomiest_but(queue.demand(), &avoided).is_some() {
            return say(tasks, Wait::Ready);
        }
        if self.placement.fleet().roomiest(queue.demand()).is_some() {
            return say(tasks, self.failing(queue.tenant(), &avoided));
        }
        if let Some(wait) = self.memory_taken(queue.demand()) {
            return say(tasks, wait);
        }
        let place = (queue.demand(), queue.rank(), job);
        let before = self.placement.shares().before(queue.tenant(), queue.demand().class);
        let tenants: Vec<_> = before.take(NAMED_MAX).map(|tenant| share(&tenant)).collect();
        let mut jobs = self.placement.shares().jobs_before(queue.tenant(), place);
        let busy = self.busy(queue.demand());
        if !tenants.is_empty() {
            say(tasks, Wait::Share { tenants });
            say(0, busy);
        } else if let Some(first) = jobs.next() {
            say(tasks, Wait::Priority { jobs: jobs.count() as u64 + 1, first });
            say(0, busy);
        } else {
            say(tasks, busy);
        }
    }

    /// Slots are free, on workers that only failed of late.
    fn failing(&self, tenant: &str, avoided: &[WorkerId]) -> Wait {
        let resting = self.distrust.resting(tenant, self.now);
        let until = resting.filter(|(id, _)| avoided.contains(id)).map(|(_, until)| until).min();
        let until = self.ledger.clock().date_of(until.unwrap_or(self.now));
        Wait::Failing { workers: avoided.len() as u64, until }
    }

    fn explain_elsewhere(&self, queue: &Queue, reasons: &mut Vec<WaitReason>) {
        for (alike, waiting) in queue.lost() {
            let avoided = self.avoided(queue.tenant(), queue.demand(), &alike.by);
            let others = || {
                self.placement.fleet().fitting(queue.demand()).saturating_sub(avoided.len() as u64)
            };
            let has_room = self.placement.fleet().roomiest_but(queue.demand(), &avoided).is_some();
            let elsewhere = || match has_room {
                true => Wait::Ready,
                false => Wait::Elsewhere { workers: others() },
            };
            let held = self.held_by(queue.tenant()).or_else(|| self.obstacle(queue.demand()));
            add(reasons, waiting.len(), held.unwrap_or_else(elsewhere));
        }
    }

    fn explain_suspects(&self, queue: &Queue, reasons: &mut Vec<WaitReason>) {
        let alone = || {
            let fits = |(_, worker): &(_, &Worker)| could_run(worker, queue.demand());
            let workers =
                self.placement.fleet().of_class(queue.demand().class).filter(fits).count() as u64;
            Wait::Suspects { workers }
        };
        if queue.suspects_len() > 0 {
            let held = self.held_by(queue.tenant()).or_else(|| self.obstacle(queue.demand()));
            add(reasons, queue.suspects_len(), held.unwrap_or_else(alone));
        }
    }

    /// Why no worker takes such tasks, whatever else runs.
    pub(super) fn obstacle(&self, demand: Demand) -> Option<Wait> {
        let mut linked = self.placement.fleet().iter().filter(|(_, worker)| worker.is_linked());
        linked.next().map_or(Some(Wait::NoWorker), |_| {
            let fitting: Vec<&Worker> = self.linked_of(demand.class).collect();
            let largest = fitting.iter().map(|worker| worker.capacity().memory).max();
            let Some(largest) = largest else {
                return Some(Wait::Labels { required: self.label_counts(demand.class) });
            };
            let needed = ByteCount(demand.memory);
            let mut holding =
                fitting.iter().filter(|worker| worker.capacity().memory >= needed).peekable();
            if holding.peek().is_none() {
                return Some(Wait::Memory { needed, largest });
            }
            not_taking(holding)
        })
    }

    fn linked_of(&self, class: u32) -> impl Iterator<Item = &Worker> {
        self.placement
            .fleet()
            .of_class(class)
            .map(|(_, worker)| worker)
            .filter(|worker| worker.is_linked())
    }

    fn label_counts(&self, class: u32) -> Vec<LabelCount> {
        let count = |(key, value): &(String, String)| {
            let has = |worker: &&Worker| {
                worker.is_linked() && worker.labels().iter().any(|(k, v)| k == key && v == value)
            };
            let workers =
                self.placement.fleet().iter().map(|(_, worker)| worker).filter(has).count() as u64;
            LabelCount { key: key.clone(), value: value.clone(), workers }
        };
        let mut counts: Vec<_> = self.placement.fleet().labels(class).iter().map(count).collect();
        counts.sort_by_key(|label| label.workers);
        counts.truncate(NAMED_MAX);
        counts
    }

    /// Slots are free, but not the memory beside them.
    fn memory_taken(&self, demand: Demand) -> Option<Wait> {
        let taking = self.linked_of(demand.class).filter(|worker| worker.is_ready());
        let free = taking.filter(|worker| worker.free_slots() > 0 && !worker.is_alone());
        let free = free.map(Worker::memory_room).max().filter(|room| *room < demand.memory)?;
        Some(Wait::MemoryTaken { needed: ByteCount(demand.memory), free: ByteCount(free) })
    }

    fn busy(&self, demand: Demand) -> Wait {
        let (mut workers, mut slots) = (0, 0);
        for worker in self.linked_of(demand.class).filter(|worker| could_run(worker, demand)) {
            workers += 1;
            slots += worker.slots();
        }
        let mut tenants: Vec<_> =
            self.placement.shares().served().map(|tenant| share(&tenant)).collect();
        tenants.sort_by_key(|tenant| Reverse(tenant.tasks));
        tenants.truncate(NAMED_MAX);
        Wait::Busy { workers, slots, tenants }
    }
}

/// Names no tenant but the one whose job it is: what the others have stands under one entry.
pub fn without_others(explanation: &mut Explanation) {
    let own = &explanation.tenant;
    for reason in &mut explanation.reasons {
        let (Wait::Busy { tenants, .. } | Wait::Share { tenants }) = &mut reason.wait else {
            continue;
        };
        let others = tenants.extract_if(.., |share| share.tenant != *own);
        let together = others.reduce(|sum, one| TenantShare {
            weight: sum.weight.saturating_add(one.weight),
            tasks: sum.tasks.saturating_add(one.tasks),
            ..sum
        });
        tenants.extend(together.map(|sum| TenantShare { tenant: OTHERS.into(), ..sum }));
    }
}

/// Adds tasks to those that wait for the same reason.
fn add(reasons: &mut Vec<WaitReason>, tasks: u64, wait: Wait) {
    match reasons.iter_mut().find(|reason| reason.wait == wait) {
        Some(reason) => reason.tasks += tasks,
        None => reasons.push(WaitReason { tasks, wait }),
    }
}

/// Why none of these workers takes anything new; `None` where one does.
fn not_taking<'a>(fitting: impl Iterator<Item = &'a &'a Worker>) -> Option<Wait> {
    let (mut workers, mut cordoned, mut draining) = (0, 0, 0);
    let mut unable = Vec::new();
    for worker in fitting {
        if worker.is_ready() {
            return None;
        }
        workers += 1;
        cordoned += u64::from(worker.is_cordoned() && !worker.is_draining());
        draining += u64::from(worker.is_draining());
        unable.extend(worker.unable().map(|why| (worker.name(), &why.reason)));
    }
    Some(match unable.first() {
        Some((name, reason)) => Wait::Unable {
            workers,
            unable: unable.len() as u64,
            name: String::from(*name),
            reason: String::clone(reason),
        },
        None => Wait::NotTaking { cordoned, draining },
    })
}

fn share(tenant: &TenantView<'_>) -> TenantShare {
    let TenantView { name, weight, leased } = *tenant;
    TenantShare { tenant: String::from(&**name), weight, tasks: leased }
}
