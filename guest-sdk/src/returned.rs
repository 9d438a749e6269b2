//! From what a task's function returns to bytes, or to a failure.
//!
//! The same device as in `argument.rs`: types with a meaning of their own have methods of their
//! own, all others fall to a trait.

use std::convert::Infallible;
use std::fmt;

use serde::Serialize;

use crate::Error;

/// A type that a task can return: any that implements [`serde::Serialize`], or a
/// `Result` of one and a [`Failure`].
///
/// `&[u8]`, `Vec<u8>`, `&str` and `String` are written as they are, `()` as nothing, and
/// everything else as JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a task",
    label = "not bytes, not text, and not a type that serde can write",
    note = "return `Vec<u8>` or `String` to write it as it is",
    note = "or derive `serde::Serialize` for the type, to write JSON"
)]
pub trait Output: Serialize {}

impl<T: Serialize> Output for T {}

/// A type that can stand for a task's failure: [`Error`], or anything that can be shown, which
/// is then *rejected*.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task",
    label = "does not implement `Display`",
    note = "return `wasmgrid::Error`, which any error becomes by `?`"
)]
pub trait Failure: fmt::Display {}

impl<E: fmt::Display> Failure for E {}

/// What the function returned.
pub struct Returned<T>(pub T);

impl<T, E> Returned<Result<T, E>> {
    /// The value or the error.
    pub fn split(self) -> Result<T, E> {
        self.0
    }
}

/// A value that is not a `Result`: it cannot have failed.
pub trait AnyValue<T> {
    /// The value.
    fn split(self) -> Result<T, Infallible>;
}

impl<T> AnyValue<T> for Returned<T> {
    fn split(self) -> Result<T, Infallible> {
        Ok(self.0)
    }
}

/// The function's error.
pub struct Failed<E>(pub E);

impl Failed<Error> {
    /// The error as it is.
    pub fn error(self) -> Error {
        self.0
    }
}

/// An error of another type.
pub trait AnyError<E> {
    /// Rejected, with what the error shows.
    fn error(self) -> Error
    where
        E: Failure;
}

impl<E> AnyError<E> for Failed<E> {
    fn error(self) -> Error
    where
        E: Failure,
    {
        // The alternate form is how `anyhow` shows its chain of causes.
        Error::rejected(format_args!("{:#}", self.0))
    }
}

/// The function's value.
pub struct Value<T>(pub T);

impl Value<Vec<u8>> {
    /// As it is, without a copy.
    pub fn encode(self) -> Result<Vec<u8>, Error> {
        Ok(self.0)
    }
}

impl Value<&[u8]> {
    /// As it is.
    pub fn encode(self) -> Result<Vec<u8>, Error> {
        Ok(self.0.to_vec())
    }
}

impl Value<String> {
    /// As it is, without a copy and without quotes.
    pub fn encode(self) -> Result<Vec<u8>, Error> {
        Ok(self.0.into_bytes())
    }
}

impl Value<&str> {
    /// As it is, without quotes.
    pub fn encode(self) -> Result<Vec<u8>, Error> {
        Ok(self.0.as_bytes().to_vec())
    }
}

impl Value<()> {
    /// Nothing.
    pub fn encode(self) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }
}

/// A value of another type.
pub trait TypedValue<T> {
    /// As one JSON value, on one line.
    fn encode(self) -> Result<Vec<u8>, Error>
    where
        T: Output;
}

impl<T> TypedValue<T> for Value<T> {
    fn encode(self) -> Result<Vec<u8>, Error>
    where
        T: Output,
    {
        json(&self.0)
    }
}

/// One JSON value, on one line.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value)
        .map_err(|error| Error::rejected(format_args!("output cannot be written as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_go_as_they_are() {
        assert_eq!(Value("a b").encode().unwrap(), b"a b");
        assert_eq!(Value(String::from("a")).encode().unwrap(), b"a");
        assert_eq!(Value(vec![1_u8, 2]).encode().unwrap(), [1, 2]);
        assert_eq!(Value([3_u8].as_slice()).encode().unwrap(), [3]);
        assert_eq!(Value(()).encode().unwrap(), b"");
    }

    #[test]
    fn other_types_are_json() {
        assert_eq!(Value(7_u64).encode().unwrap(), b"7");
        assert_eq!(Value(vec![1_u16, 2]).encode().unwrap(), b"[1,2]");
        assert_eq!(Value(Some("a")).encode().unwrap(), b"\"a\"");
    }

    #[test]
    fn what_json_cannot_hold_is_rejected() {
        let keyed = std::collections::BTreeMap::from([(vec![1], 2)]);
        let error = Value(keyed).encode().unwrap_err();
        assert!(error.message().contains("key must be a string"), "{error}");
    }

    #[test]
    fn results_are_told_from_values_by_their_type() {
        type Answer = Result<u8, String>;
        assert_eq!(Returned(Answer::Ok(1)).split(), Ok(1));
        assert_eq!(Returned(5_u8).split(), Ok(5));
    }

    #[test]
    fn errors_keep_whether_to_retry_and_others_are_rejected() {
        assert_eq!(Failed(Error::retry("x")).error(), Error::retry("x"));
        assert_eq!(Failed(String::from("y")).error(), Error::rejected("y"));
        let boxed: Box<dyn std::error::Error> = "z".into();
        assert_eq!(Failed(boxed).error(), Error::rejected("z"));
    }
}
