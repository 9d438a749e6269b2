//! Durable state of a grid: the journal's records and the snapshot of earlier ones, segments of
//! inputs and results, modules, small metadata and the audit log, committed in atomic groups under a
//! fence. It never interprets what it stores.
//!
//! The trait [`Store`] is the writer's side, [`Reader`] the reader's; [`MemoryStore`] and
//! [`SqliteStore`] implement [`Store`]. One conformance suite checks every backend: the module
//! `conformance`, behind the feature of that name.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod faults;
mod memory;
mod pack;
mod sqlite;

use bytes::Bytes;
pub use wasmgrid_proto::LogKind;
use wasmgrid_proto::{Digest, Epoch, JobId, Seq};

pub use error::{Source, StoreError};
#[cfg(feature = "conformance")]
pub use faults::{Fault, Faults};
pub use memory::{MemoryStore, memory};
pub use sqlite::SqliteStore;

/// The largest piece of data in one entry, in bytes: a module or a segment of one large input.
/// It leaves room under `SQLite`'s own cap of 10^9 for a packed row of many records.
pub const DATA_MAX: usize = 128 << 20;

/// What [`Store::replay`] calls with each record and its number.
pub type EachRecord<'a> = dyn FnMut(Seq, &[u8]) -> Result<(), StoreError> + 'a;

/// The writer's side: one at a time may commit, the one with the highest epoch.
pub trait Store: Send {
    /// Takes the right to commit: from now on only `epoch` may. Repeating it is harmless.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], where another holds this epoch or a higher one.
    fn fence(&mut self, epoch: Epoch) -> Result<(), StoreError>;

    /// Writes one group, whole or not at all, and returns when it is durable. The group's
    /// records get the next sequence numbers, which are contiguous from 1.
    ///
    /// Returns the last record's number, also where this group has no record (0 in an empty
    /// journal).
    ///
    /// # Errors
    /// After [`StoreError::InDoubt`] it is not known whether the group is durable: call
    /// [`Store::resolve`] until it says so. Until then every further commit fails in the same way,
    /// and does nothing. Any other error leaves everything as it was, and the store can be used on.
    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError>;

    /// Finds out what became of the group whose commit is in doubt: if it is not there, it is
    /// written again under the same number, never a second time under another one. Returns as
    /// [`Store::commit`] would have; without a doubt, the last record's number. One call takes
    /// seconds at most, so that the caller can say that it waits, and stop.
    ///
    /// # Errors
    /// [`StoreError::InDoubt`], if that cannot be found out yet. Any other error ends the doubt: after
    /// [`StoreError::Fenced`] whoever took over has the group or has it not; after the others it is
    /// not durable, and will not be.
    fn resolve(&mut self) -> Result<Seq, StoreError>;

    /// Calls `each` with every record that no snapshot covers, in order; stops at its first error.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] at a record that is not as it was written and at a gap in the
    /// numbers; nothing behind that place is passed on.
    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError>;

    /// A reader of what is committed, for use beside the writer on another thread.
    ///
    /// # Errors
    /// Where the store cannot be opened once more.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// Housekeeping that is better done while nothing waits for a commit; cheap where there is
    /// nothing to do. A store that is never idle keeps itself within bounds as well.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn idle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Data of so many bytes is better staged before the commit that names it, as one commit would
    /// take long with it; `None` if no commit takes long.
    fn stage_from(&self) -> Option<usize> {
        None
    }

