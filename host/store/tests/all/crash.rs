//! A process that dies in the middle of a commit leaves whole commits only.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use wasmgrid_proto::{Epoch, Seq};
use wasmgrid_store::{Entry, LogKind, Snapshot, SqliteStore, StagedId, Store};

use crate::support::{commit, journal, meta, read, records, segment};

/// Names the store to a child process, which is this test binary again.
const CHILD: &str = "WASMGRID_STORE_CRASH_CHILD";

/// How often a child is killed; each time somewhere else in a commit.
const ROUNDS: u64 = 8;

/// Each commit: these records, two segments, one of them staged before, and a meta value, all with the
/// commit's number.
const RECORDS: u64 = 3;

/// Not a test by itself: what the child does until it is killed.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut store = SqliteStore::open(path).expect("opens");
    let before = last(&mut store) / RECORDS;
    // The parent took an epoch after the last child.
    let epoch = 2 * before + 2;
    store.fence(Epoch(epoch)).expect("a new epoch");
    let filler = "x".repeat(50_000);
    for number in before.. {
        let text = format!("{number}");
        let staged = StagedId { epoch: Epoch(epoch), number };
        for at in 0..PIECES as u32 {
            let stage = Entry::Stage { staged, piece: at, bytes: piece(number).into() };
            commit(&mut store, epoch, [stage]).expect("commits");
        }
        let mut entries = records(&[&text, &text, &text]);
        let Entry::Segment(inputs) =
            segment(1, LogKind::Input, number, 1, &piece(number).repeat(PIECES))
        else {
            unreachable!("it is a segment");
        };
        entries.push(Entry::StagedSegment { segment: inputs, staged });
        entries.push(segment(1, LogKind::Result, number, 1, &format!("{number} {filler}")));
        entries.push(meta("last", Some(&text)));
        // Every other commit covers the records of all before it.
        if number % 2 == 1 {
            let parts = vec![text.clone().into_bytes().into()];
            let covers = Seq(number * RECORDS);
            entries.push(Entry::Snapshot(Snapshot { covers, parts }));
        }
        commit(&mut store, epoch, entries).expect("commits");
        println!("committed {number}");
        std::io::stdout().flush().expect("the parent reads");
    }
}

/// In so many pieces data is staged.
const PIECES: usize = 3;

fn piece(number: u64) -> String {
    format!("{number} ").repeat(10_000)
}

/// The last record, which the snapshot and the records behind it lead to without a gap.
fn last(store: &mut SqliteStore) -> u64 {
    let snapshot = store.reader().and_then(|mut reader| reader.snapshot()).expect("whole");
    let mut last = snapshot.map_or(0, |snapshot| {
        let number: u64 =
            String::from_utf8_lossy(&snapshot.parts[0]).parse().expect("a commit's number");
        assert_eq!(snapshot.covers.0, number * RECORDS, "the snapshot of its own commit");
        snapshot.covers.0
    });
    for (seq, text) in journal(store).expect("whole") {
        assert_eq!(seq, last + 1);
        assert_eq!(text, ((seq - 1) / RECORDS).to_string());
        last = seq;
    }
    last
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "crash::child_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// Kills a child once it has said `commits` times that it committed; returns the last number.
fn kill_after(path: &Path, commits: u64) -> u64 {
    let mut child = start(path);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut said = || loop {
        let line = lines.next().expect("the child goes on").expect("text");
        if let Some((_, number)) = line.split_once("committed ") {
            return number.parse::<u64>().expect("a number");
        }
    };
    let acknowledged = (0..commits).map(|_| said()).last().expect("more than 0");
    child.kill().expect("kills");
    child.wait().expect("ends");
    acknowledged
}

#[test]
fn a_killed_process_leaves_whole_commits_and_all_it_had_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    for round in 1..=ROUNDS {
        let acknowledged = kill_after(&path, round);
        let mut store = SqliteStore::open(&path).expect("opens");
        let records = last(&mut store);
        let commits = records / RECORDS;
        assert_eq!(records, commits * RECORDS, "a commit was torn");
        assert!(commits > acknowledged, "an acknowledged commit is gone");
        for number in 0..commits {
            let found = read(&store, 1, LogKind::Result, number).expect("goes with its records");
            assert!(found.starts_with(&format!("{number} ")));
            let found = read(&store, 1, LogKind::Input, number).expect("goes with its records");
            assert!(found == piece(number).repeat(PIECES), "what was staged is whole");
        }
        assert_eq!(read(&store, 1, LogKind::Input, commits), None, "no segment without records");
        assert_eq!(read(&store, 1, LogKind::Result, commits), None, "no segment without records");
        let last = store.reader().and_then(|mut reader| reader.meta("last")).expect("readable");
        assert_eq!(last.as_deref(), Some((commits - 1).to_string().as_bytes()));
        store.fence(Epoch(2 * commits + 1)).expect("a new epoch");
        let raw = rusqlite::Connection::open(&path).expect("opens");
        let sql = "SELECT count(*) FROM (SELECT DISTINCT epoch, number FROM staged)";
        let staged: i64 = raw.query_row(sql, [], |row| row.get(0)).expect("readable");
        assert_eq!(staged.cast_unsigned(), commits, "what no record names is gone");
    }
}
