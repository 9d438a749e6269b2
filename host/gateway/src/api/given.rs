//! First inputs of a job as its spec has them. They are packed as they are read: a list of them would
//! take many times the bytes of its JSON.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};
use wasmgrid_views::Data;

/// Elements of another list of a spec at most.
const FEW: usize = 65_536;

/// Inputs, one behind the other.
#[derive(Debug, Default)]
pub struct Given {
    /// The length of each.
    pub lengths: Vec<u32>,
    /// Their bytes.
    pub payload: Vec<u8>,
}

impl Given {
    /// True if there are none.
    pub const fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// About how many bytes they take.
    pub const fn bytes(&self) -> usize {
        self.payload.capacity() + self.lengths.capacity() * size_of::<u32>()
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Packs)
    }
}

struct Packs;

impl<'de> Visitor<'de> for Packs {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of inputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
        let mut given = Given::default();
        while let Some(input) = list.next_element::<Data<'static>>()? {
            let wrong = |error| de::Error::custom(format_args!("base64: {error}"));
            let input = input.into_bytes().map_err(wrong)?;
            given.lengths.push(u32::try_from(input.len()).map_err(de::Error::custom)?);
            given.payload.extend_from_slice(&input);
        }
        Ok(given)
    }
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rest = self.payload.as_slice();
        serializer.collect_seq(self.lengths.iter().map(|length| {
            let (input, others) = rest.split_at_checked(*length as usize).unwrap_or_default();
            rest = others;
            Data::from(input)
        }))
    }
}

/// A list that has not very many elements.
///
/// # Errors
/// If it has.
pub fn few<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {FEW} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut few = Vec::new();
            while let Some(one) = list.next_element()? {
                if few.len() >= FEW {
                    return Err(de::Error::invalid_length(FEW + 1, &self));
                }
                few.push(one);
            }
            Ok(few)
        }
    }

    deserializer.deserialize_seq(Few(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_take_about_what_their_json_takes() {
        let json = format!("[{}\"\"]", "\"\",".repeat(1_000_000));
        let given: Given = serde_json::from_str(&json).expect("inputs");
        assert_eq!(given.lengths.len(), 1_000_001);
        assert!(given.bytes() < 2 * json.len(), "{}", given.bytes());
        let json = r#"["a",{"base64":"/w=="},""]"#;
        let given: Given = serde_json::from_str(json).expect("inputs");
        assert_eq!(
            (given.lengths.as_slice(), given.payload.as_slice()),
            (&[1, 1, 0][..], &b"a\xff"[..])
        );
        assert_eq!(serde_json::to_string(&given).expect("JSON"), json);
        assert!(serde_json::from_str::<Given>(r#"[{"base64":"?"}]"#).is_err());
    }

    #[test]
    fn other_lists_of_a_spec_are_short() {
        let read = |count: usize| {
            let json = format!("[{}0]", "0,".repeat(count - 1));
            few::<u32, _>(&mut serde_json::Deserializer::from_str(&json)).is_ok()
        };
        assert!(read(FEW) && !read(FEW + 1));
    }
}
