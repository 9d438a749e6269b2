//! What a commit writes, statement by statement.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{ErrorCode, ToSql, Transaction, blob::ZeroBlob, params};
use wasmgrid_proto::{Digest, Epoch, JobId};

use super::{
    drops,
    errors::{failed, to_sql},
    row,
};
use crate::{Commit, Entry, LogKind, Segment, Snapshot, StagedId, StoreError, pack};

/// Segments of so many bytes are written where they will be: given with the statement, `SQLite`
/// would copy them twice, into memory that is new each time.
const IN_PLACE_BYTES: usize = 64 << 10;

/// By how many bytes a commit makes logs larger or smaller.
type Grown = BTreeMap<(JobId, LogKind), i64>;

/// Writes the group behind record `last` and returns the number of its last record.
pub fn write(
    transaction: &Transaction<'_>,
    epoch: Epoch,
    last: u64,
    commit: &Commit,
) -> Result<u64, StoreError> {
    let records = commit.entries.iter().filter_map(|entry| match entry {
        Entry::Record(record) => Some(record),
        _ => None,
    });
    let count = records.clone().count() as u64;
    if count > 0 {
        write_records(transaction, epoch, last + 1, count, &pack::pack(records))?;
    }
    let mut grown = Grown::new();
    for entry in &commit.entries {
        match entry {
            Entry::Record(_) => {}
            Entry::Segment(segment) | Entry::StagedSegment { segment, .. } => {
                let staged = match entry {
                    Entry::StagedSegment { staged, .. } => Some(*staged),
                    _ => None,
                };
                write_segment(transaction, segment, staged)?;
                let bytes = i64::try_from(segment.bytes()).unwrap_or(i64::MAX);
                *grown.entry((segment.job, segment.log)).or_default() += bytes;
            }
            Entry::Meta { key, value } => write_meta(transaction, key, value.as_ref())?,
            Entry::DropMetas { prefix } => {
                let sql = format!("DELETE FROM metas WHERE {}", row::META_PREFIX);
                transaction.execute(&sql, [prefix]).map_err(failed("dropping meta values"))?;
            }
            Entry::Snapshot(snapshot) => write_snapshot(transaction, last, snapshot)?,
            Entry::DropSegments { job, log, first, end } => {
                let bytes = drops::drop_segments(transaction, (*job, *log), *first, *end)?;
                *grown.entry((*job, *log)).or_default() -= bytes;
            }
            Entry::DropModule { digest } => {
                drop_module(transaction, *digest).map_err(failed("dropping a module"))?;
            }
            Entry::Audit(entry) => write_audit(transaction, entry)?,
            Entry::DropAudits { before } => {
                let before = to_sql((*before).min(row::last_audit(transaction)?))?;
                transaction
                    .execute("DELETE FROM audits WHERE number < ?1", [before])
                    .map_err(failed("dropping entries of the audit log"))?;
            }
            Entry::Module { digest, bytes } => {
                let sql =
                    "INSERT INTO modules (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                transaction
                    .execute(sql, params![digest.0, &bytes[..]])
                    .map_err(failed("writing a module"))?;
            }
            Entry::Stage { staged, piece, bytes } => stage(transaction, *staged, *piece, bytes)?,
            Entry::StagedModule { digest, staged } => {
                keep_staged_module(transaction, *digest, *staged)?;
            }
            Entry::DropStaged { staged } => drop_staged(transaction, *staged)?,
        }
    }
    if !grown.is_empty() {
        write_sizes(transaction, &grown)?;
    }
    Ok(last + count)
}

