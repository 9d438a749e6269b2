//! Numbers that may exceed 2^53: most programs read JSON numbers as floating-point numbers, which are
//! not exact beyond that.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

/// A number of 64 bits: in JSON a string with its decimal digits. It is also read from a JSON number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String, example = "100000000000"))]
pub struct Wide(pub u64);

impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Digits)
    }
}

struct Digits;

impl Visitor<'_> for Digits {
    type Value = Wide;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of 64 bits, or a string with one")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Wide, E> {
        Ok(Wide(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Wide, E> {
        text.parse()
            .map(Wide)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_number_is_written_as_text_and_read_from_both() {
        assert_eq!(
            serde_json::to_string(&Wide(u64::MAX)).expect("JSON"),
            r#""18446744073709551615""#
        );
        for text in ["7", r#""7""#] {
            assert_eq!(serde_json::from_str::<Wide>(text).expect(text), Wide(7));
        }
        for text in ["-1", "1.5", r#""""#, r#""x""#, r#""18446744073709551616""#, "null"] {
            assert!(serde_json::from_str::<Wide>(text).is_err(), "{text}");
        }
    }
}
