//! The client against a scheduler that the test plays itself, over links inside the process.

mod grid;
mod requests;
mod results;
