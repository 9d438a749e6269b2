//! What the driver makes durable: the core's records, with the segments that they speak of, and as
//! what the store has them.

use std::sync::Arc;

use bytes::Bytes;
use wasmgrid_proto::{AuditRecord, InputBlock, JobId, Record, durable};
use wasmgrid_store::{Entry, LogKind, Segment, StagedId, StoreError};

use super::cache::{Results, encode};

/// What a record takes in memory and on disk, about, in bytes.
const RECORD_BYTES: usize = 128;

/// The same of an entry of the audit log.
const AUDIT_BYTES: usize = 512;

/// One thing to make durable.
#[derive(Debug)]
pub enum Item {
    /// A record.
    Record(Record),
    /// The inputs of the record after it.
    Inputs {
        /// The job.
        job: JobId,
        /// The first one's index.
        first: u64,
        /// What they are.
        block: InputBlock,
        /// Their bytes.
        payload: Bytes,
    },
    /// The results of the record after it.
    Results {
        /// The job.
        job: JobId,
        /// The results.
        results: Arc<Results>,
    },
    /// An entry of the audit log.
    Audit(Box<AuditRecord>),
}

/// What the driver hands over at once: committed together.
#[derive(Debug)]
pub struct Batch {
    /// The driver's number of it.
    pub number: u64,
    /// In order.
    pub items: Vec<Item>,
}

impl Item {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Record(_) => RECORD_BYTES,
            Self::Audit(_) => AUDIT_BYTES,
            Self::Inputs { block, payload, .. } => {
                let lengths = match block {
                    InputBlock::Packed(lengths) => lengths.len() * size_of::<u32>(),
                    InputBlock::Numbers { .. } => 0,
                };
                RECORD_BYTES + lengths + payload.len()
            }
            Self::Results { results, .. } => {
                RECORD_BYTES + results.meta_bytes + results.payload.len()
            }
        }
    }

    /// The job of which a client asked for it: answers to repeats of its requests rest on that.
    pub(super) const fn asked_of(&self) -> Option<JobId> {
        let Self::Record(
            Record::JobSubmitted { job, .. }
            | Record::InputsAppended { job, .. }
            | Record::InputsTaken { job, .. }
            | Record::InputsDigest { job, .. }
            | Record::IndicesSkipped { job, .. }
            | Record::ProducerNoted { job, .. }
            | Record::InputsClosed { job }
            | Record::CancelRequested { job, .. },
        ) = self
        else {
            return None;
        };
        Some(*job)
    }

    /// Adds what makes it durable; segments that its record drops go with it. `staged` says where a
    /// segment's data is already.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], if it cannot be encoded.
    pub fn add_entries(
        &self,
        entries: &mut Vec<Entry>,
        staged: impl FnOnce(&Bytes) -> Option<StagedId>,
    ) -> Result<(), StoreError> {
        let add = |segment: Segment| match staged(&segment.data) {
            Some(staged) => Entry::StagedSegment { segment, staged },
            None => Entry::Segment(segment),
        };
        let encoded = match self {
            Self::Record(record) => {
                add_drops(record, entries);
                durable::encode(record).map(|bytes| Entry::Record(bytes.into()))
            }
            Self::Audit(record) => record.encode().map(|bytes| Entry::Audit(bytes.into())),
            Self::Inputs { job, first, block, payload } => {
                encode(block, payload).map(|(head, data)| {
                    let (job, first, count) = (*job, *first, block.count());
                    add(Segment { job, log: LogKind::Input, first, count, head, data })
                })
            }
            Self::Results { job, results } => {
                encode(results.block.as_ref(), &results.payload).map(|(head, data)| {
                    let (job, first) = (*job, results.first);
                    let count = results.block.results.len() as u64;
                    add(Segment { job, log: LogKind::Result, first, count, head, data })
                })
            }
        };
        let entry = encoded
            .map_err(|error| StoreError::Invalid(format!("a record, entry or segment: {error}")))?;
        entries.push(entry);
        Ok(())
    }
}

fn add_drops(record: &Record, entries: &mut Vec<Entry>) {
    let mut add = |job, log, first, end| {
        entries.push(Entry::DropSegments { job, log, first, end });
    };
    match record {
        Record::InputsDropped { job, tasks } => {
            for part in tasks {
                add(*job, LogKind::Input, part.first, part.end());
            }
        }
        Record::ResultsDropped { job, dropped } => {
            add(*job, LogKind::Result, 0, dropped.before);
        }
        Record::JobForgotten { job } => {
            add(*job, LogKind::Input, 0, u64::MAX);
            add(*job, LogKind::Result, 0, u64::MAX);
            entries.push(Entry::DropMetas { prefix: log_prefix(*job) });
        }
        _ => {}
    }
}

/// What the keys start with under which the logs of stopped tasks are kept.
pub(crate) const LOG_PREFIX: &str = "log/";

/// The same for the tasks of one job.
pub(super) fn log_prefix(job: JobId) -> String {
    format!("{LOG_PREFIX}{:020}/", job.0)
}
