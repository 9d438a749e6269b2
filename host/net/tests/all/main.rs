//! Links as their users see them: real QUIC on the loopback, real certificates.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod budgets;
mod crowd;
mod crowds;
mod enrollment;
mod gateways;
mod grid;
mod in_process;
mod links;
mod misunderstandings;
mod quiet;
mod raw;
mod refusals;
mod renewals;
mod restart;
mod versions;
