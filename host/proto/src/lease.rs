//! What proves that a worker was given a lease: plain data. The scheduler's core makes and checks it.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{LeaseId, TaskRange};

/// What only a scheduler of the grid can make of a lease: the first half of a keyed BLAKE3 hash,
/// which is as hard to guess as a key of 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTag(pub [u8; 16]);

impl fmt::Debug for LeaseTag {
    /// Leaves it out: who has it can claim the lease.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseTag")
    }
}

/// That a lease was given, as it was given: a worker that has ended, given back or cut parts of it
/// proves the rest by the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseProof {
    /// The lease.
    pub lease: LeaseId,
    /// All its tasks.
    pub tasks: TaskRange,
    /// Over these, the worker, the job, its tenant and the attempt.
    pub tag: LeaseTag,
}
