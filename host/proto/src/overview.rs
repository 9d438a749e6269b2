//! How a whole grid is, for a page that is looked at often: numbers that a scheduler keeps, and what
//! somebody should do something about, as data. Nothing of it grows with the number of tasks or jobs.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    Extensions, JobId, JobMetrics, Metrics, Micros, Millis, Pace, Rates, Reason, TaskMetrics, Wait,
    wire::{ApiError, bounded},
};

/// How a grid is. An operator is told of all of it, a client of its own tenant's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Whose part it is; `None` if it is of all tenants.
    pub tenant: Option<String>,
    /// When the scheduler started: what is counted over time begins there.
    pub since: Micros,
    /// The workers' slots by what they do, whosever tasks they run.
    pub slots: SlotCounts,
    /// Jobs by state.
    pub jobs: JobMetrics,
    /// Tasks that have not ended.
    pub tasks: TaskMetrics,
    /// How fast tasks ended of late.
    pub pace: Pace,
    /// Results of the last minutes.
    pub rates: Rates,
    /// Results of the last hour.
    pub last_hour: LastHour,
    /// Busy slots over the last minutes.
    pub busy: SlotsOverTime,
    /// All that is counted; to operators only.
    pub metrics: Option<Metrics>,
    /// What takes room on the scheduler's disk; to operators only.
    pub disk: Option<DiskUse>,
    /// What somebody should look at, the gravest first; to operators only.
    #[serde(deserialize_with = "bounded")]
    pub attention: Vec<Attention>,
    /// What later releases add.
    pub extensions: Extensions,
}

/// Slots of workers that joined this scheduler. Each slot is under one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotCounts {
    /// They run a task, as their workers last told, whatever state the worker is in.
    pub busy: u64,
    /// They run nothing, on workers that take tasks.
    pub idle: u64,
    /// They run nothing, on workers that are cordoned.
    pub cordoned: u64,
    /// They run nothing, on workers that drain or are drained.
    pub draining: u64,
    /// They run nothing, on workers that cannot run tasks or lost those that they were given.
    pub failing: u64,
    /// Of workers that are not linked.
    pub gone: u64,
}

/// How the tasks of the last hour ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHour {
    /// Tasks with a result.
    pub ended: u64,
    /// Those of them that failed, by the outcome's name; kinds without any are left out.
    #[serde(deserialize_with = "bounded")]
    pub failed: Vec<FailedKind>,
}

/// Tasks that failed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedKind {
    /// The outcome's name: `trap`, `limit`, `rejected` and the like.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// What one of the last new groups of such failures says, and which job's it is.
    pub example: Option<(JobId, String)>,
}

/// Busy slots over time, by job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotsOverTime {
    /// When the first bucket begins.
    pub from: Micros,
    /// How long each is.
    pub width: Millis,
    /// The jobs that are told apart: those with the most slots over all buckets.
    #[serde(deserialize_with = "bounded")]
    pub jobs: Vec<JobId>,
    /// The oldest first.
    #[serde(deserialize_with = "bounded")]
    pub buckets: Vec<SlotsBucket>,
}

/// The slots of one span of time, on average.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotsBucket {
    /// How many there were on linked workers, in thousandths.
    pub slots: u64,
    /// How many were busy with tasks of each of the jobs that are told apart, in thousandths.
    #[serde(deserialize_with = "bounded")]
    pub jobs: Vec<u64>,
    /// How many were busy with tasks of others, in thousandths.
    pub others: u64,
}

/// What takes room on the scheduler's disk, as far as the scheduler knows: about, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// Inputs of jobs.
    pub inputs: u64,
    /// Results of jobs.
    pub results: u64,
    /// Logs of tasks that were stopped.
    pub logs: u64,
    /// Modules and blobs, for each tenant that uses them.
    pub modules: u64,
    /// The journal with its snapshot.
    pub journal: u64,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attention {
    /// No worker takes tasks; so many there are.
    NoWorker {
        /// Workers in any state.
        workers: u64,
    },
    /// No new work is taken.
    Refuses {
        /// Why.
        error: ApiError,
    },
    /// Workers are not linked.
    Gone(Workers),
    /// Workers cannot run tasks, or lost those that they were given of late.
    Failing(Workers),
    /// Workers are cordoned or drain: somebody meant it so.
    NotTaking(Workers),
    /// Workers whose processes lack layers of the jail.
    JailLacks {
        /// The workers.
        workers: Workers,
        /// The layers that some of them lack.
        #[serde(deserialize_with = "bounded")]
        layers: Vec<String>,
    },
    /// Machines were refused that have the identity of these workers.
    Contested(Workers),
    /// Jobs of which no task can run before somebody does something.
    Stuck {
        /// Whose.
        tenant: String,
        /// The first of them.
        #[serde(deserialize_with = "bounded")]
        jobs: Vec<JobId>,
        /// How many there are.
        count: u64,
        /// What all of them wait for.
        wait: Wait,
    },
}

/// Some workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workers {
    /// How many.
    pub count: u64,
    /// The names of the first.
    #[serde(deserialize_with = "bounded")]
    pub names: Vec<String>,
}

impl Workers {
    /// Names that are told.
    pub const NAMED_MAX: usize = 8;

    /// One more.
    pub fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < Self::NAMED_MAX {
            self.names.push(name.into());
        }
    }
}

impl Attention {
    /// Its place among others: what is graver is lower.
    #[must_use]
    pub const fn gravity(&self) -> u8 {
        match self {
            Self::Refuses { .. } => 0,
            Self::NoWorker { .. } => 1,
            Self::Gone(_) => 2,
            Self::Failing(_) => 3,
            Self::Stuck { .. } => 4,
            Self::Contested(_) => 5,
            Self::JailLacks { .. } => 6,
            Self::NotTaking(_) => 7,
        }
    }

    /// A short name that stays the same; where `wasmgrid status` finds the same, it has this name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoWorker { .. } => "no-worker",
            Self::Refuses { error } if *error.reason == Reason::StoreInDoubt => "store-in-doubt",
            Self::Refuses { .. } => "disk-full",
            Self::Gone(_) => "worker-gone",
            Self::Failing(_) => "worker-failing",
            Self::NotTaking(_) => "worker-not-taking",
            Self::JailLacks { .. } => "jail-incomplete",
            Self::Contested(_) => "worker-contested",
            Self::Stuck { .. } => "jobs-stuck",
        }
    }
}
