//! Links between the members of a grid: authentication of the peer, and messages in both
//! directions.
//!
//! A [`Link`] exists only between peers whose certificates the grid's own authority signed for the
//! right roles, and no peer can make this side hold more than a bounded amount of memory.
//! [`in_process`] makes the same link within one process. This crate carries messages and never
//! interprets them.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod backoff;
mod budget;
mod error;
mod https;
mod identity;
mod in_process;
mod lane;
mod link;
mod pki;
mod quic;
mod release;
mod room;
#[cfg(feature = "simulated")]
pub mod simulated;
mod token;
mod unsendable;

pub use backoff::Backoff;
pub use error::{CertificateProblem, IdentityError, NetError};
pub use https::HttpsServer;
pub use identity::{Account, Identity, Peer, key_of};
pub use in_process::{in_process, in_process_for};
pub use link::{Link, LinkClosed, LinkError, Receiver, Sender, TrySendError};
pub use pki::{
    Authority, Certificate, Credentials, LabelsError, Recognized, Renewal, Signed, Validity,
    check_labels,
};
pub use quic::{
    Accepted, Endpoint, Listener, ListenerConfig, Presented, enroll, enroll_again, enroll_by_key,
};
pub use release::Release;
pub use room::Reservation;
pub use token::{JoinToken, TokenError};
pub use wasmgrid_proto::{
    frame::Envelope,
    wire::{ActFor, Hello, Message, Role},
};
