//! The promises of every store, as functions that the tests of a backend run:
//! [`conformance!`](crate::conformance!) generates a test of each. Only with the feature `conformance`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a promise that does not hold is a test that fails"
)]

mod doubt;

use bytes::Bytes;
use wasmgrid_proto::{Digest, Epoch, JobId, Seq};

use crate::{
    Commit, DATA_MAX, Entry, Fault, LogKind, LogSize, MemoryStore, Segment, Snapshot, StagedId,
    Store, StoreError,
};
pub use doubt::*;

/// A place that holds one store, which can be opened again and again, also while it is open.
pub trait Place {
    /// One more handle of the store that is there.
    fn open(&self) -> Box<dyn Store>;

    /// The next try of any handle to write a group meets this fault; several wait for their turn.
    fn plan(&self, fault: Fault);
}

impl Place for MemoryStore {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.reopen())
    }

    fn plan(&self, fault: Fault) {
        self.faults().plan(fault);
    }
}

/// Generates one test per promise. Each test evaluates the expression to get a fresh [`Place`].
#[macro_export]
macro_rules! conformance {
    ($place:expr) => {
        $crate::conformance! { @ $place;
            records_come_back_in_order_with_contiguous_numbers
            a_commit_without_records_keeps_the_last_number
            a_segment_is_found_by_any_of_its_positions
            a_segment_in_two_parts_comes_back_whole
            a_second_segment_at_one_place_is_refused_with_its_whole_commit
            a_module_is_found_by_its_digest_and_may_be_stored_again
            modules_are_listed_by_digest
            metas_are_set_replaced_removed_and_listed_by_prefix
            a_higher_epoch_fences_a_lower_one
            an_epoch_is_never_held_twice
            nothing_commits_without_the_fence
            a_new_holder_goes_on_where_the_last_one_stopped
            a_reader_sees_what_was_committed_before_the_call
            segments_are_listed_in_order_over_gaps
            replay_stops_at_the_callers_error
            what_cannot_be_stored_is_refused_and_changes_nothing
            a_snapshot_takes_the_place_of_the_records_it_covers
            a_snapshot_that_covers_what_it_cannot_is_refused_with_its_whole_commit
            dropped_segments_are_gone_and_the_others_stay
            large_segments_are_gone_once_dropped_and_deleted_in_parts
            dropped_keys_are_gone_and_the_others_stay
            sizes_are_those_of_the_segments_that_are_there
            a_dropped_module_is_gone_and_may_be_stored_again
            a_commit_whose_answer_was_lost_is_found_and_not_made_again
            a_commit_that_failed_is_made_once
            a_store_that_gives_no_answer_leaves_the_doubt_until_it_does
            while_a_commit_is_in_doubt_no_other_is_made
            a_group_without_records_is_resolved_too
            a_fence_ends_a_doubt
            without_a_doubt_there_is_nothing_to_resolve
            a_staged_module_is_there_once_a_commit_names_it
            what_was_staged_and_never_named_goes_with_its_epoch
            a_staged_segment_is_as_one_that_was_written_at_once
            audit_entries_are_numbered_and_listed_in_pages
            audit_entries_go_from_the_oldest_on_and_no_number_is_given_twice
            an_audit_entry_is_there_if_its_commit_is
        }
    };
    (@ $place:expr; $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $crate::conformance::$name(&$place);
        })*
    };
}

fn fenced(place: &dyn Place, epoch: u64) -> Box<dyn Store> {
    let mut store = place.open();
    store.fence(Epoch(epoch)).expect("a new epoch");
    store
}

/// Records come back in order with contiguous numbers.
pub fn records_come_back_in_order_with_contiguous_numbers(place: &dyn Place) {
    let mut store = fenced(place, 1);
    assert_eq!(commit(&mut *store, 1, records(&["a", ""])).expect("commits"), Seq(2));
    assert_eq!(commit(&mut *store, 1, records(&["c"])).expect("commits"), Seq(3));
    let expected = [(1, "a"), (2, ""), (3, "c")].map(|(seq, text)| (seq, text.to_owned()));
    assert_eq!(journal(&mut *store).expect("whole"), expected);
    assert_eq!(journal(&mut *place.open()).expect("whole"), expected);
}

