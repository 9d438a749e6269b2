//! Between a worker and the scheduler.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Epoch, InputBlock, JobId, LeaseId, LeaseProof, Micros, Millis, Outcome, ResultBlock,
    RunningTask, TaskRange, TaskSpec, WorkerCapacity, WorkerId, WorkerReport,
    frame::FrameError,
    wire::{
        ApiError, Body, Denied, Renew, RenewSoon, Renewed, Unsendable, bounded, messages, shared,
    },
};

messages! {
    /// What a worker says.
    FromWorker {
        /// The first message of a link: who is there and what it still holds.
        0x0101 Join(Join),
        /// It lives, and what runs.
        0x0102 Heartbeat(Heartbeat),
        /// Results; kept by the worker until [`ToWorker::Committed`] names the batch.
        0x0103 Results(WorkerResults),
        /// It has no copy of a module, or of a blob, that it was given tasks of.
        0x0104 NeedModule(NeedModule),
        /// Tasks it will not run: taken back by a revoke, or on its way out.
        0x0105 Returned(Returned),
        /// It drains on its own wish (a signal): give it nothing new.
        0x0106 Leaving(Leaving),
        /// It cannot run tasks at all, or can again. What it gives back while it cannot counts
        /// against no task, and it is given nothing.
        0x0107 Health(Health),
        /// The answer to [`ToWorker::Contested`].
        0x0108 Alive(Alive),
        /// The jobs whose tasks wait for their module to be made ready, when that changes.
        0x0109 Preparing(Preparing),
        /// What it says of itself beside what it offers, once it has joined and when that changes.
        0x010A Report(WorkerReport) since 3,
        /// It wants a new certificate; answered by [`ToWorker::Renewed`] or [`ToWorker::NotRenewed`].
        0x0140 Renew(Renew),
    }
}

messages! {
    /// What the scheduler says to a worker.
    ToWorker {
        /// The answer to [`FromWorker::Join`].
        0x0201 Joined(Joined),
        /// Tasks to run.
        0x0202 Assign(Assign),
        /// Stop this job's tasks.
        0x0203 Cancel(Cancel),
        /// Give unstarted tasks back.
        0x0204 Revoke(Revoke),
        /// These batches of results are committed, or refused for good: forget them.
        0x0205 Committed(Committed),
        /// A module or a blob it asked for.
        0x0206 Module(Module),
        /// Finish what you have; nothing new comes.
        0x0207 Drain(Drain),
        /// Another process joined with this worker's certificate: unless this one answers soon, the
        /// other takes its place.
        0x0208 Contested(Contested),
        /// In place of [`ToWorker::Joined`]: this worker may not join, now or later.
        0x0209 Refused(Refused),
        /// What proves to the scheduler's next term that leases were given. Each is sent before
        /// the first tasks of its lease; where they overtake it, it still comes.
        0x020A Proofs(Proofs),
        /// A lease is over, since it was held for longer than its tasks can take: what is sent of it
        /// is discarded.
        0x020B Overrun(Overrun),
        /// Its new certificate.
        0x0240 Renewed(Renewed),
        /// Why it gets none now.
        0x0241 NotRenewed(Denied),
        /// It should renew its certificate soon.
        0x0242 RenewSoon(RenewSoon),
    }
}

impl Unsendable for FromWorker {
    fn instead(&self, why: &FrameError) -> Option<Self> {
        match self {
            // What is not named counts as lost, and runs again.
            Self::Join(join) => {
                let (held, proofs) = (Vec::new(), Vec::new());
                Some(Self::Join(Join { held, proofs, ..join.clone() }))
            }
            Self::Heartbeat(beat) => {
                Some(Self::Heartbeat(Heartbeat { queued: beat.queued, running: Vec::new() }))
            }
            Self::Results(results) => Some(Self::Results(results.undelivered(why))),
            Self::Returned(returned) => {
                Some(Self::Returned(Returned { reason: String::new(), ..returned.clone() }))
            }
            Self::NeedModule(_)
            | Self::Leaving(_)
            | Self::Health(_)
            | Self::Alive(_)
            | Self::Preparing(_)
            | Self::Report(_)
            | Self::Renew(_) => None,
        }
    }
}

