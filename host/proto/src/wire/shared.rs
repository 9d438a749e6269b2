//! Values that many messages have alike: one in memory, on the wire as if each had its own.

use alloc::{sync::Arc, vec::Vec};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bounded;

/// Writes the value itself.
///
/// # Errors
/// As the encoder says.
pub fn serialize<T: Serialize, S: Serializer>(
    value: &Arc<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

/// Reads a value of its own.
///
/// # Errors
/// As the decoder says.
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Arc<T>, D::Error> {
    T::deserialize(deserializer).map(Arc::new)
}

/// The same of a list of at most [`LIST_MAX`](super::LIST_MAX) elements.
pub mod list {
    use super::{Arc, Deserialize, Deserializer, Serialize, Serializer, Vec, bounded};

    /// Writes the elements themselves.
    ///
    /// # Errors
    /// As the encoder says.
    pub fn serialize<T: Serialize, S: Serializer>(
        list: &[Arc<T>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(AsRef::as_ref))
    }

    /// Reads elements of its own.
    ///
    /// # Errors
    /// As the decoder says, and if the list is longer.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        let list: Vec<T> = bounded(deserializer)?;
        Ok(list.into_iter().map(Arc::new).collect())
    }
}
