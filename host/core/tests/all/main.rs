//! The scheduler's promises, each driven with virtual time; see [`world::World`].

mod chaos;
mod jobs;
mod placement;
mod retries;
mod workers;
mod world;
