//! How records and the items of snapshots stand in a store: the number of the variant, its fields,
//! and its extensions.

use alloc::vec::Vec;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Extensions, Record, SnapshotItem, UnknownExtension};

/// What stands in a store for longer than the release that wrote it runs.
pub trait Durable: Serialize + DeserializeOwned {
    /// What it is, for people.
    const WHAT: &'static str;

    /// How many variants this release knows.
    const VARIANTS: u32;

    /// Refuses critical extensions inside it that this release does not know.
    ///
    /// # Errors
    /// [`UnknownExtension`], which names the first of them.
    fn check(&self) -> Result<(), UnknownExtension>;
}

/// Why something durable cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is of a variant that a later release writes.
    #[error("{what} of kind {number} is not known to this release")]
    Unknown {
        /// What it is.
        what: &'static str,
        /// The variant's number.
        number: u32,
    },
    /// It has an extension that must not be ignored.
    #[error(transparent)]
    Extension(#[from] UnknownExtension),
    /// Its bytes are not what was written.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// What it is.
        what: &'static str,
        /// What the decoder says.
        reason: postcard::Error,
    },
}

/// Appends `value`, without extensions, to `out`.
///
/// # Errors
/// As the encoder says.
pub fn append<T: Durable>(value: &T, out: Vec<u8>) -> postcard::Result<Vec<u8>> {
    postcard::to_extend(&Extensions::NONE, postcard::to_extend(value, out)?)
}

/// The bytes of `value`, without extensions.
///
/// # Errors
/// As the encoder says.
pub fn encode<T: Durable>(value: &T) -> postcard::Result<Vec<u8>> {
    append(value, Vec::new())
}

/// Reads the first value of `bytes`; gives what is left too. Extensions that are not critical are
/// ignored.
///
/// # Errors
/// [`ReadError`].
pub fn take<T: Durable>(bytes: &[u8]) -> Result<(T, &[u8]), ReadError> {
    let malformed = |reason| ReadError::Malformed { what: T::WHAT, reason };
    let (number, _) = postcard::take_from_bytes::<u32>(bytes).map_err(malformed)?;
    if number >= T::VARIANTS {
        return Err(ReadError::Unknown { what: T::WHAT, number });
    }
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(malformed)?;
    let (extensions, rest) = postcard::take_from_bytes::<Extensions>(rest).map_err(malformed)?;
    extensions.check(T::WHAT, &[])?;
    value.check()?;
    Ok((value, rest))
}

/// Reads a value that takes all of `bytes`.
///
/// # Errors
/// [`ReadError`].
pub fn decode<T: Durable>(bytes: &[u8]) -> Result<T, ReadError> {
    match take(bytes)? {
        (value, []) => Ok(value),
        _ => {
            let reason = postcard::Error::SerdeDeCustom;
            Err(ReadError::Malformed { what: T::WHAT, reason })
        }
    }
}

impl Durable for Record {
    const WHAT: &'static str = "a record";
    const VARIANTS: u32 = 24;

    fn check(&self) -> Result<(), UnknownExtension> {
        match self {
            Self::JobSubmitted { spec, .. } => spec.check_extensions(),
            _ => Ok(()),
        }
    }
}

impl Durable for SnapshotItem {
    const WHAT: &'static str = "an item of a snapshot";
    const VARIANTS: u32 = 15;

    fn check(&self) -> Result<(), UnknownExtension> {
        match self {
            Self::Job(item) => item.spec.check_extensions(),
            _ => Ok(()),
        }
    }
}
