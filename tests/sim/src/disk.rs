//! The scheduler's disk: what is written is durable once it is synced; what was not when the
//! scheduler dies is there, in part, or not. Two of them: a file of checked rows whose tail
//! tears, and the store in memory behind its trait.

use std::collections::BTreeMap;

use bytes::Bytes;
use wasmgrid_proto::{
    AuditRecord, Epoch, JobId, Record,
    durable::{self, Durable},
};
use wasmgrid_server::driver::{Cached, decode as decode_segment};
use wasmgrid_store::{Commit, Entry, LogKind, MemoryStore, Segment, Store, StoreError, memory};

use crate::{message::Shown, random::mix, scheduler::block_of};

/// One thing to make durable.
#[derive(Clone, Debug)]
pub enum Item {
    /// A record, encoded as the server does.
    Record(Bytes),
    /// A run of a log.
    Segment(Segment),
    /// An entry of the audit log.
    Audit(Bytes),
}

/// What cannot happen to a disk, and did.
#[derive(Debug)]
pub struct Damage(pub String);

/// See the module's text.
#[derive(Debug)]
pub enum Disk {
    /// A file.
    File(File),
    /// The store in memory, and the commit that is on its way there.
    Memory {
        /// As the next scheduler opens it.
        root: MemoryStore,
        /// As this scheduler has it.
        store: MemoryStore,
        /// Not synced.
        pending: Option<(Epoch, Vec<Item>)>,
    },
}

/// Rows, each with its length and checksum, one behind the other.
#[derive(Debug, Default)]
pub struct File {
    fence: Epoch,
    bytes: Vec<u8>,
    synced: usize,
    records: Vec<Bytes>,
    segments: BTreeMap<(JobId, LogKind, u64), Segment>,
    audits: Vec<Bytes>,
}

impl Disk {
    /// An empty one.
    #[must_use]
    pub fn new(store: bool) -> Self {
        if store {
            let root = memory();
            Self::Memory { store: root.reopen(), root, pending: None }
        } else {
            Self::File(File::default())
        }
    }

    /// Writes a group, which is durable at the next [`sync`](Self::sync).
    pub fn write(&mut self, epoch: Epoch, items: Vec<Item>) {
        match self {
            Self::File(file) => file.write(&items),
            Self::Memory { pending, .. } => *pending = Some((epoch, items)),
        }
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// Where the store refuses it.
    pub fn sync(&mut self) -> Result<(), Damage> {
        match self {
            Self::File(file) => {
                file.synced = file.bytes.len();
                file.recover();
                Ok(())
            }
            Self::Memory { store, pending, .. } => match pending.take() {
                None => Ok(()),
                Some((epoch, items)) => {
                    let entries = items.into_iter().map(|item| match item {
                        Item::Record(bytes) => Entry::Record(bytes),
                        Item::Segment(segment) => Entry::Segment(segment),
                        Item::Audit(bytes) => Entry::Audit(bytes),
                    });
                    let commit = Commit { entries: entries.collect() };
                    store.commit(epoch, &commit).map(drop).map_err(damage)
                }
            },
        }
    }

    /// The scheduler dies; `kept` of a hundred parts of what was not synced are there.
    pub fn crash(&mut self, kept: u64) -> Result<(), Damage> {
        match self {
            Self::File(file) => {
                let tail = (file.bytes.len() - file.synced) as u64;
                let tail = usize::try_from(tail * kept / 100).unwrap_or_default();
                file.bytes.truncate(file.synced + tail);
                file.recover();
                Ok(())
            }
            Self::Memory { pending, .. } => {
                if kept < 100 {
                    *pending = None;
                }
                self.sync()?;
                if let Self::Memory { root, store, .. } = self {
                    *store = root.reopen();
                }
                Ok(())
            }
        }
    }

    /// All records that a scheduler would find if it started now, decoded.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn replay(&mut self) -> Result<Vec<Record>, Damage> {
        let mut records = Vec::new();
        match self {
            Self::File(file) => {
                for bytes in &file.records {
                    records.push(decode(bytes)?);
                }
            }
            Self::Memory { root, .. } => {
                let mut read = root.reopen();
                let mut bad = None;
                read.replay(&mut |_, bytes| {
                    match decode(bytes) {
                        Ok(record) => records.push(record),
                        Err(damage) => bad = Some(damage),
                    }
                    Ok(())
                })
                .map_err(damage)?;
                if let Some(damage) = bad {
                    return Err(damage);
                }
            }
        }
        Ok(records)
    }

