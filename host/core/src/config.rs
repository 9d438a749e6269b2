//! What an operator may turn on the scheduler.

use alloc::{collections::BTreeMap, string::String};

use wasmgrid_proto::{Millis, Resource, pace::TARGET_QUEUE};

use crate::planted::Planted;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The scheduler's settings; [`Default`] is what a grid runs with unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridConfig {
    /// A task whose host died this many times ends as lost. Default 5. Higher values give a
    /// task that kills its hosts more hosts to kill.
    pub host_loss_limit: u32,
    /// A task whose host died this many times is a suspect: it runs alone on a worker, so that
    /// blame is proven. Default 2.
    pub suspect_after: u32,
    /// A task of a job without a deadline that workers gave back this many times unasked ends as
    /// lost. Default 20, which with the backoff is about 6 minutes. With a deadline, it is tried
    /// until then.
    pub infra_retry_limit: u32,
    /// A worker that lost attempts of a tenant's tasks so many times in a row, and ran nothing to
    /// its end between, gets no tasks of that tenant for a while, as long as other workers can
    /// have them. Default 3.
    pub failing_after: u32,
    /// For how long that is at first; it doubles each time a task that it is tried with is lost.
    /// Default 1 s.
    pub rest: Millis,
    /// The longest it is. Default 1 minute.
    pub rest_max: Millis,
    /// The pause before the first infrastructure retry; doubles with each. Default 100 ms.
    pub infra_backoff: Millis,
    /// The longest pause before an infrastructure retry. Default 30 s.
    pub infra_backoff_max: Millis,
    /// A linked worker that says nothing for this long is disconnected and its tasks run
    /// elsewhere. Default 10 s; must be several heartbeats.
    pub worker_timeout: Millis,
    /// A linked worker that another process wants the place of has this long to say that it lives.
    /// Default 3 s: a worker that was started anew, before the end of the one before it was seen,
    /// waits for so long. Must be many times the way there and back.
    pub contest_timeout: Millis,
    /// For this long after a link was lost a worker may come back with what it holds, before that
    /// runs elsewhere. Default 5 s.
    pub rejoin_grace: Millis,
    /// For this long after the scheduler started its workers may come back with what they hold,
    /// before that is given out again; less where all that were ever known are back. Default
    /// 10 s: a worker that has looked for a scheduler in vain for long tries it every 5 s at least.
    pub recovery_grace: Millis,
    /// How much work a worker has at most, running and queued, in time. Default 40 ms
    /// ([`TARGET_QUEUE`], which says why).
    pub target_queue: Millis,
    /// Tasks a worker has at most, however small they are. Default 16,384, which is what 8
    /// slots do in 20 ms at 10 us a task: half of the target, and enough for tasks so small.
    pub credit_tasks: u64,
    /// What a tenant gets of the grid beside others, where several have tasks that wait: one of
    /// weight 3 gets three times the slots' time of one of weight 1. Default 1 for those that are
    /// not named; a weight of 0 counts as 1.
    pub tenant_weights: BTreeMap<String, u32>,
    /// What a tenant may have of each resource, where no operator says otherwise; as much as there
    /// is of those that are not in it. Default 50,000 jobs, of which 20,000 that have not ended,
    /// 128 MiB of memory for their descriptions, and 10,000,000,000 tasks that have not ended: more
    /// than a busy user has in a month, and little of a machine's memory. How many bytes of the
    /// disk, whoever knows the disk says.
    pub quotas: BTreeMap<Resource, u64>,
    /// By how many bytes a tenant's results may exceed its quota of bytes, if their tasks were given
    /// out before it was reached; a result beyond that ends as
    /// [`Limit::Quota`](wasmgrid_proto::Limit::Quota). Default 128 MiB: of a tenant that is within
    /// its quota a result of any size is kept. More costs disk, less costs tasks.
    pub bytes_margin: u64,
    /// How much earlier a job counts as submitted for each step of its priority, among the jobs
    /// of its tenant. Default 10 minutes: one of priority 1 goes before all of priority 0 that
    /// were submitted less than that before it, and no job waits for those submitted later than
    /// that. Longer makes priorities stricter and lets the lower ones wait for longer.
    pub priority_step: Millis,
    /// For so long a worker that was asked for tasks it has not begun may take to answer. After
    /// that it is taken to have begun them. Default 5 s, many times the way there and back.
    pub answer_timeout: Millis,
    /// So much longer than its tasks' deadline a worker may hold a lease before what has not begun is
    /// asked back, and so long beside the deadline before what has begun is given up: for what a
    /// task needs beside its own time, from the worker's start of it to the result here. Default
    /// 15 s. Less costs honest workers on slow ways what they did; more leaves tasks for longer to
    /// those that do not end them.
    pub lease_margin: Millis,
    /// Tasks of one lease at most. Default 512: what a lease costs no longer shows in a task's
    /// cost, and a frame of inputs stays small.
    pub batch_tasks: u64,
    /// A bug for the simulator to catch. Default none.
    #[cfg(all(feature = "planted-bugs", debug_assertions))]
    pub planted: Option<Planted>,
    /// How long after a job's end its results are kept, and the inputs that it still has then;
    /// `None` as long as the job. Default 7 days. More costs disk.
    pub keep_results: Option<Millis>,
    /// How many bytes of inputs a job may have before those are deleted whose tasks all ended ok,
    /// each append as if it had 1 KiB more. Up to that they stay as long as the job's results, for
    /// whoever wants to see which input a result is of. Default 64 MiB: a million short lines. More
    /// costs disk; with 0 they are deleted as soon as their tasks ended.
    pub keep_inputs: u64,
    /// How long after a job's end the job itself is known: its number, how it ended and its
    /// idempotency key, with whatever is still kept of it; `None` for ever. Default 30 days. Each
    /// job costs about two kilobytes of memory.
    pub keep_jobs: Option<Millis>,
}

