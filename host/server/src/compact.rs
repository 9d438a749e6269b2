//! What the store amounts to for the scheduler: its ledger, from the snapshot and the records
//! behind it; and the next snapshot, which is that ledger written down. Both rest on what is
//! committed alone, so that a snapshot can be made beside the scheduler, which never waits for it.

use bytes::Bytes;
use wasmgrid_core::Ledger;
use wasmgrid_proto::{
    Record, Seq, SnapshotItem,
    durable::{self, Durable as _, ReadError},
};
use wasmgrid_store::{Reader, Snapshot, StoreError};

use crate::error::ServerError;

/// Bytes after which a part of a snapshot ends: what one row of the store has.
const PART_BYTES: usize = 4 << 20;

/// What was read of a store.
pub(crate) struct Loaded {
    /// What it amounts to.
    pub ledger: Ledger,
    /// The last record, if there is one behind the snapshot.
    pub last: Option<Seq>,
    /// Bytes of the records behind the snapshot.
    pub tail_bytes: usize,
    /// Bytes of the snapshot.
    pub snapshot_bytes: usize,
}

/// Reads all that is durable of the core.
///
/// # Errors
/// Where it cannot be read, is damaged, or was written by a newer version.
pub(crate) fn load(reader: &mut dyn Reader) -> Result<Loaded, ServerError> {
    let mut loaded =
        Loaded { ledger: Ledger::default(), last: None, tail_bytes: 0, snapshot_bytes: 0 };
    let failed = |error| ServerError::Load(std::sync::Arc::new(error));
    for part in reader.snapshot().map_err(failed)?.map_or_else(Vec::new, |found| found.parts) {
        loaded.snapshot_bytes += part.len();
        let mut rest = &part[..];
        while !rest.is_empty() {
            let (item, tail) = durable::take::<SnapshotItem>(rest)
                .map_err(|reason| ServerError::Snapshot { reason })?;
            loaded.ledger.restore(item);
            rest = tail;
        }
    }
    let mut bad = None;
    let replayed = reader.replay(&mut |seq: Seq, bytes: &[u8]| {
        match durable::decode::<Record>(bytes) {
            Ok(record) => loaded.ledger.apply(&record),
            Err(reason) => {
                bad.get_or_insert(ServerError::Record { seq, reason });
                return Err(StoreError::Invalid(format!("record {seq}")));
            }
        }
        loaded.last = Some(seq);
        loaded.tail_bytes += bytes.len();
        Ok(())
    });
    match bad {
        Some(error) => Err(error),
        None => replayed.map(|()| loaded).map_err(failed),
    }
}

/// The snapshot of all that is committed, and how many bytes of records it covers; `None` where
/// there is nothing new.
///
/// # Errors
/// As [`load`].
pub(crate) fn snapshot(reader: &mut dyn Reader) -> Result<Option<(Snapshot, usize)>, ServerError> {
    let loaded = load(reader)?;
    let Some(covers) = loaded.last else { return Ok(None) };
    let (mut parts, mut part, mut bad) = (Vec::new(), Vec::new(), None);
    loaded.ledger.snapshot(&mut |item| {
        match durable::append(&item, std::mem::take(&mut part)) {
            Ok(longer) => part = longer,
            Err(reason) => {
                let reason = ReadError::Malformed { what: SnapshotItem::WHAT, reason };
                bad = Some(ServerError::Snapshot { reason });
            }
        }
        if part.len() >= PART_BYTES {
            parts.push(Bytes::from(std::mem::take(&mut part)));
        }
    });
    if let Some(error) = bad {
        return Err(error);
    }
    if !part.is_empty() {
        parts.push(part.into());
    }
    Ok(Some((Snapshot { covers, parts }, loaded.tail_bytes)))
}
