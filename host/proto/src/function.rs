//! Functions: names for modules that are called, input by input. Under each lies an open job, so that
//! its calls are tasks like any others.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::{Digest, JobId, Micros};

/// Bytes of a function's name at most.
pub const FUNCTION_NAME_BYTES: usize = 64;

/// Functions that one tenant may have.
pub const FUNCTIONS_MAX: usize = 1_000;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionTerms {
    /// How many calls may be on workers at a time; `None` as many as there is room for.
    pub concurrency: Option<u32>,
    /// How many calls may wait or run; further ones are refused until some have ended.
    pub calls: u32,
}

impl Default for FunctionTerms {
    fn default() -> Self {
        Self { concurrency: None, calls: 10_000 }
    }
}

/// A function, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionStatus {
    /// Its name, unique within its tenant.
    pub name: String,
    /// Whose it is.
    pub tenant: String,
    /// What runs; with the name it is the function's version.
    pub module: Digest,
    /// The job that takes new calls.
    pub job: JobId,
    /// How it is called.
    pub terms: FunctionTerms,
    /// When it was deployed last: the date.
    pub deployed: Micros,
    /// Its calls so far, also of earlier deployments.
    pub called: u64,
    /// Those that have not ended.
    pub open: u64,
}

/// True if a function may have this name: 1 to [`FUNCTION_NAME_BYTES`] of `a-z`, `0-9`, `-`, `_` and `.`,
/// the first of them a letter or a digit.
#[must_use]
pub fn is_function_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = name.bytes().next();
    first.is_some_and(is_plain)
        && name.len() <= FUNCTION_NAME_BYTES
        && name.bytes().all(|byte| is_plain(byte) || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions_are_plain() {
        for name in ["a", "resize-2.v1_x", "0", &"x".repeat(64)] {
            assert!(is_function_name(name), "{name}");
        }
        for name in ["", "-a", ".", "A", "a b", "a/b", "a@b", "é", &"x".repeat(65)] {
            assert!(!is_function_name(name), "{name}");
        }
    }
}
