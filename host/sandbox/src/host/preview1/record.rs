//! The records of preview 1, as they lie in a program's memory.

use rustix::fs::Stat;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::DescriptorType;

use crate::host::open::{hash, status};

/// Bytes of a record, to be filled in.
pub(super) struct Record<const SIZE: usize>([u8; SIZE]);

impl<const SIZE: usize> Record<SIZE> {
    pub(super) const fn new() -> Self {
        Self([0; SIZE])
    }

    /// Puts a field where it belongs.
    pub(super) fn with(mut self, at: usize, field: &[u8]) -> Self {
        let end = at.saturating_add(field.len());
        if let Some(place) = self.0.get_mut(at..end) {
            place.copy_from_slice(field);
        }
        self
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What preview 1 calls the types of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileType(u8);

impl FileType {
    pub(super) const UNKNOWN: Self = Self(0);
    pub(super) const DIRECTORY: Self = Self(3);

    pub(super) const fn byte(self) -> u8 {
        self.0
    }
}

impl From<DescriptorType> for FileType {
    fn from(kind: DescriptorType) -> Self {
        Self(match kind {
            DescriptorType::BlockDevice => 1,
            DescriptorType::CharacterDevice => 2,
            DescriptorType::Directory => 3,
            DescriptorType::RegularFile => 4,
            DescriptorType::Socket => 6,
            DescriptorType::SymbolicLink => 7,
            // Preview 1 has no word for a pipe.
            DescriptorType::Fifo | DescriptorType::Unknown => 0,
        })
    }
}

/// The `filestat` of an input or output.
pub(super) const fn stream_status() -> Record<64> {
    Record::new()
}

/// The `filestat` of a file or directory.
pub(super) fn file_status(stat: &Stat) -> Record<64> {
    let found = status(stat);
    let modified_ns = found.data_modification_timestamp.map_or(0, |time| {
        time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanoseconds.into())
    });
    Record::new()
        // One device, whatever the host has.
        .with(0, &1_u64.to_le_bytes())
        .with(8, &inode(stat).to_le_bytes())
        .with(16, &[FileType::from(found.type_).byte()])
        .with(24, &found.link_count.to_le_bytes())
        .with(32, &found.size.to_le_bytes())
        .with(48, &modified_ns.to_le_bytes())
}

/// What tells files apart, and says nothing of the host.
pub(super) fn inode(stat: &Stat) -> u64 {
    hash(stat).lower
}

/// The flags of a descriptor.
pub(super) mod flags {
    pub(in super::super) const APPEND: u32 = 1;
    pub(in super::super) const DSYNC: u32 = 1 << 1;
    pub(in super::super) const NONBLOCK: u32 = 1 << 2;
    pub(in super::super) const RSYNC: u32 = 1 << 3;
    pub(in super::super) const SYNC: u32 = 1 << 4;
    /// All there are.
    pub(in super::super) const ALL: u32 = (1 << 5) - 1;
}

/// What may be done with a descriptor.
pub(super) mod rights {
    pub(in super::super) const READ: u64 = 1 << 1;
    pub(in super::super) const SEEK: u64 = 1 << 2;
    pub(in super::super) const WRITE: u64 = 1 << 6;
    pub(in super::super) const PATH_SET_SIZE: u64 = 1 << 19;
    pub(in super::super) const SET_SIZE: u64 = 1 << 22;
    /// All there are.
    pub(in super::super) const ALL: u64 = (1 << 30) - 1;

    /// On a granted directory, what C libraries look for before they open anything beneath it:
    /// paths and their status (9 to 18, 20, 21, 23 to 26).
    pub(in super::super) const PREOPENED: u64 =
        (0b11_1111_1111 << 9) | (1 << 20) | (1 << 21) | (0b1111 << 23);

    /// What they are told that files beneath it have: what they ask for then decides, so that an
    /// attempt to write is refused as one on a read-only file system.
    pub(in super::super) const INHERITED: u64 = PREOPENED
        // Data, seeking, flags, syncing, advice and room (0 to 8).
        | 0b1_1111_1111
        | SET_SIZE
        // Polling.
        | (1 << 27);
}

/// The `fdstat` of a descriptor.
pub(super) fn descriptor_status(
    kind: FileType,
    flags: u32,
    (base, inheriting): (u64, u64),
) -> Record<24> {
    let [low, high, ..] = flags.to_le_bytes();
    Record::new()
        .with(0, &[kind.byte()])
        .with(2, &[low, high])
        .with(8, &base.to_le_bytes())
        .with(16, &inheriting.to_le_bytes())
}

/// The head of an entry of a directory; its name follows.
pub(super) fn directory_entry(next: u64, inode: u64, name: &str, kind: FileType) -> Record<24> {
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    Record::new()
        .with(0, &next.to_le_bytes())
        .with(8, &inode.to_le_bytes())
        .with(16, &length.to_le_bytes())
        .with(20, &[kind.byte()])
}

/// The `prestat` of a directory whose name has so many bytes.
pub(super) fn preopened(length: u32) -> Record<8> {
    Record::new().with(4, &length.to_le_bytes())
}

/// The `event` of a subscription; `kind` is the subscription's.
pub(super) fn event(userdata: u64, kind: u8, bytes: u64, has_ended: bool) -> Record<32> {
    Record::new()
        .with(0, &userdata.to_le_bytes())
        .with(10, &[kind])
        .with(16, &bytes.to_le_bytes())
        .with(24, &[u8::from(has_ended)])
}
