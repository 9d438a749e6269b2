//! What the grid tells of its jobs and workers.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ByteCount, JobId, JobSpec, Micros, Reason, TaskId, WorkerId,
    reason::Length,
    wire::{ApiError, bounded},
};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Tasks are queued or running, or more inputs may come.
    Active,
    /// Every task ended ok.
    Ok,
    /// Every task ended, some not ok.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its deadline passed first.
    Expired,
}

impl JobState {
    /// True where nothing more will happen.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Active)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        })
    }
}

/// A job's tasks by state; `queued` to `skipped` sum to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCounts {
    /// Inputs appended so far.
    pub total: u64,
    /// Waiting for a worker, or for their next attempt.
    pub queued: u64,
    /// Assigned to a worker.
    pub running: u64,
    /// Ended ok.
    pub ok: u64,
    /// Ended with a failure of their own or of too many hosts.
    pub failed: u64,
    /// Cancelled with the job.
    pub cancelled: u64,
    /// Not ended when the job's deadline passed.
    pub expired: u64,
    /// Not run, because the job had failed too often.
    pub skipped: u64,
    /// Attempts that were run again, for any reason.
    pub retried: u64,
    /// Late results that were discarded, because another was committed or nothing may be.
    pub discarded: u64,
}

impl JobCounts {
    /// Tasks in a terminal state.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.ok + self.failed + self.cancelled + self.expired + self.skipped
    }
}

/// All the grid tells of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its number.
    pub job: JobId,
    /// What was asked for.
    pub spec: JobSpec,
    /// Where it is.
    pub state: JobState,
    /// False while inputs may be appended.
    pub closed: bool,
    /// Its tasks.
    pub counts: JobCounts,
    /// Results in its log: the cursor behind the last.
    pub results: u64,
    /// When it was submitted.
    pub submitted_at: Micros,
    /// When it ended.
    pub ended_at: Option<Micros>,
}

/// Which jobs of a list are wanted: those that meet all of this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFilter {
    /// In one of these states; in any where there is none.
    #[serde(deserialize_with = "bounded")]
    pub states: Vec<JobState>,
    /// Of this name, in which `*` stands for any text.
    pub name: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
}

/// Bytes of each text of a [`JobFilter`]: no job has a longer name, and no tenant.
pub const FILTER_BYTES: usize = 256;

impl JobFilter {
    /// Refuses a filter whose texts are longer than what they are compared with.
    ///
    /// # Errors
    /// [`Reason::TooLong`].
    pub fn check(&self) -> Result<(), ApiError> {
        let texts = [(Length::NameFilter, &self.name), (Length::TenantFilter, &self.tenant)];
        for (what, text) in texts {
            let found = text.as_ref().map_or(0, String::len);
            if found > FILTER_BYTES {
                let (found, allowed) = (found as u64, FILTER_BYTES as u64);
                return Err(Reason::TooLong { what, found, allowed }.into());
            }
        }
        Ok(())
    }
}

/// What a worker offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerCapacity {
    /// Tasks at a time.
    pub slots: u32,
    /// Memory for all slots together.
    pub memory: ByteCount,
    /// `key=value` labels, sorted.
    #[serde(deserialize_with = "bounded")]
    pub labels: Vec<(String, String)>,
    /// The engine and its settings; fuel and outcomes are comparable where this is equal.
    pub engine: String,
}

impl WorkerCapacity {
    /// Bytes of its texts at most: lists of workers must fit a frame.
    pub const TEXTS_MAX: usize = 8 << 10;

    /// How many bytes its texts take, with what stands around them.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let labels = self.labels.iter().map(|(name, value)| name.len() + value.len() + 8);
        self.engine.len() + labels.sum::<usize>()
    }
}

/// The labels of a worker that its certificate has: an operator vouches for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VouchedLabels {
    /// The worker.
    pub worker: WorkerId,
    /// `key=value` labels, sorted.
    #[serde(deserialize_with = "bounded")]
    pub labels: Vec<(String, String)>,
}

/// Where a worker is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerState {
    /// Takes tasks.
    Ready,
    /// Finishes what it has begun and takes nothing new.
    Draining,
    /// Not linked now.
    Gone,
    /// Finishes what it has, its queue too, and takes nothing new until it is uncordoned.
    Cordoned,
    /// It cannot run tasks, or those that it was given of late were all lost: it gets none, or one
    /// to try it.
    Failing(Failing),
    /// Drained, and nothing of what it had is left there.
    Drained,
}

/// Why a worker is not trusted with tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// When it is tried again; `None` where the worker itself says when it can run tasks.
    pub until: Option<Micros>,
    /// Why, for people.
    pub reason: String,
}

impl WorkerState {
    /// Its name as the command line and JSON output have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Gone => "gone",
            Self::Cordoned => "cordoned",
            Self::Failing(_) => "failing",
            Self::Drained => "drained",
        }
    }
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All the grid tells of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its number.
    pub worker: WorkerId,
    /// The name in its certificate.
    pub name: String,
    /// From where it is linked, for people.
    pub address: String,
    /// Where it is.
    pub state: WorkerState,
    /// What it offers.
    pub capacity: WorkerCapacity,
    /// Tasks assigned to it now.
    pub assigned: u64,
    /// Results it had committed since the scheduler started.
    pub committed: u64,
    /// When it was last heard of.
    pub heard_at: Micros,
    /// What runs on its slots, as of the last heartbeat.
    #[serde(deserialize_with = "bounded")]
    pub running: Vec<RunningTask>,
}

/// A process that was refused, because it has the identity of a worker that is linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contest {
    /// The worker's name.
    pub name: String,
    /// From where the last one came that was refused, for people.
    pub address: String,
    /// When.
    pub at: Micros,
}

/// A task that runs on a slot, as its worker last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTask {
    /// Which.
    pub task: TaskId,
    /// For how long, in milliseconds.
    pub elapsed_ms: u64,
    /// `(done, total)`, where the task told its progress.
    pub progress: Option<(u64, u64)>,
}
