//! Many tasks' inputs or results in one piece: their lengths as a message, their bytes as one
//! payload beside it.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    Extensions, JobId, LeaseId, Micros, Outcome, TaskRange, UnknownExtension, Usage, WorkerId,
    wire::bounded,
};

/// The inputs of a run of tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputBlock {
    /// Input `k` is the decimal text of `start + k * step`; there is no payload.
    Numbers {
        /// The first task's number.
        start: i64,
        /// From one number to the next; may be negative, not 0.
        step: i64,
        /// How many inputs.
        count: u64,
    },
    /// The inputs stand one behind the other in the payload; this has each one's length in bytes.
    Packed(#[serde(deserialize_with = "bounded")] Vec<u32>),
}

/// A block whose lengths and payload do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The payload is not as long as the lengths say.
    #[error("the lengths sum to {declared} bytes, but the payload has {present}")]
    Length {
        /// The sum of the lengths.
        declared: u64,
        /// The payload's length.
        present: u64,
    },
    /// A number of the range does not fit 64 bits, or the step is 0.
    #[error("the range exceeds 64 bits or has step 0")]
    Range,
}

impl InputBlock {
    /// How many inputs there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Numbers { count, .. } => *count,
            Self::Packed(lengths) => lengths.len() as u64,
        }
    }

    /// How many bytes of payload belong to the block.
    #[must_use]
    pub fn payload_len(&self) -> u64 {
        match self {
            Self::Numbers { .. } => 0,
            Self::Packed(lengths) => lengths.iter().map(|length| u64::from(*length)).sum(),
        }
    }

    /// Fails where a number would leave 64 bits.
    ///
    /// # Errors
    /// [`SegmentError::Range`].
    pub fn check(&self) -> Result<(), SegmentError> {
        let Self::Numbers { start, step, count } = *self else { return Ok(()) };
        let last = i128::from(start) + i128::from(step) * i128::from(count.saturating_sub(1));
        if step == 0 || i64::try_from(last).is_err() {
            return Err(SegmentError::Range);
        }
        Ok(())
    }

    /// The block's inputs from the `skip`-th on, `count` of them at most, without a copy: a
    /// smaller block and its part of `payload`.
    ///
    /// # Errors
    /// [`SegmentError::Length`] where `payload` is not the block's.
    pub fn slice(
        &self,
        payload: &Bytes,
        skip: u64,
        count: u64,
    ) -> Result<(Self, Bytes), SegmentError> {
        let declared = self.payload_len();
        let present = payload.len() as u64;
        if declared != present {
            return Err(SegmentError::Length { declared, present });
        }
        let count = count.min(self.count().saturating_sub(skip));
        match self {
            Self::Numbers { start, step, .. } => {
                let offset = i128::from(*step) * i128::from(skip);
                let start =
                    i64::try_from(i128::from(*start) + offset).map_err(|_| SegmentError::Range)?;
                Ok((Self::Numbers { start, step: *step, count }, Bytes::new()))
            }
            Self::Packed(lengths) => {
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                let sum = |part: &[u32]| part.iter().map(|length| *length as usize).sum::<usize>();
                let from = sum(lengths.get(..skip).unwrap_or(lengths));
                let kept: Vec<u32> = lengths.iter().skip(skip).take(count).copied().collect();
                let to = from + sum(&kept);
                Ok((Self::Packed(kept), payload.slice(from..to)))
            }
        }
    }
}

/// The results of some tasks of one lease, in the order in which they ended.
///
/// In the payload each result has its output, then its emitted records, then its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultBlock {
    /// The job.
    pub job: JobId,
    /// The lease the tasks ran under.
    pub lease: LeaseId,
    /// The worker they ran on.
    pub worker: WorkerId,
    /// Which attempt of each task this was, from 1.
    pub attempt: u32,
    /// One entry a task.
    #[serde(deserialize_with = "bounded")]
    pub results: Vec<ResultMeta>,
    /// What later releases add, of all results of the block: a list for each would cost each a byte.
    pub extensions: Extensions,
}

/// One task's result, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultMeta {
    /// The task's index.
    pub index: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// Bytes of output in the payload.
    pub output_len: u32,
    /// Bytes of each emitted record in the payload.
    #[serde(deserialize_with = "bounded")]
    pub record_lens: Vec<u32>,
    /// Bytes of log in the payload.
    pub log_len: u32,
    /// Bytes of log that were dropped at the log's limit.
    pub log_dropped: u64,
}

impl ResultMeta {
    /// How many bytes of payload belong to the result.
    #[must_use]
    pub fn payload_len(&self) -> u64 {
        let records: u64 = self.record_lens.iter().map(|length| u64::from(*length)).sum();
        u64::from(self.output_len) + records + u64::from(self.log_len)
    }

    /// The result's output, records and log, cut from its part of a payload.
    ///
    /// # Errors
    /// [`SegmentError::Length`] where `payload` is not the result's.
    pub fn split(&self, payload: &Bytes) -> Result<(Bytes, Vec<Bytes>, Bytes), SegmentError> {
        let (declared, present) = (self.payload_len(), payload.len() as u64);
        if declared != present {
            return Err(SegmentError::Length { declared, present });
        }
        let mut rest = payload.clone();
        let output = rest.split_to(self.output_len as usize);
        let records =
            self.record_lens.iter().map(|length| rest.split_to(*length as usize)).collect();
        Ok((output, records, rest))
    }
}

/// What a result's payload is made of.
#[derive(Clone, Debug)]
pub struct Parts<'a, R> {
    /// The output.
    pub output: &'a [u8],
    /// The records, in the order in which they were emitted.
    pub records: R,
    /// What was logged.
    pub log: &'a [u8],
}

