//! What every store promises. A backend's tests are one line each: where its stores come from.

use bytes::Bytes;
use wasmgrid_proto::{Digest, Epoch, JobId, Seq};
use wasmgrid_store::{
    DATA_MAX, Entry, LogKind, MemoryStore, Snapshot, SqliteStore, Store, StoreError, memory,
};

use crate::support::{commit, journal, meta, read, records, segment};

/// A place that holds one store, which can be opened again and again.
pub trait Place {
    fn open(&self) -> Box<dyn Store>;
}

impl Place for MemoryStore {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.reopen())
    }
}

impl Place for tempfile::TempDir {
    fn open(&self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(self.path().join("store.db")).expect("opens"))
    }
}

/// Makes each promise a test of each backend.
macro_rules! promises {
    ($($name:ident)*) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name(&super::memory()); })*
        }
        mod in_a_file {
            $(#[test] fn $name() { super::$name(&tempfile::tempdir().expect("a folder")); })*
        }
    };
}

promises! {
    records_come_back_in_order_with_contiguous_numbers
    a_commit_without_records_keeps_the_last_number
    a_segment_is_found_by_any_of_its_positions
    a_second_segment_at_one_place_is_refused_with_its_whole_commit
    a_module_is_found_by_its_digest_and_may_be_stored_again
    metas_are_set_replaced_removed_and_listed_by_prefix
    a_higher_epoch_fences_a_lower_one
    an_epoch_is_never_held_twice
    nothing_commits_without_the_fence
    a_new_holder_goes_on_where_the_last_one_stopped
    a_reader_sees_what_was_committed_before_the_call
    replay_stops_at_the_callers_error
    what_cannot_be_stored_is_refused_and_changes_nothing
    a_snapshot_takes_the_place_of_the_records_it_covers
    a_snapshot_that_covers_what_it_cannot_is_refused_with_its_whole_commit
    dropped_segments_are_gone_and_the_others_stay
    dropped_keys_are_gone_and_the_others_stay
    sizes_are_those_of_the_segments_that_are_there
    a_dropped_module_is_gone_and_may_be_stored_again
}

fn fenced(place: &dyn Place, epoch: u64) -> Box<dyn Store> {
    let mut store = place.open();
    store.fence(Epoch(epoch)).expect("a new epoch");
    store
}

fn records_come_back_in_order_with_contiguous_numbers(place: &dyn Place) {
    let mut store = fenced(place, 1);
    assert_eq!(commit(&mut *store, 1, records(&["a", ""])).expect("commits"), Seq(2));
    assert_eq!(commit(&mut *store, 1, records(&["c"])).expect("commits"), Seq(3));
    let expected = [(1, "a"), (2, ""), (3, "c")].map(|(seq, text)| (seq, text.to_owned()));
    assert_eq!(journal(&mut *store).expect("whole"), expected);
    assert_eq!(journal(&mut *place.open()).expect("whole"), expected);
}

fn a_commit_without_records_keeps_the_last_number(place: &dyn Place) {
    let mut store = fenced(place, 1);
    assert_eq!(commit(&mut *store, 1, [meta("k", Some("v"))]).expect("commits"), Seq(0));
    commit(&mut *store, 1, records(&["a", "b"])).expect("commits");
    assert_eq!(commit(&mut *store, 1, []).expect("commits"), Seq(2));
}

fn a_segment_is_found_by_any_of_its_positions(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let entries = [
        segment(7, LogKind::Input, 0, 3, "first"),
        segment(7, LogKind::Input, 3, 2, "second"),
        segment(7, LogKind::Result, 0, 1, "result"),
        segment(8, LogKind::Input, 0, 9, "other job"),
    ];
    commit(&mut *store, 1, entries).expect("commits");
    let found: Vec<_> = (0..6).map(|k| read(&*store, 7, LogKind::Input, k)).collect();
    let expected = ["first", "first", "first", "second", "second"].map(|s| Some(s.to_owned()));
    assert_eq!(found[..5], expected);
    assert_eq!(found[5], None, "behind the last");
    assert_eq!(read(&*store, 7, LogKind::Result, 0).as_deref(), Some("result"));
    assert_eq!(read(&*store, 7, LogKind::Result, 1), None);
    assert_eq!(read(&*store, 9, LogKind::Input, 0), None, "no such job");
}

