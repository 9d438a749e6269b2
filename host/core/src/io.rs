//! What goes into the scheduler and what comes out of it. Plain data: no payloads, no handles;
//! those stay with the driver, under the numbers given here.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

use wasmgrid_proto::{
    Act, Allowance, AuditRecord, Caller, Cost, Digest, DropReason, Failing, JobId, JobSpec,
    LeaseId, LeaseProof, Limits, Micros, Millis, OutcomeClass, Reason, Record, Resource, TaskRange,
    Witness, WorkerCapacity, WorkerId,
    text::Name,
    wire::{ApiError, Compiled, Heartbeat, HeldLease, Reply, Unable},
};

use crate::proof::LeaseKey;

/// The driver's number of a pending client request; comes back in [`Output::Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request: whom to answer, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// The driver's number of it.
    pub id: RequestId,
    /// Who asks. What the scheduler does on its own is in no audit log.
    pub by: Arc<Caller>,
}

/// The driver's number of a batch's payload, which it holds until [`Output::Release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentToken(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Once, after the replay: a new epoch starts. Nothing else is taken before it.
    Start {
        /// Which date it is now, by the machine's clock. It is shown and decides nothing.
        date: Micros,
        /// What leases are proved with; the same in all terms.
        key: LeaseKey,
        /// The keys of labels that the grid's tokens have vouched for.
        vouched: Vec<String>,
    },
    /// A client wants a job. Answered by [`Reply::Job`].
    Submit {
        /// Whom to answer.
        request: ClientRequest,
        /// The job; the driver has admitted its module.
        spec: Box<JobSpec>,
        /// The same key of the same tenant gives the same job.
        idempotency_key: Option<String>,
        /// How many inputs came with it.
        inputs: u64,
        /// How many bytes those have.
        bytes: InputBytes,
        /// True where no more come.
        closed: bool,
        /// Of the spec, the inputs and `closed`: by it a repeat is known.
        digest: Digest,
    },
    /// A client appends inputs at an index. Answered by [`Reply::Done`].
    AppendAt {
        /// Whom to answer.
        request: ClientRequest,
        /// The job.
        job: JobId,
        /// The first input's index.
        first: u64,
        /// How many.
        count: u64,
        /// How many bytes they have.
        bytes: InputBytes,
        /// Of the inputs: by it a repeat is known.
        digest: Digest,
    },
    /// A client leaves indices out: the job has no tasks there. Answered by [`Reply::Done`].
    Skip {
        /// Whom to answer.
        request: ClientRequest,
        /// The job.
        job: JobId,
        /// The first of them.
        first: u64,
        /// How many.
        count: u64,
        /// Of `count`, and of no inputs: by it a repeat is known.
        digest: Digest,
    },
    /// A client appends inputs at the job's end. Answered by [`Reply::Appended`].
    Append {
        /// Whom to answer.
        request: ClientRequest,
        /// The job.
        job: JobId,
        /// The asker's number as a producer of the job.
        producer: u64,
        /// Its number of the request, from 1.
        number: u64,
        /// How many inputs.
        count: u64,
        /// How many bytes they have.
        bytes: InputBytes,
    },
    /// A client makes a function, or gives it another job. Answered by [`Reply::Function`].
    DeployFunction {
        /// Whom to answer.
        request: ClientRequest,
        /// Its name.
        name: String,
        /// The job that takes its calls; the driver has admitted its module.
        spec: Box<JobSpec>,
    },
    /// A client takes a function away. Answered by [`Reply::Done`].
    DeleteFunction {
        /// Whom to answer.
        request: ClientRequest,
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
    },
    /// A client calls a function. Answered by [`Reply::Called`].
    Call {
        /// Whom to answer.
        request: ClientRequest,
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// Only if it runs this.
        module: Option<Digest>,
        /// The asker's number as a producer.
        producer: u64,
        /// Its number of the request, from 1.
        number: u64,
        /// How many calls.
        count: u64,
        /// How many bytes their inputs have.
        bytes: InputBytes,
    },
    /// A client wants the tasks of an ended job that did not end ok to be run again, as a new
    /// job. Answered by [`Reply::Job`].
    Retry {
        /// Whom to answer.
        request: ClientRequest,
        /// The ended job.
        job: JobId,
        /// Other limits for its tasks.
        limits: Option<Limits>,
        /// As in [`Self::Submit`].
        idempotency_key: Option<String>,
    },
    /// No more inputs come. Answered by [`Reply::Done`].
    Close {
        /// Whom to answer.
        request: ClientRequest,
        /// The job.
        job: JobId,
    },
    /// Stop a job. Answered by [`Reply::Done`].
    Cancel {
        /// Whom to answer.
        request: ClientRequest,
        /// The job.
        job: JobId,
    },
    /// Give a worker nothing new, and ask back what it has not begun. Answered by
    /// [`Reply::Done`].
    DrainWorker {
        /// Whom to answer.
        request: ClientRequest,
        /// The worker's name.
        name: String,
    },
    /// Give a worker nothing new, or take a cordon or drain back. Answered by [`Reply::Done`].
    CordonWorker {
        /// Whom to answer.
        request: ClientRequest,
        /// The worker's name.
        name: String,
        /// True to cordon it.
        cordoned: bool,
    },
    /// An operator takes a worker away: it is disconnected, what it has runs elsewhere, and the driver
    /// lets nobody in any more by its certificates. Whoever wrote that down has written the act into
    /// the audit log too. Answered by [`Reply::Done`].
    RemoveWorker {
        /// Whom to answer.
        request: ClientRequest,
        /// The worker's name.
        name: String,
    },
    /// A worker said [`Join`](wasmgrid_proto::wire::Join). Answered by [`Output::Joined`], or where
    /// one of its name is linked by [`Output::Contest`], and later by that or [`Output::Refuse`].
    WorkerJoined {
        /// The driver's number of the link; a later link has a higher one.
        link: u64,
        /// The name in its certificate.
        name: String,
        /// From where, for people.
        address: String,
        /// When its process started, by its own clock.
        started: Micros,
        /// What it offers. Its labels are what it says itself.
        capacity: WorkerCapacity,
        /// The labels that its certificate has, sorted; none of a key that it has a label of itself.
        vouched: Vec<(String, String)>,
        /// What it still holds.
        held: Vec<HeldLease>,
        /// What it was given with that.
        proofs: Vec<LeaseProof>,
    },
    /// A token vouches for labels of these keys: from now on no worker's own labels of them count.
    KeysVouched {
        /// The keys.
        keys: Vec<String>,
    },
    /// A worker's link closed. Ignored where another link of the worker came after it.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
        /// The link.
        link: u64,
        /// True where it said that it leaves and gave everything back.
        graceful: bool,
    },
    /// A link closed of a worker whose join was not answered yet.
    JoinerLeft {
        /// The link.
        link: u64,
    },
    /// A worker answers [`Output::Contest`].
    Alive {
        /// The worker.
        worker: WorkerId,
        /// What it was asked with.
        rival: u64,
    },
    /// A worker is not silent, though what it says is not read yet.
    Heard {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker drains on its own wish.
    WorkerLeaving {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker lives.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
        /// What it tells.
        heartbeat: Heartbeat,
    },
    /// A worker says whether it can run tasks.
    Health {
        /// The worker.
        worker: WorkerId,
        /// Why it cannot; `None` where it can.
        unable: Option<Unable>,
    },
    /// A worker says of which jobs tasks wait there for their module.
    Preparing {
        /// The worker.
        worker: WorkerId,
        /// All of these jobs.
        jobs: Vec<JobId>,
        /// What it has compiled since it last said so.
        compiled: Vec<Compiled>,
    },
    /// A worker sends results. Answered by [`Output::Acknowledge`].
    Completed {
        /// The worker.
        worker: WorkerId,
        /// The worker's number of the batch.
        batch: u64,
        /// What is in it, in the batch's order.
        blocks: Vec<CompletedBlock>,
        /// The batch's payload.
        token: SegmentToken,
    },
    /// A worker will not run these tasks. It is the answer to each [`Output::Revoke`] (with no
    /// tasks where all had begun), and part of leaving; otherwise the worker cannot run them.
    Returned {
        /// The worker.
        worker: WorkerId,
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
        /// The tasks; none of them has begun.
        tasks: Vec<TaskRange>,
        /// Why, for people.
        reason: String,
    },
    /// The driver compared a result of [`Output::Late`] with the one that is committed, and they
    /// differ though both are of kinds that should not.
    Diverged {
        /// The job.
        job: JobId,
        /// The task.
        index: u64,
        /// The one that counts.
        committed: Witness,
        /// The one that was discarded.
        late: Witness,
    },
    /// Results take more bytes than are kept: drop those of this job before a position; all of
    /// an ended job, whatever the position, and its inputs.
    DropResults {
        /// The job.
        job: JobId,
        /// The first result that stays.
        before: u64,
        /// Which bound was passed.
        why: DropReason,
    },
    /// An operator says how much of something a tenant may have. Answered by [`Reply::Done`].
    SetQuota {
        /// Whom to answer.
        request: ClientRequest,
        /// Whose.
        tenant: String,
        /// Of what.
        resource: Resource,
        /// How much.
        allowed: Allowance,
    },
    /// Somebody was refused something that belongs in the audit log, by the driver or by one of its
    /// services.
    Refused {
        /// Who asked.
        by: Arc<Caller>,
        /// What for.
        act: Box<Act>,
        /// The name of the reason.
        reason: Name,
    },
    /// How many bytes of a job's logs the store has: of each job after [`Self::Start`], and where
    /// some of its results were dropped.
    Stored {
        /// The job.
        job: JobId,
        /// Of its inputs, where that is to be set right.
        inputs: Option<u64>,
        /// Of its results.
        results: Option<u64>,
    },
    /// So many bytes of what a job's stopped tasks had logged are kept.
    LogKept {
        /// The job.
        job: JobId,
        /// How many more.
        bytes: u64,
    },
    /// How many bytes the modules take that a tenant sent or names, and its blobs.
    Modules {
        /// Whose.
        tenant: String,
        /// All of them.
        bytes: u64,
    },
    /// Whether the store takes new work from now on: jobs and inputs are refused for this reason, but
    /// repeats of what was done before are answered. If it is for want of room, no task that waits is
    /// given out either: its result would need some. [`Input::Start`] begins with a store that does.
    Intake {
        /// Why it does not.
        refusal: Option<Reason>,
    },
    /// The driver did not take what workers say for a while: how long they were silent is not
    /// known, and counts from now.
    InboxStalled,
    /// The time of [`Grid::poll_timeout`](crate::Grid::poll_timeout) has come.
    Tick,
}

