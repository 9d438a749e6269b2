//! What tasks that have ended used, counted by the records that ended them: so it is as durable as
//! their results, and counts each of them once.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::{Extensions, OutcomeClass};

/// What some committed results took together. An attempt that is run again is in no cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Fuel spent, as in [`Usage::fuel`](crate::Usage::fuel).
    pub fuel: u64,
    /// Wall time on workers, in microseconds.
    pub wall_us: u64,
    /// Bytes of their outputs, records and logs.
    pub bytes: u64,
}

impl Cost {
    /// Adds another. What a worker says is not to overflow it.
    pub const fn add(&mut self, other: Self) {
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.wall_us = self.wall_us.saturating_add(other.wall_us);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// True if nothing was used.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.fuel == 0 && self.wall_us == 0 && self.bytes == 0
    }
}

/// Tasks that have ended, by how they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedTasks {
    /// [`OutcomeClass::Ok`].
    pub ok: u64,
    /// [`OutcomeClass::Failed`], and [`OutcomeClass::Retry`] without a retry left.
    pub failed: u64,
    /// [`OutcomeClass::Lost`].
    pub lost: u64,
    /// [`OutcomeClass::Cancelled`].
    pub cancelled: u64,
    /// [`OutcomeClass::Expired`].
    pub expired: u64,
    /// [`OutcomeClass::Skipped`].
    pub skipped: u64,
}

impl EndedTasks {
    /// So many more ended in this way.
    pub const fn count(&mut self, class: OutcomeClass, tasks: u64) {
        let ended = match class {
            OutcomeClass::Ok => &mut self.ok,
            OutcomeClass::Failed | OutcomeClass::Retry => &mut self.failed,
            OutcomeClass::Lost => &mut self.lost,
            OutcomeClass::Cancelled => &mut self.cancelled,
            OutcomeClass::Expired => &mut self.expired,
            OutcomeClass::Skipped => &mut self.skipped,
        };
        *ended = ended.saturating_add(tasks);
    }

    /// Each way to end with how many did, under the name that JSON output has for it.
    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, u64); 6] {
        [
            ("ok", self.ok),
            ("failed", self.failed),
            ("lost", self.lost),
            ("cancelled", self.cancelled),
            ("expired", self.expired),
            ("skipped", self.skipped),
        ]
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_name().into_iter().map(|(_, tasks)| tasks).fold(0, u64::saturating_add)
    }

    /// Adds others.
    pub const fn add(&mut self, other: Self) {
        self.ok = self.ok.saturating_add(other.ok);
        self.failed = self.failed.saturating_add(other.failed);
        self.lost = self.lost.saturating_add(other.lost);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.expired = self.expired.saturating_add(other.expired);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }
}

/// What the tasks of a tenant, or of all, have used since the grid's first job. It only grows; jobs
/// that are forgotten stay in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageTotal {
    /// Its tasks that have ended.
    pub ended: EndedTasks,
    /// What their committed results took.
    pub cost: Cost,
    /// Bytes of inputs that it appended. Numbers of a range are not sent, and count as none; inputs
    /// that are run again count once.
    pub input_bytes: u64,
}

impl UsageTotal {
    /// Adds another.
    pub const fn add(&mut self, other: Self) {
        self.ended.add(other.ended);
        self.cost.add(other.cost);
        self.input_bytes = self.input_bytes.saturating_add(other.input_bytes);
    }
}

/// A tenant, and what it has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantUsage {
    /// Its name; empty for all tenants together that came after the number of those that are counted
    /// apart was reached.
    pub name: String,
    /// What its tasks have used.
    pub usage: UsageTotal,
    /// What later releases add.
    pub extensions: Extensions,
}
