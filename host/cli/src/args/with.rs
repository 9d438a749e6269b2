//! `--with`: the value that all tasks of a job have beside their inputs.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

use serde::de::IgnoredAny;

/// What `--with` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    /// JSON, as it was typed.
    Json(String),
    /// A file, whose bytes are the value.
    File(PathBuf),
}

impl With {
    /// As it is typed.
    pub fn typed(&self) -> OsString {
        match self {
            Self::Json(text) => text.into(),
            Self::File(path) => [OsStr::new("@"), path.as_os_str()].into_iter().collect(),
        }
    }

    /// What was typed.
    ///
    /// # Errors
    /// What is wrong with it, and what would do.
    pub fn parse(typed: &OsStr) -> Result<Self, String> {
        if let Some(path) = typed.as_bytes().strip_prefix(b"@") {
            if path.is_empty() {
                return Err("@ must be followed by the name of a file".into());
            }
            return Ok(Self::File(OsStr::from_bytes(path).into()));
        }
        let text = typed.to_str().ok_or("not valid UTF-8; put it into a file: @FILE")?;
        check_json(text.as_bytes()).map_err(|wrong| {
            format!("not valid JSON: {wrong}; put text in double quotes, or name a file with @FILE")
        })?;
        Ok(Self::Json(text.into()))
    }
}

/// Says what is wrong with bytes that should be one JSON value.
///
/// # Errors
/// That.
pub fn check_json(bytes: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<IgnoredAny>(bytes).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &str) -> Result<With, String> {
        With::parse(OsStr::new(typed))
    }

    #[test]
    fn what_was_typed_is_json_or_a_file() {
        for typed in ["7", "\"text\"", r#"{"rate": [1, 2]}"#, "@model.bin", "@a b"] {
            assert_eq!(parse(typed).expect(typed).typed(), typed);
        }
        assert_eq!(parse("@model.bin"), Ok(With::File("model.bin".into())));
        let odd = OsStr::from_bytes(b"@\xff");
        assert_eq!(With::parse(odd).expect("a file").typed(), odd);
    }

    #[test]
    fn what_is_neither_says_why_and_what_would_do() {
        for (typed, says) in [
            ("text", "double quotes"),
            ("{rate: 1}", "line 1 column 2"),
            ("1 2", "trailing"),
            ("", "not valid JSON"),
            ("@", "the name of a file"),
        ] {
            let wrong = parse(typed).expect_err(typed);
            assert!(wrong.contains(says), "{typed}: {wrong}");
        }
    }
}
