//! Recent segments in memory, so that what was just submitted or committed is sent without a
//! read. Bounded by bytes; the least recently used goes first.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use wasmgrid_proto::{
    InputBlock, JobId, LogKind, LogRef, ResultBlock, ResultMeta, SegmentError, TaskRange,
    budget::{BLOCK_META, RESULT_FIXED, RESULT_PAYLOAD_MAX, RESULTS_META_MAX, fitting},
};
use wasmgrid_store::Segment;

/// What a segment takes beside its payload, in bytes: so many small segments are bounded too.
const SEGMENT_OVERHEAD: usize = 256;

/// About how long a result is on the wire, its text, records and payload apart.
const RESULT_BYTES: usize = 48;

/// A payload of so many bytes is not copied: what else is in the message that it came in is little,
/// or kept as well.
const SHARED_BYTES: usize = 64 << 10;

/// A run of one job's inputs.
#[derive(Debug)]
pub struct Inputs {
    first: u64,
    block: InputBlock,
    payload: Bytes,
    /// Where each packed input starts, and where the last ends: cutting a lease out of a large
    /// segment must not cost a scan over the whole of it.
    starts: Vec<usize>,
}

/// A run of one job's results.
#[derive(Debug)]
pub struct Results {
    /// The first one's cursor.
    pub first: u64,
    /// What they are.
    pub block: Arc<ResultBlock>,
    /// Their bytes.
    pub payload: Bytes,
    /// About how long `block` is on the wire, in bytes.
    pub(super) meta_bytes: usize,
    /// All of them fit one message.
    fits: bool,
}

/// A segment as it is used.
#[derive(Clone, Debug)]
pub enum Cached {
    /// Of the input log.
    Inputs(Arc<Inputs>),
    /// Of the result log.
    Results(Arc<Results>),
}

impl Inputs {
    /// The inputs whose first has index `first`; `payload` is as long as `block` says.
    ///
    /// # Errors
    /// [`SegmentError`], where it is not.
    pub fn new(first: u64, block: InputBlock, payload: Bytes) -> Result<Self, SegmentError> {
        let mut starts = Vec::new();
        if let InputBlock::Packed(lengths) = &block {
            starts.reserve_exact(lengths.len() + 1);
            let mut at = 0_usize;
            starts.push(at);
            for length in lengths {
                at = at.saturating_add(*length as usize);
                starts.push(at);
            }
        }
        let declared = starts.last().copied().unwrap_or(0) as u64;
        let present = payload.len() as u64;
        if declared != present {
            return Err(SegmentError::Length { declared, present });
        }
        Ok(Self { first, block, payload, starts })
    }

    /// The inputs of `tasks` from its first on that are here, as many as `max_bytes` hold and at
    /// least one, with their bytes; those are not copied.
    ///
    /// # Errors
    /// [`SegmentError::Range`], where the first is not here or a number leaves 64 bits.
    pub fn cut(
        &self,
        tasks: TaskRange,
        max_bytes: usize,
    ) -> Result<(InputBlock, Bytes), SegmentError> {
        let skip = tasks.first.checked_sub(self.first).ok_or(SegmentError::Range)?;
        let count = tasks.count.min(self.block.count().saturating_sub(skip));
        if count == 0 {
            return Err(SegmentError::Range);
        }
        let InputBlock::Packed(lengths) = &self.block else {
            return self.block.slice(&self.payload, skip, count);
        };
        let from = usize::try_from(skip).map_err(|_| SegmentError::Range)?;
        let last = from + usize::try_from(count).map_err(|_| SegmentError::Range)?;
        let start = *self.starts.get(from).ok_or(SegmentError::Range)?;
        let ends = self.starts.get(from + 1..=last).ok_or(SegmentError::Range)?;
        let fitting = ends.partition_point(|end| end - start <= max_bytes).max(1);
        let end = *ends.get(fitting - 1).ok_or(SegmentError::Range)?;
        let kept = lengths.get(from..from + fitting).ok_or(SegmentError::Range)?;
        Ok((InputBlock::Packed(kept.to_vec()), self.payload.slice(start..end)))
    }

    fn count(&self) -> u64 {
        self.block.count()
    }

    fn cost(&self) -> usize {
        self.payload.len() + self.starts.len() * 12 + SEGMENT_OVERHEAD
    }
}

impl Results {
    /// The results whose first has cursor `first`. Each of them is made to fit a message, also those
    /// of stores that were written before there was a bound.
    pub(super) fn new(first: u64, mut block: ResultBlock, payload: Bytes) -> Self {
        let payload = block.fit(payload);
        let count = block.results.len();
        let varying: usize = block.results.iter().map(ResultMeta::varying_bytes).sum();
        let meta_bytes = count * RESULT_BYTES + varying;
        let fits = BLOCK_META + count * RESULT_FIXED + varying <= RESULTS_META_MAX
            && payload.len() <= RESULT_PAYLOAD_MAX;
        Self { first, block: Arc::new(block), payload, meta_bytes, fits }
    }

