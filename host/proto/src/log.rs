//! The two logs of a job, and places in them.

use core::fmt;

use crate::JobId;

/// The two logs of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogKind {
    /// What its tasks are given.
    Input,
    /// What they returned.
    Result,
}

impl LogKind {
    /// The log's name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Result => "result",
        }
    }

    /// The log's number on disk.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Input => 0,
            Self::Result => 1,
        }
    }
}

/// A position in a log: where a task's input comes from, or where a result is. It orders positions by
/// job and log first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogRef {
    /// The job.
    pub job: JobId,
    /// Which of its logs.
    pub log: LogKind,
    /// An input's index, or a result's cursor.
    pub position: u64,
}

impl LogRef {
    /// Of an input.
    #[must_use]
    pub const fn input(job: JobId, position: u64) -> Self {
        Self { job, log: LogKind::Input, position }
    }

    /// Of a result.
    #[must_use]
    pub const fn result(job: JobId, position: u64) -> Self {
        Self { job, log: LogKind::Result, position }
    }
}

impl fmt::Display for LogRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of job {}", self.log.name(), self.position, self.job)
    }
}
