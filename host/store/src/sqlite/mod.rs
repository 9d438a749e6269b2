//! The durable store: one `SQLite` file in WAL mode that an operator can open with `sqlite3`.
//!
//! This file is the writer; `schema` opens files and says what is in them, `wal` looks for damage
//! that `SQLite` would take for a torn tail, `write` has the statements of a commit, `row` checks
//! what is read, `reader` is the other side.

mod copier;
mod drops;
mod errors;
mod reader;
mod row;
mod schema;
mod wal;
mod write;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, TransactionBehavior};
use wasmgrid_failpoints::{Place, reach};
use wasmgrid_proto::{Epoch, Seq};

use crate::{
    Commit, EachRecord, Entry, Reader, Store, StoreError,
    faults::{Fault, Faults},
};
use copier::Copier;
use errors::{failed, to_sql};
use reader::SqliteReader;

/// How far the WAL may grow before commits wait until it is copied into the file: a restart has at
/// most this much to read.
const WAL_MAX_BYTES: usize = 16 << 20;

/// How far it grows before it is copied beside the commits, so that they need not wait.
const WAL_COPY_BYTES: usize = 4 << 20;

/// So little is copied by the writer itself, in about the time of a commit: only what is copied to
/// its end is written over.
const WAL_REST_BYTES: usize = 1 << 20;

/// Data of so many bytes is staged: written at once, it takes some milliseconds in which nothing else
/// is committed.
const STAGE_FROM_BYTES: usize = 2 << 20;

/// About what one part of the deletion of dropped segments takes in the WAL: pages that are free are not
/// written.
const RECLAIM_WAL_BYTES: usize = 64 << 10;

/// Free pages that the file keeps, of 4 KiB each: what is written next needs some.
const FREE_PAGES: u64 = 4_096;

/// Pages that are given back in one go: some tens of milliseconds.
const SHRINK_PAGES: u64 = 2_048;

/// What an entry costs in the WAL beside its data, about: a page and its frame.
const ENTRY_OVERHEAD_BYTES: usize = 4_120;

/// A store in one `SQLite` file, with its `-wal` and `-shm` beside it.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    /// The epoch this handle took, if it did.
    held: Option<Epoch>,
    /// The number of the last record.
    last: u64,
    /// About how much of the WAL is not in the file yet.
    wal_bytes: usize,
    /// About how much it has in all: it begins anew only after all of it was copied.
    wal_len: usize,
    /// Copies it meanwhile.
    copier: Option<Copier>,
    /// The group whose commit is in doubt: behind record `last`, whether it is there or not.
    doubt: Option<Doubt>,
    faults: Faults,
}

