//! Blobs: bytes that are the same for all tasks of a job. They lie beside its module, are sent once
//! like it, and are read by the tasks under a name.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A blob that a job's tasks can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// What the tasks know it by; no other blob of the job has it.
    pub name: String,
    /// Its bytes, by their digest.
    pub digest: Digest,
}

/// Blobs of one job at most.
pub const BLOBS_MAX: usize = 4;

/// Bytes of one blob at most: as many as a module has by default.
pub const BLOB_BYTES_MAX: u64 = 32 << 20;

/// Bytes of a blob's name at most.
pub const BLOB_NAME_BYTES: usize = 64;

/// The name of the one value that a task takes beside its input (`--with`).
pub const WITH: &str = "with";

impl Blob {
    /// True for lower-case letters, digits, `-`, `_` and `.`.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        (1..=BLOB_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for name in [WITH, "program.2", "a-b_c"] {
            assert!(Blob::is_name(name), "{name}");
        }
        for name in ["", "A", "a b", "a/b", "ü", &"x".repeat(BLOB_NAME_BYTES + 1)] {
            assert!(!Blob::is_name(name), "{name}");
        }
    }
}
