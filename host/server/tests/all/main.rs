//! The server against the memory store, with workers and clients that the tests play.

mod harness;

mod durability;
mod enrollment;
mod jobs;
mod roles;
mod watches;
