//! What crosses a boundary, as bytes: what is said stays readable, and what is hostile stays
//! harmless.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod counted;
mod golden;
mod hostile;
mod meter;
mod samples;
