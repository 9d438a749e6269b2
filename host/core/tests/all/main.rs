//! The scheduler's promises, each driven with virtual time; see [`world::World`].

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test may fail as the test itself may"
)]

mod audits;
mod claims;
mod clockwork;
mod contests;
mod cordons;
mod explained;
mod failing;
mod functions;
mod jobs;
mod labels;
mod lists;
mod open;
mod overdue;
mod overviews;
mod placement;
mod preparing;
mod quotas;
mod removals;
mod requirements;
mod retention;
mod retries;
mod scale;
mod shares;
mod specs;
mod terms;
mod times;
mod usage;
mod workers;
mod world;
