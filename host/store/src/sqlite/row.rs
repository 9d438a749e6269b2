//! Rows as they are on disk: their checksums, and what is said of one that is damaged.

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, Row};
use wasmgrid_proto::{JobId, Seq};

use super::errors::failed;
use crate::{
    EachRecord, LogKind, Segment, Snapshot, StoreError,
    pack::{self, SUM_LEN, checksum, checksum_of},
};

/// Holds for keys that start with `?1`. Their index bounds the search; `substr` is exact where LIKE
/// would fold case.
pub const META_PREFIX: &str =
    "key >= ?1 AND key <= ?1 || char(1114111) AND substr(key, 1, length(?1)) = ?1";

/// The checksum of a commit's packed records.
pub fn commit_sum(first: u64, count: u64, epoch: u64, records: &[u8]) -> [u8; SUM_LEN] {
    let place = [&first.to_le_bytes()[..], &count.to_le_bytes(), &epoch.to_le_bytes()];
    checksum("commits", &place, records)
}

/// The checksum of a segment.
pub fn segment_sum(segment: &Segment) -> [u8; SUM_LEN] {
    let Segment { job, log, first, count, head, data } = segment;
    let place =
        [&job.0.to_le_bytes()[..], &[log.code()], &first.to_le_bytes(), &count.to_le_bytes()];
    checksum_of("segments", &place, &[head, data])
}

/// The checksum of a meta value.
pub fn meta_sum(key: &str, value: &[u8]) -> [u8; SUM_LEN] {
    checksum("metas", &[key.as_bytes()], value)
}

/// The checksum of a snapshot's part.
pub fn snapshot_sum(covers: u64, part: u64, parts: u64, data: &[u8]) -> [u8; SUM_LEN] {
    let place = [&covers.to_le_bytes()[..], &part.to_le_bytes(), &parts.to_le_bytes()];
    checksum("snapshot", &place, data)
}

/// The checksum of an entry of the audit log.
pub fn audit_sum(number: u64, entry: &[u8]) -> [u8; SUM_LEN] {
    checksum("audits", &[&number.to_le_bytes()], entry)
}

/// The records of one commit, checked.
pub struct Packed<'a> {
    first: u64,
    count: u64,
    /// The records, packed.
    pub records: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Reads `first, count, epoch, sum, records`, which must begin with record `expected`.
    pub fn read(row: &'a Row<'_>, expected: u64) -> Result<Self, StoreError> {
        let failed = failed("reading a commit");
        let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned).map_err(failed);
        let (first, count, epoch) = (number(0)?, number(1)?, number(2)?);
        let records = blob(row, 4)?;
        let packed = Self { first, count, records };
        if first != expected {
            return Err(StoreError::Damaged {
                what: format!("the journal continues with record {first} instead of {expected}"),
                place: "table commits".into(),
            });
        }
        if blob(row, 3)? != commit_sum(first, count, epoch, records) {
            return Err(packed.damaged());
        }
        Ok(packed)
    }

    /// The number behind the last record.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// The error of a row that is not as it was written.
    pub fn damaged(&self) -> StoreError {
        StoreError::Damaged {
            what: "records are not as they were written".into(),
            place: format!("table commits, first = {}, count = {}", self.first, self.count),
        }
    }
}

/// A segment of a log, as it is read.
pub struct SegmentRow {
    segment: Segment,
    sum: Vec<u8>,
    /// What was read of its data.
    pub data: BytesMut,
    /// The epoch and number under which the rest of its data is staged.
    pub staged: Option<(i64, i64)>,
}

impl SegmentRow {
    /// Reads `first, count, sum, data, epoch, staged`.
    pub fn read(row: &Row<'_>, job: JobId, log: LogKind) -> Result<Self, StoreError> {
        let failed = failed("reading a segment");
        let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned).map_err(failed);
        let (first, count) = (number(0)?, number(1)?);
        let epoch: Option<i64> = row.get(4).map_err(failed)?;
        let staged = epoch.zip(row.get(5).map_err(failed)?);
        let (sum, data) = (blob(row, 2)?.to_vec(), BytesMut::from(blob(row, 3)?));
        let segment = Segment { job, log, first, count, head: Bytes::new(), data: Bytes::new() };
        Ok(Self { segment, sum, data, staged })
    }

    /// The segment, if it is as it was written.
    pub fn checked(self) -> Result<Segment, StoreError> {
        let segment = Segment { data: self.data.freeze(), ..self.segment };
        let Segment { job, log, first, count, .. } = segment;
        if self.sum != segment_sum(&segment) {
            return Err(StoreError::Damaged {
                what: format!("the {} segment of job {job} is not as it was written", log.name()),
                place: format!(
                    "table segments, job = {job}, log = {}, first = {first}, count = {count}",
                    log.code()
                ),
            });
        }
        Ok(segment)
    }
}