/// The bytes of some inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputBytes {
    /// Their own.
    pub own: u64,
    /// What they take of the store, about.
    pub stored: u64,
}

/// One `ResultBlock` of a batch, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedBlock {
    /// The job.
    pub job: JobId,
    /// The lease the tasks ran under.
    pub lease: LeaseId,
    /// Which attempt of each task this was.
    pub attempt: u32,
    /// The results, in the block's order.
    pub results: Vec<Completion>,
}

/// About how many bytes of the store a result takes beside its output, records and log.
pub const RESULT_BYTES: u64 = 24;

/// One result, as the scheduler needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The task's index.
    pub index: u64,
    /// How it ended.
    pub class: OutcomeClass,
    /// The outcome's text, for [`OutcomeClass::Retry`] and [`OutcomeClass::Lost`] only.
    pub reason: Option<String>,
    /// What it took.
    pub cost: Cost,
}

/// The right to commit one attempt of a run of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLease {
    /// The lease.
    pub lease: LeaseId,
    /// Which attempt of each task, from 1.
    pub attempt: u32,
    /// The tasks.
    pub tasks: TaskRange,
    /// What proves to a later term that it was given.
    pub proof: LeaseProof,
}

/// A task that ends as lost without a result of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostTask {
    /// Its index.
    pub index: u64,
    /// The last attempt's number.
    pub attempt: u32,
    /// Who had it last.
    pub worker: WorkerId,
    /// The text of its outcome, which has all attempts.
    pub reason: String,
}

