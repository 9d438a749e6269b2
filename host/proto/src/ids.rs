//! Names of things: small integers given by the scheduler, and digests of content.

use alloc::string::String;
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.parse().map(Self).map_err(|_| ParseIdError {
                    expected: concat!(stringify!($name), ", a whole number"),
                    found: text.into(),
                })
            }
        }
    };
}

id! {
    /// A job of a grid, numbered from 1 in the order of submission.
    JobId
}
id! {
    /// A worker as it joined; a machine that joins again under its name keeps its number.
    WorkerId
}
id! {
    /// The right to commit one attempt of a range of tasks; never given twice, and only grows.
    LeaseId
}
id! {
    /// One scheduler's term of leadership; only grows.
    Epoch
}
id! {
    /// A position in the journal; contiguous from 1.
    Seq
}

/// One input of a job: written `job/index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The job.
    pub job: JobId,
    /// The input's place in the job's input log, from 0.
    pub index: u64,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.index)
    }
}

/// A BLAKE3 hash, which names modules and blobs; written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of several pieces: where one ends and the next begins counts too.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl Digest {
    /// Whether two are the same, without telling by the time that takes where they differ.
    #[must_use]
    pub fn equals_in_constant_time(&self, other: &Self) -> bool {
        // The hash's own type promises that of its comparison.
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl fmt::Display for Digest {
    /// All 64 digits; with a precision (`{:.12}`) as many as asked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(64);
        for nibble in 0..digits.min(64) {
            let byte = self.0.get(nibble / 2).copied().unwrap_or_default();
            let value = if nibble % 2 == 0 { byte >> 4 } else { byte & 0xf };
            write!(f, "{value:x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:.12}")
    }
}

impl FromStr for Digest {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError {
            expected: "a BLAKE3 digest, 64 hexadecimal digits",
            found: text.into(),
        };
        let hash = blake3::Hash::from_hex(text).map_err(|_| error())?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// A text that is not the id it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct ParseIdError {
    /// What would have been right.
    pub expected: &'static str,
    /// What was there.
    pub found: String,
}
