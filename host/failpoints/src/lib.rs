//! Named places at which a test ends the process, as kill -9 would, or has something fail.
//!
//! A test build reads them from the environment variable `FAILPOINTS`, in the syntax of the crate
//! `fail`: `store-before-sync=40*off->return` ends the process when that place is reached for the
//! 41st time. A release build contains none of them.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[cfg(all(feature = "enabled", debug_assertions))]
mod live;

/// Reads which failpoints end this process. To be called once, at its start.
pub fn start() {
    #[cfg(all(feature = "enabled", debug_assertions))]
    live::start();
}

/// Ends the process where a test has asked for that.
#[inline(always)]
pub fn reach(place: Place) {
    #[cfg(all(feature = "enabled", debug_assertions))]
    live::reach(place.name());
    #[cfg(not(all(feature = "enabled", debug_assertions)))]
    let _ = place;
}

/// True if a test wants what happens at this place to fail.
#[inline(always)]
#[must_use]
pub fn fails(place: Place) -> bool {
    #[cfg(all(feature = "enabled", debug_assertions))]
    {
        live::fails(place.name())
    }
    #[cfg(not(all(feature = "enabled", debug_assertions)))]
    {
        let _ = place;
        false
    }
}

/// The places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The store begins to write a commit.
    StoreBeforeAppend,
    /// A commit is written and not synced.
    StoreBeforeSync,
    /// A commit is durable, and nobody knows yet.
    StoreAfterSync,
    /// A commit is made durable, and its answer is lost: for [`fails`].
    StoreAnswerLost,
    /// A commit fails, and nothing of it is durable: for [`fails`].
    StoreCommitFails,
    /// A worker's results are durable, and it has not been told.
    ServerBeforeAcknowledge,
    /// A worker's acknowledgement waits to be sent.
    ServerAfterAcknowledge,
    /// What a client asked for is durable, and it has not been told.
    ServerBeforeReply,
    /// A client's answer waits to be sent.
    ServerAfterReply,
    /// A worker has results that its scheduler has not seen.
    WorkerBeforeResults,
    /// A worker was told that results are committed, and still has them.
    WorkerBeforeForget,
    /// A worker has forgotten results that are committed.
    WorkerAfterForget,
    /// A client is about to ask.
    ClientBeforeAsk,
    /// A client's question waits to be sent.
    ClientAfterAsk,
    /// A client has an answer that it has not looked at.
    ClientBeforeAnswer,
    /// A client has results that nobody has read.
    ClientBeforeResults,
    /// Messages are about to be written to a link.
    LinkBeforeSend,
    /// Messages were written to a link.
    LinkAfterSend,
}

impl Place {
    /// Its name in `FAILPOINTS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreBeforeAppend => "store-before-append",
            Self::StoreBeforeSync => "store-before-sync",
            Self::StoreAfterSync => "store-after-sync",
            Self::StoreAnswerLost => "store-answer-lost",
            Self::StoreCommitFails => "store-commit-fails",
            Self::ServerBeforeAcknowledge => "server-before-acknowledge",
            Self::ServerAfterAcknowledge => "server-after-acknowledge",
            Self::ServerBeforeReply => "server-before-reply",
            Self::ServerAfterReply => "server-after-reply",
            Self::WorkerBeforeResults => "worker-before-results",
            Self::WorkerBeforeForget => "worker-before-forget",
            Self::WorkerAfterForget => "worker-after-forget",
            Self::ClientBeforeAsk => "client-before-ask",
            Self::ClientAfterAsk => "client-after-ask",
            Self::ClientBeforeAnswer => "client-before-answer",
            Self::ClientBeforeResults => "client-before-results",
            Self::LinkBeforeSend => "link-before-send",
            Self::LinkAfterSend => "link-after-send",
        }
    }
}
