//! A store that lasts as long as the process: for tests and throw-away grids.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use wasmgrid_proto::{Digest, Epoch, JobId, Seq};

use crate::{Commit, EachRecord, Entry, LogKind, Reader, Segment, Store, StoreError};

/// A new, empty store in memory.
#[must_use]
pub fn memory() -> MemoryStore {
    MemoryStore::default()
}

/// A store in memory; see [`memory`].
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// The epoch this handle took, if it did.
    held: Option<Epoch>,
    shared: Shared,
}

impl MemoryStore {
    /// A new, empty store for one scheduler that nobody starts again: it keeps no journal, so that
    /// a job that goes on for ever does not fill the memory with what has happened.
    #[must_use]
    pub fn without_journal() -> Self {
        let store = Self::default();
        store.shared.lock().without_journal = true;
        store
    }

    /// Drops the segments of a log that lie wholly before a position, which nobody will ask for.
    pub fn forget(&self, job: JobId, log: LogKind, before: u64) {
        let mut state = self.shared.lock();
        let range = (job, log, 0)..(job, log, before);
        while let Some((key, segment)) = state.segments.range(range.clone()).next() {
            if segment.first + segment.count > before {
                break;
            }
            let key = *key;
            state.segments.remove(&key);
        }
    }

    /// Another handle of the same state, as a scheduler that starts later would open it.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { held: None, shared: self.shared.clone() }
    }
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// A commit is checked before it changes anything, so a panic leaves no half of one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    fence: Epoch,
    without_journal: bool,
    /// Records so far.
    records: u64,
    journal: Vec<Bytes>,
    segments: BTreeMap<(JobId, LogKind, u64), Segment>,
    modules: BTreeMap<Digest, Bytes>,
    metas: BTreeMap<String, Bytes>,
}

impl State {
    /// Fails where a segment of the commit is there already, or twice in it.
    fn check_segments(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut seen = std::collections::BTreeSet::new();
        for entry in &commit.entries {
            let Entry::Segment(Segment { job, log, first, .. }) = entry else { continue };
            let key = (*job, *log, *first);
            if self.segments.contains_key(&key) || !seen.insert(key) {
                return Err(StoreError::Invalid(format!(
                    "a second {} segment of job {job} from {first}",
                    log.name()
                )));
            }
        }
        Ok(())
    }

    fn write(&mut self, entry: &Entry) {
        match entry {
            Entry::Record(record) => {
                self.records += 1;
                if !self.without_journal {
                    self.journal.push(record.clone());
                }
            }
            Entry::Segment(segment) => {
                let key = (segment.job, segment.log, segment.first);
                self.segments.insert(key, segment.clone());
            }
            Entry::Meta { key, value: Some(value) } => {
                self.metas.insert(key.clone(), value.clone());
            }
            Entry::Meta { key, value: None } => {
                self.metas.remove(key);
            }
            Entry::Module { digest, bytes } => {
                self.modules.insert(*digest, bytes.clone());
            }
        }
    }
}

impl Store for MemoryStore {
    fn fence(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        let newest = state.fence;
        if epoch < newest || (epoch == newest && self.held != Some(epoch)) {
            return Err(StoreError::Fenced { epoch, newest });
        }
        state.fence = epoch;
        self.held = Some(epoch);
        Ok(())
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        commit.check()?;
        let mut state = self.shared.lock();
        if epoch != state.fence || self.held != Some(epoch) {
            return Err(StoreError::Fenced { epoch, newest: state.fence });
        }
        state.check_segments(commit)?;
        for entry in &commit.entries {
            state.write(entry);
        }
        Ok(Seq(state.records))
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        let journal = self.shared.lock().journal.clone();
        (1..).zip(&journal).try_for_each(|(seq, record)| each(Seq(seq), record))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(MemoryReader(self.shared.clone())))
    }
}

struct MemoryReader(Shared);

impl Reader for MemoryReader {
    fn segment(
        &mut self,
        job: JobId,
        log: LogKind,
        position: u64,
    ) -> Result<Option<Segment>, StoreError> {
        let state = self.0.lock();
        let upto = (job, log, 0)..=(job, log, position);
        let last = state.segments.range(upto).next_back().map(|(_, segment)| segment);
        Ok(last.filter(|segment| segment.contains(position)).cloned())
    }

    fn module(&mut self, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().modules.get(&digest).cloned())
    }

    fn has_module(&mut self, digest: Digest) -> Result<bool, StoreError> {
        Ok(self.0.lock().modules.contains_key(&digest))
    }

    fn meta(&mut self, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().metas.get(key).cloned())
    }

    fn metas(&mut self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        let state = self.0.lock();
        let from = state.metas.range(prefix.to_owned()..);
        Ok(from
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
