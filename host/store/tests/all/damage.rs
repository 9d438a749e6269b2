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
    assert_eq!(place_of(&error).0, "the journal continues with record 5 instead of 3");
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
fn a_changed_audit_entry_is_found_when_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = SqliteStore::open(folder.path().join("store.db")).expect("opens");
    store.fence(Epoch(1)).expect("a new epoch");
    let audits = ["a", "b"].map(|text| Entry::Audit(text.as_bytes().into()));
    commit(&mut store, 1, audits).expect("commits");
    let raw = Connection::open(store.path()).expect("opens");
    let mut reader = store.reader().expect("a reader");
    flip(&raw, "audits", "entry", "number = 2");
    let error = reader.audits(0, 9).expect_err("changed");
    assert_eq!(place_of(&error).1, "table audits, number = 2");
    // Who takes one out, so that the next seems to be it, is found too.
    raw.execute("DELETE FROM audits WHERE number = 2", []).expect("changes");
    raw.execute("UPDATE audits SET number = 3", []).expect("changes");
    let error = reader.audits(0, 9).expect_err("renumbered");
    assert_eq!(place_of(&error).1, "table audits, number = 3");
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

/// A store of ten commits that were never copied out of the WAL, as a killed process leaves it;
/// `change` gets the WAL.
fn killed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<(u64, String)>, StoreError> {
    let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    let path = from.path().join("store.db");
    let mut store = SqliteStore::open(&path).expect("opens");
    store.fence(Epoch(1)).expect("a new epoch");
    for number in 0..10 {
        commit(&mut store, 1, records(&[&number.to_string()])).expect("commits");
    }
    let mut wal = std::fs::read(from.path().join("store.db-wal")).expect("there");
    change(&mut wal);
    std::fs::copy(&path, to.path().join("store.db")).expect("copied");
    std::fs::write(to.path().join("store.db-wal"), wal).expect("written");
    SqliteStore::open(to.path().join("store.db")).and_then(|mut store| journal(&mut store))
}

#[test]
fn a_torn_tail_is_cut_and_all_before_it_is_there() {
    assert_eq!(killed(|_| ()).expect("whole").len(), 10);
    for torn in [1, 100, 4_000] {
        let found = killed(|wal| wal.truncate(wal.len() - torn)).expect("opens");
        assert_eq!(found.len(), 9, "{torn} bytes less");
    }
    let found = killed(|wal| {
        let middle = wal.len() - 2_000;
        wal[middle] ^= 1;
    });
    assert_eq!(found.expect("opens").len(), 9, "the last commit is torn");
    let found = killed(|wal| wal.extend([7; 5_000])).expect("opens");
    assert_eq!(found.len(), 10, "what follows the last commit is nothing");
}

#[test]
fn a_flipped_bit_in_the_wal_before_the_last_commit_is_damage_with_its_place() {
    let mut frames = std::collections::BTreeSet::new();
    for part in 1..8 {
        let error = killed(|wal| {
            let at = wal.len() * part / 10;
            wal[at] ^= 1;
        })
        .expect_err("damaged");
        let place = place_of(&error).1.to_owned();
        assert!(place.contains("store.db-wal, frame "), "{place}");
        frames.insert(place.rsplit(' ').next().map(str::to_owned));
    }
    assert_eq!(frames.len(), 7, "each in its frame");
    let error = killed(|wal| wal[12] ^= 1).expect_err("the header");
    assert!(place_of(&error).1.ends_with("store.db-wal"), "{error}");
}

/// The WAL after one more commit to the store that `folder` has a copy of, made and left there by a
/// process that was killed.
fn one_more(folder: &TempDir, text: &str) -> Vec<u8> {
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["store.db", "store.db-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copied");
    }
    let mut store = SqliteStore::open(copy.path().join("store.db")).expect("opens");
    store.fence(Epoch(2)).expect("a new epoch");
    commit(&mut store, 2, records(&[text])).expect("commits");
    std::fs::read(copy.path().join("store.db-wal")).expect("there")
}

#[test]
fn two_torn_commits_one_upon_the_other_are_no_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let mut store = SqliteStore::open(&path).expect("opens");
    store.fence(Epoch(1)).expect("a new epoch");
    commit(&mut store, 1, records(&["kept"])).expect("commits");
    let kept = std::fs::read(folder.path().join("store.db-wal")).expect("there").len();
    // The first power loss tears the long one, so that the short one is written upon it.
    let (long, short) =
        (one_more(&folder, &"l".repeat(100_000)), one_more(&folder, &"s".repeat(9_000)));
    assert_eq!(long[..kept], short[..kept], "both go on from the same place");
    let torn_behind = (kept..short.len()).step_by(500);
    for torn in torn_behind {
        let mut wal = [&short[..], &long[short.len()..]].concat();
        // The second tears the short one: a sector of it was not written.
        let sector = torn..(torn + 512).min(short.len());
        wal[sector.clone()].copy_from_slice(&long[sector]);
        let to = tempfile::tempdir().expect("a folder");
        std::fs::copy(&path, to.path().join("store.db")).expect("copied");
        std::fs::write(to.path().join("store.db-wal"), wal).expect("written");
        let found = SqliteStore::open(to.path().join("store.db"))
            .and_then(|mut store| journal(&mut store))
            .unwrap_or_else(|error| panic!("torn at {torn}: {error}"));
        assert_eq!(found[0].1, "kept");
    }
}

#[test]
fn a_changed_snapshot_is_found_and_its_part_named() {
    for change in ["data = x'00'", "covers = 5", "parts = 3", "sum = x'00'"] {
        let (_folder, mut store) = damaged(|_| ());
        let snapshot = wasmgrid_store::Snapshot {
            covers: wasmgrid_proto::Seq(4),
            parts: vec![b"one"[..].into(), b"two"[..].into()],
        };
        store.fence(Epoch(2)).expect("a new epoch");
        commit(&mut store, 2, [Entry::Snapshot(snapshot)]).expect("commits");
        let raw = Connection::open(store.path()).expect("opens");
        let sql = format!("UPDATE snapshot SET {change} WHERE part = 1");
        assert_eq!(raw.execute(&sql, []), Ok(1));
        let error = store.reader().and_then(|mut r| r.snapshot()).expect_err(change);
        assert!(place_of(&error).0.contains("part 1"), "{error}");
    }
}
