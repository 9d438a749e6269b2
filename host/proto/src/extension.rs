//! Extensions: what a later minor version adds to a struct that is there. The rule on growth is on
//! the crate's first page.

use alloc::vec::Vec;
use core::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, SeqAccess, Visitor},
};

use crate::{Reason, wire::bounded};

/// Extensions of one struct at most.
pub const EXTENSIONS_MAX: usize = 16;

/// Bytes of all extensions of one struct together, at most.
pub const EXTENSIONS_BYTES_MAX: usize = 4 << 10;

/// One field that a struct has beside those that every release knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Which field, among those of this struct. A number is never given twice.
    pub id: u16,
    /// True if a reader that does not know the field must refuse the struct, false if it can go on
    /// without the field.
    pub critical: bool,
    /// The field's value.
    #[serde(deserialize_with = "bounded")]
    pub bytes: Vec<u8>,
}

/// The extensions of one struct: by number, each once. None take one byte and no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extensions(Vec<Extension>);

/// A struct has an extension that this release does not know and must not ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} has the extension {id}, which this release does not know and must not ignore; run a \
     release that knows it"
)]
pub struct UnknownExtension {
    /// What has it.
    pub what: &'static str,
    /// Its number.
    pub id: u16,
}

impl From<UnknownExtension> for Reason {
    fn from(UnknownExtension { what, id }: UnknownExtension) -> Self {
        Self::UnknownExtension { what: what.into(), id }
    }
}

/// Extensions that cannot stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionsError {
    /// There are more than [`EXTENSIONS_MAX`].
    #[error("more than {EXTENSIONS_MAX} extensions")]
    Count,
    /// They have more than [`EXTENSIONS_BYTES_MAX`] bytes.
    #[error("extensions of more than {EXTENSIONS_BYTES_MAX} bytes")]
    Bytes,
    /// They are not ordered by number, or two have the same.
    #[error("extensions out of order")]
    Order,
}

impl Extensions {
    /// No extension.
    pub const NONE: Self = Self(Vec::new());

    /// These, in the order of their numbers.
    ///
    /// # Errors
    /// [`ExtensionsError`] if they are too many, too large or out of order.
    pub fn new(list: Vec<Extension>) -> Result<Self, ExtensionsError> {
        let mut seen = Seen::default();
        list.iter().try_for_each(|extension| seen.next(extension))?;
        Ok(Self(list))
    }

    /// One field that a reader may ignore.
    ///
    /// # Errors
    /// As the encoder says.
    pub(crate) fn one(id: u16, value: &impl Serialize) -> postcard::Result<Self> {
        let bytes = postcard::to_allocvec(value)?;
        Ok(Self(Vec::from([Extension { id, critical: false, bytes }])))
    }

    /// Sets a field that a reader may ignore, as far as there is room for it; whoever set it before does
    /// not count.
    pub(crate) fn set(&mut self, id: u16, value: &impl Serialize) -> postcard::Result<()> {
        let bytes = postcard::to_allocvec(value)?;
        self.0.retain(|extension| extension.id != id);
        let taken: usize = self.0.iter().map(|extension| extension.bytes.len()).sum();
        if self.0.len() < EXTENSIONS_MAX && taken + bytes.len() <= EXTENSIONS_BYTES_MAX {
            let at = self.0.partition_point(|extension| extension.id < id);
            self.0.insert(at, Extension { id, critical: false, bytes });
        }
        Ok(())
    }
    /// One field that a reader must know.
    ///
    /// # Errors
    /// As the encoder says.
    pub(crate) fn critical(id: u16, value: &impl Serialize) -> postcard::Result<Self> {
        let bytes = postcard::to_allocvec(value)?;
        Ok(Self(Vec::from([Extension { id, critical: true, bytes }])))
    }

    /// The value of a field; `None` if it is not there.
    ///
    /// # Errors
    /// As the decoder says.
    pub(crate) fn read<T: DeserializeOwned>(&self, id: u16) -> postcard::Result<Option<T>> {
        let found = self.0.iter().find(|extension| extension.id == id);
        found.map(|extension| postcard::from_bytes(&extension.bytes)).transpose()
    }

    /// Sets a field, at its place.
    pub(crate) fn put(&mut self, id: u16, critical: bool, bytes: Vec<u8>) {
        self.0.retain(|extension| extension.id != id);
        let at = self.0.partition_point(|extension| extension.id < id);
        self.0.insert(at, Extension { id, critical, bytes });
    }

