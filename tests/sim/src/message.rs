//! What the machines of a world say to each other: what `wasmgrid-proto`'s messages say, with a
//! number for each input and output.

use serde::{Deserialize, Serialize};
use wasmgrid_proto::{
    JobId, JobState, LeaseId, LeaseProof, Micros, OutcomeClass, TaskRange,
    wire::{ErrorCode, Heartbeat, HeldLease},
};

use crate::task::Task;

/// From a worker or client to the scheduler.
#[derive(Clone, Debug)]
pub enum Up {
    /// A worker joins.
    Join {
        /// When its process started.
        started: Micros,
        /// Tasks at a time.
        slots: u32,
        /// What it holds.
        held: Vec<HeldLease>,
        /// What it was given with that.
        proofs: Vec<LeaseProof>,
    },
    /// A worker lives.
    Heartbeat(Heartbeat),
    /// Results, kept until they are acknowledged.
    Results {
        /// The worker's number of them.
        batch: u64,
        /// What is in it.
        blocks: Vec<Block>,
    },
    /// Tasks that a worker will not run.
    Returned {
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
        /// Which.
        tasks: Vec<TaskRange>,
    },
    /// A worker says whether it can run tasks.
    Health {
        /// True where it can.
        able: bool,
    },
    /// A worker leaves.
    Leaving,
    /// A worker was asked whether it lives, and does.
    Alive {
        /// What it was asked with.
        rival: u64,
    },
    /// A client asks.
    Request {
        /// Its number of the question.
        id: u64,
        /// What.
        request: Request,
    },
    /// A client has read.
    Credit {
        /// Which watch.
        watch: u64,
        /// How many results.
        results: u64,
    },
}

/// From the scheduler to a worker or client.
#[derive(Clone, Debug)]
pub enum Down {
    /// A worker is in the grid.
    Joined,
    /// Does the worker live?
    Contested {
        /// For the answer.
        rival: u64,
    },
    /// Tasks to run.
    Assign {
        /// The job.
        job: JobId,
        /// Whose it is.
        tenant: String,
        /// Under which leases.
        leases: Vec<Lease>,
    },
    /// Stop a job's tasks.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Give tasks back that have not begun.
    Revoke {
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
        /// Which.
        tasks: Vec<TaskRange>,
    },
    /// A lease is over, since it was held for longer than its tasks can take.
    Overrun {
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
    },
    /// These batches may be forgotten.
    Committed {
        /// The worker's numbers of them.
        batches: Vec<u64>,
    },
    /// Nothing new comes.
    Drain,
    /// The answer to a client.
    Reply {
        /// Its number of the question.
        id: u64,
        /// What.
        reply: Result<Answer, ErrorCode>,
    },
    /// Results of a watched job.
    Results {
        /// Which watch.
        watch: u64,
        /// The first one's position in the job's result log.
        first_cursor: u64,
        /// One behind the other.
        results: Vec<Shown>,
    },
    /// How a watched job ended.
    Ended {
        /// Which watch.
        watch: u64,
        /// How.
        end: Summary,
    },
}

/// What a client asks.
#[derive(Clone, Debug)]
pub enum Request {
    /// Make a job.
    Submit {
        /// Which job of this client's.
        run: usize,
        /// Whether no more inputs come.
        closed: bool,
        /// Read its results from the start, with this credit.
        watch: Option<WatchFrom>,
    },
    /// Append a chunk of inputs.
    Append {
        /// Which job of this client's.
        run: usize,
        /// The grid's name of it.
        job: JobId,
        /// Which chunk.
        chunk: usize,
    },
    /// Append a chunk of inputs behind whatever there is.
    Extend {
        /// Which job of this client's.
        run: usize,
        /// The grid's name of it.
        job: JobId,
        /// Which chunk.
        chunk: usize,
    },
    /// Run again what of an ended job did not end ok.
    Retry {
        /// Which job of this client's the new one is.
        run: usize,
        /// The grid's name of the ended one.
        of: JobId,
    },
    /// No more inputs come.
    Close {
        /// The job.
        job: JobId,
    },
    /// Stop a job.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Make the client's function, or have another spec take its calls.
    Deploy {
        /// Which spec.
        version: usize,
    },
    /// Take the client's function away.
    DeleteFunction,
    /// Call the client's function.
    Call {
        /// The producer, and its number of the request.
        by: (u64, u64),
        /// One a call.
        inputs: Vec<Task>,
    },
    /// Read a job's results.
    Watch {
        /// The job.
        job: JobId,
        /// From where.
        from: WatchFrom,
    },
}

/// Where a watch goes on.
#[derive(Clone, Copy, Debug)]
pub struct WatchFrom {
    /// The client's number of it.
    pub watch: u64,
    /// The first position wanted.
    pub cursor: u64,
    /// How many results may come before more credit does.
    pub credit: u64,
}

/// What the scheduler answers.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// It is done.
    Done,
    /// A job.
    Job(Summary),
    /// The inputs are in the job, the first at this index.
    Appended(u64),
    /// The calls are in this job, the first at this index.
    Called(JobId, u64),
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The job.
    pub job: JobId,
    /// Where it is in its life.
    pub state: JobState,
    /// Results in its log.
    pub results: u64,
}

/// A lease with its inputs.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The lease.
    pub lease: LeaseId,
    /// Which attempt.
    pub attempt: u32,
    /// The first task's index.
    pub first: u64,
    /// The inputs.
    pub inputs: Vec<u64>,
    /// What proves that it was given; it travels apart in a grid, which nothing here shows.
    pub proof: LeaseProof,
}

/// Results of one lease.
#[derive(Clone, Debug)]
pub struct Block {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub lease: LeaseId,
    /// Which attempt.
    pub attempt: u32,
    /// How long all took.
    pub wall_us: u64,
    /// One a task.
    pub results: Vec<Shown>,
}

/// One result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The task's index.
    pub index: u64,
    /// How it ended.
    pub class: OutcomeClass,
    /// What it returned.
    pub output: u64,
}

impl Request {
    /// Whether its inputs may make it large.
    #[must_use]
    pub const fn has_payload(&self) -> bool {
        matches!(
            self,
            Self::Submit { .. } | Self::Append { .. } | Self::Extend { .. } | Self::Call { .. }
        )
    }
}
