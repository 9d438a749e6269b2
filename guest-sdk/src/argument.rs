//! From a task's input, which is bytes, to the value its function takes.
//!
//! `Argument<T>` has its own `decode` for the types that are taken raw; every other type falls to
//! the trait [`Typed`], by the rule that a type's own methods go before those of traits. So the
//! choice is made by the type itself, whatever it is called in the source.

use std::marker::PhantomData;

use serde::Deserialize;

use crate::{Error, type_name};

/// A type that a task can take: any that implements [`serde::Deserialize`].
///
/// `&[u8]`, `Vec<u8>`, `&str` and `String` are the input's bytes as they are, `()` is the empty
/// input, and everything else is read as JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a task",
    label = "not bytes, not text, and not a type that serde can read",
    note = "take `&[u8]`, `Vec<u8>`, `&str` or `String` for the raw input",
    note = "or derive `serde::Deserialize` for the type and take it by value, to read JSON"
)]
pub trait Input<'a>: Deserialize<'a> {}

impl<'a, T: Deserialize<'a>> Input<'a> for T {}

/// Stands for the type of a task's parameter.
pub struct Argument<T>(PhantomData<T>);

impl<T> Argument<T> {
    /// The place where a `T` is wanted.
    #[expect(clippy::new_without_default, reason = "only the attribute makes one")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'a> Argument<&'a [u8]> {
    /// The input as it is.
    pub fn decode(self, input: &'a mut [u8]) -> Result<&'a [u8], Error> {
        Ok(input)
    }
}

impl Argument<Vec<u8>> {
    /// The input as it is, without a copy.
    pub fn decode(self, input: &mut Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(std::mem::take(input))
    }
}

impl<'a> Argument<&'a str> {
    /// The input as it is, if it is UTF-8.
    pub fn decode(self, input: &'a mut [u8]) -> Result<&'a str, Error> {
        std::str::from_utf8(input).map_err(|error| not_text("&str", error))
    }
}

impl Argument<String> {
    /// The input as it is, if it is UTF-8; without a copy.
    pub fn decode(self, input: &mut Vec<u8>) -> Result<String, Error> {
        String::from_utf8(std::mem::take(input))
            .map_err(|error| not_text("String", error.utf8_error()))
    }
}

impl Argument<()> {
    /// Nothing: an input that is there was not meant for this task.
    pub fn decode(self, input: &mut [u8]) -> Result<(), Error> {
        if input.is_empty() {
            return Ok(());
        }
        Err(Error::rejected(format_args!(
            "input does not fit (): it has {} bytes, and this task takes none",
            input.len()
        )))
    }
}

/// The types without a `decode` of their own: JSON.
pub trait Typed<T> {
    /// The one JSON value of the input.
    fn decode<'a>(self, input: &'a mut Vec<u8>) -> Result<T, Error>
    where
        T: Input<'a>;
}

impl<T> Typed<T> for Argument<T> {
    fn decode<'a>(self, input: &'a mut Vec<u8>) -> Result<T, Error>
    where
        T: Input<'a>,
    {
        // serde's own message names line and column.
        serde_json::from_slice(input).map_err(|error| {
            Error::rejected(format_args!("input does not fit {}: {error}", type_name::plain::<T>()))
        })
    }
}

fn not_text(wanted: &str, error: std::str::Utf8Error) -> Error {
    Error::rejected(format_args!(
        "input does not fit {wanted}: it is not UTF-8 from byte {} on",
        error.valid_up_to()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point<'a> {
        name: &'a str,
        x: f64,
    }

    #[test]
    fn text_and_bytes_come_as_they_are() {
        assert_eq!(Argument::<&str>::new().decode(&mut bytes("\"a\" ")).unwrap(), "\"a\" ");
        assert_eq!(Argument::<String>::new().decode(&mut bytes("7")).unwrap(), "7");
        assert_eq!(Argument::<&[u8]>::new().decode(&mut [255, 0]).unwrap(), [255, 0]);
        assert_eq!(Argument::<Vec<u8>>::new().decode(&mut vec![255]).unwrap(), [255]);
    }

    #[test]
    fn an_alias_is_the_type_it_stands_for() {
        type Line = String;
        assert_eq!(Argument::<Line>::new().decode(&mut bytes("plain")).unwrap(), "plain");
    }

    #[test]
    fn other_types_are_json_and_may_borrow() {
        let mut input = bytes(r#" {"name": "p", "x": 1} "#);
        let point = Argument::<Point<'_>>::new().decode(&mut input).unwrap();
        assert_eq!(point, Point { name: "p", x: 1.0 });
    }

    #[test]
    fn a_misfit_names_the_type_the_line_and_the_column() {
        let error = Argument::<Point<'_>>::new().decode(&mut bytes("{\n\"y\": 1}")).unwrap_err();
        assert_eq!(
            error,
            Error::rejected("input does not fit Point: missing field `name` at line 2 column 7")
        );
        let error = Argument::<u64>::new().decode(&mut bytes("\"a\"")).unwrap_err();
        assert_eq!(
            error.message(),
            "input does not fit u64: invalid type: string \"a\", expected u64 at line 1 column 3"
        );
    }

    #[test]
    fn what_is_not_text_says_where() {
        let error = Argument::<String>::new().decode(&mut vec![b'a', 0xff]).unwrap_err();
        assert_eq!(error.message(), "input does not fit String: it is not UTF-8 from byte 1 on");
    }

    #[test]
    fn no_input_is_no_input() {
        Argument::<()>::new().decode(&mut Vec::new()).unwrap();
        let error = Argument::<()>::new().decode(&mut bytes("12")).unwrap_err();
        assert!(error.message().contains("2 bytes"), "{error}");
    }
}
