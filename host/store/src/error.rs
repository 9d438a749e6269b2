//! Why a store does not do what it was asked.

use wasmgrid_proto::Epoch;

/// What the layer below said.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer scheduler took over: this one must stop.
    #[error("epoch {epoch} may not commit: epoch {newest} holds the store")]
    Fenced {
        /// Who asked.
        epoch: Epoch,
        /// Who may commit.
        newest: Epoch,
    },
    /// What is there is not what was written.
    #[error("damaged: {what} at {place}; restore a backup")]
    Damaged {
        /// What is wrong.
        what: String,
        /// Where.
        place: String,
    },
    /// There is no room. Nothing was written; free some and try again.
    #[error("no space left for the store; nothing was written")]
    Full(#[source] Source),
    /// A later version of this program wrote it.
    #[error(
        "the store has format {found}, but this program reads only up to {supported}; use a \
         newer release"
    )]
    Newer {
        /// The store's format.
        found: i64,
        /// The newest this program knows.
        supported: i64,
    },
    /// It is something else.
    #[error("{0} is not a wasmgrid store; name another file")]
    Foreign(String),
    /// The caller asked for what cannot be; nothing was written.
    #[error("cannot be stored: {0}")]
    Invalid(String),
    /// It is not known whether the last group is durable; [`Store::resolve`](crate::Store::resolve)
    /// finds out.
    #[error("{doing} failed, so it is not known whether the last commit is durable")]
    InDoubt {
        /// What was being done.
        doing: &'static str,
        /// What the layer below said.
        source: Source,
    },
    /// The operating system or the database failed, and nothing was written.
    #[error("{doing} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the layer below said.
        source: Source,
    },
}

impl StoreError {
    /// The same failure, if it leaves open whether a group is durable.
    pub(crate) fn in_doubt(self) -> Self {
        match self {
            Self::Io { doing, source } => Self::InDoubt { doing, source },
            other => other,
        }
    }

    /// True where the same may succeed later, with nothing lost meanwhile: there was no room, or the
    /// operating system failed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Io { .. })
    }
}