fn a_second_segment_at_one_place_is_refused_with_its_whole_commit(place: &dyn Place) {
    let mut store = fenced(place, 1);
    commit(&mut *store, 1, [segment(1, LogKind::Input, 5, 1, "kept")]).expect("commits");
    let mut again = records(&["never"]);
    again.extend([meta("never", Some("")), segment(1, LogKind::Input, 5, 2, "never")]);
    let error = commit(&mut *store, 1, again).expect_err("there is one");
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    assert_eq!(journal(&mut *store).expect("whole"), []);
    assert_eq!(read(&*store, 1, LogKind::Input, 5).as_deref(), Some("kept"));
    assert_eq!(store.reader().and_then(|mut r| r.meta("never")).expect("readable"), None);
    assert_eq!(commit(&mut *store, 1, records(&["next"])).expect("usable on"), Seq(1));
}

fn a_module_is_found_by_its_digest_and_may_be_stored_again(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let bytes = Bytes::from_static(b"\0asm and so on");
    let digest = Digest::of(&bytes);
    for _ in 0..2 {
        commit(&mut *store, 1, [Entry::Module { digest, bytes: bytes.clone() }]).expect("commits");
    }
    let mut reader = store.reader().expect("a reader");
    assert!(reader.has_module(digest).expect("readable"));
    assert_eq!(reader.module(digest).expect("readable"), Some(bytes));
    let other = Digest::of(b"other");
    assert!(!reader.has_module(other).expect("readable"));
    assert_eq!(reader.module(other).expect("readable"), None);
}

fn metas_are_set_replaced_removed_and_listed_by_prefix(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let set = ["token/2", "token/1", "Token/3", "tokem", "token0", "token/é"];
    commit(&mut *store, 1, set.map(|key| meta(key, Some(key)))).expect("commits");
    let changes = [meta("token/1", Some("new")), meta("token/2", None), meta("absent", None)];
    commit(&mut *store, 1, changes).expect("commits");
    let mut reader = store.reader().expect("a reader");
    assert_eq!(reader.meta("token/1").expect("readable").as_deref(), Some(&b"new"[..]));
    assert_eq!(reader.meta("token/2").expect("readable"), None);
    let found = reader.metas("token/").expect("readable");
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["token/1", "token/é"]);
    assert_eq!(reader.metas("").expect("readable").len(), 5);
}

fn a_higher_epoch_fences_a_lower_one(place: &dyn Place) {
    let mut old = fenced(place, 1);
    commit(&mut *old, 1, records(&["old"])).expect("holds the fence");
    let mut new = fenced(place, 2);
    let error = commit(&mut *old, 1, records(&["late"])).expect_err("fenced");
    let (epoch, newest) = (Epoch(1), Epoch(2));
    assert!(
        matches!(error, StoreError::Fenced { epoch: e, newest: n } if (e, n) == (epoch, newest)),
        "{error:?}"
    );
    old.fence(Epoch(1)).expect_err("not again");
    commit(&mut *new, 2, records(&["new"])).expect("holds the fence");
    assert_eq!(journal(&mut *new).expect("whole").len(), 2);
}

fn an_epoch_is_never_held_twice(place: &dyn Place) {
    let mut first = fenced(place, 3);
    first.fence(Epoch(3)).expect("its own, again");
    let mut second = place.open();
    let error = second.fence(Epoch(3)).expect_err("taken");
    assert!(matches!(error, StoreError::Fenced { .. }), "{error:?}");
    second.commit(Epoch(3), &wasmgrid_store::Commit::default()).expect_err("not its own");
}

fn nothing_commits_without_the_fence(place: &dyn Place) {
    let mut store = place.open();
    for epoch in [0, 1] {
        let error = commit(&mut *store, epoch, records(&["a"])).expect_err("no fence");
        assert!(matches!(error, StoreError::Fenced { .. }), "{error:?}");
    }
    assert_eq!(journal(&mut *store).expect("whole"), []);
}

fn a_new_holder_goes_on_where_the_last_one_stopped(place: &dyn Place) {
    let mut second = place.open();
    let mut first = fenced(place, 1);
    commit(&mut *first, 1, records(&["a", "b"])).expect("commits");
    second.fence(Epoch(2)).expect("a new epoch");
    assert_eq!(commit(&mut *second, 2, records(&["c"])).expect("commits"), Seq(3));
}