impl Default for GridConfig {
    fn default() -> Self {
        Self {
            host_loss_limit: 5,
            suspect_after: 2,
            infra_retry_limit: 20,
            failing_after: 3,
            rest: Millis(1_000),
            rest_max: Millis(60_000),
            infra_backoff: Millis(100),
            infra_backoff_max: Millis(30_000),
            worker_timeout: Millis(10_000),
            contest_timeout: Millis(3_000),
            rejoin_grace: Millis(5_000),
            recovery_grace: Millis(10_000),
            target_queue: TARGET_QUEUE,
            credit_tasks: 16_384,
            tenant_weights: BTreeMap::new(),
            quotas: BTreeMap::from([
                (Resource::Jobs, 50_000),
                (Resource::OpenJobs, 20_000),
                (Resource::RecordBytes, 128 << 20),
                (Resource::WaitingTasks, 10_000_000_000),
            ]),
            bytes_margin: 128 << 20,
            priority_step: Millis(600_000),
            answer_timeout: Millis(5_000),
            lease_margin: Millis(15_000),
            batch_tasks: 512,
            #[cfg(all(feature = "planted-bugs", debug_assertions))]
            planted: None,
            keep_results: Some(Millis(7 * DAY_MS)),
            keep_inputs: 64 << 20,
            keep_jobs: Some(Millis(30 * DAY_MS)),
        }
    }
}

impl GridConfig {
    /// How long a worker rests that failed once more for the so-manieth time.
    pub(crate) fn rest_after(&self, times: u32) -> Millis {
        Millis(self.rest.0.saturating_mul(1 << times.min(32)).min(self.rest_max.0))
    }

    /// Whether the rule is to be broken.
    #[cfg(all(feature = "planted-bugs", debug_assertions))]
    pub(crate) fn breaks(&self, rule: Planted) -> bool {
        self.planted == Some(rule)
    }

    /// Whether the rule is to be broken: never.
    #[cfg(not(all(feature = "planted-bugs", debug_assertions)))]
    pub(crate) const fn breaks(&self, _rule: Planted) -> bool {
        false
    }
}