impl Unsendable for ToWorker {
    fn instead(&self, _why: &FrameError) -> Option<Self> {
        match self {
            // Whoever waits for it is told that there is none.
            Self::Module(module) => {
                Some(Self::Module(Module { digest: module.digest, size_bytes: 0 }))
            }
            _ => None,
        }
    }
}

/// See [`FromWorker::Join`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// When its process started: one that joins again with the same time did not die meanwhile,
    /// and what it lacks was given back or never arrived.
    pub started: Micros,
    /// What it offers.
    pub capacity: WorkerCapacity,
    /// What it runs, has queued or has results of that are not acknowledged.
    #[serde(deserialize_with = "bounded")]
    pub held: Vec<HeldLease>,
    /// What it was given with these leases, one each. Without it a scheduler of another term does not
    /// believe that it holds them.
    #[serde(deserialize_with = "bounded")]
    pub proofs: Vec<LeaseProof>,
}

/// A lease that a worker brings along when it joins again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLease {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: LeaseId,
    /// Which attempt of each task.
    pub attempt: u32,
    /// The tasks whose results are not acknowledged.
    #[serde(deserialize_with = "bounded")]
    pub tasks: Vec<TaskRange>,
}

/// See [`FromWorker::Heartbeat`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Tasks that wait on the worker.
    pub queued: u64,
    /// What runs, at most one a slot.
    #[serde(deserialize_with = "bounded")]
    pub running: Vec<RunningTask>,
}

/// See [`FromWorker::Results`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerResults {
    /// The worker's own number of this batch; the same when it is sent again.
    pub batch: u64,
    /// The results; their payloads stand one behind the other.
    #[serde(with = "shared::list")]
    pub blocks: Vec<Arc<ResultBlock>>,
}

impl WorkerResults {
    /// The same tasks, each of which ends without its result, for this reason.
    fn undelivered(&self, why: &FrameError) -> Self {
        let mut undelivered = self.clone();
        let blocks = undelivered.blocks.iter_mut().map(Arc::make_mut);
        for meta in blocks.flat_map(|block| &mut block.results) {
            meta.outcome = Outcome::Refused(format!("its result cannot be sent: {why}"));
            meta.record_lens = Vec::new();
            (meta.output_len, meta.log_len) = (0, 0);
        }
        undelivered
    }
}

/// See [`FromWorker::NeedModule`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedModule {
    /// Which.
    pub digest: Digest,
}

/// See [`FromWorker::Returned`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: LeaseId,
    /// The tasks; none of them has begun.
    #[serde(deserialize_with = "bounded")]
    pub tasks: Vec<TaskRange>,
    /// Why, for people.
    pub reason: String,
}

/// See [`FromWorker::Leaving`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Why, for people.
    pub reason: String,
}

/// See [`FromWorker::Health`]. A worker that joins counts as able: one that is not says so again
/// right after it was [`Joined`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Why it cannot run tasks; `None` where it can.
    pub unable: Option<Unable>,
}

/// Why a worker cannot run any task, whosever it is: the machine's fault, and never a task's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unable {
    /// What does not start.
    pub part: Part,
    /// Why, for people.
    pub reason: String,
    /// In how long the worker tries itself again.
    pub again: Millis,
}

/// What a worker needs to run tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// The processes that run tasks: they do not start, or end before they were given a task.
    Runner,
    /// The processes that compile modules: they do not start, or end before they were given one.
    Compiler,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runner => "runners",
            Self::Compiler => "compilers",
        })
    }
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its {} do not start: {}", self.part, self.reason)
    }
}

