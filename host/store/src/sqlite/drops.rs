//! How segments are dropped. Many of them at once would take one commit long, in which nobody else's
//! goes on: so a commit only writes down that they are dropped, from when on no reader has them, and
//! they are deleted in parts after it.

use rusqlite::{Transaction, params};
use wasmgrid_proto::JobId;

use super::errors::{failed, to_sql};
use crate::{LogKind, StoreError};

/// How much one commit deletes: bytes, and segments.
const PART_BYTES: i64 = 4 << 20;
const PART_SEGMENTS: i64 = 1_000;

/// The segments of one log that lie wholly inside a range.
const INSIDE: &str = "job = ?1 AND log = ?2 AND first >= ?3 AND first < ?4 AND first + count <= ?4";

/// Writes down a range that is dropped.
const NOTE: &str = "INSERT INTO dropped (job, log, first, last) VALUES (?1, ?2, ?3, ?4) \
                    ON CONFLICT (job, log, first) DO UPDATE SET last = max(last, excluded.last)";

/// Drops the segments of a log inside `first..end`; how many bytes they had.
pub fn drop_segments(
    transaction: &Transaction<'_>,
    (job, log): (JobId, LogKind),
    first: u64,
    end: u64,
) -> Result<i64, StoreError> {
    let failed = failed("dropping segments");
    let end = i64::try_from(end).unwrap_or(i64::MAX);
    let place = params![to_sql(job.0)?, log.code(), to_sql(first)?, end];
    let sum = format!("SELECT coalesce(sum(bytes), 0), count(*) FROM live WHERE {INSIDE}");
    let both = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (bytes, count): (i64, i64) = transaction.query_row(&sum, place, both).map_err(failed)?;
    if bytes <= PART_BYTES && count <= PART_SEGMENTS {
        delete(transaction, (to_sql(job.0)?, log.code().into()), (to_sql(first)?, end))
            .map_err(failed)?;
    } else {
        transaction.execute(NOTE, place).map_err(failed)?;
    }
    Ok(bytes)
}

/// Deletes some of what was dropped; true if more is left.
pub fn reclaim(transaction: &Transaction<'_>) -> Result<bool, StoreError> {
    let failed = failed("deleting dropped segments");
    let sql = "SELECT job, log, first, last FROM dropped LIMIT 1";
    let range =
        |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)));
    let found = transaction.query_row(sql, [], range);
    let ((job, log), (first, end)) = match found {
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(false),
        found => found.map_err(failed)?,
    };
    let (part_end, is_last) = part(transaction, (job, log), (first, end)).map_err(failed)?;
    delete(transaction, (job, log), (first, part_end)).map_err(failed)?;
    let sql = "DELETE FROM dropped WHERE job = ?1 AND log = ?2 AND first = ?3";
    transaction.execute(sql, params![job, log, first]).map_err(failed)?;
    if !is_last {
        transaction.execute(NOTE, params![job, log, part_end, end]).map_err(failed)?;
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM dropped)";
    transaction.query_row(sql, [], |row| row.get(0)).map_err(failed)
}

/// Up to where a range is deleted in one commit, and whether that is all of it.
fn part(
    transaction: &Transaction<'_>,
    (job, log): (i64, i64),
    (first, end): (i64, i64),
) -> rusqlite::Result<(i64, bool)> {
    let sql = format!(
        "SELECT first + count, bytes FROM segments WHERE {INSIDE} ORDER BY first LIMIT {PART_SEGMENTS}"
    );
    let mut statement = transaction.prepare(&sql)?;
    let mut rows = statement.query(params![job, log, first, end])?;
    let (mut bytes, mut count, mut upto) = (0_i64, 0, end);
    while let Some(row) = rows.next()? {
        let (behind, more): (i64, i64) = (row.get(0)?, row.get(1)?);
        bytes += more;
        count += 1;
        // One segment at least, however large it is.
        if count > 1 && bytes > PART_BYTES {
            return Ok((upto, false));
        }
        upto = behind;
    }
    Ok(if count == PART_SEGMENTS { (upto, false) } else { (end, true) })
}

fn delete(
    transaction: &Transaction<'_>,
    (job, log): (i64, i64),
    (first, end): (i64, i64),
) -> rusqlite::Result<()> {
    let place = params![job, log, first, end];
    let staged = format!(
        "DELETE FROM staged WHERE (epoch, number) IN \
         (SELECT epoch, staged FROM segments WHERE {INSIDE} AND epoch IS NOT NULL)"
    );
    transaction.execute(&staged, place)?;
    transaction.execute(&format!("DELETE FROM segments WHERE {INSIDE}"), place).map(|_| ())
}
