//! The audit log as the store has it: which of its entries are asked for, and which are too old.

use wasmgrid_proto::{AuditEntry, AuditRecord, wire::Reply};
use wasmgrid_store::{Reader, StoreError};

use crate::driver::{AuditQuery, Expired, Expiry, LIST_BYTES, audit_bytes};

/// Entries that one look drops at most: a short commit.
const EXPIRED_AT_ONCE: usize = 1_000;

/// Entries that are read at once: some 2 MB at most.
const READ_AT_ONCE: usize = 512;

/// Entries that one answer looks at, however few of them are wanted: about 10 ms of work.
const LOOKED_AT: usize = 8 * READ_AT_ONCE;

/// A page of the entries that are asked for.
///
/// # Errors
/// If the log cannot be read.
pub(crate) fn page(reader: &mut dyn Reader, query: &AuditQuery) -> Result<Reply, StoreError> {
    let (mut entries, mut room, mut after) = (Vec::new(), LIST_BYTES, query.after);
    for _ in 0..LOOKED_AT / READ_AT_ONCE {
        let found = reader.audits(after, READ_AT_ONCE)?;
        let is_last = found.len() < READ_AT_ONCE;
        for (number, bytes) in found {
            let record = AuditRecord::decode(&bytes).map_err(|error| StoreError::Damaged {
                what: error.to_string(),
                place: format!("entry {number} of the audit log"),
            })?;
            if query.wants(&record) {
                let entry = AuditEntry { number, record };
                let Some(left) = room.checked_sub(audit_bytes(&entry)) else {
                    return Ok(Reply::AuditPage { entries, next: Some(after) });
                };
                room = left;
                entries.push(entry);
            }
            after = number;
        }
        if is_last {
            return Ok(Reply::AuditPage { entries, next: None });
        }
    }
    Ok(Reply::AuditPage { entries, next: Some(after) })
}

/// Looks for the first entries that are not kept any longer. An entry that cannot be read is dropped
/// only for its number.
///
/// # Errors
/// If the log cannot be read.
pub(crate) fn expired(reader: &mut dyn Reader, expiry: Expiry) -> Result<Expired, StoreError> {
    let Expiry { before, most } = expiry;
    let last = reader.last_audit()?;
    let is_over = |number: u64| number <= last.saturating_sub(most);
    let is_old = |bytes: &[u8]| AuditRecord::decode(bytes).is_ok_and(|entry| entry.time < before);
    let oldest = reader.audits(0, EXPIRED_AT_ONCE)?;
    // The last one stays in any case.
    let goes = |number: u64, bytes: &[u8]| number < last && (is_over(number) || is_old(bytes));
    let gone = oldest.iter().take_while(|(number, bytes)| goes(*number, bytes)).count();
    let drop_before =
        gone.checked_sub(1).and_then(|at| oldest.get(at)).map(|(number, _)| number + 1);
    Ok(Expired { drop_before, more: gone == EXPIRED_AT_ONCE })
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{Act, Caller, Epoch, Micros};
    use wasmgrid_store::{Commit, Entry, Store, memory};

    use super::*;

    /// A log whose entries were made at these times.
    fn log(times: impl IntoIterator<Item = u64>) -> Box<dyn Reader> {
        let entry = |time| {
            let act = Act::drain("w1");
            let record = AuditRecord::done(Micros(time), Micros(0), Caller::scheduler(), act);
            Entry::Audit(record.encode().expect("encodes").into())
        };
        let mut store = memory();
        store.fence(Epoch(1)).expect("a new epoch");
        let entries = times.into_iter().map(entry).collect();
        store.commit(Epoch(1), &Commit { entries }).expect("commits");
        store.reader().expect("a reader")
    }

    /// The numbers on each page.
    fn pages(reader: &mut dyn Reader, mut query: AuditQuery) -> Vec<Vec<u64>> {
        let mut pages = Vec::new();
        loop {
            let Ok(Reply::AuditPage { entries, next }) = page(reader, &query) else {
                panic!("a page")
            };
            pages.push(entries.iter().map(|entry| entry.number).collect());
            match next {
                Some(next) => query.after = next,
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_have_each_wanted_entry_once_and_each_is_bounded() {
        let mut reader = log(0..10_000);
        let all = pages(reader.as_mut(), AuditQuery::default());
        assert!(all.len() > 2 && all.iter().all(|page| page.len() <= LOOKED_AT), "{}", all.len());
        assert_eq!(all.concat(), (1..=10_000).collect::<Vec<_>>());
        let nobody = AuditQuery { who: Some("nobody".into()), ..AuditQuery::default() };
        let none = pages(reader.as_mut(), nobody);
        assert_eq!((none.len(), none.concat().len()), (3, 0), "it goes on where it stopped");
        let who = Some("scheduler".into());
        let some = AuditQuery { who, since: Some(Micros(0)), after: 9_990 };
        assert_eq!(pages(reader.as_mut(), some), [(9_991..=10_000).collect::<Vec<_>>()]);
        let later = AuditQuery { since: Some(Micros(1)), ..AuditQuery::default() };
        assert!(pages(reader.as_mut(), later).concat().is_empty(), "all are from date 0");
    }

    fn found(times: &[u64], before: u64, most: u64) -> Option<u64> {
        let expiry = Expiry { before: Micros(before), most };
        expired(log(times.iter().copied()).as_mut(), expiry).expect("readable").drop_before
    }

    #[test]
    fn old_entries_and_those_beyond_the_most_expire_and_the_last_stays() {
        assert_eq!(found(&[], 9, 9), None);
        assert_eq!(found(&[1, 2, 3, 4], 3, 9), Some(3));
        assert_eq!(found(&[1, 2, 3, 4], 1, 9), None);
        assert_eq!(found(&[1, 2, 3, 4], 0, 3), Some(2));
        assert_eq!(found(&[1, 2, 3, 4], 99, 9), Some(4), "the last one stays");
        assert_eq!(found(&[7], 99, 0), None);
    }

    #[test]
    fn many_entries_expire_in_parts() {
        let expiry = Expiry { before: Micros(5_000), most: 9_000 };
        let first = expired(log(0..1_500).as_mut(), expiry).expect("readable");
        assert_eq!(first, Expired { drop_before: Some(1_001), more: true });
    }
}
