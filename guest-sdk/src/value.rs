//! The value that a task takes beside its input, the same for all tasks: from its bytes to what the
//! function takes, and where it comes from without a grid.
//!
//! The rule is that of inputs: `Given<T>` has its own `decode` for the types that are taken raw, and
//! every other type falls to the trait [`TypedGiven`]. It is for what a reference points to.

use std::marker::PhantomData;

use crate::{Error, Input, type_name};

/// Stands for what a task's second parameter points to.
pub struct Given<T: ?Sized>(PhantomData<T>);

impl<T: ?Sized> Given<T> {
    /// The place where a `T` is wanted.
    #[expect(clippy::new_without_default, reason = "only the attribute makes one")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl Given<[u8]> {
    /// The value as it is.
    pub fn decode(self, value: &[u8]) -> Result<&[u8], Error> {
        Ok(value)
    }
}

impl Given<Vec<u8>> {
    /// The value as it is.
    pub fn decode(self, value: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(value.to_vec())
    }
}

impl Given<str> {
    /// The value as it is, if it is UTF-8.
    pub fn decode(self, value: &[u8]) -> Result<&str, Error> {
        std::str::from_utf8(value).map_err(|error| not_text("str", error))
    }
}

impl Given<String> {
    /// The value as it is, if it is UTF-8.
    pub fn decode(self, value: &[u8]) -> Result<String, Error> {
        Given::<str>::new().decode(value).map(str::to_owned)
    }
}

/// The types without a `decode` of their own: JSON.
pub trait TypedGiven<T> {
    /// The one JSON value of the bytes.
    fn decode<'a>(self, value: &'a [u8]) -> Result<T, Error>
    where
        T: Input<'a>;
}

impl<T> TypedGiven<T> for Given<T> {
    fn decode<'a>(self, value: &'a [u8]) -> Result<T, Error>
    where
        T: Input<'a>,
    {
        serde_json::from_slice(value).map_err(|error| {
            let wanted = type_name::plain::<T>();
            Error::rejected(format_args!("the value of --with does not fit {wanted}: {error}"))
        })
    }
}

fn not_text(wanted: &str, error: std::str::Utf8Error) -> Error {
    Error::rejected(format_args!(
        "the value of --with does not fit {wanted}: it is not UTF-8 from byte {} on",
        error.valid_up_to()
    ))
}

/// The value that this program was started with.
pub(crate) fn given() -> Result<Vec<u8>, String> {
    started_with::given()
}

/// A component of such a task runs nowhere but on a grid, which calls it otherwise; what reads files
/// would only make it larger.
#[cfg(target_arch = "wasm32")]
mod started_with {
    pub(super) fn given() -> Result<Vec<u8>, String> {
        Err("this task takes a value that only a grid can give it".to_owned())
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod started_with {
    use std::env;
    use std::ffi::{OsStr, OsString};
    use std::fs;
    use std::path::Path;

    use serde::de::IgnoredAny;

    pub(super) fn given() -> Result<Vec<u8>, String> {
        of_arguments(env::args_os().skip(1))
    }

    /// What `--with JSON` or `--with @FILE` among these names, as `wasmgrid run` has it.
    pub(super) fn of_arguments(
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Result<Vec<u8>, String> {
        const FLAG: &str = "--with";
        while let Some(argument) = arguments.next() {
            if argument == FLAG {
                let value = arguments.next().ok_or("--with names no value")?;
                return read(&value);
            }
            let text = argument.to_str();
            let value = text.and_then(|text| text.strip_prefix(FLAG)?.strip_prefix('='));
            if let Some(value) = value {
                return read(OsStr::new(value));
            }
        }
        Err("this task takes a value beside its lines, one for all of them; give it with \
             `--with JSON` or `--with @FILE`"
            .to_owned())
    }

    fn read(value: &OsStr) -> Result<Vec<u8>, String> {
        let Some(text) = value.to_str() else {
            return Err(
                "the value of --with is no UTF-8; put it into a file: --with @FILE".to_owned()
            );
        };
        if let Some(file) = text.strip_prefix('@') {
            let path = Path::new(file);
            return fs::read(path).map_err(|error| format!("--with @{}: {error}", path.display()));
        }
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| format!("the value of --with is no JSON: {error}"))?;
        Ok(text.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use serde::Deserialize;

    use super::started_with::of_arguments;
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Model<'a> {
        name: &'a str,
        rate: f64,
    }

    #[test]
    fn text_and_bytes_come_as_they_are() {
        assert_eq!(Given::<str>::new().decode(b"\"a\"").unwrap(), "\"a\"");
        assert_eq!(Given::<String>::new().decode(b"7").unwrap(), "7");
        assert_eq!(Given::<[u8]>::new().decode(&[255, 0]).unwrap(), [255, 0]);
        assert_eq!(Given::<Vec<u8>>::new().decode(&[255]).unwrap(), [255]);
    }

    #[test]
    fn other_types_are_json_and_may_borrow() {
        let given = br#"{"name": "m", "rate": 1}"#;
        let model = Given::<Model<'_>>::new().decode(given).unwrap();
        assert_eq!(model, Model { name: "m", rate: 1.0 });
    }

    #[test]
    fn a_misfit_says_that_it_is_the_value_and_where() {
        let error = Given::<Model<'_>>::new().decode(b"{}").unwrap_err();
        let text =
            "the value of --with does not fit Model: missing field `name` at line 1 column 2";
        assert_eq!(error, Error::rejected(text));
        let error = Given::<str>::new().decode(&[b'a', 0xff]).unwrap_err();
        assert!(error.message().contains("not UTF-8 from byte 1"), "{error}");
    }

    #[test]
    fn the_value_is_one_json_value_or_a_file() {
        let of = |words: &[&str]| of_arguments(words.iter().map(OsString::from));
        assert_eq!(of(&["-v", "--with", "[1, 2]"]).unwrap(), b"[1, 2]");
        assert_eq!(of(&["--with={}"]).unwrap(), b"{}");
        for (words, wrong) in [
            (&["--with", "{a: 1}"][..], "no JSON"),
            (&["--with"], "no value"),
            (&["--with", "@/nowhere/at/all"], "@/nowhere/at/all"),
            (&[], "takes a value"),
        ] {
            let said = of(words).unwrap_err();
            assert!(said.contains(wrong), "{words:?}: {said}");
        }
    }
}
