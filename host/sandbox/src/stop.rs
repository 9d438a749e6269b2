//! Why the host ends a task: what host functions, limits and the clock say to whoever runs it.

use wasmgrid_proto::Limit;

/// Why the host ends a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("limit({limit}): {used} of {allowed}")]
    Limit { limit: Limit, used: u64, allowed: u64 },
    #[error("exit code {0}")]
    Exit(i32),
    #[error("the job was cancelled")]
    Cancelled,
    #[error("a host function was misused: {0}")]
    Misuse(&'static str),
    /// Not the task's fault: it says nothing of the task.
    #[error("the host failed: {0}")]
    Host(String),
}

impl Stop {
    /// More of the host's resources than a task may have.
    pub(crate) const fn resources(used: u64, allowed: u64) -> Self {
        Self::Limit { limit: Limit::Resources, used, allowed }
    }
}
