//! What pages say of the grid and of the gateway itself.

/// What pages say of the grid and of the gateway itself.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The grid's name; may be empty.
    pub grid: String,
    /// Where the scheduler is, for people; empty if it is in the same process.
    pub scheduler: String,
    /// The scheduler's version; empty if it is not known.
    pub scheduler_version: String,
    /// The gateway's own address: `https://grid.example:7434`.
    pub base: String,
    /// Browsers reach it without TLS, on their own machine: their sessions cannot be kept to HTTPS.
    pub is_plain: bool,
}