#[derive(Debug)]
struct Doubt {
    epoch: Epoch,
    commit: Commit,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes a new one there, readable by its owner alone. The
    /// folder must exist, on a local disk: WAL mode does not work on network file systems. Nobody
    /// may write to it meanwhile: the WAL is looked through first.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the file is something else, [`StoreError::Newer`] if a later
    /// version wrote it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let connection = schema::open_writer(&path)?;
        let last = row::last_record(&connection)?;
        let (copier, doubt, faults) = (None, None, Faults::default());
        let (wal_bytes, wal_len) = (0, 0);
        Ok(Self { connection, path, held: None, last, wal_bytes, wal_len, copier, doubt, faults })
    }

    /// Has the commits of this handle meet these faults.
    #[cfg(feature = "conformance")]
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// Where the store is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Pages of the file that nothing uses.
    fn free_pages(&self) -> Result<u64, StoreError> {
        let free: i64 = self
            .connection
            .query_row("PRAGMA freelist_count", [], |row| row.get(0))
            .map_err(failed("looking for free room"))?;
        Ok(free.cast_unsigned())
    }

    /// Takes pages off the file's end; it is cut with the next checkpoint.
    fn give_back(&mut self, pages: u64) -> Result<(), StoreError> {
        let failed = failed("giving back free room");
        let sql = format!("PRAGMA incremental_vacuum({pages})");
        let mut statement = self.connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        // Each step takes one page.
        while rows.next().map_err(failed)?.is_some() {}
        Ok(())
    }

    /// Keeps the WAL within bounds after a commit.
    fn bound_wal(&mut self) -> Result<(), StoreError> {
        if self.copier.as_ref().is_some_and(Copier::is_finished) {
            self.end_copy()?;
            if self.wal_bytes <= WAL_REST_BYTES {
                return self.checkpoint();
            }
        }
        if self.wal_len > WAL_MAX_BYTES {
            return self.checkpoint();
        }
        if self.wal_bytes > WAL_COPY_BYTES && self.copier.is_none() {
            match Copier::start(&self.path, self.wal_bytes) {
                Ok(copier) => self.copier = Some(copier),
                // It grows on until commits wait for it.
                Err(error) => tracing::warn!(%error, "failed to start a thread for the store"),
            }
        }
        Ok(())
    }

    /// Copies all of the WAL into the file, as far as no reader is in the way.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.end_copy()?;
        let copied = copier::copy(&self.connection);
        if self.is_copied(copied)?.is_some() {
            (self.wal_bytes, self.wal_len) = (0, 0);
        }
        Ok(())
    }

    /// Waits for the copy beside the commits, if there is one.
    fn end_copy(&mut self) -> Result<(), StoreError> {
        let Some(copier) = self.copier.take() else { return Ok(()) };
        if let Some(bytes) = self.is_copied(copier.end())? {
            self.wal_bytes = self.wal_bytes.saturating_sub(bytes);
        }
        Ok(())
    }

    fn is_copied<T>(&self, copied: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match copied {
            Ok(copied) => Ok(Some(copied)),
            // What was committed stays in the WAL, which is as durable; the next checkpoint copies it
            // again, since nothing of this one counts.
            Err(StoreError::Full(source)) => {
                tracing::warn!(%source, path = %self.path.display(), "no space to checkpoint the store");
                Ok(None)
            }
            Err(StoreError::Io { source, .. }) => {
                tracing::warn!(%source, path = %self.path.display(), "failed to checkpoint the store; \
                     it is tried again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a group behind record `last`; the number of its last record. A group that is in doubt
    /// is written only if it is not there.
    ///
    /// What a failed commit has left in the WAL behind the last one that succeeded does not count for
    /// any connection, and the next commit writes over it: so what is there is durable, and what is not
    /// is written and synced anew, whatever became of the pages that the failed sync was about.
    fn write_group(
        &mut self,
        epoch: Epoch,
        commit: &Commit,
        in_doubt: bool,
    ) -> Result<u64, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("beginning a commit"))?;
        let newest = schema::fence(&transaction)?;
        if epoch != newest || self.held != Some(epoch) {
            return Err(StoreError::Fenced { epoch, newest });
        }
        if in_doubt && write::is_there(&transaction, self.last, commit)? {
            return row::last_record(&transaction);
        }
        reach(Place::StoreBeforeAppend);
        let last = write::write(&transaction, epoch, self.last, commit)?;
        reach(Place::StoreBeforeSync);
        let doing = "committing";
        let fault = self.faults.take();
        if fault != Some(Fault::Failed) {
            transaction.commit().map_err(|error| failed(doing)(error).in_doubt())?;
        }
        reach(Place::StoreAfterSync);
        fault.map_or(Ok(last), |_| Err(unanswered(doing)))
    }

    /// A group is durable whose last record has this number.
    fn written(&mut self, last: u64, commit: &Commit) -> Result<Seq, StoreError> {
        self.last = last;
        let written = commit.entries.iter().map(wal_cost).sum::<usize>();
        self.wal_bytes += written;
        self.wal_len += written;
        self.bound_wal()?;
        Ok(Seq(self.last))
    }
}

/// What a commit says whose answer did not come.
fn unanswered(doing: &'static str) -> StoreError {
    StoreError::InDoubt { doing, source: "no answer came".into() }
}

impl Store for SqliteStore {
    fn fence(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        let doing = "taking the store over";
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed(doing))?;
        let newest = schema::fence(&transaction)?;
        if epoch < newest || (epoch == newest && self.held != Some(epoch)) {
            return Err(StoreError::Fenced { epoch, newest });
        }
        let last = row::last_record(&transaction)?;
        transaction
            .execute("UPDATE fence SET epoch = ?1", [to_sql(epoch.0)?])
            .map_err(failed(doing))?;
        if epoch > newest {
            write::drop_abandoned(&transaction, newest)?;
        }
        transaction.commit().map_err(failed(doing))?;
        (self.held, self.last) = (Some(epoch), last);
        Ok(())
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        if self.doubt.is_some() {
            return Err(unanswered("committing after a commit that is in doubt"));
        }
        commit.check()?;
        let written = self.write_group(epoch, commit, false);
        if matches!(written, Err(StoreError::InDoubt { .. })) {
            self.doubt = Some(Doubt { epoch, commit: commit.clone() });
        }
        self.written(written?, commit)
    }

    fn resolve(&mut self) -> Result<Seq, StoreError> {
        let Some(Doubt { epoch, commit }) = self.doubt.take() else { return Ok(Seq(self.last)) };
        // While nothing can be read or written, nothing is known.
        match self.write_group(epoch, &commit, true).map_err(StoreError::in_doubt) {
            Ok(last) => self.written(last, &commit),
            Err(error) => {
                if matches!(error, StoreError::InDoubt { .. }) {
                    self.doubt = Some(Doubt { epoch, commit });
                }
                Err(error)
            }
        }
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        row::replay(&self.connection, each)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        if self.wal_bytes == 0 || self.doubt.is_some() {
            return Ok(());
        }
        self.checkpoint()
    }

    fn stage_from(&self) -> Option<usize> {
        Some(STAGE_FROM_BYTES)
    }

    fn reclaim(&mut self) -> Result<bool, StoreError> {
        let doing = "deleting dropped segments";
        // While another holds the fence it is the other's to do.
        let Some(epoch) = self.held.filter(|_| self.doubt.is_none()) else { return Ok(false) };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed(doing))?;
        if schema::fence(&transaction)? != epoch {
            return Ok(false);
        }
        let more = drops::reclaim(&transaction)?;
        transaction.commit().map_err(failed(doing))?;
        self.wal_bytes += RECLAIM_WAL_BYTES;
        self.wal_len += RECLAIM_WAL_BYTES;
        self.bound_wal()?;
        Ok(more)
    }

    fn shrink(&mut self) -> Result<bool, StoreError> {
        if self.doubt.is_some() {
            return Ok(false);
        }
        let before = self.free_pages()?;
        let Some(pages) = before.checked_sub(FREE_PAGES).filter(|pages| *pages > 0) else {
            return Ok(false);
        };
        let pages = pages.min(SHRINK_PAGES);
        match self.give_back(pages) {
            Err(StoreError::Full(_)) => return Ok(false),
            result => result?,
        }
        self.checkpoint()?;
        let after = self.free_pages()?;
        Ok(after < before && after > FREE_PAGES)
    }
}

