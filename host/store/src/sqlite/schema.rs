//! What is in the file, and how connections to it are set up.

use std::{fs::OpenOptions, path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use wasmgrid_proto::Epoch;

use super::{errors::failed, wal};
use crate::StoreError;

/// Marks the file as ours (`PRAGMA application_id`): "wgrd".
const APPLICATION_ID: i64 = 0x7767_7264;

/// The format's version (`PRAGMA user_version`).
const VERSION: i64 = 1;

/// How long a connection waits for another's lock. Ours hold one for a commit only; more than
/// that is another program that has the file open.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The tables. Checksums stand before the data they cover, so that they are read without it. The bytes
/// of each log are the sum of its segments' and so have no checksum of their own. A module has its bytes,
/// or says where they are staged; its digest is their checksum. So does a segment, with what is staged
/// after what is in `data`. Segments inside ranges of `dropped` are there only until they are deleted, and
/// `live` has the others.
const SCHEMA: &str = "
CREATE TABLE fence (epoch INTEGER NOT NULL) STRICT;
INSERT INTO fence (epoch) VALUES (0);
CREATE TABLE commits (
    first INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sum BLOB NOT NULL,
    records BLOB NOT NULL
) STRICT;
CREATE TABLE segments (
    job INTEGER NOT NULL,
    log INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    epoch INTEGER,
    staged INTEGER,
    sum BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX segments_by_place ON segments (job, log, first);
CREATE INDEX segments_staged ON segments (epoch, staged) WHERE epoch IS NOT NULL;
CREATE TABLE dropped (
    job INTEGER NOT NULL,
    log INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (job, log, first)
) STRICT;
CREATE VIEW live AS SELECT * FROM segments AS s WHERE NOT EXISTS (
    SELECT 1 FROM dropped AS d
    WHERE d.job = s.job AND d.log = s.log AND d.first <= s.first AND s.first + s.count <= d.last
);
CREATE TABLE modules (
    digest BLOB PRIMARY KEY,
    epoch INTEGER,
    staged INTEGER,
    bytes BLOB
) STRICT;
CREATE INDEX modules_staged ON modules (epoch, staged) WHERE epoch IS NOT NULL;
CREATE TABLE staged (
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    piece INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (epoch, number, piece)
) STRICT;
CREATE TABLE metas (key TEXT PRIMARY KEY, sum BLOB NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE snapshot (
    part INTEGER PRIMARY KEY,
    parts INTEGER NOT NULL,
    covers INTEGER NOT NULL,
    sum BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE sizes (
    job INTEGER NOT NULL,
    log INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, log)
) STRICT;
CREATE TABLE audits (number INTEGER PRIMARY KEY, sum BLOB NOT NULL, entry BLOB NOT NULL) STRICT;
";

/// Settings of the one writer. The WAL is synced at every commit, and copied into the file only
/// when this crate says so, never in the middle of a commit. No mmap: a read error there would
/// be a signal instead of an error. `fullfsync` is for macOS, where a plain sync stops short of
/// the disk.
const WRITER: &str = "
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;
PRAGMA wal_autocheckpoint = 0;
PRAGMA journal_size_limit = 67108864;
PRAGMA mmap_size = 0;
PRAGMA cell_size_check = ON;
PRAGMA trusted_schema = OFF;
";

const READER: &str = "
PRAGMA query_only = ON;
PRAGMA mmap_size = 0;
PRAGMA cell_size_check = ON;
PRAGMA trusted_schema = OFF;
";

/// The writer's connection, with the tables made where the file is new.
pub fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    create_private(path)?;
    wal::check(path)?;
    let mut connection = connect(path)?;
    check_header(&connection, path)?;
    // Only a file without tables takes this; others keep the room that is free for themselves.
    connection
        .execute_batch("PRAGMA auto_vacuum = INCREMENTAL")
        .map_err(failed("setting up the store"))?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(failed("turning on WAL mode"))?;
    if mode != "wal" {
        return Err(StoreError::Io {
            doing: "turning on WAL mode (the store must be on a local disk)",
            source: format!("the journal mode stays {mode}").into(),
        });
    }
    connection.execute_batch(WRITER).map_err(failed("setting up the store"))?;
    create_tables(&mut connection)?;
    Ok(connection)
}

/// One more connection, which copies the WAL into the file and writes nothing else.
pub fn open_copier(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection.execute_batch(WRITER).map_err(failed("setting up a copier"))?;
    Ok(connection)
}

/// One more connection, which cannot write.
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection.execute_batch(READER).map_err(failed("setting up a reader"))?;
    Ok(connection)
}

/// The epoch that may commit.
pub fn fence(connection: &Connection) -> Result<Epoch, StoreError> {
    let epoch: i64 = connection
        .query_row("SELECT epoch FROM fence", [], |row| row.get(0))
        .map_err(failed("reading the fence"))?;
    Ok(Epoch(epoch.cast_unsigned()))
}

/// Makes the file, where there is none, for its owner alone: it has the secrets of join tokens.
/// `SQLite` gives the files beside it the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map(|_| ())
        .map_err(|error| StoreError::Io { doing: "opening the store's file", source: error.into() })
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(failed("opening the store"))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed("setting up the store"))?;
    Ok(connection)
}

/// Refuses a file that is something else or of another version, before anything is written to it.
fn check_header(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let foreign = || StoreError::Foreign(path.display().to_string());
    let read = |sql: &str| {
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| {
            match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => foreign(),
                _ => failed("reading the store's header")(error),
            }
        })
    };
    let tables = read("SELECT count(*) FROM sqlite_schema")?;
    match (read("PRAGMA application_id")?, read("PRAGMA user_version")?) {
        (0, 0) if tables == 0 => Ok(()),
        (APPLICATION_ID, found) if found > VERSION => {
            Err(StoreError::Newer { found, supported: VERSION })
        }
        (APPLICATION_ID, VERSION) => Ok(()),
        _ => Err(foreign()),
    }
}

/// Makes the tables, unless another process was faster.
fn create_tables(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = failed("making the store's tables");
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let version: i64 =
        transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if version == VERSION {
        return Ok(());
    }
    transaction.execute_batch(SCHEMA).map_err(failed)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    transaction.commit().map_err(failed)
}
