//! A network inside the process: UDP with loss, copies, delays and cuts, all drawn from a seed, in
//! the time of the tokio runtime. Over it go the same endpoints, handshakes and links as over the
//! real one ([`Endpoint::on`](crate::Endpoint::on), [`Listener::bind_on`](crate::Listener::bind_on)).
//!
//! It is for simulations, and so there only with the feature `simulated`. On a runtime of one
//! thread whose clock is paused, what happens is a function of the seed and of the randomness that
//! the process draws; [`Network::digest`] tells whether two runs were the same.

mod network;
mod socket;
mod weather;

pub use network::{Network, Tally};
pub use socket::Host;
pub use weather::Weather;