    /// Deletes some of the segments that commits have dropped; true if more is left. To drop much takes a
    /// commit no time: nobody has it from then on, and it is deleted in parts, so that a commit that comes
    /// meanwhile waits for no more than one.
    ///
    /// # Errors
    /// As [`Store::commit`], but nothing is in doubt.
    fn reclaim(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Gives back some of the room that dropped data left; true where there is more to give. Each
    /// call is short, so that a commit that comes meanwhile waits for no more than one.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn shrink(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// The reader's side: sees every commit that had returned before the call.
pub trait Reader: Send {
    /// The segment of a log that contains `position`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], where it is not as it was written.
    fn segment(
        &mut self,
        job: JobId,
        log: LogKind,
        position: u64,
    ) -> Result<Option<Segment>, StoreError>;

    /// The first segment of a log that has a position from `position` on: where there is a gap, the
    /// one behind it. So a whole log is listed, a segment at a time.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], if it is not as it was written.
    fn segment_from(
        &mut self,
        job: JobId,
        log: LogKind,
        position: u64,
    ) -> Result<Option<Segment>, StoreError>;

    /// The digests of all modules, sorted.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn modules(&mut self) -> Result<Vec<Digest>, StoreError>;

    /// A module by its digest.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], where it is not as it was written.
    fn module(&mut self, digest: Digest) -> Result<Option<Bytes>, StoreError>;

    /// Whether a module is there.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn has_module(&mut self, digest: Digest) -> Result<bool, StoreError>;

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], where it is not as it was written.
    fn meta(&mut self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// All keys that start with `prefix`, with their values, sorted by key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], where one is not as it was written.
    fn metas(&mut self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError>;

    /// All keys that start with `prefix`, with how many bytes their values have, sorted by key. It
    /// does not read the values.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn meta_sizes(&mut self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError>;

    /// The snapshot, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], where it is not as it was written.
    fn snapshot(&mut self) -> Result<Option<Snapshot>, StoreError>;

    /// As [`Store::replay`].
    ///
    /// # Errors
    /// As [`Store::replay`].
    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError>;

    /// At most `limit` entries of the audit log with numbers over `after`, in order, each with its
    /// number.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], if one is not as it was written.
    fn audits(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>, StoreError>;

    /// The number of the audit log's last entry; 0 if there never was one.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn last_audit(&mut self) -> Result<u64, StoreError>;

    /// How many bytes of segments each log has; logs without segments are left out.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn sizes(&mut self) -> Result<Vec<LogSize>, StoreError>;

    /// The position behind the first segments of a log that together have no more than `bytes`
    /// bytes; 0 where the first has more, or there is none.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn position_after(&mut self, job: JobId, log: LogKind, bytes: u64) -> Result<u64, StoreError>;
}

/// One atomic, durable group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// What it writes. Records keep their order; of several values of one key the last counts.
    pub entries: Vec<Entry>,
}

/// One thing that a commit writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The next record of the journal.
    Record(Bytes),
    /// A run of a job's inputs or results. A second one with the same first position is refused.
    Segment(Segment),
    /// Sets a key, or removes it with `None`.
    Meta {
        /// The key.
        key: String,
        /// Its new value.
        value: Option<Bytes>,
    },
    /// Removes all keys that start with this; not empty.
    DropMetas {
        /// The prefix.
        prefix: String,
    },
    /// Keeps a module; harmless where it is there already.
    Module {
        /// The digest of `bytes`.
        digest: Digest,
        /// The file.
        bytes: Bytes,
    },
    /// Adds a piece to staged bytes: large ones are written in commits of which each is short, before
    /// one names them. They are nobody's until then, and gone if none of this epoch names them.
    Stage {
        /// Which staged bytes.
        staged: StagedId,
        /// The piece's number, from 0.
        piece: u32,
        /// The piece.
        bytes: Bytes,
    },
    /// Keeps the module whose bytes were staged; if it is there already, they are dropped.
    StagedModule {
        /// The digest of all that was staged.
        digest: Digest,
        /// Where they are.
        staged: StagedId,
    },
    /// Adds a segment whose `data` was staged: its `head` alone is still to be written.
    StagedSegment {
        /// The segment, with its data.
        segment: Segment,
        /// Where the data is.
        staged: StagedId,
    },
    /// Drops staged bytes that nothing will name; harmless if there are none.
    DropStaged {
        /// Which.
        staged: StagedId,
    },
    /// Replaces the snapshot, and drops the records that the new one covers.
    Snapshot(Snapshot),
    /// Drops the segments of a log that lie wholly inside `first..end`.
    DropSegments {
        /// The job.
        job: JobId,
        /// Which of its logs.
        log: LogKind,
        /// The first position.
        first: u64,
        /// The position behind the last.
        end: u64,
    },
    /// Drops a module; harmless where it is not there.
    DropModule {
        /// Its digest.
        digest: Digest,
    },
    /// The next entry of the audit log, which numbers its entries from 1 in the order of the commits.
    /// Nothing changes one: the log grows at its end, and is cut at its beginning.
    Audit(Bytes),
    /// Drops the entries of the audit log that are numbered below this. The last one always stays, so
    /// that no number is given twice.
    DropAudits {
        /// The first number that stays.
        before: u64,
    },
}

/// Names staged bytes, in all epochs of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StagedId {
    /// The epoch that stages them.
    pub epoch: Epoch,
    /// Their number in it.
    pub number: u64,
}

/// What records amount to: a replay goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record it covers: one that was the last of its commit, and behind that of the
    /// snapshot before.
    pub covers: Seq,
    /// What it is, opaque to the store; at least one part.
    pub parts: Vec<Bytes>,
}

