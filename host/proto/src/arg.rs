//! An argument of a command: bytes, as the operating systems of people who submit have them.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One argument. Mostly it is text, and need not be: a preview 1 command gets any bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arg(Vec<u8>);

impl Arg {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that it is; `None` where it is none.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Display for Arg {
    /// As far as it is text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

impl fmt::Debug for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

impl Serialize for Arg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl de::Visitor<'_> for Bytes {
            type Value = Arg;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of an argument")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Arg, E> {
                Ok(Arg(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn an_argument_is_any_bytes_and_has_the_bytes_of_a_text_on_the_wire() {
        for bytes in [&b"-v"[..], b"", b"\xff\x00a"] {
            let arg = Arg::from(bytes.to_vec());
            let encoded = postcard::to_allocvec(&arg).expect("encodes");
            assert_eq!(postcard::from_bytes::<Arg>(&encoded).as_ref(), Ok(&arg));
        }
        let text = postcard::to_allocvec("-v").expect("encodes");
        assert_eq!(postcard::to_allocvec(&Arg::from("-v")), Ok(text));
    }

    #[test]
    fn what_is_no_text_is_told_from_text_and_still_shown() {
        assert_eq!(Arg::from("ü").as_text(), Some("ü"));
        let other = Arg::from(b"a\xff".to_vec());
        assert_eq!((other.as_text(), other.to_string().as_str()), (None, "a\u{fffd}"));
    }
}
