//! Links as their users see them: real QUIC on the loopback, real certificates.

mod enrollment;
mod grid;
mod in_process;
mod links;
mod raw;
mod refusals;
