//! Short ways to say what a test commits and reads: those of the conformance suite.

pub use wasmgrid_store::conformance::{commit, journal, meta, read, records, segment};
