//! A store that lasts as long as the process: for tests and throw-away grids.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use wasmgrid_proto::{Digest, Epoch, JobId, Seq};

use crate::{
    Commit, EachRecord, Entry, LogKind, LogSize, Reader, Segment, Snapshot, StagedId, Store,
    StoreError,
    faults::{Fault, Faults},
};

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
    /// The group whose commit is in doubt.
    doubt: Option<Doubt>,
    faults: Faults,
    shared: Shared,
}

#[derive(Clone, Debug)]
struct Doubt {
    epoch: Epoch,
    commit: Commit,
    /// Which group of the store it is.
    number: u64,
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
        let (faults, shared) = (self.faults.clone(), self.shared.clone());
        Self { held: None, doubt: None, faults, shared }
    }

    /// The faults that the commits of this store meet, whatever handle makes them.
    #[cfg(feature = "conformance")]
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Writes a group, unless its commit meets a fault.
    fn write(&self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        let mut state = self.shared.lock();
        if epoch != state.fence || self.held != Some(epoch) {
            return Err(StoreError::Fenced { epoch, newest: state.fence });
        }
        state.check_segments(commit)?;
        state.check_snapshots(commit)?;
        let fault = self.faults.take();
        if fault != Some(Fault::Failed) {
            for entry in &commit.entries {
                state.write(entry);
            }
            state.groups += 1;
        }
        match fault {
            None => Ok(Seq(state.last())),
            Some(_) => Err(unanswered()),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// A commit is checked before it changes anything, so a panic leaves no half of one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replay(&self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        let (first, journal) = {
            let state = self.lock();
            (state.covered() + 1, state.journal.clone())
        };
        (first..).zip(&journal).try_for_each(|(seq, record)| each(Seq(seq), record))
    }
}

#[derive(Debug, Default)]
struct State {
    fence: Epoch,
    /// How many groups were committed.
    groups: u64,
    without_journal: bool,
    snapshot: Option<Snapshot>,
    /// The records behind the snapshot.
    journal: VecDeque<Bytes>,
    /// Records that were not kept.
    unkept: u64,
    segments: BTreeMap<(JobId, LogKind, u64), Segment>,
    modules: BTreeMap<Digest, Bytes>,
    staged: BTreeMap<StagedId, BTreeMap<u32, Bytes>>,
    metas: BTreeMap<String, Bytes>,
    /// The last entry is that of the highest number, and always there.
    audits: BTreeMap<u64, Bytes>,
}

impl State {
    /// Fails where a segment of the commit is there already, or twice in it.
    fn check_segments(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut seen = std::collections::BTreeSet::new();
        for entry in &commit.entries {
            let (Entry::Segment(segment) | Entry::StagedSegment { segment, .. }) = entry else {
                continue;
            };
            let Segment { job, log, first, .. } = segment;
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
            Entry::Record(_) if self.without_journal => self.unkept += 1,
            Entry::Record(record) => self.journal.push_back(record.clone()),
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
            Entry::DropMetas { prefix } => self.metas.retain(|key, _| !key.starts_with(prefix)),
            Entry::Module { digest, bytes } => {
                self.modules.insert(*digest, bytes.clone());
            }
            Entry::Snapshot(snapshot) => {
                let count = snapshot.covers.0 - self.covered();
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                self.journal.drain(..count.min(self.journal.len()));
                self.snapshot = Some(snapshot.clone());
            }
            Entry::DropSegments { job, log, first, end } => {
                let (job, log) = (*job, *log);
                let inside = self.segments.range((job, log, *first)..(job, log, *end));
                let inside = inside.filter(|(_, segment)| segment.first + segment.count <= *end);
                let keys: Vec<_> = inside.map(|(key, _)| *key).collect();
                for key in keys {
                    self.segments.remove(&key);
                }
            }
            Entry::DropModule { digest } => {
                self.modules.remove(digest);
            }
            Entry::StagedSegment { segment, staged } => {
                let data = self.take_staged(*staged);
                let key = (segment.job, segment.log, segment.first);
                self.segments.insert(key, Segment { data, ..segment.clone() });
            }
            Entry::Stage { staged, piece, bytes } => {
                // A copy: whoever has staged bytes in memory means to name them.
                let bytes = Bytes::copy_from_slice(bytes);
                self.staged.entry(*staged).or_default().insert(*piece, bytes);
            }
            Entry::StagedModule { digest, staged } => {
                let bytes = self.take_staged(*staged);
                self.modules.entry(*digest).or_insert(bytes);
            }
            Entry::DropStaged { staged } => {
                self.staged.remove(staged);
            }
            Entry::Audit(entry) => {
                self.audits.insert(self.last_audit() + 1, entry.clone());
            }
            Entry::DropAudits { before } => {
                self.audits = self.audits.split_off(&(*before).min(self.last_audit()));
            }
        }
    }