impl ResultMeta {
    /// The same without owning them: output, records and log.
    ///
    /// # Errors
    /// As [`split`](Self::split).
    pub fn parts<'a>(
        &'a self,
        payload: &'a [u8],
    ) -> Result<Parts<'a, impl Iterator<Item = &'a [u8]>>, SegmentError> {
        let (declared, present) = (self.payload_len(), payload.len() as u64);
        if declared != present {
            return Err(SegmentError::Length { declared, present });
        }
        let (output, rest) = payload.split_at_checked(self.output_len as usize).unwrap_or_default();
        let log_at = rest.len().saturating_sub(self.log_len as usize);
        let (mut records, log) = rest.split_at_checked(log_at).unwrap_or_default();
        let records = self.record_lens.iter().map(move |length| {
            let (record, rest) = records.split_at_checked(*length as usize).unwrap_or_default();
            records = rest;
            record
        });
        Ok(Parts { output, records, log })
    }
}

/// The extension of a [`ResultBlock`] that has the date at which the scheduler received it.
const RECEIVED: u16 = 1;

impl ResultBlock {
    /// The scheduler's date at which these results came; `None` if its release did not note it.
    #[must_use]
    pub fn received(&self) -> Option<Micros> {
        self.extensions.read(RECEIVED).ok().flatten()
    }

    /// Notes when these results came, whatever their worker says.
    pub fn set_received(&mut self, at: Micros) {
        // A number is always encoded.
        let _ = self.extensions.set(RECEIVED, &at);
    }

    /// Refuses critical extensions that this release does not know.
    ///
    /// # Errors
    /// [`UnknownExtension`], which names the first of them.
    pub fn check_extensions(&self) -> Result<(), UnknownExtension> {
        self.extensions.check("a block of results", &[])
    }

    /// How many bytes of payload belong to the block.
    #[must_use]
    pub fn payload_len(&self) -> u64 {
        self.results.iter().map(ResultMeta::payload_len).sum()
    }

    /// The tasks that have results: a range for each run of neighbours, in the order of the results.
    pub fn runs(&self) -> impl Iterator<Item = TaskRange> {
        let follows = |a: &ResultMeta, b: &ResultMeta| a.index.checked_add(1) == Some(b.index);
        let runs = self.results.chunk_by(follows);
        runs.filter_map(|run| {
            let first = run.first()?.index;
            Some(TaskRange { first, count: run.len() as u64 })
        })
    }

    /// Each result with its part of `payload`, without a copy.
    ///
    /// # Errors
    /// [`SegmentError::Length`] where `payload` is not the block's.
    pub fn entries<'a>(
        &'a self,
        payload: &Bytes,
    ) -> Result<impl Iterator<Item = (&'a ResultMeta, Bytes)>, SegmentError> {
        let (declared, present) = (self.payload_len(), payload.len() as u64);
        if declared != present {
            return Err(SegmentError::Length { declared, present });
        }
        let mut rest = payload.clone();
        Ok(self.results.iter().map(move |meta| {
            let length = usize::try_from(meta.payload_len()).unwrap_or(rest.len());
            (meta, rest.split_to(length.min(rest.len())))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_of_inputs_keeps_each_input_with_its_bytes() {
        let block = InputBlock::Packed(alloc::vec![1, 0, 3, 2]);
        let payload = Bytes::from_static(b"abbbcc");
        let (part, bytes) = block.slice(&payload, 1, 2).expect("fits");
        assert_eq!(part, InputBlock::Packed(alloc::vec![0, 3]));
        assert_eq!(bytes, "bbb");
        let (rest, bytes) = block.slice(&payload, 3, 99).expect("fits");
        assert_eq!((rest.count(), &bytes[..]), (1, &b"cc"[..]));
    }

    #[test]
    fn a_payload_of_another_length_is_refused() {
        let block = InputBlock::Packed(alloc::vec![1, 2]);
        let error = block.slice(&Bytes::from_static(b"xx"), 0, 2).expect_err("too short");
        assert_eq!(error, SegmentError::Length { declared: 3, present: 2 });
    }

    #[test]
    fn numbers_that_leave_64_bits_are_refused() {
        let block = |start, step, count| InputBlock::Numbers { start, step, count };
        assert_eq!(block(i64::MAX, 1, 1).check(), Ok(()));
        assert_eq!(block(i64::MAX, 1, 2).check(), Err(SegmentError::Range));
        assert_eq!(block(0, 0, 1).check(), Err(SegmentError::Range));
        let (tail, _) = block(10, -3, 5).slice(&Bytes::new(), 2, 9).expect("fits");
        assert_eq!(tail, block(4, -3, 3));
    }

    #[test]
    fn results_that_follow_each_other_are_one_run() {
        let result = |index| ResultMeta {
            index,
            outcome: Outcome::Ok,
            usage: Usage::default(),
            output_len: 0,
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        };
        let (job, lease, worker) = (JobId(1), LeaseId(1), WorkerId(1));
        let results = [4, 5, 6, 9, 8, 8, u64::MAX].map(result).to_vec();
        let extensions = Extensions::NONE;
        let block = ResultBlock { job, lease, worker, attempt: 1, results, extensions };
        let run = |first, count| TaskRange { first, count };
        let expected = [run(4, 3), run(9, 1), run(8, 1), run(8, 1), run(u64::MAX, 1)];
        assert_eq!(block.runs().collect::<Vec<_>>(), expected);
    }
}
