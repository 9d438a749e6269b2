//! What a commit writes, statement by statement.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{ErrorCode, ToSql, Transaction, blob::ZeroBlob, params};
use wasmgrid_proto::{Epoch, JobId};

use super::{failed, row, to_sql};
use crate::{Commit, Entry, LogKind, Segment, Snapshot, StoreError, pack};

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
            Entry::Segment(segment) => {
                write_segment(transaction, segment)?;
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
                let bytes = drop_segments(transaction, (*job, *log), *first, *end)?;
                *grown.entry((*job, *log)).or_default() -= bytes;
            }
            Entry::DropModule { digest } => {
                transaction
                    .execute("DELETE FROM modules WHERE digest = ?1", [digest.0])
                    .map_err(failed("dropping a module"))?;
            }
            Entry::Module { digest, bytes } => {
                let sql =
                    "INSERT INTO modules (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                transaction
                    .execute(sql, params![digest.0, &bytes[..]])
                    .map_err(failed("writing a module"))?;
            }
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
            Entry::Record(_) => super::last_record(transaction)? > last,
            Entry::Segment(segment) => has_segment(transaction, segment)?,
            Entry::Snapshot(snapshot) => row::covered(transaction)? >= snapshot.covers.0,
            _ => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_segment(transaction: &Transaction<'_>, segment: &Segment) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM segments WHERE job = ?1 AND log = ?2 AND first = ?3 AND sum = ?4";
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

/// Drops the segments inside `first..end`; how many bytes they had.
fn drop_segments(
    transaction: &Transaction<'_>,
    (job, log): (JobId, LogKind),
    first: u64,
    end: u64,
) -> Result<i64, StoreError> {
    let failed = failed("dropping segments");
    let end = i64::try_from(end).unwrap_or(i64::MAX);
    let inside = "FROM segments WHERE job = ?1 AND log = ?2 AND first >= ?3 AND first < ?4 \
                  AND first + count <= ?4";
    let place = params![to_sql(job.0)?, log.code(), to_sql(first)?, end];
    let sum = format!("SELECT coalesce(sum(length(data)), 0) {inside}");
    let bytes = transaction.query_row(&sum, place, |row| row.get(0)).map_err(failed)?;
    transaction.execute(&format!("DELETE {inside}"), place).map_err(failed)?;
    Ok(bytes)
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

fn write_segment(transaction: &Transaction<'_>, segment: &Segment) -> Result<(), StoreError> {
    let Segment { job, log, first, count, head, data } = segment;
    let failed = failed("writing a segment");
    let sum = row::segment_sum(segment);
    let sql =
        "INSERT INTO segments (job, log, first, count, sum, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let insert = |data: &dyn ToSql| {
        let values =
            params![to_sql(job.0)?, log.code(), to_sql(*first)?, to_sql(*count)?, sum, data];
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