    /// The cursor after the last.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.block.results.len() as u64
    }

    /// The results from `cursor` on and before `end`, as many of them as fit one message and at
    /// least one, with their bytes.
    pub(super) fn cut(&self, cursor: u64, end: u64) -> (Arc<ResultBlock>, Bytes) {
        let skip = usize::try_from(cursor.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let take = usize::try_from(end.saturating_sub(cursor)).unwrap_or(usize::MAX);
        if self.fits && skip == 0 && take >= self.block.results.len() {
            return (Arc::clone(&self.block), self.payload.clone());
        }
        let before: u64 = self.block.results.iter().take(skip).map(ResultMeta::payload_len).sum();
        let results = self.block.results.get(skip..).unwrap_or_default();
        let results = results.get(..take).unwrap_or(results);
        let results = results.get(..fitting(results, RESULTS_META_MAX)).unwrap_or(results).to_vec();
        let length: u64 = results.iter().map(ResultMeta::payload_len).sum();
        let at = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(self.payload.len());
        let payload = self.payload.slice(at(before)..at(before + length));
        let ResultBlock { job, lease, worker, attempt, .. } = *self.block;
        let extensions = self.block.extensions.clone();
        let part = ResultBlock { job, lease, worker, attempt, results, extensions };
        (Arc::new(part), payload)
    }

    fn cost(&self) -> usize {
        self.payload.len() + self.meta_bytes * 2 + SEGMENT_OVERHEAD
    }
}

/// A block of either log and its payload, as the store keeps them: postcard, then raw bytes. A
/// large payload is not copied, a small one is not to hold on to the message it came in.
pub(super) fn encode<T: serde::Serialize>(
    block: &T,
    payload: &Bytes,
) -> postcard::Result<(Bytes, Bytes)> {
    let mut meta = postcard::to_allocvec(block)?;
    if payload.len() >= SHARED_BYTES {
        return Ok((meta.into(), payload.clone()));
    }
    meta.extend_from_slice(payload);
    Ok((Bytes::new(), meta.into()))
}

/// Reads a stored segment.
///
/// # Errors
/// What is wrong with it.
pub fn decode(segment: &Segment) -> Result<Cached, postcard::Error> {
    let Segment { head, data, .. } = segment;
    let meta = if head.is_empty() { data } else { head };
    let payload = |behind: &[u8]| {
        let apart = !head.is_empty();
        if apart { data.clone() } else { data.slice(data.len() - behind.len()..) }
    };
    match segment.log {
        LogKind::Input => {
            let (block, tail) = postcard::take_from_bytes(meta)?;
            let inputs = Inputs::new(segment.first, block, payload(tail));
            inputs.map(|inputs| Cached::Inputs(Arc::new(inputs))).map_err(|_| {
                // The lengths and the payload disagree: the segment is not what was written.
                postcard::Error::DeserializeUnexpectedEnd
            })
        }
        LogKind::Result => {
            let (block, tail) = postcard::take_from_bytes(meta)?;
            Ok(Cached::Results(Arc::new(Results::new(segment.first, block, payload(tail)))))
        }
    }
}

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    limit: usize,
    bytes: usize,
    uses: u64,
    segments: BTreeMap<LogRef, (u64, Cached)>,
    by_use: BTreeSet<(u64, LogRef)>,
}

impl Cache {
    /// An empty one that holds at most `limit` bytes, and always the newest segment.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, uses: 0, segments: BTreeMap::new(), by_use: BTreeSet::new() }
    }

    /// Keeps a segment, and drops what was not used for longest where it is too much.
    pub(super) fn insert(&mut self, job: JobId, segment: Cached) {
        let place = match &segment {
            Cached::Inputs(inputs) => LogRef::input(job, inputs.first),
            Cached::Results(results) => LogRef::result(job, results.first),
        };
        self.remove(place);
        self.bytes += segment.cost();
        self.uses += 1;
        self.by_use.insert((self.uses, place));
        self.segments.insert(place, (self.uses, segment));
        while self.bytes > self.limit && self.segments.len() > 1 {
            let Some((_, oldest)) = self.by_use.first().copied() else { break };
            self.remove(oldest);
        }
    }

    /// The segment that holds the input or result at `place`.
    pub(super) fn find(&mut self, place: LogRef) -> Option<Cached> {
        let lowest = LogRef { position: 0, ..place };
        let (key, (used, segment)) = self.segments.range_mut(lowest..=place).next_back()?;
        if place.position >= segment.end() {
            return None;
        }
        self.uses += 1;
        self.by_use.remove(&(*used, *key));
        self.by_use.insert((self.uses, *key));
        *used = self.uses;
        Some(segment.clone())
    }

    fn remove(&mut self, place: LogRef) {
        if let Some((used, segment)) = self.segments.remove(&place) {
            self.bytes = self.bytes.saturating_sub(segment.cost());
            self.by_use.remove(&(used, place));
        }
    }
}

impl Cached {
    fn end(&self) -> u64 {
        match self {
            Self::Inputs(inputs) => inputs.first + inputs.count(),
            Self::Results(results) => results.end(),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Inputs(inputs) => inputs.cost(),
            Self::Results(results) => results.cost(),
        }
    }
}