/// Whether a group is there that was to be written behind record `last`. If it has neither records,
/// nor a segment or a snapshot that it keeps, that does not show, and writing it again changes nothing.
pub fn is_there(
    transaction: &Transaction<'_>,
    last: u64,
    commit: &Commit,
) -> Result<bool, StoreError> {
    for entry in &commit.entries {
        let found = match entry {
            Entry::Record(_) => return Ok(row::last_record(transaction)? > last),
            Entry::Segment(segment) | Entry::StagedSegment { segment, .. } => {
                has_segment(transaction, segment)?
            }
            Entry::Snapshot(snapshot) => row::covered(transaction)? >= snapshot.covers.0,
            Entry::Audit(_) => return ends_with_audit(transaction, commit),
            _ => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the audit log ends with the last entry of this group: an entry has its time, so it is like
/// no other.
fn ends_with_audit(transaction: &Transaction<'_>, commit: &Commit) -> Result<bool, StoreError> {
    let last = commit.entries.iter().rev().find_map(|entry| match entry {
        Entry::Audit(entry) => Some(entry),
        _ => None,
    });
    let Some(last) = last else { return Ok(false) };
    let number = row::last_audit(transaction)?;
    let sum = row::audit_sum(number, last);
    let sql = "SELECT count(*) FROM audits WHERE number = ?1 AND sum = ?2";
    let count: i64 = transaction
        .query_row(sql, params![to_sql(number)?, sum], |row| row.get(0))
        .map_err(failed("looking for an entry of the audit log"))?;
    Ok(count > 0)
}

fn has_segment(transaction: &Transaction<'_>, segment: &Segment) -> Result<bool, StoreError> {
    let sql =
        "SELECT count(*) FROM segments WHERE job = ?1 AND log = ?2 AND first = ?3 AND sum = ?4";
    let place = params![
        to_sql(segment.job.0)?,
        segment.log.code(),
        to_sql(segment.first)?,
        row::segment_sum(segment)
    ];
    let count: i64 = transaction
        .query_row(sql, place, |row| row.get(0))
        .map_err(failed("looking for a segment"))?;
    Ok(count > 0)
}

fn stage(
    transaction: &Transaction<'_>,
    staged: StagedId,
    piece: u32,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO staged (epoch, number, piece, bytes) VALUES (?1, ?2, ?3, ?4)";
    let params = params![to_sql(staged.epoch.0)?, to_sql(staged.number)?, piece, bytes];
    transaction.execute(sql, params).map(|_| ()).map_err(failed("staging bytes"))
}

fn drop_staged(transaction: &Transaction<'_>, staged: StagedId) -> Result<(), StoreError> {
    let sql = "DELETE FROM staged WHERE epoch = ?1 AND number = ?2";
    let params = params![to_sql(staged.epoch.0)?, to_sql(staged.number)?];
    transaction.execute(sql, params).map(|_| ()).map_err(failed("dropping staged bytes"))
}

fn keep_staged_module(
    transaction: &Transaction<'_>,
    digest: Digest,
    staged: StagedId,
) -> Result<(), StoreError> {
    let failed = failed("writing a module");
    let place = (to_sql(staged.epoch.0)?, to_sql(staged.number)?);
    let sql = "INSERT INTO modules (digest, epoch, staged) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO NOTHING";
    transaction.execute(sql, params![digest.0, place.0, place.1]).map_err(failed)?;
    let sql = "SELECT epoch IS ?2 AND staged IS ?3 FROM modules WHERE digest = ?1";
    let is_it: bool = transaction
        .query_row(sql, params![digest.0, place.0, place.1], |row| row.get(0))
        .map_err(failed)?;
    if is_it { Ok(()) } else { drop_staged(transaction, staged) }
}

/// Drops a module with what was staged of it.
fn drop_module(transaction: &Transaction<'_>, digest: Digest) -> rusqlite::Result<()> {
    let sql = "DELETE FROM staged WHERE (epoch, number) = \
               (SELECT epoch, staged FROM modules WHERE digest = ?1)";
    transaction.execute(sql, [digest.0])?;
    transaction.execute("DELETE FROM modules WHERE digest = ?1", [digest.0]).map(|_| ())
}

/// Drops what an epoch that is over has staged and not named. Earlier ones have nothing such left.
pub fn drop_abandoned(transaction: &Transaction<'_>, over: Epoch) -> Result<(), StoreError> {
    let sql = "DELETE FROM staged WHERE epoch = ?1 AND number NOT IN \
               (SELECT staged FROM modules WHERE epoch = ?1 UNION ALL \
               SELECT staged FROM segments WHERE epoch = ?1)";
    transaction.execute(sql, [to_sql(over.0)?]).map(|_| ()).map_err(failed("dropping staged bytes"))
}

fn write_snapshot(
    transaction: &Transaction<'_>,
    last: u64,
    snapshot: &Snapshot,
) -> Result<(), StoreError> {
    let failed = failed("writing a snapshot");
    snapshot.check(row::covered(transaction)?, last)?;
    let covers = to_sql(snapshot.covers.0)?;
    transaction.execute("DELETE FROM snapshot", []).map_err(failed)?;
    let parts = snapshot.parts.len() as u64;
    let sql = "INSERT INTO snapshot (part, parts, covers, sum, data) VALUES (?1, ?2, ?3, ?4, ?5)";
    for (part, data) in (0..).zip(&snapshot.parts) {
        let sum = row::snapshot_sum(snapshot.covers.0, part, parts, data);
        transaction
            .execute(sql, params![to_sql(part)?, to_sql(parts)?, covers, sum, &data[..]])
            .map_err(failed)?;
    }
    transaction.execute("DELETE FROM commits WHERE first <= ?1", [covers]).map_err(failed)?;
    let next: Option<i64> = transaction
        .query_row("SELECT min(first) FROM commits", [], |row| row.get(0))
        .map_err(failed)?;
    if next.map_or(snapshot.covers.0 != last, |next| next != covers + 1) {
        let why = format!("a snapshot up to record {covers}, which is inside a commit");
        return Err(StoreError::Invalid(why));
    }
    Ok(())
}

/// Brings the logs' sizes up to date; those without bytes have no row.
fn write_sizes(transaction: &Transaction<'_>, grown: &Grown) -> Result<(), StoreError> {
    let failed = failed("writing the sizes of logs");
    let mut statement = transaction
        .prepare(
            "INSERT INTO sizes (job, log, bytes) VALUES (?1, ?2, ?3) \
             ON CONFLICT (job, log) DO UPDATE SET bytes = bytes + excluded.bytes",
        )
        .map_err(failed)?;
    for ((job, log), bytes) in grown {
        statement.execute(params![to_sql(job.0)?, log.code(), bytes]).map_err(failed)?;
        if *bytes < 0 {
            let place = params![to_sql(job.0)?, log.code()];
            transaction
                .execute("DELETE FROM sizes WHERE job = ?1 AND log = ?2 AND bytes <= 0", place)
                .map_err(failed)?;
        }
    }
    Ok(())
}

fn write_records(
    transaction: &Transaction<'_>,
    epoch: Epoch,
    first: u64,
    count: u64,
    records: &[u8],
) -> Result<(), StoreError> {
    let sum = row::commit_sum(first, count, epoch.0, records);
    let sql = "INSERT INTO commits (first, count, epoch, sum, records) VALUES (?1, ?2, ?3, ?4, ?5)";
    transaction
        .execute(sql, params![to_sql(first)?, to_sql(count)?, to_sql(epoch.0)?, sum, records])
        .map(|_| ())
        .map_err(failed("writing records"))
}

fn write_segment(
    transaction: &Transaction<'_>,
    segment: &Segment,
    staged: Option<StagedId>,
) -> Result<(), StoreError> {
    let Segment { job, log, first, count, head, data } = segment;
    let failed = failed("writing a segment");
    let sum = row::segment_sum(segment);
    let sql = "INSERT INTO segments (job, log, first, count, bytes, sum, data, epoch, staged) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let (epoch, number) = match staged {
        Some(staged) => (Some(to_sql(staged.epoch.0)?), Some(to_sql(staged.number)?)),
        None => (None, None),
    };
    let bytes = to_sql(segment.bytes() as u64)?;
    let insert = |data: &dyn ToSql| {
        let (job, first, count) = (to_sql(job.0)?, to_sql(*first)?, to_sql(*count)?);
        let values = params![job, log.code(), first, count, bytes, sum, data, epoch, number];
        transaction.execute(sql, values).map(|_| ()).map_err(|error| {
            match error.sqlite_error_code() {
                Some(ErrorCode::ConstraintViolation) => StoreError::Invalid(format!(
                    "a second {} segment of job {job} from {first}",
                    log.name()
                )),
                _ => failed(error),
            }
        })
    };
    if staged.is_some() {
        return insert(&&head[..]);
    }
    if segment.bytes() < IN_PLACE_BYTES {
        return if head.is_empty() {
            insert(&&data[..])
        } else {
            insert(&[&head[..], data].concat())
        };
    }
    insert(&ZeroBlob(segment.bytes() as u64))?;
    let row = transaction.last_insert_rowid();
    let mut blob = transaction.blob_open("main", "segments", "data", row, false).map_err(failed)?;
    blob.write_at(head, 0).map_err(failed)?;
    blob.write_at(data, head.len()).map_err(failed)?;
    blob.close().map_err(failed)
}

fn write_audit(transaction: &Transaction<'_>, entry: &Bytes) -> Result<(), StoreError> {
    let number = row::last_audit(transaction)? + 1;
    transaction
        .execute(
            "INSERT INTO audits (number, sum, entry) VALUES (?1, ?2, ?3)",
            params![to_sql(number)?, row::audit_sum(number, entry), &entry[..]],
        )
        .map(|_| ())
        .map_err(failed("writing an entry of the audit log"))
}

fn write_meta(
    transaction: &Transaction<'_>,
    key: &str,
    value: Option<&Bytes>,
) -> Result<(), StoreError> {
    let written = match value {
        Some(value) => transaction.execute(
            "INSERT OR REPLACE INTO metas (key, sum, value) VALUES (?1, ?2, ?3)",
            params![key, row::meta_sum(key, value), &value[..]],
        ),
        None => transaction.execute("DELETE FROM metas WHERE key = ?1", [key]),
    };
    written.map(|_| ()).map_err(failed("writing a meta value"))
}