/// Something to do. See [`Grid`](crate::Grid) for the order, and [`Output::is_gated`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Append to the journal. With [`Record::InputsDropped`], [`Record::ResultsDropped`] and
    /// [`Record::JobForgotten`] the segments they name go, in one.
    Persist(Record),
    /// Append to the journal, and store the request's inputs as an input segment, in one.
    PersistInputs {
        /// The submit or append that has the inputs.
        request: RequestId,
        /// [`Record::InputsAppended`].
        record: Record,
    },
    /// Append to the journal, and store results as a result segment, in one.
    PersistResults {
        /// The batch's payload.
        token: SegmentToken,
        /// Which block of the batch.
        block: usize,
        /// The positions in the block that are committed, rising; `None` for all.
        keep: Option<Vec<u32>>,
        /// [`Record::Committed`].
        record: Record,
    },
    /// The outcome of a result that is about to be stored becomes
    /// [`Outcome::Lost`](wasmgrid_proto::Outcome::Lost) with this text, which has all attempts.
    Explain {
        /// The batch's payload.
        token: SegmentToken,
        /// Which block of the batch.
        block: usize,
        /// The position in the block.
        position: u32,
        /// The outcome's text.
        reason: String,
    },
    /// The results of a block that are about to be stored lose their bytes, and those that are ok end
    /// as [`Limit::Quota`](wasmgrid_proto::Limit::Quota): with them the tenant would have too much.
    OverQuota {
        /// The batch's payload.
        token: SegmentToken,
        /// Which block of the batch.
        block: usize,
        /// Bytes that the tenant would have, and may have.
        quota: (u64, u64),
    },
    /// Append to the journal, and store results without bytes as a result segment, in one: tasks
    /// end as lost of which no worker sends a result.
    PersistLost {
        /// What is stored, in the log's order.
        lost: Vec<LostTask>,
        /// [`Record::Committed`].
        record: Record,
    },
    /// These results of a batch came late and are discarded: another of the task counts, will
    /// count, or the task has ended without.
    Late {
        /// The batch's payload.
        token: SegmentToken,
        /// Which block of the batch.
        block: usize,
        /// The positions in the block, rising.
        positions: Vec<u32>,
    },
    /// Append to the audit log, in one with the records before it.
    Audit(Box<AuditRecord>),
    /// Answer a client. Gated.
    Reply {
        /// The request.
        request: RequestId,
        /// The answer.
        reply: Box<Result<Reply, ApiError>>,
    },
    /// Register a worker under its number. The driver does so at once, and drops older links of the
    /// worker. It sends the worker its number only after that is durable, and before the worker's
    /// first tasks.
    Joined {
        /// The link it joined on.
        link: u64,
        /// Its number.
        worker: WorkerId,
    },
    /// Ask a worker whether it lives: another process with its identity has joined.
    Contest {
        /// The worker.
        worker: WorkerId,
        /// The link of the other, which comes back in [`Input::Alive`].
        rival: u64,
        /// From where that one is linked, for people.
        address: String,
    },
    /// Refuse a worker that joined, and close its link: another process has its identity, and
    /// lives.
    Refuse {
        /// The link it joined on.
        link: u64,
        /// From where the other is linked, for people.
        address: String,
        /// For how long.
        linked_for: Millis,
    },
    /// Give a worker tasks, with the job's spec and their inputs.
    Assign {
        /// The worker.
        worker: WorkerId,
        /// The job.
        job: JobId,
        /// The leases.
        grants: Vec<NewLease>,
    },
    /// Tell a worker to stop a job's tasks.
    Cancel {
        /// The worker.
        worker: WorkerId,
        /// The job.
        job: JobId,
        /// By whom.
        by: String,
    },
    /// Ask a worker to give tasks back that it has not begun.
    Revoke {
        /// The worker.
        worker: WorkerId,
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
        /// Which tasks of it.
        tasks: Vec<TaskRange>,
    },
    /// Tell a worker that it has a lease no longer: it held it for longer than its tasks can take.
    Overrun {
        /// The worker.
        worker: WorkerId,
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
        /// Why, for people.
        reason: String,
    },
    /// Tell a worker that nothing new comes.
    Drain {
        /// The worker.
        worker: WorkerId,
    },
    /// Tell a worker to forget a batch: it is committed, or refused for good. Gated.
    Acknowledge {
        /// The worker.
        worker: WorkerId,
        /// Its number of the batch.
        batch: u64,
    },
    /// No later output needs this payload.
    Release {
        /// The payload.
        token: SegmentToken,
    },
    /// Wake who watches the job: its log grew, or its state changed. Gated.
    JobChanged {
        /// The job.
        job: JobId,
    },
    /// A worker is failing, or not any more: for the log.
    Failing {
        /// The worker.
        worker: WorkerId,
        /// Its name.
        name: String,
        /// Until when it gets nothing, and why; `None` where it takes tasks as before.
        failing: Option<Failing>,
    },
    /// Close a worker's link: it was silent for too long.
    Disconnect {
        /// The worker.
        worker: WorkerId,
        /// Why, for people.
        reason: String,
    },
}

impl Output {
    /// True where the driver may do this only once all records output before it are durable.
    /// The others are done at once.
    #[must_use]
    pub const fn is_gated(&self) -> bool {
        matches!(self, Self::Reply { .. } | Self::Acknowledge { .. } | Self::JobChanged { .. })
    }

    /// The record this output appends to the journal, if it does.
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        match self {
            Self::Persist(record)
            | Self::PersistInputs { record, .. }
            | Self::PersistLost { record, .. }
            | Self::PersistResults { record, .. } => Some(record),
            _ => None,
        }
    }
}
