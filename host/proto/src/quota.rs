//! What a tenant may have of a grid, and what it has.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{ByteCount, Fuel, wire::bounded};

/// What can run out for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resource {
    /// Bytes in the scheduler's store: modules, blobs, inputs, results, and the journal of jobs.
    Bytes,
    /// Jobs that are known, those that have ended too.
    Jobs,
    /// Jobs that have not ended.
    OpenJobs,
    /// Bytes of memory that the descriptions of its jobs take.
    RecordBytes,
    /// Tasks that have not ended.
    WaitingTasks,
    /// Tasks on workers at a time.
    RunningTasks,
    /// Fuel that its tasks use up in a day of the grid's own time.
    FuelADay,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Bytes,
        Self::Jobs,
        Self::OpenJobs,
        Self::RecordBytes,
        Self::WaitingTasks,
        Self::RunningTasks,
        Self::FuelADay,
    ];

    /// A short name that stays the same.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Jobs => "jobs",
            Self::OpenJobs => "open-jobs",
            Self::RecordBytes => "record-bytes",
            Self::WaitingTasks => "waiting-tasks",
            Self::RunningTasks => "running-tasks",
            Self::FuelADay => "fuel-a-day",
        }
    }

    /// An amount of it, as people read it.
    #[must_use]
    pub fn amount(self, amount: u64) -> String {
        match self {
            Self::Bytes | Self::RecordBytes => format!("{}", ByteCount(amount)),
            Self::FuelADay => format!("{}", Fuel(amount)),
            Self::Jobs | Self::OpenJobs | Self::WaitingTasks | Self::RunningTasks => {
                format!("{amount}")
            }
        }
    }

    /// What would make room.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Bytes => "wait until jobs end and their results are deleted",
            Self::Jobs | Self::RecordBytes => "ended jobs are deleted after some time",
            Self::OpenJobs | Self::WaitingTasks => "wait until jobs end, or cancel some",
            Self::RunningTasks => "others continue when some have ended",
            Self::FuelADay => "tasks continue the next day",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a tenant has of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Of what.
    pub resource: Resource,
    /// How much it has.
    pub used: u64,
    /// How much it may have; `None` where there is no bound.
    pub allowed: Option<u64>,
    /// True where an operator set that for this tenant; else it is what everybody may have.
    pub own: bool,
}

/// A tenant, and what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantStatus {
    /// Its name.
    pub name: String,
    /// Of each resource.
    #[serde(deserialize_with = "bounded")]
    pub uses: Vec<Use>,
}

/// What an operator sets for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Allowance {
    /// What everybody may have.
    Default,
    /// No more than this.
    Most(u64),
    /// As much as there is.
    Unbounded,
}
