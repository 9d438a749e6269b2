//! Why a grid did not do what it was asked.

use wasmgrid_net::{LinkError, NetError, Release};
use wasmgrid_proto::{
    UnknownExtension,
    wire::{ApiError, PROTOCOL_MAJOR},
};

/// Why a request has no good answer, or a stream of results ended early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// No link could be made: at once, or for as long as was configured.
    #[error("cannot reach the grid")]
    Unreachable(#[source] NetError),
    /// The scheduler says no, and why; or it would, and is not asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The link was lost before the answer came, and the request is not safe to repeat.
    #[error(
        "the connection was lost before the answer; it is unknown whether the request was \
         done"
    )]
    Lost,
    /// Link after link ended because the two sides do not understand each other.
    #[error("gave up on the grid after {times} links")]
    Misunderstood {
        /// How many links.
        times: u32,
        /// How the last one ended; it names the releases of both sides.
        #[source]
        end: LinkError,
    },
    /// An operator took this identity out of the grid.
    #[error("the grid does not accept this identity any more: {0}")]
    Removed(String),
    /// Link after link ended soon while this question had no answer: maybe because of it.
    #[error(
        "gave up on a request: {times} links in a row ended before it was answered; the scheduler \
         runs {theirs}, this side {ours}; the scheduler's log says why links ended",
        ours = Release::ours()
    )]
    Unanswered {
        /// How many links.
        times: u32,
        /// The scheduler's release.
        theirs: Release,
    },
    /// The scheduler is older than the request, which was not sent.
    #[error(
        "the scheduler runs {theirs}, and this needs protocol {PROTOCOL_MAJOR}.{since} (this side \
         runs {ours}); upgrade the scheduler",
        ours = Release::ours()
    )]
    Unsupported {
        /// The first minor version of the protocol that knows the request.
        since: u16,
        /// The scheduler's release.
        theirs: Release,
    },
    /// The scheduler's answer has something in it that this side does not know.
    #[error(
        "the scheduler runs {theirs}, and this side ({ours}) cannot read its answer; upgrade this \
         side",
        ours = Release::ours()
    )]
    Unreadable {
        /// The scheduler's release.
        theirs: Release,
    },
    /// Results have something in them that this side does not know and must not ignore.
    #[error(transparent)]
    Extension(#[from] UnknownExtension),
    /// The scheduler sent what it must not.
    #[error("the scheduler broke the protocol: {0}; its version may differ from this one's")]
    Protocol(&'static str),
    /// The operating system gave no random number for an idempotency key.
    #[error("no random numbers available: {0}")]
    Random(String),
    /// There is no [`Room`](crate::Room) for the results that come next.
    #[error("there is no room for {bytes} bytes of results")]
    NoRoom {
        /// What they take.
        bytes: u64,
    },
    /// The client was shut down, or gave up on the grid before.
    #[error("the client has stopped")]
    Stopped,
}