    fn take_staged(&mut self, staged: StagedId) -> Bytes {
        let pieces: Vec<Bytes> =
            self.staged.remove(&staged).unwrap_or_default().into_values().collect();
        pieces.concat().into()
    }

    /// The last record that the snapshot covers.
    fn covered(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.covers.0)
    }

    fn last(&self) -> u64 {
        self.covered() + self.journal.len() as u64 + self.unkept
    }

    fn last_audit(&self) -> u64 {
        self.audits.last_key_value().map_or(0, |(number, _)| *number)
    }

    fn check_snapshots(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut covered = self.covered();
        for entry in &commit.entries {
            if let Entry::Snapshot(snapshot) = entry {
                snapshot.check(covered, self.last())?;
                covered = snapshot.covers.0;
            }
        }
        Ok(())
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
        state.staged.retain(|staged, _| staged.epoch == epoch);
        self.held = Some(epoch);
        Ok(())
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        if self.doubt.is_some() {
            return Err(unanswered());
        }
        commit.check()?;
        let number = self.shared.lock().groups + 1;
        let result = self.write(epoch, commit);
        if matches!(result, Err(StoreError::InDoubt { .. })) {
            self.doubt = Some(Doubt { epoch, commit: commit.clone(), number });
        }
        result
    }

    fn resolve(&mut self) -> Result<Seq, StoreError> {
        let Some(Doubt { epoch, commit, number }) = &self.doubt else {
            return Ok(Seq(self.shared.lock().last()));
        };
        let (groups, fence, last) = {
            let state = self.shared.lock();
            (state.groups, state.fence, state.last())
        };
        let result = if groups >= *number && fence == *epoch {
            Ok(Seq(last))
        } else {
            self.write(*epoch, commit)
        };
        if !matches!(result, Err(StoreError::InDoubt { .. })) {
            self.doubt = None;
        }
        result
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        self.shared.replay(each)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(MemoryReader(self.shared.clone())))
    }
}

fn unanswered() -> StoreError {
    StoreError::InDoubt { doing: "committing", source: "no answer came".into() }
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
        let state = self.0.lock();
        let next = state.segments.range((job, log, position)..=(job, log, u64::MAX)).next();
        Ok(next.map(|(_, segment)| segment.clone()))
    }

    fn modules(&mut self) -> Result<Vec<Digest>, StoreError> {
        Ok(self.0.lock().modules.keys().copied().collect())
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

    fn meta_sizes(&mut self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let sizes = self.metas(prefix)?.into_iter();
        Ok(sizes.map(|(key, value)| (key, value.len() as u64)).collect())
    }

    fn snapshot(&mut self) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.0.lock().snapshot.clone())
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        self.0.replay(each)
    }

    fn audits(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let state = self.0.lock();
        let behind = state.audits.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(behind.take(limit).map(|(number, entry)| (*number, entry.clone())).collect())
    }

    fn last_audit(&mut self) -> Result<u64, StoreError> {
        Ok(self.0.lock().last_audit())
    }

    fn sizes(&mut self) -> Result<Vec<LogSize>, StoreError> {
        let mut sizes = BTreeMap::<(JobId, LogKind), u64>::new();
        for segment in self.0.lock().segments.values() {
            *sizes.entry((segment.job, segment.log)).or_default() += segment.bytes() as u64;
        }
        Ok(sizes.into_iter().map(|((job, log), bytes)| LogSize { job, log, bytes }).collect())
    }

    fn position_after(&mut self, job: JobId, log: LogKind, bytes: u64) -> Result<u64, StoreError> {
        let (mut found, mut position) = (0, 0);
        let state = self.0.lock();
        for (_, segment) in state.segments.range((job, log, 0)..=(job, log, u64::MAX)) {
            found += segment.bytes() as u64;
            if found > bytes {
                break;
            }
            position = segment.first + segment.count;
        }
        Ok(position)
    }
}
