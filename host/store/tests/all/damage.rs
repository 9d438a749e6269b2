//! What is changed behind the store's back is found, and its place is named.

use rusqlite::{Connection, params};
use tempfile::TempDir;
use wasmgrid_proto::{Digest, Epoch, JobId};
use wasmgrid_store::{Entry, LogKind, SqliteStore, Store, StoreError};

use crate::support::{commit, journal, meta, records, segment};

/// A store of three commits with records and one of the rest, changed while nobody has it open.
fn damaged(change: impl FnOnce(&Connection)) -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let mut store = SqliteStore::open(&path).expect("opens");
    store.fence(Epoch(1)).expect("a new epoch");
    for texts in [["a", "b"], ["c", "d"], ["e", "f"]] {
        commit(&mut store, 1, records(&texts)).expect("commits");
    }
    let module = Entry::Module { digest: Digest::of(b"module"), bytes: b"module"[..].into() };
    let rest = [segment(4, LogKind::Input, 10, 5, "inputs"), meta("key", Some("value")), module];
    commit(&mut store, 1, rest).expect("commits");
    drop(store);
    change(&Connection::open(&path).expect("opens"));
    let store = SqliteStore::open(&path).expect("opens");
    (folder, store)
}

/// Flips one bit of a blob.
fn flip(raw: &Connection, table: &str, column: &str, row: &str) {
    let select = format!("SELECT {column} FROM {table} WHERE {row}");
    let mut blob: Vec<u8> = raw.query_row(&select, [], |row| row.get(0)).expect("reads");
    *blob.last_mut().expect("not empty") ^= 1;
    let update = format!("UPDATE {table} SET {column} = ?1 WHERE {row}");
    raw.execute(&update, params![blob]).expect("changes");
}

fn place_of(error: &StoreError) -> (&str, &str) {
    match error {
        StoreError::Damaged { what, place } => (what, place),
        other => panic!("not damage: {other:?}"),
    }
}

/// Replays the changed store: what came before the damage, and the damage.
fn replay(change: impl FnOnce(&Connection)) -> (Vec<String>, StoreError) {
    let (_folder, mut store) = damaged(change);
    let mut seen = Vec::new();
    let error = store
        .replay(&mut |_, record| {
            seen.push(String::from_utf8_lossy(record).into_owned());
            Ok(())
        })
        .expect_err("damaged");
    (seen, error)
}

#[test]
fn an_unchanged_store_replays() {
    let (_folder, mut store) = damaged(|_| ());
    assert_eq!(journal(&mut store).expect("whole").len(), 6);
}

#[test]
fn a_flipped_bit_in_the_journal_stops_the_replay_at_its_row() {
    for column in ["records", "sum"] {
        let (seen, error) = replay(|raw| flip(raw, "commits", column, "first = 3"));
        assert_eq!(seen, ["a", "b"], "{column}");
        assert_eq!(place_of(&error).1, "table commits, first = 3, count = 2");
    }
}

#[test]
fn a_changed_epoch_or_count_is_found_like_changed_records() {
    for change in ["epoch = 9", "count = 1", "count = 3"] {
        let sql = format!("UPDATE commits SET {change} WHERE first = 3");
        let (seen, error) = replay(|raw| assert_eq!(raw.execute(&sql, []), Ok(1)));
        assert_eq!(seen, ["a", "b"], "{change}");
        assert!(place_of(&error).1.contains("first = 3"), "{error}");
    }
}

#[test]
fn a_gap_in_the_journal_is_found_and_named() {
    let (seen, error) = replay(|raw| {
        assert_eq!(raw.execute("DELETE FROM commits WHERE first = 3", []), Ok(1));
    });
    assert_eq!(seen, ["a", "b"]);
    assert_eq!(place_of(&error).0, "the journal goes on with record 5 instead of 3");
    let (seen, error) = replay(|raw| {
        assert_eq!(raw.execute("DELETE FROM commits WHERE first = 1", []), Ok(1));
    });
    assert_eq!((seen.len(), place_of(&error).1), (0, "table commits"));
}

#[test]
fn a_changed_segment_is_found_when_it_is_read() {
    let changes = ["data = x'00'", "sum = x'00'", "count = 6", "first = 9", "job = 4, first = 11"];
    for change in changes {
        let sql = format!("UPDATE segments SET {change}");
        let (_folder, store) = damaged(|raw| assert_eq!(raw.execute(&sql, []), Ok(1)));
        let mut reader = store.reader().expect("a reader");
        let error = reader.segment(JobId(4), LogKind::Input, 12).expect_err(change);
        assert!(place_of(&error).1.starts_with("table segments, job = 4, log = 0"), "{error}");
    }
}

#[test]
fn a_changed_meta_value_or_module_is_found_when_it_is_read() {
    let (_folder, store) = damaged(|raw| {
        flip(raw, "metas", "value", "key = 'key'");
        flip(raw, "modules", "bytes", "true");
    });
    let mut reader = store.reader().expect("a reader");
    assert_eq!(place_of(&reader.meta("key").expect_err("changed")).1, "table metas, key = key");
    reader.metas("k").expect_err("changed");
    let error = reader.module(Digest::of(b"module")).expect_err("changed");
    assert!(place_of(&error).1.contains(&Digest::of(b"module").to_string()), "{error}");
}

#[test]
fn a_file_cut_short_is_damaged_or_says_why_it_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let mut store = SqliteStore::open(&path).expect("opens");
    store.fence(Epoch(1)).expect("a new epoch");
    let text = "x".repeat(100_000);
    commit(&mut store, 1, records(&[&text])).expect("commits");
    drop(store);
    let file = std::fs::File::options().write(true).open(&path).expect("opens");
    file.set_len(40_960).expect("cuts");
    let result = SqliteStore::open(&path).and_then(|mut store| journal(&mut store));
    place_of(&result.expect_err("cut short"));
}