/// A commit without records keeps the last number.
pub fn a_commit_without_records_keeps_the_last_number(place: &dyn Place) {
    let mut store = fenced(place, 1);
    assert_eq!(commit(&mut *store, 1, [meta("k", Some("v"))]).expect("commits"), Seq(0));
    commit(&mut *store, 1, records(&["a", "b"])).expect("commits");
    assert_eq!(commit(&mut *store, 1, []).expect("commits"), Seq(2));
}

/// A segment in two parts comes back whole.
pub fn a_segment_in_two_parts_comes_back_whole(place: &dyn Place) {
    let mut store = fenced(place, 1);
    // One that has room in a page, and one that has many.
    for (first, bytes) in [(0, 100), (1, 300_000)] {
        let data: Bytes = (0..bytes).map(|at: u32| at.to_le_bytes()[first as usize]).collect();
        let (job, log, head) = (JobId(1), LogKind::Input, Bytes::from_static(b"head"));
        let segment = Segment { job, log, first, count: 1, head: head.clone(), data: data.clone() };
        commit(&mut *store, 1, [Entry::Segment(segment)]).expect("commits");
        let mut reader = place.open().reader().expect("a reader");
        let found = reader.segment(job, log, first).expect("readable").expect("there");
        let (found, written) = ([found.head, found.data].concat(), [head, data].concat());
        assert!(found == written, "segment {first} is not as it was written");
    }
}