    /// The durable entries of the audit log, by number.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn audits(&self) -> Result<Vec<AuditRecord>, Damage> {
        let found = match self {
            Self::File(file) => file.audits.clone(),
            Self::Memory { root, .. } => {
                let mut reader = root.reader().map_err(damage)?;
                let found = reader.audits(0, usize::MAX).map_err(damage)?;
                found.into_iter().map(|(_, bytes)| bytes).collect()
            }
        };
        let decode = |bytes: &Bytes| AuditRecord::decode(bytes);
        found
            .iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|error| Damage(error.to_string()))
    }

    /// Takes the right to write from whoever has it, which is durable at once; the term that had
    /// it. As the server does.
    ///
    /// # Errors
    /// Where the store does not give it.
    pub fn take_over(&mut self) -> Result<Epoch, Damage> {
        match self {
            Self::File(file) => {
                let newest = file.fence;
                file.fence = Epoch(newest.0 + 1);
                Ok(newest)
            }
            Self::Memory { store, .. } => match store.fence(Epoch(0)) {
                Err(StoreError::Fenced { newest, .. }) => {
                    store.fence(Epoch(newest.0 + 1)).map(|()| newest).map_err(damage)
                }
                result => result.map(|()| Epoch(0)).map_err(damage),
            },
        }
    }

    /// The durable segment that holds this position of a log, if there is one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn segment(
        &self,
        job: JobId,
        log: LogKind,
        position: u64,
    ) -> Result<Option<Segment>, Damage> {
        match self {
            Self::File(file) => {
                let upto = (job, log, 0)..=(job, log, position);
                let last = file.segments.range(upto).next_back().map(|(_, segment)| segment);
                Ok(last.filter(|segment| segment.contains(position)).cloned())
            }
            Self::Memory { root, .. } => {
                let mut reader = root.reader().map_err(damage)?;
                reader.segment(job, log, position).map_err(damage)
            }
        }
    }

    /// The durable results of a job from `position` to the end of their segment.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn results(&self, job: JobId, position: u64) -> Result<Vec<Shown>, Damage> {
        let Some(segment) = self.segment(job, LogKind::Result, position)? else {
            return Ok(Vec::new());
        };
        let Ok(Cached::Results(results)) = decode_segment(&segment) else {
            return Err(Damage(format!("result {position} of job {job} cannot be read")));
        };
        let mut shown = block_of(&results.block, &results.payload).results;
        let skip = usize::try_from(position - segment.first).unwrap_or(usize::MAX);
        shown.drain(..skip.min(shown.len()));
        Ok(shown)
    }

    /// Whether an input of a job is durable.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn has_input(&self, job: JobId, position: u64) -> Result<bool, Damage> {
        self.segment(job, LogKind::Input, position).map(|segment| segment.is_some())
    }
}

impl File {
    fn write(&mut self, items: &[Item]) {
        let mut body = Vec::new();
        for item in items {
            match item {
                Item::Record(bytes) => put(&mut body, 0, &[], bytes),
                Item::Segment(segment) => {
                    let log = u64::from(segment.log == LogKind::Result);
                    let place = [segment.job.0, log, segment.first, segment.count];
                    put(&mut body, 1, &place, &segment.data);
                }
                Item::Audit(bytes) => put(&mut body, 2, &[], bytes),
            }
        }
        self.bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(&sum(&body).to_le_bytes());
        self.bytes.extend_from_slice(&body);
    }

    /// Reads the rows that are not read yet; a torn tail is cut.
    fn recover(&mut self) {
        let mut rest = self.bytes.as_slice();
        let mut rows = Vec::new();
        while let Some((body, next)) = row(rest) {
            rows.push(body.to_vec());
            rest = next;
        }
        let whole = self.bytes.len() - rest.len();
        self.bytes.truncate(whole);
        for body in rows {
            self.read_row(&body);
        }
        // What is read need not be kept: it is in `records` and `segments`.
        self.bytes.clear();
        self.synced = 0;
    }

    fn read_row(&mut self, mut body: &[u8]) {
        while let Some((kind, place, data, next)) = entry(body) {
            body = next;
            let data = Bytes::copy_from_slice(data);
            match (kind, place) {
                (0, _) => self.records.push(data),
                (2, _) => self.audits.push(data),
                (_, [job, log, first, count]) => {
                    let log = if log == 1 { LogKind::Result } else { LogKind::Input };
                    let job = JobId(job);
                    let segment = Segment { job, log, first, count, head: Bytes::new(), data };
                    self.segments.insert((job, log, first), segment);
                }
            }
        }
    }
}

/// As the server encodes records and segments.
///
/// # Errors
/// As the encoder says.
pub fn encode<T: Durable>(value: &T) -> Result<Bytes, Damage> {
    durable::encode(value).map(Bytes::from).map_err(|error| Damage(error.to_string()))
}

/// What stands in the store, read.
///
/// # Errors
/// Where it cannot be.
pub fn decode<T: Durable>(bytes: &[u8]) -> Result<T, Damage> {
    durable::decode(bytes).map_err(|error| Damage(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn damage(error: StoreError) -> Damage {
    Damage(error.to_string())
}

fn put(body: &mut Vec<u8>, kind: u8, place: &[u64], data: &[u8]) {
    body.push(kind);
    for position in 0..4 {
        let number = place.get(position).copied().unwrap_or_default();
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.extend_from_slice(&(data.len() as u64).to_le_bytes());
    body.extend_from_slice(data);
}

/// An entry of a row: its kind, its place and its bytes, and what follows it.
type Read<'a> = (u8, [u64; 4], &'a [u8], &'a [u8]);

fn row(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    let (expected, rest) = number(rest)?;
    let (body, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    (sum(body) == expected).then_some((body, rest))
}

fn entry(body: &[u8]) -> Option<Read<'_>> {
    let (kind, mut rest) = body.split_first()?;
    let mut place = [0; 4];
    for slot in &mut place {
        (*slot, rest) = number(rest)?;
    }
    let (length, rest) = number(rest)?;
    let (data, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((*kind, place, data, rest))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*head), rest))
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        mix(sum ^ u64::from_le_bytes(word))
    })
}