    /// True if there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Extension> {
        self.0.iter()
    }

    /// How many bytes they take, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|extension| extension.bytes.len() + 40).sum()
    }

    /// Refuses critical extensions that are not among the `known` ones of `what`.
    ///
    /// # Errors
    /// [`UnknownExtension`], which names the first of them.
    pub fn check(&self, what: &'static str, known: &[u16]) -> Result<(), UnknownExtension> {
        let unknown =
            self.0.iter().find(|extension| extension.critical && !known.contains(&extension.id));
        unknown.map_or(Ok(()), |extension| Err(UnknownExtension { what, id: extension.id }))
    }
}

/// What was read of a list so far.
#[derive(Default)]
struct Seen {
    count: usize,
    bytes: usize,
    last: Option<u16>,
}

impl Seen {
    fn next(&mut self, extension: &Extension) -> Result<(), ExtensionsError> {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(extension.bytes.len());
        if self.last.is_some_and(|last| last >= extension.id) {
            return Err(ExtensionsError::Order);
        }
        self.last = Some(extension.id);
        match () {
            () if self.count > EXTENSIONS_MAX => Err(ExtensionsError::Count),
            () if self.bytes > EXTENSIONS_BYTES_MAX => Err(ExtensionsError::Bytes),
            () => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Extensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Extensions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {EXTENSIONS_MAX} extensions by number")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Extensions, A::Error> {
                let (mut list, mut seen) = (Vec::new(), Seen::default());
                while let Some(extension) = seq.next_element()? {
                    seen.next(&extension).map_err(A::Error::custom)?;
                    list.push(extension);
                }
                Ok(Extensions(list))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn extension(id: u16, critical: bool, length: usize) -> Extension {
        Extension { id, critical, bytes: vec![7; length] }
    }

    #[test]
    fn extensions_are_read_as_they_are_written() {
        let some = Extensions::new(vec![extension(1, true, 3), extension(300, false, 0)]);
        for extensions in [Extensions::NONE, some.expect("in order")] {
            let bytes = postcard::to_allocvec(&extensions).expect("encodes");
            assert_eq!(postcard::from_bytes::<Extensions>(&bytes), Ok(extensions));
        }
        assert_eq!(postcard::to_allocvec(&Extensions::NONE).expect("encodes"), [0]);
    }

    #[test]
    fn lists_beyond_their_bounds_are_refused() {
        let many = |count: u16| (0..count).map(|id| extension(id, false, 0)).collect::<Vec<_>>();
        let most = EXTENSIONS_MAX as u16;
        for (list, expected) in [
            (many(most), Ok(())),
            (many(most + 1), Err(ExtensionsError::Count)),
            (vec![extension(1, false, EXTENSIONS_BYTES_MAX)], Ok(())),
            (vec![extension(1, false, EXTENSIONS_BYTES_MAX + 1)], Err(ExtensionsError::Bytes)),
            (vec![extension(1, false, 0), extension(1, false, 0)], Err(ExtensionsError::Order)),
            (vec![extension(2, false, 0), extension(1, false, 0)], Err(ExtensionsError::Order)),
        ] {
            let bytes = postcard::to_allocvec(&list).expect("encodes");
            let read = postcard::from_bytes::<Extensions>(&bytes);
            assert_eq!(read.is_ok(), expected.is_ok(), "{list:?}");
            assert_eq!(Extensions::new(list).map(|_| ()), expected);
        }
    }

    #[test]
    fn a_field_that_is_set_stands_in_its_place_and_keeps_the_bounds() {
        let mut some = Extensions::new(vec![extension(1, true, 3), extension(300, false, 0)])
            .expect("in order");
        some.set(7, &5_u64).expect("encodes");
        some.set(1, &6_u64).expect("encodes");
        assert_eq!(some.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 7, 300]);
        assert_eq!((some.read::<u64>(1), some.read::<u64>(7)), (Ok(Some(6)), Ok(Some(5))));
        let full: Vec<_> = (2..).map(|id| extension(id, false, 0)).take(EXTENSIONS_MAX).collect();
        let mut full = Extensions::new(full).expect("as many as may be");
        full.set(1, &5_u64).expect("encodes");
        assert_eq!((full.iter().count(), full.read::<u64>(1)), (EXTENSIONS_MAX, Ok(None)));
    }

    #[test]
    fn an_unknown_critical_extension_is_refused_by_number() {
        let extensions = Extensions::new(vec![extension(3, false, 1), extension(9, true, 1)]);
        let extensions = extensions.expect("in order");
        assert_eq!(extensions.check("a spec", &[9]), Ok(()));
        let refused = extensions.check("a spec", &[3]).expect_err("unknown and critical");
        assert_eq!(refused, UnknownExtension { what: "a spec", id: 9 });
    }
}
