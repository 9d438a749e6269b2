//! The durable store: one `SQLite` file in WAL mode that an operator can open with `sqlite3`.
//!
//! This file is the writer; `schema` opens files and says what is in them, `row` checks what is
//! read, `reader` is the other side.

mod reader;
mod row;
mod schema;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{
    Connection, ErrorCode, ToSql, Transaction, TransactionBehavior, blob::ZeroBlob, params,
};
use wasmgrid_failpoints::{Place, reach};
use wasmgrid_proto::{Epoch, Seq};

use crate::{Commit, EachRecord, Entry, Reader, Segment, Store, StoreError, pack};
use reader::SqliteReader;

/// How far the WAL may grow before it is copied into the file although commits wait: a commit
/// then takes some tens of milliseconds longer, and a restart has at most this much to read.
const WAL_MAX_BYTES: usize = 64 << 20;

/// What an entry costs in the WAL beside its data, about: a page and its frame.
const ENTRY_OVERHEAD_BYTES: usize = 4_120;

/// Segments of so many bytes are written where they will be: given with the statement, `SQLite`
/// would copy them twice, into memory that is new each time.
const IN_PLACE_BYTES: usize = 64 << 10;

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
    /// True once a commit failed in a way that leaves open what is durable.
    broken: bool,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes a new one there, readable by its owner alone. The
    /// folder must exist, on a local disk: WAL mode does not work on network file systems.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] where the file is something else, [`StoreError::Newer`] where a
    /// later version wrote it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let connection = schema::open_writer(&path)?;
        let last = last_record(&connection)?;
        Ok(Self { connection, path, held: None, last, wal_bytes: 0, broken: false })
    }

    /// Where the store is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the WAL into the file, as far as no reader is in the way.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let result = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match result.map_err(failed("copying the WAL into the store")) {
            Ok(()) => {
                self.wal_bytes = 0;
                Ok(())
            }
            // What was committed stays in the WAL, which is as durable.
            Err(StoreError::Full(source)) => {
                tracing::warn!(%source, path = %self.path.display(), "no space to checkpoint the store");
                Ok(())
            }
            Err(error) => {
                self.broken = true;
                Err(error)
            }
        }
    }
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
        let last = last_record(&transaction)?;
        transaction
            .execute("UPDATE fence SET epoch = ?1", [to_sql(epoch.0)?])
            .map_err(failed(doing))?;
        transaction.commit().map_err(failed(doing))?;
        (self.held, self.last) = (Some(epoch), last);
        Ok(())
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        if self.broken {
            return Err(StoreError::Broken);
        }
        commit.check()?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("beginning a commit"))?;
        let newest = schema::fence(&transaction)?;
        if epoch != newest || self.held != Some(epoch) {
            return Err(StoreError::Fenced { epoch, newest });
        }
        reach(Place::StoreBeforeAppend);
        let written = write(&transaction, epoch, self.last, commit).and_then(|last| {
            reach(Place::StoreBeforeSync);
            transaction.commit().map(|()| last).map_err(failed("committing"))
        });
        reach(Place::StoreAfterSync);
        match written {
            Ok(last) => self.last = last,
            Err(error) => {
                self.broken = matches!(error, StoreError::Io { .. });
                return Err(error);
            }
        }
        self.wal_bytes += commit.entries.iter().map(wal_cost).sum::<usize>();
        if self.wal_bytes > WAL_MAX_BYTES {
            self.checkpoint()?;
        }
        Ok(Seq(self.last))
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        let doing = failed("reading the journal");
        let mut next = 1;
        let mut statement = self
            .connection
            .prepare("SELECT first, count, epoch, sum, records FROM commits ORDER BY first")
            .map_err(doing)?;
        let mut rows = statement.query([]).map_err(doing)?;
        while let Some(row) = rows.next().map_err(doing)? {
            let packed = row::Packed::read(row, next)?;
            for record in pack::unpack(packed.records) {
                each(Seq(next), record.ok_or_else(|| packed.damaged())?)?;
                next += 1;
            }
            if next != packed.end() {
                return Err(packed.damaged());
            }
        }
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        if self.wal_bytes == 0 || self.broken {
            return Ok(());
        }
        self.checkpoint()
    }
}

/// Writes the group behind record `last` and returns the number of its last record.
fn write(
    transaction: &Transaction<'_>,
    epoch: Epoch,
    last: u64,
    commit: &Commit,
) -> Result<u64, StoreError> {
    let records = commit.entries.iter().filter_map(|entry| match entry {
        Entry::Record(record) => Some(record),
        _ => None,
    });
    let count = records.clone().count() as u64;
    if count > 0 {
        write_records(transaction, epoch, last + 1, count, &pack::pack(records))?;
    }
    for entry in &commit.entries {
        match entry {
            Entry::Record(_) => {}
            Entry::Segment(segment) => write_segment(transaction, segment)?,
            Entry::Meta { key, value } => write_meta(transaction, key, value.as_ref())?,
            Entry::Module { digest, bytes } => {
                let sql =
                    "INSERT INTO modules (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                transaction
                    .execute(sql, params![digest.0, &bytes[..]])
                    .map_err(failed("writing a module"))?;
            }
        }
    }
    Ok(last + count)
}