/// Reads `key, sum, value` of a meta value.
pub fn meta(row: &Row<'_>) -> Result<(String, Bytes), StoreError> {
    let key: String = row.get(0).map_err(failed("reading a meta value"))?;
    let value = blob(row, 2)?;
    if blob(row, 1)? != meta_sum(&key, value) {
        return Err(StoreError::Damaged {
            what: "a meta value is not as it was written".into(),
            place: format!("table metas, key = {key}"),
        });
    }
    Ok((key, Bytes::copy_from_slice(value)))
}

/// Reads `number, sum, entry` of an entry of the audit log.
pub fn audit(row: &Row<'_>) -> Result<(u64, Bytes), StoreError> {
    let number: i64 = row.get(0).map_err(failed("reading the audit log"))?;
    let (number, entry) = (number.cast_unsigned(), blob(row, 2)?);
    if blob(row, 1)? != audit_sum(number, entry) {
        return Err(StoreError::Damaged {
            what: "an entry of the audit log is not as it was written".into(),
            place: format!("table audits, number = {number}"),
        });
    }
    Ok((number, Bytes::copy_from_slice(entry)))
}

/// The number of the audit log's last entry; 0 if there is none.
pub fn last_audit(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(number), 0) FROM audits";
    let last: i64 = connection
        .query_row(sql, [], |row| row.get(0))
        .map_err(failed("looking for the last entry of the audit log"))?;
    Ok(last.cast_unsigned())
}

/// The whole snapshot, if there is one.
pub fn snapshot(connection: &Connection) -> Result<Option<Snapshot>, StoreError> {
    let failed = failed("reading the snapshot");
    let mut statement = connection
        .prepare("SELECT part, parts, covers, sum, data FROM snapshot ORDER BY part")
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut found: Option<(Snapshot, u64)> = None;
    let damaged =
        |what: &str| StoreError::Damaged { what: what.into(), place: "table snapshot".into() };
    while let Some(row) = rows.next().map_err(failed)? {
        let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned).map_err(failed);
        let (part, parts, covers) = (number(0)?, number(1)?, number(2)?);
        let data = blob(row, 4)?;
        let sum = snapshot_sum(covers, part, parts, data);
        let (snapshot, whole) = found
            .get_or_insert_with(|| (Snapshot { covers: Seq(covers), parts: Vec::new() }, parts));
        let fits =
            part == snapshot.parts.len() as u64 && (parts, covers) == (*whole, snapshot.covers.0);
        if !fits || blob(row, 3)? != sum {
            return Err(damaged(&format!("part {part} of the snapshot is not as it was written")));
        }
        snapshot.parts.push(Bytes::copy_from_slice(data));
    }
    match found {
        Some((snapshot, parts)) if snapshot.parts.len() as u64 != parts => {
            Err(damaged("the snapshot's last parts are missing"))
        }
        found => Ok(found.map(|(snapshot, _)| snapshot)),
    }
}

/// The last record that the snapshot covers; 0 where there is none.
pub fn covered(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(covers), 0) FROM snapshot";
    let covered: i64 = connection
        .query_row(sql, [], |row| row.get(0))
        .map_err(failed("looking for the snapshot"))?;
    Ok(covered.cast_unsigned())
}

/// The number of the last record; 0 where there is none.
pub fn last_record(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce((SELECT first + count - 1 FROM commits ORDER BY first DESC LIMIT 1), \
               (SELECT covers FROM snapshot LIMIT 1), 0)";
    let last: i64 = connection
        .query_row(sql, [], |row| row.get(0))
        .map_err(failed("looking for the last record"))?;
    Ok(last.cast_unsigned())
}

/// Passes on every record that the snapshot does not cover.
pub fn replay(connection: &Connection, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
    let doing = failed("reading the journal");
    let mut next = covered(connection)? + 1;
    let mut statement = connection
        .prepare("SELECT first, count, epoch, sum, records FROM commits ORDER BY first")
        .map_err(doing)?;
    let mut rows = statement.query([]).map_err(doing)?;
    while let Some(row) = rows.next().map_err(doing)? {
        let packed = Packed::read(row, next)?;
        for record in pack::unpack(packed.records) {
            each(Seq(next), record.ok_or_else(|| packed.damaged())?)?;
            next += 1;
        }
        if next != packed.end() {
            return Err(packed.damaged());
        }
    }
    Ok(())
}

/// A blob of a row, without a copy.
pub fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], StoreError> {
    let value = row.get_ref(column).map_err(failed("reading a row"))?;
    value.as_blob().map_err(|error| StoreError::Damaged {
        what: error.to_string(),
        place: format!("a row, column {column}"),
    })
}
