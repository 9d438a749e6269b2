//! The pages' promises: what guests write is text, live parts are in their pages, nothing is asked of
//! others, and what is shown can be read.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../examples/samples/mod.rs"]
mod samples;

mod budget;
mod colours;
mod forms;
mod hostile;
mod html;
mod live;
mod words;
