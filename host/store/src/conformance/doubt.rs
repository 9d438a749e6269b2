//! What every store promises of a commit that is in doubt: it is made once, whether its answer was
//! lost, it failed, or the store is away.

use bytes::Bytes;
use wasmgrid_proto::{Digest, Seq};

use super::{Place, commit, fenced, journal, meta, read, records, segment, snapshot};
use crate::{Entry, Fault, LogKind, Store, StoreError};

/// A group whose commit ends in doubt with this fault.
fn doubtful(store: &mut dyn Store, place: &dyn Place, fault: Fault, entries: &[Entry]) {
    place.plan(fault);
    let error = commit(store, 1, entries.to_vec()).expect_err("no answer");
    assert!(matches!(error, StoreError::InDoubt { .. }), "{error:?}");
}

/// What a group of a test leaves: its records, a segment and a value.
fn group(number: u64) -> Vec<Entry> {
    let text = number.to_string();
    let mut entries = records(&[&text, &text]);
    entries.push(segment(1, LogKind::Result, number, 1, &text));
    entries.push(meta("last", Some(&text)));
    entries
}

/// Of all groups up to this one everything is there, once.
fn assert_groups(place: &dyn Place, last: u64) {
    let texts = (1..=last).flat_map(|number| [number, number]).map(|number| number.to_string());
    let expected: Vec<_> = (1..).zip(texts).collect();
    let mut store = place.open();
    assert_eq!(journal(&mut *store).expect("whole"), expected);
    for number in 1..=last {
        let found = read(&*store, 1, LogKind::Result, number);
        assert_eq!(found.as_deref(), Some(&*number.to_string()));
    }
    let value = store.reader().and_then(|mut reader| reader.meta("last")).expect("readable");
    assert_eq!(value.as_deref(), Some(last.to_string().as_bytes()));
}

/// A commit whose answer was lost is found and not made again.
pub fn a_commit_whose_answer_was_lost_is_found_and_not_made_again(place: &dyn Place) {
    let mut store = fenced(place, 1);
    commit(&mut *store, 1, group(1)).expect("commits");
    doubtful(&mut *store, place, Fault::AnswerLost, &group(2));
    assert_groups(place, 2);
    assert_eq!(store.resolve().expect("known"), Seq(4));
    assert_groups(place, 2);
    assert_eq!(commit(&mut *store, 1, group(3)).expect("commits"), Seq(6));
    assert_groups(place, 3);
}

/// A commit that failed is made once.
pub fn a_commit_that_failed_is_made_once(place: &dyn Place) {
    let mut store = fenced(place, 1);
    commit(&mut *store, 1, group(1)).expect("commits");
    doubtful(&mut *store, place, Fault::Failed, &group(2));
    assert_groups(place, 1);
    assert_eq!(store.resolve().expect("written"), Seq(4));
    assert_groups(place, 2);
    assert_eq!(commit(&mut *store, 1, group(3)).expect("commits"), Seq(6));
    assert_groups(place, 3);
}

/// A store that gives no answer leaves the doubt until it does.
pub fn a_store_that_gives_no_answer_leaves_the_doubt_until_it_does(place: &dyn Place) {
    let mut store = fenced(place, 1);
    doubtful(&mut *store, place, Fault::Failed, &group(1));
    for fault in [Fault::Failed, Fault::Failed, Fault::AnswerLost] {
        place.plan(fault);
        let error = store.resolve().expect_err("no answer");
        assert!(matches!(error, StoreError::InDoubt { .. }), "{error:?}");
    }
    assert_eq!(store.resolve().expect("known"), Seq(2));
    assert_groups(place, 1);
}

/// While a commit is in doubt no other is made.
pub fn while_a_commit_is_in_doubt_no_other_is_made(place: &dyn Place) {
    let mut store = fenced(place, 1);
    doubtful(&mut *store, place, Fault::AnswerLost, &group(1));
    for _ in 0..2 {
        let error = commit(&mut *store, 1, group(2)).expect_err("not yet");
        assert!(matches!(error, StoreError::InDoubt { .. }), "{error:?}");
    }
    store.idle().expect("housekeeping");
    store.shrink().expect("housekeeping");
    assert_groups(place, 1);
    store.resolve().expect("known");
    commit(&mut *store, 1, group(2)).expect("commits");
    assert_groups(place, 2);
}

/// A group without records is resolved too.
pub fn a_group_without_records_is_resolved_too(place: &dyn Place) {
    let mut store = fenced(place, 1);
    commit(&mut *store, 1, group(1)).expect("commits");
    for (fault, number) in [(Fault::AnswerLost, 2), (Fault::Failed, 3)] {
        let (text, bytes) = (number.to_string(), Bytes::from_static(b"module"));
        let module = Entry::Module { digest: Digest::of(&bytes), bytes };
        let entries = [segment(1, LogKind::Result, number, 1, &text), module];
        doubtful(&mut *store, place, fault, &entries);
        assert_eq!(store.resolve().expect("known"), Seq(2));
        assert_eq!(read(&*store, 1, LogKind::Result, number), Some(text));
        let values = [Entry::DropMetas { prefix: "last".into() }, meta("key", Some("value"))];
        doubtful(&mut *store, place, fault, &values);
        assert_eq!(store.resolve().expect("known"), Seq(2));
        let left = store.reader().and_then(|mut reader| reader.metas("")).expect("readable");
        assert_eq!(left, [("key".to_owned(), Bytes::from_static(b"value"))]);
    }
    doubtful(&mut *store, place, Fault::AnswerLost, &[snapshot(2, &["all"])]);
    assert_eq!(store.resolve().expect("known"), Seq(2));
    assert_eq!(journal(&mut *store).expect("whole"), []);
}

/// A fence ends a doubt.
pub fn a_fence_ends_a_doubt(place: &dyn Place) {
    let mut old = fenced(place, 1);
    commit(&mut *old, 1, group(1)).expect("commits");
    doubtful(&mut *old, place, Fault::Failed, &group(2));
    let mut new = fenced(place, 2);
    assert_eq!(commit(&mut *new, 2, group(2)).expect("commits"), Seq(4));
    let resolved = old.resolve().expect_err("fenced");
    let later = commit(&mut *old, 1, group(3)).expect_err("fenced");
    for error in [resolved, later] {
        assert!(matches!(error, StoreError::Fenced { .. }), "{error:?}");
    }
    assert_groups(place, 2);
}

/// Without a doubt there is nothing to resolve.
pub fn without_a_doubt_there_is_nothing_to_resolve(place: &dyn Place) {
    let mut store = fenced(place, 1);
    assert_eq!(store.resolve().expect("nothing"), Seq(0));
    commit(&mut *store, 1, group(1)).expect("commits");
    assert_eq!(store.resolve().expect("nothing"), Seq(2));
    let full = commit(&mut *store, 1, [segment(1, LogKind::Result, 1, 1, "again")]);
    full.expect_err("there is one");
    assert_eq!(store.resolve().expect("nothing"), Seq(2));
    assert_groups(place, 1);
}