/// A segment is found by any of its positions.
pub fn a_segment_is_found_by_any_of_its_positions(place: &dyn Place) {
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

/// A second segment at one place is refused with its whole commit.
pub fn a_second_segment_at_one_place_is_refused_with_its_whole_commit(place: &dyn Place) {
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

/// A module is found by its digest and may be stored again.
pub fn a_module_is_found_by_its_digest_and_may_be_stored_again(place: &dyn Place) {
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

/// Metas are set replaced removed and listed by prefix.
pub fn metas_are_set_replaced_removed_and_listed_by_prefix(place: &dyn Place) {
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
    let sizes = reader.meta_sizes("token/").expect("readable");
    assert_eq!(sizes, [("token/1".into(), 3), ("token/é".into(), 8)]);
}

/// A higher epoch fences a lower one.
pub fn a_higher_epoch_fences_a_lower_one(place: &dyn Place) {
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

/// An epoch is never held twice.
pub fn an_epoch_is_never_held_twice(place: &dyn Place) {
    let mut first = fenced(place, 3);
    first.fence(Epoch(3)).expect("its own, again");
    let mut second = place.open();
    let error = second.fence(Epoch(3)).expect_err("taken");
    assert!(matches!(error, StoreError::Fenced { .. }), "{error:?}");
    second.commit(Epoch(3), &Commit::default()).expect_err("not its own");
}

/// Nothing commits without the fence.
pub fn nothing_commits_without_the_fence(place: &dyn Place) {
    let mut store = place.open();
    for epoch in [0, 1] {
        let error = commit(&mut *store, epoch, records(&["a"])).expect_err("no fence");
        assert!(matches!(error, StoreError::Fenced { .. }), "{error:?}");
    }
    assert_eq!(journal(&mut *store).expect("whole"), []);
}

/// A new holder goes on where the last one stopped.
pub fn a_new_holder_goes_on_where_the_last_one_stopped(place: &dyn Place) {
    let mut second = place.open();
    let mut first = fenced(place, 1);
    commit(&mut *first, 1, records(&["a", "b"])).expect("commits");
    second.fence(Epoch(2)).expect("a new epoch");
    assert_eq!(commit(&mut *second, 2, records(&["c"])).expect("commits"), Seq(3));
}

/// A reader sees what was committed before the call.
pub fn a_reader_sees_what_was_committed_before_the_call(place: &dyn Place) {
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

/// Modules are listed by digest.
pub fn modules_are_listed_by_digest(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let list = |store: &dyn Store| store.reader().and_then(|mut reader| reader.modules());
    assert_eq!(list(&*store).expect("readable"), []);
    let modules = [&b"one"[..], b"two", b"three"].map(Bytes::from_static);
    let mut digests = modules.each_ref().map(|bytes| Digest::of(bytes));
    for (digest, bytes) in digests.into_iter().zip(modules) {
        commit(&mut *store, 1, [Entry::Module { digest, bytes }]).expect("commits");
    }
    digests.sort_unstable();
    assert_eq!(list(&*place.open()).expect("readable"), digests);
    commit(&mut *store, 1, [Entry::DropModule { digest: digests[1] }]).expect("commits");
    assert_eq!(list(&*store).expect("readable"), [digests[0], digests[2]]);
}

/// Segments are listed in order over gaps.
pub fn segments_are_listed_in_order_over_gaps(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let entries = [
        segment(1, LogKind::Input, 9, 3, "third"),
        segment(1, LogKind::Input, 2, 2, "first"),
        segment(1, LogKind::Input, 4, 1, "second"),
        segment(1, LogKind::Result, 0, 99, "another log"),
        segment(2, LogKind::Input, 0, 99, "another job"),
    ];
    commit(&mut *store, 1, entries).expect("commits");
    let mut reader = store.reader().expect("a reader");
    let mut list = |from: u64| {
        let (mut position, mut found) = (from, Vec::new());
        while let Some(segment) =
            reader.segment_from(JobId(1), LogKind::Input, position).expect("readable")
        {
            position = segment.first + segment.count;
            found.push(String::from_utf8_lossy(&segment.data).into_owned());
        }
        found
    };
    assert_eq!(list(0), ["first", "second", "third"]);
    assert_eq!(list(3), ["first", "second", "third"], "it has the position");
    assert_eq!(list(4), ["second", "third"]);
    assert_eq!(list(5), ["third"], "over the gap");
    assert_eq!(list(12), [""; 0]);
    assert_eq!(list(u64::MAX), [""; 0]);
}

/// Replay stops at the callers error.
pub fn replay_stops_at_the_callers_error(place: &dyn Place) {
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

/// What cannot be stored is refused and changes nothing.
pub fn what_cannot_be_stored_is_refused_and_changes_nothing(place: &dyn Place) {
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

/// A snapshot takes the place of the records it covers.
pub fn a_snapshot_takes_the_place_of_the_records_it_covers(place: &dyn Place) {
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

/// A snapshot that covers what it cannot is refused with its whole commit.
pub fn a_snapshot_that_covers_what_it_cannot_is_refused_with_its_whole_commit(place: &dyn Place) {
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

/// Dropped segments are gone and the others stay.
pub fn dropped_segments_are_gone_and_the_others_stay(place: &dyn Place) {
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

/// Large segments are gone once dropped, and deleted in parts.
pub fn large_segments_are_gone_once_dropped_and_deleted_in_parts(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let large = |first| {
        let data = Bytes::from(vec![7; 3 << 20]);
        let (job, log, head) = (JobId(1), LogKind::Input, Bytes::new());
        Entry::Segment(Segment { job, log, first, count: 2, head, data })
    };
    commit(&mut *store, 1, [0, 2, 4, 6].map(large)).expect("commits");
    commit(&mut *store, 1, [segment(2, LogKind::Input, 0, 2, "x")]).expect("commits");
    commit(&mut *store, 1, [drop_segments(1, LogKind::Input, 0, 6)]).expect("commits");
    let check = || {
        let store = place.open();
        let left = |position| read(&*store, 1, LogKind::Input, position).is_some();
        assert_eq!([0, 1, 3, 5, 6].map(left), [false, false, false, false, true]);
        assert_eq!(read(&*store, 2, LogKind::Input, 1).as_deref(), Some("x"));
        let mut reader = store.reader().expect("a reader");
        let sizes = reader.sizes().expect("readable");
        assert_eq!(sizes.iter().map(|size| size.bytes).collect::<Vec<_>>(), [3 << 20, 1]);
        let next = reader.segment_from(JobId(1), LogKind::Input, 0).expect("readable");
        assert_eq!(next.map(|segment| segment.first), Some(6));
        let behind = reader.position_after(JobId(1), LogKind::Input, 4 << 20);
        assert_eq!(behind.expect("readable"), 8);
    };
    check();
    // Over what is dropped and not deleted: nothing counts twice.
    commit(&mut *store, 1, [drop_segments(1, LogKind::Input, 0, 4)]).expect("commits");
    check();
    store.reclaim().expect("deleted");
    check();
    // In another term, what is left.
    let mut store = fenced(place, 2);
    while store.reclaim().expect("deleted") {
        check();
    }
    check();
    assert!(!store.reclaim().expect("nothing is left"));
    commit(&mut *store, 2, [large(8), drop_segments(1, LogKind::Input, 6, 8)]).expect("commits");
    assert!(read(&*store, 1, LogKind::Input, 9).is_some());
    assert!(read(&*store, 1, LogKind::Input, 7).is_none());
}

/// Dropped keys are gone and the others stay.
pub fn dropped_keys_are_gone_and_the_others_stay(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let set = |key: &str| Entry::Meta { key: key.into(), value: Some(Bytes::from_static(b"x")) };
    let drop_all = |prefix: &str| Entry::DropMetas { prefix: prefix.into() };
    commit(&mut *store, 1, ["a/1", "a/2", "a", "A/1", "b/1"].map(set)).expect("commits");
    commit(&mut *store, 1, [drop_all("a/"), drop_all("none")]).expect("commits");
    let left = place.open().reader().and_then(|mut reader| reader.metas("")).expect("readable");
    assert_eq!(left.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["A/1", "a", "b/1"]);
    commit(&mut *store, 1, [drop_all("")]).expect_err("that would be all of them");
}

/// Sizes are those of the segments that are there.
pub fn sizes_are_those_of_the_segments_that_are_there(place: &dyn Place) {
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

/// A dropped module is gone and may be stored again.
pub fn a_dropped_module_is_gone_and_may_be_stored_again(place: &dyn Place) {
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

/// A staged module is there once a commit names it.
pub fn a_staged_module_is_there_once_a_commit_names_it(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let bytes: Bytes = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = Digest::of(&bytes);
    // The second time it is there already.
    for number in 0..2 {
        let staged = StagedId { epoch: Epoch(1), number };
        let other = StagedId { epoch: Epoch(1), number: 100 + number };
        for (piece, part) in (0..).zip(bytes.chunks(300_000)) {
            let entries = [stage(staged, piece, part), stage(other, piece, b"other")];
            commit(&mut *store, 1, entries).expect("commits");
            let mut reader = store.reader().expect("a reader");
            assert_eq!(reader.has_module(digest).expect("readable"), number > 0);
        }
        let named = [Entry::StagedModule { digest, staged }, Entry::DropStaged { staged: other }];
        commit(&mut *store, 1, named).expect("commits");
        let mut reader = place.open().reader().expect("a reader");
        assert!(reader.module(digest).expect("readable").as_ref() == Some(&bytes), "it is whole");
        assert_eq!(reader.modules().expect("readable"), [digest]);
    }
    // Also after a new holder has come.
    let mut store = fenced(place, 2);
    let mut reader = store.reader().expect("a reader");
    assert!(reader.module(digest).expect("readable").as_ref() == Some(&bytes), "it is whole");
    commit(&mut *store, 2, [Entry::DropModule { digest }]).expect("commits");
    assert_eq!(reader.module(digest).expect("readable"), None);
}

/// What was staged and never named goes with its epoch.
pub fn what_was_staged_and_never_named_goes_with_its_epoch(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let staged = StagedId { epoch: Epoch(1), number: 0 };
    let left = [stage(staged, 0, b"left"), stage(staged, 1, b"over")];
    commit(&mut *store, 1, left).expect("commits");
    let mut store = fenced(place, 2);
    let bytes = Bytes::from_static(b"new");
    let digest = Digest::of(&bytes);
    // Were the second piece still there, it would come after this one.
    commit(&mut *store, 2, [stage(staged, 0, &bytes)]).expect("commits");
    commit(&mut *store, 2, [Entry::StagedModule { digest, staged }]).expect("commits");
    let mut reader = store.reader().expect("a reader");
    assert_eq!(reader.module(digest).expect("readable"), Some(bytes));
}

/// A staged segment is as one that was written at once.
pub fn a_staged_segment_is_as_one_that_was_written_at_once(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let (job, log) = (JobId(1), LogKind::Input);
    let (head, data) = (Bytes::from_static(b"head"), Bytes::from(vec![7; 700_000]));
    for first in 0..2 {
        let staged = StagedId { epoch: Epoch(1), number: first };
        for (piece, part) in (0..).zip(data.chunks(300_000)) {
            // Twice, as after a doubt: it is there once.
            for _ in 0..2 {
                commit(&mut *store, 1, [stage(staged, piece, part)]).expect("commits");
            }
        }
        let (head, data) = (head.clone(), data.clone());
        let segment = Segment { job, log, first, count: 1, head, data };
        let mut entries = records(&["inputs"]);
        entries.push(Entry::StagedSegment { segment, staged });
        commit(&mut *store, 1, entries).expect("commits");
    }
    let mut store = fenced(place, 2);
    let mut reader = store.reader().expect("a reader");
    let bytes = (head.len() + data.len()) as u64;
    for first in 0..2 {
        let found = reader.segment_from(job, log, first).expect("readable").expect("there");
        assert!([found.head, found.data].concat() == [&head[..], &data].concat(), "{first}");
    }
    let sizes = reader.sizes().expect("readable");
    assert_eq!(sizes, [LogSize { job, log, bytes: 2 * bytes }]);
    assert_eq!(reader.position_after(job, log, bytes).expect("readable"), 1);
    let again = Segment { job, log, first: 1, count: 1, head: Bytes::new(), data: Bytes::new() };
    let staged = StagedId { epoch: Epoch(2), number: 0 };
    commit(&mut *store, 2, [Entry::StagedSegment { segment: again, staged }])
        .expect_err("there is one");
    commit(&mut *store, 2, [drop_segments(1, log, 0, 1)]).expect("commits");
    assert_eq!(reader.segment(job, log, 0).expect("readable"), None);
    let sizes = reader.sizes().expect("readable");
    assert_eq!(sizes, [LogSize { job, log, bytes }]);
}

fn stage(staged: StagedId, piece: u32, bytes: &[u8]) -> Entry {
    Entry::Stage { staged, piece, bytes: Bytes::copy_from_slice(bytes) }
}

/// Audit entries are numbered in the order of their commits and listed in pages.
pub fn audit_entries_are_numbered_and_listed_in_pages(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let mut reader = store.reader().expect("a reader");
    assert_eq!(reader.audits(0, 9).expect("readable"), []);
    assert_eq!(reader.last_audit().expect("readable"), 0);
    commit(&mut *store, 1, [audit("a"), audit("")]).expect("commits");
    commit(&mut *store, 1, records(&["no entry"])).expect("commits");
    commit(&mut *store, 1, [audit("c")]).expect("commits");
    let mut list = |after, limit| texts(&reader.audits(after, limit).expect("readable"));
    assert_eq!(list(0, 2), [(1, "a".to_owned()), (2, String::new())]);
    assert_eq!(list(2, 2), [(3, "c".to_owned())]);
    assert_eq!(list(3, 2), []);
    assert_eq!(list(u64::MAX, 2), []);
    assert_eq!(reader.last_audit().expect("readable"), 3);
}

/// Audit entries go from the oldest on, the last one stays, and no number is given twice.
pub fn audit_entries_go_from_the_oldest_on_and_no_number_is_given_twice(place: &dyn Place) {
    let mut store = fenced(place, 1);
    commit(&mut *store, 1, [Entry::DropAudits { before: 7 }]).expect("harmless");
    commit(&mut *store, 1, ["a", "b", "c"].map(audit)).expect("commits");
    let left = |store: &dyn Store| {
        texts(&store.reader().and_then(|mut reader| reader.audits(0, 9)).expect("readable"))
    };
    commit(&mut *store, 1, [Entry::DropAudits { before: 2 }]).expect("commits");
    assert_eq!(left(&*store), [(2, "b".to_owned()), (3, "c".to_owned())]);
    commit(&mut *store, 1, [Entry::DropAudits { before: u64::MAX }]).expect("commits");
    assert_eq!(left(&*store), [(3, "c".to_owned())]);
    drop(store);
    let mut next = fenced(place, 2);
    commit(&mut *next, 2, [audit("d"), Entry::DropAudits { before: 4 }]).expect("commits");
    assert_eq!(left(&*next), [(4, "d".to_owned())]);
}

/// An audit entry is there if its commit is, and not if that is refused.
pub fn an_audit_entry_is_there_if_its_commit_is(place: &dyn Place) {
    let mut store = fenced(place, 1);
    let with = records(&["act"]).into_iter().chain([audit("done")]);
    commit(&mut *store, 1, with).expect("commits");
    let bad = [audit("never"), segment(1, LogKind::Input, 0, 0, "no positions")];
    commit(&mut *store, 1, bad).expect_err("refused");
    let mut fenced_off = place.open();
    commit(&mut *fenced_off, 1, [audit("never")]).expect_err("no fence");
    commit(&mut *store, 1, [audit("next")]).expect("commits");
    let found = place.open().reader().and_then(|mut reader| reader.audits(0, 9));
    let expected = [(1, "done".to_owned()), (2, "next".to_owned())];
    assert_eq!(texts(&found.expect("readable")), expected);
}

fn audit(text: &'static str) -> Entry {
    Entry::Audit(Bytes::from_static(text.as_bytes()))
}

fn texts(entries: &[(u64, Bytes)]) -> Vec<(u64, String)> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    entries.iter().map(|(number, bytes)| (*number, text(bytes))).collect()
}

/// Records of these texts.
#[must_use]
pub fn records(texts: &[&str]) -> Vec<Entry> {
    texts.iter().map(|text| Entry::Record(Bytes::copy_from_slice(text.as_bytes()))).collect()
}

/// A segment with this data.
#[must_use]
pub fn segment(job: u64, log: LogKind, first: u64, count: u64, data: &str) -> Entry {
    let data = Bytes::copy_from_slice(data.as_bytes());
    Entry::Segment(Segment { job: JobId(job), log, first, count, head: Bytes::new(), data })
}

/// Sets or removes a key.
#[must_use]
pub fn meta(key: &str, value: Option<&str>) -> Entry {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Entry::Meta { key: key.into(), value }
}

/// Commits these entries as a group.
///
/// # Errors
/// As [`Store::commit`].
pub fn commit(
    store: &mut dyn Store,
    epoch: u64,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<Seq, StoreError> {
    store.commit(Epoch(epoch), &Commit { entries: entries.into_iter().collect() })
}

/// The journal as text.
///
/// # Errors
/// As [`Store::replay`].
pub fn journal(store: &mut dyn Store) -> Result<Vec<(u64, String)>, StoreError> {
    let mut found = Vec::new();
    store.replay(&mut |seq, record| {
        found.push((seq.0, String::from_utf8_lossy(record).into_owned()));
        Ok(())
    })?;
    Ok(found)
}

/// The data of the segment with this position, as text.
#[must_use]
pub fn read(store: &dyn Store, job: u64, log: LogKind, position: u64) -> Option<String> {
    let mut reader = store.reader().expect("a reader");
    let found = reader.segment(JobId(job), log, position).expect("readable");
    found.map(|segment| String::from_utf8_lossy(&segment.data).into_owned())
}
