//! How a task fails: for good, or so that it may be tried again.

use std::fmt;

/// A task's own failure, with a message for people.
///
/// Any [`std::error::Error`] becomes a *rejected* one by `?`: most failures of a function of its
/// input would come again. Say [`Error::retry`] where they would not.
///
/// ```
/// fn port(line: &str) -> Result<u16, wasmgrid::Error> {
///     let port = line.trim().parse()?;
///     if port == 0 {
///         return Err(wasmgrid::Error::rejected("port 0 is not a port"));
///     }
///     Ok(port)
/// }
/// assert_eq!(port("x").unwrap_err().message(), "invalid digit found in string");
/// ```
// Not a `std::error::Error` itself: `From` below would then overlap with `From<T> for T`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    retry: bool,
}

impl Error {
    /// The task failed and would fail again: the outcome is final.
    pub fn rejected(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), retry: false }
    }

    /// The task failed and may succeed later: it runs again if the job allows it.
    pub fn retry(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), retry: true }
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether another attempt may end otherwise.
    pub fn is_retry(&self) -> bool {
        self.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    /// Rejected, with the message of `error` and of all its sources.
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { message, retry: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bad port")
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_is_rejected_with_all_its_causes() {
        let error = Error::from(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(error, Error::rejected("bad port: invalid digit found in string"));
        assert!(!error.is_retry());
    }

    #[test]
    fn a_retry_is_one() {
        assert!(Error::retry("busy").is_retry());
    }
}