fn a_reader_sees_what_was_committed_before_the_call(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let mut reader = store.reader().expect("a reader");
    assert_eq!(reader.segment(JobId(1), LogKind::Input, 0).expect("readable"), None);
    commit(&mut *store, 1, [segment(1, LogKind::Input, 0, 1, "now")]).expect("commits");
    store.idle().expect("housekeeping");
    let seen = std::thread::scope(|scope| {
        let read = scope.spawn(move || reader.segment(JobId(1), LogKind::Input, 0));
        read.join().expect("no panic").expect("readable")
    });
    assert_eq!(seen.map(|segment| segment.data), Some(Bytes::from_static(b"now")));
}

fn replay_stops_at_the_callers_error(place: &dyn Place) {
    let mut store = fenced(place, 1);
    commit(&mut *store, 1, records(&["a", "b", "c"])).expect("commits");
    let mut calls = 0;
    let error = store
        .replay(&mut |seq, _| {
            calls += 1;
            if seq == Seq(2) { Err(StoreError::Invalid("enough".into())) } else { Ok(()) }
        })
        .expect_err("the caller's");
    assert_eq!((calls, error.to_string().contains("enough")), (2, true));
}

fn what_cannot_be_stored_is_refused_and_changes_nothing(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let too_large = Bytes::from(vec![0; DATA_MAX + 1]);
    let bad = [
        segment(1, LogKind::Input, 0, 0, "no positions"),
        segment(1, LogKind::Input, u64::MAX, 1, "behind the last number"),
        Entry::Record(too_large),
    ];
    for entry in bad {
        let entries = records(&["never"]).into_iter().chain([entry]);
        let error = commit(&mut *store, 1, entries).expect_err("refused");
        assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    }
    assert_eq!(journal(&mut *store).expect("whole"), []);
}

