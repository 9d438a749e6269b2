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

    /// Its fields that the first release did not know.
    ///
    /// # Errors
    /// As the encoder says.
    fn extensions(&self) -> postcard::Result<Extensions> {
        Ok(Extensions::NONE)
    }

    /// Takes in those of its extensions that this release knows; the others are not critical.
    ///
    /// # Errors
    /// As the decoder says.
    fn extend(&mut self, _extensions: &Extensions) -> postcard::Result<()> {
        Ok(())
    }
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

/// Appends `value` to `out`.
///
/// # Errors
/// As the encoder says.
pub fn append<T: Durable>(value: &T, out: Vec<u8>) -> postcard::Result<Vec<u8>> {
    postcard::to_extend(&value.extensions()?, postcard::to_extend(value, out)?)
}

/// The bytes of `value`.
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
    let (mut value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(malformed)?;
    let (extensions, rest) = postcard::take_from_bytes::<Extensions>(rest).map_err(malformed)?;
    // No known extension is critical.
    extensions.check(T::WHAT, &[])?;
    value.extend(&extensions).map_err(malformed)?;
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

/// The number of [`Record::InputsAppended`]'s `bytes` and of [`Record::Committed`]'s `cost` among their
/// extensions.
const COST: u16 = 1;

impl Durable for Record {
    const WHAT: &'static str = "a record";
    const VARIANTS: u32 = 25;

    fn check(&self) -> Result<(), UnknownExtension> {
        match self {
            Self::JobSubmitted { spec, .. } => spec.check_extensions(),
            _ => Ok(()),
        }
    }

    fn extensions(&self) -> postcard::Result<Extensions> {
        match self {
            Self::InputsAppended { bytes, .. } if *bytes > 0 => Extensions::one(COST, bytes),
            Self::Committed { cost, .. } if !cost.is_zero() => Extensions::one(COST, cost),
            _ => Ok(Extensions::NONE),
        }
    }

    fn extend(&mut self, extensions: &Extensions) -> postcard::Result<()> {
        match self {
            Self::InputsAppended { bytes, .. } => {
                *bytes = extensions.read(COST)?.unwrap_or_default();
            }
            Self::Committed { cost, .. } => *cost = extensions.read(COST)?.unwrap_or_default(),
            _ => {}
        }
        Ok(())
    }
}

impl Durable for SnapshotItem {
    const WHAT: &'static str = "an item of a snapshot";
    const VARIANTS: u32 = 19;

    fn check(&self) -> Result<(), UnknownExtension> {
        match self {
            Self::Job(item) => item.spec.check_extensions(),
            _ => Ok(()),
        }
    }
}
