//! Why a job's tasks wait, and what would help.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ByteCount, JobCounts, JobId, JobState, Micros, Resource, text::counted, wire::bounded,
};

/// Tenants and labels that one reason names; the rest is left out.
pub const NAMED_MAX: usize = 16;

/// Why a job's tasks wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub tenant: String,
    /// Where it is in its life.
    pub state: JobState,
    /// Its tasks.
    pub counts: JobCounts,
    /// Why those wait that do, the gravest first. Each waiting task is counted under one reason
    /// of those that count tasks.
    #[serde(deserialize_with = "bounded")]
    pub reasons: Vec<WaitReason>,
}

/// Why some tasks wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitReason {
    /// How many; 0 where it adds to the reason before it, or is about tasks that are not there yet.
    pub tasks: u64,
    /// Why.
    pub wait: Wait,
}

/// A reason to wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// The scheduler has just started, and workers have until then to say what they hold.
    Recovering {
        /// Until when.
        until: Micros,
    },
    /// No worker is linked.
    NoWorker,
    /// No linked worker has all the labels that the job requires.
    Labels {
        /// Each of them, with how many linked workers have it.
        #[serde(deserialize_with = "bounded")]
        required: Vec<LabelCount>,
    },
    /// A task needs more memory than any fitting worker has for all its tasks together.
    Memory {
        /// The job's limit.
        needed: ByteCount,
        /// The most that one of them has.
        largest: ByteCount,
    },
    /// Every worker that fits is cordoned or drains.
    NotTaking {
        /// Fitting workers that are cordoned.
        cordoned: u64,
        /// Fitting workers that drain.
        draining: u64,
    },
    /// Slots are free, but the memory beside them is taken by tasks that run or wait there.
    MemoryTaken {
        /// The job's limit.
        needed: ByteCount,
        /// The most that is free on one fitting worker.
        free: ByteCount,
    },
    /// Every slot that fits is taken.
    Busy {
        /// Fitting workers that take tasks.
        workers: u64,
        /// Their slots.
        slots: u64,
        /// Who has tasks on any worker, most first.
        #[serde(deserialize_with = "bounded")]
        tenants: Vec<TenantShare>,
    },
    /// Other tenants had less than their share, and are served before this one.
    Share {
        /// Those before it.
        #[serde(deserialize_with = "bounded")]
        tenants: Vec<TenantShare>,
    },
    /// Jobs of the same tenant that are older, or of a higher priority, are served before it.
    Priority {
        /// How many.
        jobs: u64,
        /// The first of them.
        first: JobId,
    },
    /// They wait out a pause after a failure of the infrastructure.
    Paused {
        /// When the first of them is tried again.
        until: Micros,
    },
    /// Each must run alone on a worker, because its host died more than once.
    Suspects {
        /// Workers that fit and could be emptied for them.
        workers: u64,
    },
    /// Every input there is has been given out, and more may come.
    OpenInputs,
    /// The scheduler's disk is full, or has less free than its reserve: the room that is left is for
    /// the results of tasks that workers have.
    DiskFull,
    /// They can be given out right now.
    Ready,
    /// Every worker that fits takes nothing new, and some of them say that they cannot run tasks.
    Unable {
        /// Workers that fit and take nothing new.
        workers: u64,
        /// Those of them that cannot run tasks.
        unable: u64,
        /// The name of one of these.
        name: String,
        /// Why it cannot, for people.
        reason: String,
    },
    /// Slots are free only on workers on which the tenant's tasks were all lost of late.
    Failing {
        /// Those workers.
        workers: u64,
        /// When the first of them is tried again.
        until: Micros,
    },
    /// Their last attempts were lost, and they wait for a worker that has not lost them.
    Elsewhere {
        /// Such workers, which are busy.
        workers: u64,
    },
    /// Their tenant has all that it may have of something.
    Quota {
        /// Of what.
        resource: Resource,
        /// How much it has.
        used: u64,
        /// How much it may have.
        allowed: u64,
    },
    /// Those that workers have wait there until the module is compiled.
    Preparing {
        /// Workers that compile it, or have it in their queue.
        workers: u64,
    },
}

/// How many linked workers have a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCount {
    /// Before the `=`.
    pub key: String,
    /// Behind it.
    pub value: String,
    /// How many.
    pub workers: u64,
}

/// What a tenant has of the grid now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantShare {
    /// Whose.
    pub tenant: String,
    /// Its weight.
    pub weight: u32,
    /// Its tasks on workers, running or queued there.
    pub tasks: u64,
}