/// How much a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogSize {
    /// The job.
    pub job: JobId,
    /// Which of its logs.
    pub log: LogKind,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// A packed run of positions of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The job.
    pub job: JobId,
    /// Which of its logs.
    pub log: LogKind,
    /// The first position.
    pub first: u64,
    /// How many positions; not 0.
    pub count: u64,
    /// The start of what is there, where it is not in `data` with the rest: so that a large payload
    /// need not be copied behind what describes it. What is read may have all of it in `data`.
    pub head: Bytes,
    /// What is there, opaque to the store.
    pub data: Bytes,
}

impl Segment {
    /// Whether `position` is one of its positions.
    #[must_use]
    pub const fn contains(&self, position: u64) -> bool {
        position >= self.first && position - self.first < self.count
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.head.len() + self.data.len()
    }
}

impl Snapshot {
    /// Refuses one that covers what it cannot, where `last` is the last record and `covered` the
    /// last that the snapshot before covers.
    fn check(&self, covered: u64, last: u64) -> Result<(), StoreError> {
        let covers = self.covers.0;
        if self.parts.is_empty() || covers <= covered || covers > last {
            return Err(StoreError::Invalid(format!(
                "a snapshot of {} parts that covers the records up to {covers}, of {last} and \
                 {covered} covered",
                self.parts.len()
            )));
        }
        Ok(())
    }
}

impl Commit {
    /// Refuses what no store could keep.
    fn check(&self) -> Result<(), StoreError> {
        for entry in &self.entries {
            let (what, size) = match entry {
                Entry::DropSegments { .. }
                | Entry::DropModule { .. }
                | Entry::StagedModule { .. }
                | Entry::DropStaged { .. }
                | Entry::DropAudits { .. } => continue,
                Entry::DropMetas { prefix } if !prefix.is_empty() => continue,
                Entry::DropMetas { .. } => {
                    return Err(StoreError::Invalid("an empty prefix of keys to drop".into()));
                }
                Entry::Snapshot(snapshot) => {
                    let largest = snapshot.parts.iter().map(Bytes::len).max();
                    ("snapshot's part", largest.unwrap_or(0))
                }
                Entry::Record(bytes) => ("record", bytes.len()),
                Entry::Audit(bytes) => ("audit entry", bytes.len()),
                Entry::Module { bytes, .. } => ("module", bytes.len()),
                Entry::Stage { bytes, .. } => ("staged piece", bytes.len()),
                Entry::Meta { value, .. } => ("meta value", value.as_ref().map_or(0, Bytes::len)),
                Entry::Segment(segment) | Entry::StagedSegment { segment, .. } => {
                    let end = segment.first.checked_add(segment.count);
                    if segment.count == 0 || end.is_none_or(|end| i64::try_from(end).is_err()) {
                        let Segment { job, first, count, .. } = segment;
                        return Err(StoreError::Invalid(format!(
                            "a segment of job {job} from {first} with {count} positions"
                        )));
                    }
                    ("segment", segment.bytes())
                }
            };
            if size > DATA_MAX {
                return Err(StoreError::Invalid(format!(
                    "a {what} of {size} bytes, {DATA_MAX} allowed"
                )));
            }
        }
        Ok(())
    }
}