/// See [`ToWorker::Joined`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The worker's number.
    pub worker: WorkerId,
    /// The scheduler's term.
    pub epoch: Epoch,
    /// How often to send a heartbeat; after several missed ones the worker counts as lost.
    pub heartbeat: Millis,
}

/// See [`ToWorker::Assign`]. The payload has the inputs of all leases, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    /// The job.
    pub job: JobId,
    /// What its tasks need.
    #[serde(with = "shared")]
    pub spec: Arc<TaskSpec>,
    /// Which tasks.
    #[serde(deserialize_with = "bounded")]
    pub leases: Vec<LeaseGrant>,
}

/// The right to commit one attempt of a run of tasks, with their inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    /// The lease.
    pub lease: LeaseId,
    /// Which attempt of each task this is, from 1.
    pub attempt: u32,
    /// The first task's index; the others follow it.
    pub first: u64,
    /// The inputs, which also say how many tasks there are.
    pub inputs: InputBlock,
}

/// See [`ToWorker::Cancel`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Which job.
    pub job: JobId,
    /// Who cancelled it, for the outcome.
    pub by: String,
}

/// See [`ToWorker::Revoke`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: LeaseId,
    /// Which tasks of it; those that have begun are kept.
    #[serde(deserialize_with = "bounded")]
    pub tasks: Vec<TaskRange>,
}

/// See [`ToWorker::Committed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The worker's numbers of the batches.
    #[serde(deserialize_with = "bounded")]
    pub batches: Vec<u64>,
}

/// See [`ToWorker::Module`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Which.
    pub digest: Digest,
    /// The payload's length; 0 where the scheduler has none of that digest.
    pub size_bytes: u64,
}

/// See [`ToWorker::Drain`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// True to leave once nothing is left to do.
    pub leave: bool,
}

/// See [`ToWorker::Proofs`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs {
    /// One for each lease.
    #[serde(deserialize_with = "bounded")]
    pub proofs: Vec<LeaseProof>,
}

/// See [`ToWorker::Overrun`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrun {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: LeaseId,
    /// Why, for people.
    pub reason: String,
}

/// See [`FromWorker::Alive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// The number that it was asked with.
    pub rival: u64,
}

/// See [`FromWorker::Preparing`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparing {
    /// All of these jobs; none where no task waits for that.
    #[serde(deserialize_with = "bounded")]
    pub jobs: Vec<JobId>,
    /// What was compiled since it was last said.
    #[serde(deserialize_with = "bounded")]
    pub compiled: Vec<Compiled>,
}

/// What the compilation of a job's module took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiled {
    /// The job whose tasks it was compiled for first.
    pub job: JobId,
    /// Microseconds.
    pub took_us: u64,
}

/// See [`ToWorker::Contested`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contested {
    /// The scheduler's number of the other, for the answer.
    pub rival: u64,
    /// From where that one is linked, for people.
    pub address: String,
}

/// See [`ToWorker::Refused`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub error: ApiError,
}

impl Body for Alive {}
impl Body for Preparing {}
impl Body for WorkerReport {}
impl Body for Contested {}
impl Body for Refused {}
impl Body for Join {}
impl Body for Proofs {}
impl Body for Overrun {}
impl Body for Heartbeat {}
impl Body for NeedModule {}
impl Body for Returned {}
impl Body for Leaving {}
impl Body for Health {}
impl Body for Joined {}
impl Body for Cancel {}
impl Body for Revoke {}
impl Body for Committed {}
impl Body for Drain {}

impl Body for WorkerResults {
    fn payload_len(&self) -> u64 {
        self.blocks.iter().map(|block| block.payload_len()).sum()
    }
}

impl Body for Assign {
    fn payload_len(&self) -> u64 {
        self.leases.iter().map(|grant| grant.inputs.payload_len()).sum()
    }
}

impl Body for Module {
    fn payload_len(&self) -> u64 {
        self.size_bytes
    }
}
