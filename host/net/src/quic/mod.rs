//! Links over QUIC. One bidirectional control stream a link carries its small messages; each
//! large one travels on a unidirectional stream of its own, and may be overtaken.

mod bulk;
mod close;
mod control;
mod counts;
mod dial;
mod door;
mod driver;
mod joiner;
mod listen;
mod names;
mod pace;
mod peer;
mod places;
mod presented;
mod probe;
mod profile;
mod race;
mod restart;
mod signal;
mod socket;
mod tls;
mod tokens;

pub use dial::Endpoint;
pub use joiner::{enroll, enroll_again, enroll_by_key};
pub use listen::{Accepted, Listener, ListenerConfig};
pub use presented::Presented;
#[cfg(feature = "simulated")]
pub(crate) use socket::Sockets;
pub(crate) use tls::provider;
