//! Short ways to say what a test commits and reads.

use bytes::Bytes;
use wasmgrid_proto::{Epoch, JobId, Seq};
use wasmgrid_store::{Commit, Entry, LogKind, Segment, Store, StoreError};

pub fn records(texts: &[&str]) -> Vec<Entry> {
    texts.iter().map(|text| Entry::Record(Bytes::copy_from_slice(text.as_bytes()))).collect()
}

pub fn segment(job: u64, log: LogKind, first: u64, count: u64, data: &str) -> Entry {
    let data = Bytes::copy_from_slice(data.as_bytes());
    Entry::Segment(Segment { job: JobId(job), log, first, count, head: Bytes::new(), data })
}

pub fn meta(key: &str, value: Option<&str>) -> Entry {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Entry::Meta { key: key.into(), value }
}

pub fn commit(
    store: &mut dyn Store,
    epoch: u64,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<Seq, StoreError> {
    store.commit(Epoch(epoch), &Commit { entries: entries.into_iter().collect() })
}

/// The journal as text.
pub fn journal(store: &mut dyn Store) -> Result<Vec<(u64, String)>, StoreError> {
    let mut found = Vec::new();
    store.replay(&mut |seq, record| {
        found.push((seq.0, String::from_utf8_lossy(record).into_owned()));
        Ok(())
    })?;
    Ok(found)
}

/// The data of the segment with this position, as text.
pub fn read(store: &dyn Store, job: u64, log: LogKind, position: u64) -> Option<String> {
    let mut reader = store.reader().expect("a reader");
    let found = reader.segment(JobId(job), log, position).expect("readable");
    found.map(|segment| String::from_utf8_lossy(&segment.data).into_owned())
}