/// Why nothing new is stored.
const NO_ROOM: &str = "the scheduler's disk is full, or has less free than its reserve";

impl Wait {
    /// True where it is worth saying though it counts no task.
    #[must_use]
    pub const fn adds(&self) -> bool {
        matches!(
            self,
            Self::OpenInputs | Self::DiskFull | Self::Busy { .. } | Self::Preparing { .. }
        )
    }

    /// A short name that stays the same.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Recovering { .. } => "recovering",
            Self::NoWorker => "no-worker",
            Self::Labels { .. } => "labels",
            Self::Memory { .. } => "memory",
            Self::NotTaking { .. } => "not-taking",
            Self::MemoryTaken { .. } => "memory-taken",
            Self::Busy { .. } => "busy",
            Self::Share { .. } => "share",
            Self::Priority { .. } => "priority",
            Self::Paused { .. } => "paused",
            Self::Suspects { .. } => "suspects",
            Self::OpenInputs => "open-inputs",
            Self::DiskFull => "disk-full",
            Self::Ready => "ready",
            Self::Unable { .. } => "unable",
            Self::Failing { .. } => "failing",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Quota { .. } => "quota",
            Self::Preparing { .. } => "preparing",
        }
    }

    /// The reason as people read it at the time `now`.
    #[must_use]
    pub fn text(&self, now: Micros) -> String {
        match self {
            Self::Recovering { until } => format!(
                "the scheduler has just started and waits another {} for workers to report what \
                 they hold",
                until.since(now)
            ),
            Self::NoWorker => "no worker is connected".into(),
            Self::Labels { required } => {
                format!("no connected worker has all labels it requires: {}", list(required))
            }
            Self::Memory { needed, largest } => format!(
                "each needs {needed} of memory, but the largest fitting worker has {largest} for \
                 all its tasks"
            ),
            Self::NotTaking { cordoned, draining } => format!(
                "no fitting worker takes new tasks: {cordoned} cordoned, {draining} draining"
            ),
            Self::MemoryTaken { needed, free } => format!(
                "slots are free, but each needs {needed} of memory and at most {free} is free on \
                 one worker"
            ),
            Self::Busy { workers, slots, tenants } => format!(
                "no slot is free on {} with {}, in use by {}",
                counted(*workers, "fitting worker"),
                counted(*slots, "slot"),
                list(tenants)
            ),
            Self::Share { tenants } => {
                format!("other tenants have had less than their share: {}", list(tenants))
            }
            Self::Priority { jobs, first } => format!(
                "{} older or of a higher priority, job {first} first",
                are(*jobs, "job of the same tenant", "jobs of the same tenant")
            ),
            Self::Paused { until } => format!(
                "workers could not run them; the first is tried again in {}",
                until.since(now)
            ),
            Self::Suspects { workers } => format!(
                "their hosts died more than once, so each runs alone on a worker; {} fitting",
                are(*workers, "worker", "workers")
            ),
            Self::OpenInputs => "all inputs so far have been given out, and more may come".into(),
            Self::DiskFull => NO_ROOM.into(),
            Self::Ready => "they are given out now".into(),
            Self::Unable { workers, unable, name, reason } => format!(
                "of {} none takes new tasks, and {unable} cannot run tasks ({name}: {reason})",
                counted(*workers, "fitting worker")
            ),
            Self::Failing { workers, until } => format!(
                "slots are free only on {} that lost this tenant's last tasks; the first is tried \
                 again in {}",
                counted(*workers, "worker"),
                until.since(now)
            ),
            Self::Elsewhere { workers } => format!(
                "their last attempts were lost elsewhere, and {} busy",
                are(*workers, "other fitting worker", "other fitting workers")
            ),
            Self::Preparing { workers } => format!(
                "its module is being compiled on {}, for the first time there",
                counted(*workers, "worker")
            ),
            Self::Quota { resource, used, allowed } => format!(
                "their tenant uses {} of its quota of {} {resource}",
                resource.amount(*used),
                resource.amount(*allowed)
            ),
        }
    }
}

impl fmt::Display for LabelCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let have = if self.workers == 1 { "has" } else { "have" };
        let workers = counted(self.workers, "worker");
        write!(f, "{}={} ({workers} {have} it)", self.key, self.value)
    }
}

impl fmt::Display for TenantShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, weight {})", self.tenant, counted(self.tasks, "task"), self.weight)
    }
}

fn are(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one} is") } else { format!("{count} {many} are") }
}

fn list(items: &[impl ToString]) -> String {
    if items.is_empty() {
        return "nobody".into();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
