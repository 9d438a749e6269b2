//! The bytes on disk: what this version writes is what it will always be able to read.

use std::{fmt::Write, path::PathBuf};

use rusqlite::{Connection, types::ValueRef};
use wasmgrid_proto::{Digest, Epoch, JobId, Seq};
use wasmgrid_store::{Entry, LogKind, Snapshot, SqliteStore, StagedId, Store};

use crate::support::{commit, journal, meta, read, records, segment};

const GOLDEN: &str = include_str!("../golden/version1.sql");

fn golden_commits(store: &mut dyn Store) {
    store.fence(Epoch(1)).expect("a new epoch");
    let mut first = records(&["one", ""]);
    first.push(segment(1, LogKind::Input, 0, 2, "inputs"));
    commit(store, 1, first).expect("commits");
    store.fence(Epoch(2)).expect("a new epoch");
    let module = Entry::Module { digest: Digest::of(b"module"), bytes: b"module"[..].into() };
    let staged = |number, bytes: &'static [u8]| {
        let staged = StagedId { epoch: Epoch(2), number };
        (staged, Entry::Stage { staged, piece: 0, bytes: bytes.into() })
    };
    let (at, stage) = staged(0, b"staged module");
    commit(
        store,
        2,
        [stage, Entry::StagedModule { digest: Digest::of(b"staged module"), staged: at }],
    )
    .expect("commits");
    let (at, stage) = staged(1, b"staged inputs");
    let Entry::Segment(part) = segment(1, LogKind::Input, 2, 1, "staged inputs") else {
        unreachable!("it is a segment");
    };
    commit(store, 2, [stage, Entry::StagedSegment { segment: part, staged: at }]).expect("commits");
    let mut second = records(&["three"]);
    second.extend([
        segment(1, LogKind::Result, 0, 1, "result"),
        meta("key", Some("value")),
        module,
    ]);
    commit(store, 2, second).expect("commits");
    let parts = vec![b"snapshot"[..].into(), b"in parts"[..].into()];
    let snapshot = Entry::Snapshot(Snapshot { covers: Seq(2), parts });
    commit(store, 2, [snapshot, audit("act")]).expect("commits");
}

fn audit(text: &'static str) -> Entry {
    Entry::Audit(text.as_bytes().into())
}

/// The whole database as SQL, in a fixed order.
fn dump(connection: &Connection) -> String {
    let mut out = String::new();
    for pragma in ["application_id", "user_version"] {
        let value: i64 =
            connection.pragma_query_value(None, pragma, |row| row.get(0)).expect("reads");
        writeln!(out, "PRAGMA {pragma} = {value};").expect("writes");
    }
    let schema =
        texts(connection, "SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY rowid");
    for sql in schema {
        writeln!(out, "{sql};").expect("writes");
    }
    for table in
        texts(connection, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
    {
        dump_rows(connection, &table, &mut out);
    }
    out
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("prepares");
    let rows = statement.query_map([], |row| row.get(0)).expect("queries");
    rows.map(|text| text.expect("reads")).collect()
}

fn dump_rows(connection: &Connection, table: &str, out: &mut String) {
    let mut statement =
        connection.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")).expect("prepares");
    let columns = statement.column_count();
    let mut rows = statement.query([]).expect("queries");
    while let Some(row) = rows.next().expect("reads") {
        let values: Vec<String> =
            (0..columns).map(|column| literal(row.get_ref(column).expect("reads"))).collect();
        writeln!(out, "INSERT INTO {table} VALUES ({});", values.join(", ")).expect("writes");
    }
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{digits}'")
        }
        ValueRef::Null => "NULL".into(),
        other => panic!("no such value is stored: {other:?}"),
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    (folder, path)
}

#[test]
fn what_is_written_is_the_golden_format() {
    let (_folder, path) = folder();
    golden_commits(&mut SqliteStore::open(&path).expect("opens"));
    let written = dump(&Connection::open(&path).expect("opens"));
    if std::env::var_os("BLESS").is_some() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/version1.sql");
        std::fs::write(golden, &written).expect("writes");
    } else {
        assert_eq!(written, GOLDEN, "the format changed: give it a new version");
    }
}

/// A store with what some version wrote.
fn golden(sql: &str) -> (tempfile::TempDir, SqliteStore) {
    let (folder, path) = folder();
    let raw = Connection::open(&path).expect("opens");
    raw.execute_batch(sql).expect("is SQL");
    drop(raw);
    (folder, SqliteStore::open(&path).expect("opens"))
}

fn check_rest(store: &mut SqliteStore) {
    assert_eq!(read(store, 1, LogKind::Input, 1).as_deref(), Some("inputs"));
    assert_eq!(read(store, 1, LogKind::Input, 2).as_deref(), Some("staged inputs"));
    assert_eq!(read(store, 1, LogKind::Result, 0).as_deref(), Some("result"));
    let mut reader = store.reader().expect("a reader");
    assert_eq!(reader.segment(JobId(2), LogKind::Input, 0).expect("readable"), None);
    assert_eq!(reader.meta("key").expect("readable").as_deref(), Some(&b"value"[..]));
    let module = reader.module(Digest::of(b"module")).expect("readable");
    assert_eq!(module.as_deref(), Some(&b"module"[..]));
    let sizes: Vec<u64> = reader.sizes().expect("readable").iter().map(|s| s.bytes).collect();
    assert_eq!(sizes, [19, 6]);
    let module = reader.module(Digest::of(b"staged module")).expect("readable");
    assert_eq!(module.as_deref(), Some(&b"staged module"[..]));
    assert!(store.fence(Epoch(2)).is_err(), "the fence is part of the format");
}

fn check_journal(store: &mut SqliteStore) {
    let snapshot = store.reader().and_then(|mut reader| reader.snapshot()).expect("readable");
    let snapshot = snapshot.expect("there is one");
    assert_eq!((snapshot.covers, snapshot.parts.concat()), (Seq(2), b"snapshotin parts".to_vec()));
    assert_eq!(journal(store).expect("whole"), [(3, "three".to_owned())]);
}

#[test]
fn the_golden_format_is_read() {
    let (_folder, mut store) = golden(GOLDEN);
    check_journal(&mut store);
    check_rest(&mut store);
    let audits = store.reader().and_then(|mut reader| reader.audits(0, 9)).expect("readable");
    assert_eq!(audits, [(1, b"act"[..].into())]);
}
