//! The reader's side of the file: a connection of its own, one short read a call.

use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, Params, Row, params};
use wasmgrid_proto::{Digest, JobId};

use super::{
    errors::{failed, to_sql},
    row, schema,
};
use crate::{EachRecord, LogKind, LogSize, Reader, Segment, Snapshot, StoreError};

/// Reads what is committed; see [`Reader`].
pub struct SqliteReader(Connection);

impl SqliteReader {
    /// One more connection to the file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        schema::open_reader(path).map(Self)
    }

    /// Every row of a query, as `read` makes it.
    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let failed = failed("reading the store");
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            out.push(read(row)?);
        }
        Ok(out)
    }
}

impl SqliteReader {
    /// The first segment of a log that fits `place`, which has the position as `?3`.
    fn segment_at(
        &self,
        job: JobId,
        log: LogKind,
        place: &str,
        position: u64,
    ) -> Result<Option<Segment>, StoreError> {
        let sql = format!(
            "SELECT first, count, sum, data, epoch, staged FROM live \
             WHERE job = ?1 AND log = ?2 AND {place} LIMIT 1"
        );
        // One view of both tables, so that it is not dropped between two reads.
        let _view = self.0.unchecked_transaction().map_err(failed("reading the store"))?;
        let params = params![to_sql(job.0)?, log.code(), position_to_sql(position)];
        let found = self.rows(&sql, params, |row| row::SegmentRow::read(row, job, log))?;
        let Some(mut found) = found.into_iter().next() else { return Ok(None) };
        if let Some((epoch, number)) = found.staged {
            let sql = "SELECT bytes FROM staged WHERE epoch = ?1 AND number = ?2 ORDER BY piece";
            let pieces = self.rows(sql, params![epoch, number], |row| {
                row::blob(row, 0).map(Bytes::copy_from_slice)
            })?;
            pieces.iter().for_each(|piece| found.data.extend_from_slice(piece));
        }
        found.checked().map(Some)
    }
}

impl Reader for SqliteReader {
    fn segment(
        &mut self,
        job: JobId,
        log: LogKind,
        position: u64,
    ) -> Result<Option<Segment>, StoreError> {
        let found = self.segment_at(job, log, "first <= ?3 ORDER BY first DESC", position)?;
        Ok(found.filter(|segment| segment.contains(position)))
    }

    fn segment_from(
        &mut self,
        job: JobId,
        log: LogKind,
        position: u64,
    ) -> Result<Option<Segment>, StoreError> {
        let at = self.segment(job, log, position)?;
        if at.is_some() {
            return Ok(at);
        }
        self.segment_at(job, log, "first > ?3 ORDER BY first", position)
    }

    fn modules(&mut self) -> Result<Vec<Digest>, StoreError> {
        self.rows("SELECT digest FROM modules ORDER BY digest", [], |row| {
            let digest = row::blob(row, 0)?;
            digest.try_into().map(Digest).map_err(|_| StoreError::Damaged {
                what: format!("a digest of {} bytes", digest.len()),
                place: "table modules".into(),
            })
        })
    }

    fn module(&mut self, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        // In one statement, so that it is not dropped between two.
        let sql = "SELECT coalesce(modules.bytes, staged.bytes, x'') FROM modules \
                   LEFT JOIN staged ON staged.epoch = modules.epoch \
                   AND staged.number = modules.staged \
                   WHERE digest = ?1 ORDER BY piece";
        let pieces =
            self.rows(sql, [digest.0], |row| row::blob(row, 0).map(Bytes::copy_from_slice))?;
        let bytes = match &pieces[..] {
            [] => return Ok(None),
            [whole] => whole.clone(),
            pieces => pieces.concat().into(),
        };
        if Digest::of(&bytes) != digest {
            return Err(StoreError::Damaged {
                what: "a module is not as it was written".into(),
                place: format!("table modules, digest = {digest}"),
            });
        }
        Ok(Some(bytes))
    }

    fn has_module(&mut self, digest: Digest) -> Result<bool, StoreError> {
        let found = self.rows("SELECT 1 FROM modules WHERE digest = ?1", [digest.0], |_| Ok(()))?;
        Ok(!found.is_empty())
    }

    fn meta(&mut self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let sql = "SELECT key, sum, value FROM metas WHERE key = ?1";
        let found = self.rows(sql, [key], row::meta)?;
        Ok(found.into_iter().next().map(|(_, value)| value))
    }

    fn metas(&mut self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        let prefixed = row::META_PREFIX;
        let sql = format!("SELECT key, sum, value FROM metas WHERE {prefixed} ORDER BY key");
        self.rows(&sql, [prefix], row::meta)
    }

    fn meta_sizes(&mut self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let failed = failed("reading the sizes of values");
        let prefixed = row::META_PREFIX;
        let sql = format!("SELECT key, length(value) FROM metas WHERE {prefixed} ORDER BY key");
        self.rows(&sql, [prefix], |row| {
            let bytes: i64 = row.get(1).map_err(failed)?;
            Ok((row.get(0).map_err(failed)?, bytes.cast_unsigned()))
        })
    }

    fn snapshot(&mut self) -> Result<Option<Snapshot>, StoreError> {
        row::snapshot(&self.0)
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        row::replay(&self.0, each)
    }

    fn audits(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let sql =
            "SELECT number, sum, entry FROM audits WHERE number > ?1 ORDER BY number LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.rows(sql, params![position_to_sql(after), limit], row::audit)
    }

    fn last_audit(&mut self) -> Result<u64, StoreError> {
        row::last_audit(&self.0)
    }

    fn sizes(&mut self) -> Result<Vec<LogSize>, StoreError> {
        let failed = failed("reading the sizes of logs");
        let sql = "SELECT job, log, bytes FROM sizes ORDER BY job, log";
        self.rows(sql, [], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned).map_err(failed);
            let log = if number(1)? == 0 { LogKind::Input } else { LogKind::Result };
            Ok(LogSize { job: JobId(number(0)?), log, bytes: number(2)? })
        })
    }

    fn position_after(&mut self, job: JobId, log: LogKind, bytes: u64) -> Result<u64, StoreError> {
        let failed = failed("measuring a log");
        let sql = "SELECT first + count, bytes FROM live \
                   WHERE job = ?1 AND log = ?2 ORDER BY first";
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        let mut rows = statement.query(params![to_sql(job.0)?, log.code()]).map_err(failed)?;
        let (mut found, mut position) = (0, 0);
        while let Some(row) = rows.next().map_err(failed)? {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned).map_err(failed);
            found += number(1)?;
            if found > bytes {
                break;
            }
            position = number(0)?;
        }
        Ok(position)
    }
}

/// A position to look at: no segment reaches past what `SQLite` can count.
fn position_to_sql(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}