fn snapshot(covers: u64, parts: &[&'static str]) -> Entry {
    let parts = parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect();
    Entry::Snapshot(Snapshot { covers: Seq(covers), parts })
}

fn a_snapshot_takes_the_place_of_the_records_it_covers(place: &dyn Place) {
    let mut store = fenced(place, 1);
    assert_eq!(store.reader().and_then(|mut r| r.snapshot()).expect("readable"), None);
    commit(&mut *store, 1, records(&["a", "b"])).expect("commits");
    commit(&mut *store, 1, records(&["c"])).expect("commits");
    // What is committed with it stands behind it.
    let mut with = records(&["d"]);
    with.push(snapshot(2, &["one", "", "three"]));
    assert_eq!(commit(&mut *store, 1, with).expect("commits"), Seq(4));
    let tail = [(3, "c"), (4, "d")].map(|(seq, text)| (seq, text.to_owned()));
    for store in [&mut store, &mut place.open()] {
        let mut reader = store.reader().expect("a reader");
        let found = reader.snapshot().expect("readable").expect("there is one");
        assert_eq!((found.covers, found.parts.concat()), (Seq(2), b"onethree".to_vec()));
        assert_eq!(journal(&mut **store).expect("whole"), tail);
        let mut seen = 0;
        let mut each = |_: Seq, _: &[u8]| {
            seen += 1;
            Ok(())
        };
        reader.replay(&mut each).expect("whole");
        assert_eq!(seen, 2);
    }
    commit(&mut *store, 1, [snapshot(4, &["all"])]).expect("commits");
    assert_eq!(journal(&mut *store).expect("whole"), []);
    drop(store);
    let mut next = fenced(place, 2);
    assert_eq!(commit(&mut *next, 2, records(&["e"])).expect("commits"), Seq(5));
    assert_eq!(journal(&mut *next).expect("whole"), [(5, "e".to_owned())]);
}

fn a_snapshot_that_covers_what_it_cannot_is_refused_with_its_whole_commit(place: &dyn Place) {
    let mut store = fenced(place, 1);
    commit(&mut *store, 1, records(&["a", "b"])).expect("commits");
    commit(&mut *store, 1, [snapshot(2, &["ab"])]).expect("commits");
    commit(&mut *store, 1, records(&["c"])).expect("commits");
    for bad in [snapshot(4, &["ahead"]), snapshot(2, &["again"]), snapshot(3, &[])] {
        let entries = [meta("never", Some("")), bad];
        let error = commit(&mut *store, 1, entries).expect_err("refused");
        assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    }
    let mut reader = store.reader().expect("a reader");
    assert_eq!(reader.meta("never").expect("readable"), None);
    assert_eq!(reader.snapshot().expect("readable").expect("there").covers, Seq(2));
    assert_eq!(journal(&mut *store).expect("whole"), [(3, "c".to_owned())]);
}

fn drop_segments(job: u64, log: LogKind, first: u64, end: u64) -> Entry {
    Entry::DropSegments { job: JobId(job), log, first, end }
}

fn dropped_segments_are_gone_and_the_others_stay(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let three = [(0, "a"), (2, "b"), (4, "c")]
        .map(|(first, text)| segment(1, LogKind::Result, first, 2, text));
    commit(&mut *store, 1, three).expect("commits");
    let others = [segment(1, LogKind::Input, 0, 2, "in"), segment(2, LogKind::Result, 0, 2, "x")];
    commit(&mut *store, 1, others).expect("commits");
    // Only what lies wholly inside goes.
    commit(&mut *store, 1, [drop_segments(1, LogKind::Result, 1, 5)]).expect("commits");
    let left = |store: &dyn Store| {
        [0, 2, 4].map(|position| read(store, 1, LogKind::Result, position).unwrap_or_default())
    };
    assert_eq!(left(&*store), ["a", "", "c"]);
    commit(&mut *store, 1, [drop_segments(1, LogKind::Result, 0, u64::MAX)]).expect("commits");
    assert_eq!(left(&*store), ["", "", ""]);
    assert_eq!(read(&*store, 1, LogKind::Input, 1).as_deref(), Some("in"));
    assert_eq!(read(&*store, 2, LogKind::Result, 1).as_deref(), Some("x"));
    commit(&mut *store, 1, [drop_segments(9, LogKind::Input, 0, 1)]).expect("harmless");
    // In one commit the order counts.
    let again = [segment(3, LogKind::Input, 0, 1, "x"), drop_segments(3, LogKind::Input, 0, 1)];
    commit(&mut *store, 1, again).expect("commits");
    assert_eq!(read(&*store, 3, LogKind::Input, 0), None);
}

fn dropped_keys_are_gone_and_the_others_stay(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let set = |key: &str| Entry::Meta { key: key.into(), value: Some(Bytes::from_static(b"x")) };
    let drop_all = |prefix: &str| Entry::DropMetas { prefix: prefix.into() };
    commit(&mut *store, 1, ["a/1", "a/2", "a", "A/1", "b/1"].map(set)).expect("commits");
    commit(&mut *store, 1, [drop_all("a/"), drop_all("none")]).expect("commits");
    let left = place.open().reader().and_then(|mut reader| reader.metas("")).expect("readable");
    assert_eq!(left.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["A/1", "a", "b/1"]);
    commit(&mut *store, 1, [drop_all("")]).expect_err("that would be all of them");
}

fn sizes_are_those_of_the_segments_that_are_there(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let sizes = |store: &dyn Store| {
        let found = store.reader().and_then(|mut reader| reader.sizes()).expect("readable");
        found.iter().map(|size| (size.job.0, size.log, size.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&*store), []);
    let entries = [
        segment(1, LogKind::Result, 0, 2, "four"),
        segment(1, LogKind::Result, 2, 1, "sixsix"),
        segment(1, LogKind::Input, 0, 3, "in"),
    ];
    commit(&mut *store, 1, entries).expect("commits");
    commit(&mut *store, 1, [segment(1, LogKind::Result, 3, 1, "x")]).expect("commits");
    assert_eq!(sizes(&*store), [(1, LogKind::Input, 2), (1, LogKind::Result, 11)]);
    let mut reader = store.reader().expect("a reader");
    let mut after = |bytes| reader.position_after(JobId(1), LogKind::Result, bytes).expect("read");
    assert_eq!([0, 1, 4, 5, 99].map(&mut after), [0, 0, 2, 2, 4]);
    commit(&mut *store, 1, [drop_segments(1, LogKind::Result, 0, 3)]).expect("commits");
    commit(&mut *store, 1, [drop_segments(1, LogKind::Input, 0, 3)]).expect("commits");
    assert_eq!(sizes(&*place.open()), [(1, LogKind::Result, 1)]);
}

fn a_dropped_module_is_gone_and_may_be_stored_again(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let bytes = Bytes::from_static(b"module");
    let digest = Digest::of(&bytes);
    let module = Entry::Module { digest, bytes };
    let mut reader = store.reader().expect("a reader");
    for _ in 0..2 {
        commit(&mut *store, 1, [module.clone()]).expect("commits");
        assert!(reader.has_module(digest).expect("readable"));
        commit(&mut *store, 1, [Entry::DropModule { digest }]).expect("commits");
        assert!(!reader.has_module(digest).expect("readable"));
    }
}
