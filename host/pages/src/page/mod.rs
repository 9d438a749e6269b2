//! The pages: for each a struct of what it shows.

pub mod cancel;
pub mod functions;
pub mod job;
pub mod jobs;
pub mod keys;
pub mod limits;
pub mod login;
pub mod overview;
mod parts;
pub mod plain;
pub mod task;
pub mod worker;
pub mod workers;
