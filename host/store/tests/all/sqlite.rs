//! What a file must do beyond the common promises: be found again, be told from other files.

use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;
use wasmgrid_proto::Epoch;
use wasmgrid_store::{LogKind, SqliteStore, Store, StoreError};

use crate::support::{commit, journal, meta, read, records, segment};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    (folder, path)
}

#[test]
fn reopening_finds_everything() {
    let (_folder, path) = folder();
    for epoch in 1..=3 {
        let mut store = SqliteStore::open(&path).expect("opens");
        store.fence(Epoch(epoch)).expect("a new epoch");
        let mut entries = records(&["record"]);
        entries.push(segment(epoch, LogKind::Result, 0, 1, "result"));
        entries.push(meta("epoch", Some(&epoch.to_string())));
        commit(&mut store, epoch, entries).expect("commits");
    }
    let mut store = SqliteStore::open(&path).expect("opens");
    assert_eq!(journal(&mut store).expect("whole").len(), 3);
    assert!((1..=3).all(|job| read(&store, job, LogKind::Result, 0).is_some()));
    let value = store.reader().and_then(|mut reader| reader.meta("epoch")).expect("readable");
    assert_eq!(value.as_deref(), Some(&b"3"[..]));
}

#[test]
fn a_checkpoint_empties_the_wal_into_the_file() {
    let (_folder, path) = folder();
    let mut store = SqliteStore::open(&path).expect("opens");
    store.fence(Epoch(1)).expect("a new epoch");
    let text = "x".repeat(1 << 20);
    commit(&mut store, 1, records(&[&text])).expect("commits");
    let size = || std::fs::metadata(&path).expect("there").len();
    assert!(size() < 1 << 20, "still in the WAL");
    store.idle().expect("housekeeping");
    assert!(size() > 1 << 20, "in the file");
    assert_eq!(journal(&mut store).expect("whole").len(), 1);
}

#[test]
fn another_format_is_refused_by_its_number_and_left_as_it_is() {
    for (number, newer) in [(0, false), (2, true)] {
        let (_folder, path) = folder();
        drop(SqliteStore::open(&path).expect("opens"));
        let raw = Connection::open(&path).expect("opens");
        raw.pragma_update(None, "user_version", number).expect("writes");
        drop(raw);
        let error = SqliteStore::open(&path).expect_err("another format");
        let is_as_expected = match error {
            StoreError::Newer { found, supported: 1 } => newer && found == number,
            StoreError::Foreign(_) => !newer,
            _ => false,
        };
        assert!(is_as_expected, "{number}: {error:?}");
        let raw = Connection::open(&path).expect("opens");
        let left: i64 =
            raw.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
        assert_eq!(left, number);
    }
}

#[test]
fn another_programs_file_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    std::fs::write(&path, "not a database at all, but long enough to look like one\n".repeat(99))
        .expect("writes");
    let before = std::fs::read(&path).expect("reads");
    let error = SqliteStore::open(&path).expect_err("foreign");
    assert!(matches!(error, StoreError::Foreign(_)), "{error:?}");
    assert_eq!(std::fs::read(&path).expect("reads"), before);

    let (_folder, path) = folder();
    let raw = Connection::open(&path).expect("opens");
    raw.execute_batch("CREATE TABLE cats (name TEXT)").expect("writes");
    let error = SqliteStore::open(&path).expect_err("foreign");
    assert!(matches!(error, StoreError::Foreign(_)), "{error:?}");
}

#[test]
fn a_store_in_a_missing_folder_is_an_error_with_its_cause() {
    let (folder, _) = folder();
    let error = SqliteStore::open(folder.path().join("no/such/store.db")).expect_err("no folder");
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let (folder, path) = folder();
    let mut store = SqliteStore::open(path).expect("opens");
    store.fence(Epoch(1)).expect("a new epoch");
    commit(&mut store, 1, records(&["secret"])).expect("commits");
    for entry in std::fs::read_dir(folder.path()).expect("lists") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.file_name());
    }
}

#[test]
fn what_is_dropped_is_given_back_to_the_disk() {
    let (_folder, path) = folder();
    let mut store = SqliteStore::open(&path).expect("opens");
    store.fence(Epoch(1)).expect("a new epoch");
    let text = "x".repeat(64 << 20);
    commit(&mut store, 1, [segment(1, LogKind::Result, 0, 1, &text)]).expect("commits");
    store.idle().expect("housekeeping");
    let size = || std::fs::metadata(&path).expect("there").len();
    assert!(size() > 64 << 20);
    let (job, log) = (wasmgrid_proto::JobId(1), LogKind::Result);
    let drop = wasmgrid_store::Entry::DropSegments { job, log, first: 0, end: 1 };
    commit(&mut store, 1, [drop]).expect("commits");
    while store.reclaim().expect("deleted") {}
    while store.shrink().expect("housekeeping") {}
    assert!(size() < 32 << 20, "{}", size());
}