fn write_records(
    transaction: &Transaction<'_>,
    epoch: Epoch,
    first: u64,
    count: u64,
    records: &[u8],
) -> Result<(), StoreError> {
    let sum = row::commit_sum(first, count, epoch.0, records);
    let sql = "INSERT INTO commits (first, count, epoch, sum, records) VALUES (?1, ?2, ?3, ?4, ?5)";
    transaction
        .execute(sql, params![to_sql(first)?, to_sql(count)?, to_sql(epoch.0)?, sum, records])
        .map(|_| ())
        .map_err(failed("writing records"))
}

fn write_segment(transaction: &Transaction<'_>, segment: &Segment) -> Result<(), StoreError> {
    let Segment { job, log, first, count, head, data } = segment;
    let failed = failed("writing a segment");
    let sum = row::segment_sum(segment);
    let sql =
        "INSERT INTO segments (job, log, first, count, sum, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let insert = |data: &dyn ToSql| {
        let values =
            params![to_sql(job.0)?, log.code(), to_sql(*first)?, to_sql(*count)?, sum, data];
        transaction.execute(sql, values).map(|_| ()).map_err(|error| {
            match error.sqlite_error_code() {
                Some(ErrorCode::ConstraintViolation) => StoreError::Invalid(format!(
                    "a second {} segment of job {job} from {first}",
                    log.name()
                )),
                _ => failed(error),
            }
        })
    };
    if segment.bytes() < IN_PLACE_BYTES {
        return insert(&[&head[..], data].concat());
    }
    insert(&ZeroBlob(segment.bytes() as u64))?;
    let row = transaction.last_insert_rowid();
    let mut blob = transaction.blob_open("main", "segments", "data", row, false).map_err(failed)?;
    blob.write_at(head, 0).map_err(failed)?;
    blob.write_at(data, head.len()).map_err(failed)?;
    blob.close().map_err(failed)
}

fn write_meta(
    transaction: &Transaction<'_>,
    key: &str,
    value: Option<&Bytes>,
) -> Result<(), StoreError> {
    let written = match value {
        Some(value) => transaction.execute(
            "INSERT OR REPLACE INTO metas (key, sum, value) VALUES (?1, ?2, ?3)",
            params![key, row::meta_sum(key, value), &value[..]],
        ),
        None => transaction.execute("DELETE FROM metas WHERE key = ?1", [key]),
    };
    written.map(|_| ()).map_err(failed("writing a meta value"))
}

fn last_record(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(first) + (SELECT count FROM commits ORDER BY first DESC LIMIT 1) - 1, 0) FROM commits";
    let last: i64 = connection
        .query_row(sql, [], |row| row.get(0))
        .map_err(failed("looking for the last record"))?;
    Ok(last.cast_unsigned())
}

fn wal_cost(entry: &Entry) -> usize {
    let data = match entry {
        Entry::Record(bytes) | Entry::Module { bytes, .. } => bytes.len(),
        Entry::Segment(segment) => segment.bytes(),
        Entry::Meta { value, .. } => value.as_ref().map_or(0, Bytes::len),
    };
    data + ENTRY_OVERHEAD_BYTES
}

/// `SQLite` has signed integers only.
fn to_sql(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Invalid(format!("the number {number}")))
}

/// Makes an error of what `SQLite` says, by its kind.
fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + Copy {
    use rusqlite::Error as E;
    move |error| match error {
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) => {
            StoreError::Damaged { what: error.to_string(), place: format!("a row, while {doing}") }
        }
        error => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full(error.into()),
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged {
                what: error.to_string(),
                place: format!("a page, while {doing}"),
            },
            _ => StoreError::Io { doing, source: error.into() },
        },
    }
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
    fn after_a_failure_that_leaves_doubt_nothing_more_is_committed() {
        let (_folder, mut store) = store();
        let trigger =
            "CREATE TRIGGER t BEFORE INSERT ON commits BEGIN SELECT raise(ABORT, ''); END";
        store.connection.execute_batch(trigger).expect("sets");
        let error = store.commit(Epoch(1), &record(1)).expect_err("cannot write");
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
        store.connection.execute_batch("DROP TRIGGER t").expect("sets");
        let error = store.commit(Epoch(1), &record(1)).expect_err("in doubt");
        assert!(matches!(error, StoreError::Broken), "{error:?}");
        assert_eq!(count(&mut store), 0);
    }
}
