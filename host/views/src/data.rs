//! Bytes in JSON: a string if they are UTF-8, else `{"base64":"…"}`. Nothing is lost.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// Bytes: a string in JSON if they are UTF-8, else an object with `base64`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Data<'a> {
    /// They are UTF-8.
    Text(Cow<'a, str>),
    /// They are not.
    Binary {
        /// The bytes, as RFC 4648 has it, with padding.
        base64: String,
    },
}

impl<'a> From<&'a [u8]> for Data<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.into()),
            Err(_) => Self::Binary { base64: STANDARD.encode(bytes) },
        }
    }
}

impl<'a> From<&'a Path> for Data<'a> {
    fn from(path: &'a Path) -> Self {
        Self::from(path.as_os_str().as_bytes())
    }
}

impl Data<'_> {
    /// The bytes again.
    ///
    /// # Errors
    /// If it is not valid base64.
    pub fn into_bytes(self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.into_owned().into_bytes()),
            Self::Binary { base64 } => STANDARD.decode(base64),
        }
    }

    /// The path that the bytes are.
    ///
    /// # Errors
    /// As [`into_bytes`](Self::into_bytes).
    pub fn into_path(self) -> Result<PathBuf, base64::DecodeError> {
        Ok(OsString::from_vec(self.into_bytes()?).into())
    }

    /// A copy of bytes.
    #[must_use]
    pub fn owned(bytes: &OsStr) -> Data<'static> {
        match str::from_utf8(bytes.as_bytes()) {
            Ok(text) => Data::Text(text.to_owned().into()),
            Err(_) => Data::Binary { base64: STANDARD.encode(bytes.as_bytes()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_kind_come_back_the_same() {
        for (bytes, json) in [
            (&b"a\n\"\x01"[..], r#""a\n\"\u0001""#),
            (b"\xff\x00", r#"{"base64":"/wA="}"#),
            (b"", r#""""#),
        ] {
            let written = serde_json::to_string(&Data::from(bytes)).expect("JSON");
            assert_eq!(written, json);
            let read: Data<'_> = serde_json::from_str(&written).expect("JSON");
            assert_eq!(read.into_bytes().expect("base64"), bytes);
        }
        assert!(Data::Binary { base64: "?".into() }.into_bytes().is_err());
    }
}