fn wal_cost(entry: &Entry) -> usize {
    let data = match entry {
        Entry::Record(bytes)
        | Entry::Audit(bytes)
        | Entry::Module { bytes, .. }
        | Entry::Stage { bytes, .. } => bytes.len(),
        Entry::Segment(segment) => segment.bytes(),
        Entry::StagedSegment { segment, .. } => segment.head.len(),
        Entry::Meta { value, .. } => value.as_ref().map_or(0, Bytes::len),
        Entry::Snapshot(snapshot) => snapshot.parts.iter().map(Bytes::len).sum(),
        Entry::DropSegments { .. }
        | Entry::DropModule { .. }
        | Entry::DropMetas { .. }
        | Entry::StagedModule { .. }
        | Entry::DropStaged { .. }
        | Entry::DropAudits { .. } => 0,
    };
    data + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: usize) -> Commit {
        Commit { entries: vec![Entry::Record(Bytes::from(vec![7; bytes]))] }
    }

    fn store() -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = SqliteStore::open(folder.path().join("store.db")).expect("opens");
        store.fence(Epoch(1)).expect("a new epoch");
        (folder, store)
    }

    fn count(store: &mut SqliteStore) -> u64 {
        let mut count = 0;
        let mut each = |seq: Seq, _: &[u8]| {
            count = seq.0;
            Ok(())
        };
        store.replay(&mut each).expect("whole");
        count
    }

    #[test]
    fn a_full_store_says_so_writes_nothing_and_goes_on_when_there_is_room() {
        let (_folder, mut store) = store();
        store.commit(Epoch(1), &record(10)).expect("fits");
        store.connection.execute_batch("PRAGMA max_page_count = 32").expect("sets");
        let error = store.commit(Epoch(1), &record(1 << 20)).expect_err("does not fit");
        assert!(matches!(error, StoreError::Full(_)), "{error:?}");
        assert_eq!(count(&mut store), 1);
        store.connection.execute_batch("PRAGMA max_page_count = 4096").expect("sets");
        assert_eq!(store.commit(Epoch(1), &record(1 << 20)).expect("fits now"), Seq(2));
        assert_eq!(count(&mut store), 2);
    }

    #[test]
    fn a_store_that_is_never_idle_keeps_its_wal_within_bounds() {
        let (folder, mut store) = store();
        let wal = || folder.path().join("store.db-wal").metadata().expect("there").len() as usize;
        for _ in 0..40 {
            store.commit(Epoch(1), &record(4 << 20)).expect("commits");
            assert!(wal() < WAL_MAX_BYTES + (8 << 20), "{}", wal());
        }
    }

    #[test]
    fn after_a_failure_in_which_nothing_was_written_the_next_commit_is_made() {
        let (_folder, mut store) = store();
        let trigger =
            "CREATE TRIGGER t BEFORE INSERT ON commits BEGIN SELECT raise(ABORT, ''); END";
        store.connection.execute_batch(trigger).expect("sets");
        let error = store.commit(Epoch(1), &record(1)).expect_err("cannot write");
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
        store.connection.execute_batch("DROP TRIGGER t").expect("sets");
        assert_eq!(store.commit(Epoch(1), &record(1)).expect("commits"), Seq(1));
        assert_eq!(count(&mut store), 1);
    }

    #[test]
    fn a_doubt_lasts_while_the_store_cannot_be_asked() {
        let (folder, mut store) = store();
        store.faults.plan(Fault::AnswerLost);
        store.commit(Epoch(1), &record(1)).expect_err("no answer");
        // Another program has the file, so that no transaction begins.
        store.connection.busy_timeout(std::time::Duration::ZERO).expect("sets");
        let other = Connection::open(folder.path().join("store.db")).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("locks");
        let error = store.resolve().expect_err("locked");
        assert!(matches!(error, StoreError::InDoubt { .. }), "{error:?}");
        other.execute_batch("ROLLBACK").expect("unlocks");
        assert_eq!(store.resolve().expect("known"), Seq(1));
        assert_eq!(count(&mut store), 1);
    }
}
