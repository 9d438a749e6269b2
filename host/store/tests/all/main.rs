//! The stores' promises: one suite for every backend, and what only a file can break.

mod conformance;
mod crash;
mod damage;
mod format;
mod sqlite;
mod support;
