//! What is written beside the journal: modules, values, and large data before the record that names
//! it. Each takes its turn with a short commit, so that whoever waits for the journal waits for no
//! more than one of these, however large the data is. Tenants, operators and workers take turns,
//! however many links each has.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::oneshot;
use wasmgrid_proto::Epoch;
use wasmgrid_store::{Entry, StagedId, StoreError};

use crate::inbox::Party;

/// Bytes of one piece: a few milliseconds of a disk.
const PIECE_BYTES: usize = 256 << 10;

/// Tells how a write beside the journal ended.
pub(crate) type Done<T> = oneshot::Sender<Result<T, Arc<StoreError>>>;

/// What waits to be written beside the journal, in turns.
#[derive(Debug)]
pub(super) struct Asides {
    epoch: Epoch,
    /// Modules of so many bytes are staged; `None` if none are.
    stage_from: Option<usize>,
    /// How much was staged so far.
    count: u64,
    waiting: Waiting,
    /// What is staged for a record to come, found by where its bytes are in memory.
    staged: HashMap<Place, (Bytes, StagedId)>,
    /// Staged bytes that nothing will name.
    abandoned: Vec<StagedId>,
}

/// Where bytes are in memory. They stay there as long as they are kept.
type Place = (usize, usize);

#[derive(Debug)]
pub(super) struct Aside {
    /// Who has it written; the scheduler itself if nobody.
    by: Option<Party>,
    /// Where its bytes are staged.
    staged: Option<StagedId>,
    /// Those that are not yet.
    rest: Bytes,
    /// The number of their next piece.
    piece: u32,
    goal: Goal,
}

#[derive(Debug)]
enum Goal {
    /// These are written with the last of the bytes.
    Keep { entries: Vec<Entry>, done: Done<()> },
    /// These are staged.
    Stage { bytes: Bytes, done: Done<()> },
}

impl Asides {
    /// Nothing yet; `stage_from` is the store's.
    pub(super) fn new(epoch: Epoch, stage_from: Option<usize>) -> Self {
        let (waiting, staged, abandoned) = (Waiting::default(), HashMap::new(), Vec::new());
        Self { epoch, stage_from, count: 0, waiting, staged, abandoned }
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Has these entries written together, the bytes of a large module before them.
    pub(super) fn keep(&mut self, by: Option<Party>, mut entries: Vec<Entry>, done: Done<()>) {
        let from = self.stage_from.unwrap_or(usize::MAX);
        let large = entries.iter_mut().find_map(|entry| match entry {
            Entry::Module { digest, bytes } if bytes.len() >= from => {
                Some((*digest, std::mem::take(bytes), entry))
            }
            _ => None,
        });
        let (staged, rest) = match large {
            None => (None, Bytes::new()),
            Some((digest, bytes, entry)) => {
                let staged = next_id(self.epoch, &mut self.count);
                *entry = Entry::StagedModule { digest, staged };
                (Some(staged), bytes)
            }
        };
        let goal = Goal::Keep { entries, done };
        self.waiting.push_back(Aside { by, staged, rest, piece: 0, goal });
    }

    /// Has these bytes staged, for a record that will come with them: see [`Self::take`].
    pub(super) fn stage(&mut self, by: Option<Party>, bytes: Bytes, done: Done<()>) {
        let staged = Some(next_id(self.epoch, &mut self.count));
        let (rest, goal) = (bytes.clone(), Goal::Stage { bytes, done });
        self.waiting.push_back(Aside { by, staged, rest, piece: 0, goal });
    }

    /// Where these very bytes are staged, if they are: a commit must name it now.
    pub(super) fn take(&mut self, bytes: &Bytes) -> Option<StagedId> {
        self.staged.remove(&place(bytes)).map(|(_, staged)| staged)
    }

    /// What deletes staged bytes that nothing will name: nobody else has them in memory any more.
    pub(super) fn take_abandoned(&mut self) -> Vec<Entry> {
        let gone = self.staged.extract_if(|_, (bytes, _)| bytes.is_unique());
        self.abandoned.extend(gone.map(|(_, (_, staged))| staged));
        self.abandoned.drain(..).map(|staged| Entry::DropStaged { staged }).collect()
    }

    /// Whose turn it is: its [`Aside::next_entries`] are to be committed.
    pub(super) fn next(&mut self) -> Option<Aside> {
        self.waiting.next()
    }

    /// What became of that commit.
    ///
    /// # Errors
    /// With which the commit failed, unless the disk is full: then the asker alone is told.
    pub(super) fn written(
        &mut self,
        aside: Aside,
        written: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match written {
            Ok(()) if aside.rest.is_empty() => self.ended(aside),
            Ok(()) => self.waiting.push_front(aside),
            Err(error @ StoreError::Full(_)) => {
                self.abandoned.extend(aside.staged);
                let (Goal::Keep { done, .. } | Goal::Stage { done, .. }) = aside.goal;
                // Whoever asked may not wait any more.
                let _ = done.send(Err(Arc::new(error)));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// All is durable.
    fn ended(&mut self, aside: Aside) {
        let done = match (aside.goal, aside.staged) {
            (Goal::Stage { bytes, done }, Some(staged)) => {
                self.staged.insert(place(&bytes), (bytes, staged));
                done
            }
            (Goal::Stage { done, .. } | Goal::Keep { done, .. }, _) => done,
        };
        let _ = done.send(Ok(()));
    }
}

/// What waits of each party, and in which order the parties take turns.
#[derive(Debug, Default)]
struct Waiting {
    /// Those of which something waits, each once.
    turns: VecDeque<Option<Party>>,
    /// Never an empty queue.
    queues: BTreeMap<Option<Party>, VecDeque<Aside>>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    fn push_back(&mut self, aside: Aside) {
        self.queue(&aside.by).push_back(aside);
    }

    /// What is not done with its turn goes on with its party's next one.
    fn push_front(&mut self, aside: Aside) {
        self.queue(&aside.by).push_front(aside);
    }

    fn queue(&mut self, by: &Option<Party>) -> &mut VecDeque<Aside> {
        if !self.queues.contains_key(by) {
            self.turns.push_back(by.clone());
        }
        self.queues.entry(by.clone()).or_default()
    }

    fn next(&mut self) -> Option<Aside> {
        let by = self.turns.pop_front()?;
        let mut queue = self.queues.remove(&by)?;
        let next = queue.pop_front();
        if !queue.is_empty() {
            self.turns.push_back(by.clone());
            self.queues.insert(by, queue);
        }
        next
    }
}

impl Aside {
    /// Its next commit.
    pub(super) fn next_entries(&mut self) -> Vec<Entry> {
        let mut next = Vec::new();
        if let Some(staged) = self.staged {
            let bytes = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
            next.push(Entry::Stage { staged, piece: self.piece, bytes });
            self.piece += 1;
        }
        if let Goal::Keep { entries, .. } = &mut self.goal
            && self.rest.is_empty()
        {
            next.append(entries);
        }
        next
    }
}

fn next_id(epoch: Epoch, count: &mut u64) -> StagedId {
    *count += 1;
    StagedId { epoch, number: *count }
}

fn place(bytes: &Bytes) -> Place {
    (bytes.as_ptr().addr(), bytes.len())
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::Digest;
    use wasmgrid_store::{Commit, Store};

    use super::*;

    const EPOCH: Epoch = Epoch(1);

    fn full() -> StoreError {
        StoreError::Full("no room".into())
    }

    fn tenant(name: &str) -> Option<Party> {
        Some(Party::Tenant(name.into()))
    }

    fn bytes(count: usize) -> Bytes {
        (0..count).map(|at| at.to_le_bytes()[0]).collect()
    }

    fn module(count: usize) -> (Digest, Vec<Entry>) {
        let bytes = bytes(count);
        let digest = Digest::of(&bytes);
        (digest, vec![Entry::Module { digest, bytes }])
    }

    fn turn(asides: &mut Asides, written: Result<(), StoreError>) {
        let mut aside = asides.next().expect("one waits");
        aside.next_entries();
        asides.written(aside, written).expect("at most the asker is told");
    }

    fn sizes(commit: &Commit) -> Vec<usize> {
        let size = |entry: &Entry| match entry {
            Entry::Stage { bytes, .. } | Entry::Module { bytes, .. } => bytes.len(),
            _ => 0,
        };
        commit.entries.iter().map(size).collect()
    }

    #[test]
    fn a_large_module_is_written_in_short_commits_in_turn_with_others() {
        let mut store = wasmgrid_store::memory();
        store.fence(EPOCH).expect("a new epoch");
        let mut asides = Asides::new(EPOCH, Some(PIECE_BYTES));
        let (large, entries) = module(3 * PIECE_BYTES + 1);
        let (done, mut large_done) = oneshot::channel();
        asides.keep(tenant("ann"), entries, done);
        let (small, entries) = module(10);
        let (done, mut small_done) = oneshot::channel();
        asides.keep(tenant("bob"), entries, done);

        let (mut written, mut reader) = (Vec::new(), store.reader().expect("a reader"));
        while !asides.is_empty() {
            let mut aside = asides.next().expect("one waits");
            let commit = Commit { entries: aside.next_entries() };
            written.push(sizes(&commit));
            let committed = store.commit(EPOCH, &commit).map(drop);
            asides.written(aside, committed).expect("commits");
            assert_eq!(small_done.try_recv().is_ok(), written.len() == 2, "it waits for one piece");
            assert_eq!(reader.has_module(large).expect("readable"), asides.is_empty());
        }
        let piece = vec![PIECE_BYTES];
        assert_eq!(written, [piece.clone(), vec![10], piece.clone(), piece, vec![1, 0]]);
        assert!(matches!(large_done.try_recv(), Ok(Ok(()))));
        assert!(reader.has_module(small).expect("readable"));
        let found = reader.module(large).expect("readable").expect("there");
        assert!(found == bytes(3 * PIECE_BYTES + 1), "it is as it was sent");
        assert_eq!(asides.take_abandoned(), [], "it is named");
    }

    #[test]
    fn tenants_take_turns_however_many_uploads_each_has() {
        let mut asides = Asides::new(EPOCH, Some(1));
        // The first byte says whose it is.
        let upload = |byte: u8, pieces: usize| Bytes::from(vec![byte; pieces * PIECE_BYTES]);
        for _ in 0..3 {
            asides.stage(tenant("ann"), upload(1, 2), oneshot::channel().0);
        }
        asides.stage(tenant("bob"), upload(2, 2), oneshot::channel().0);
        asides.stage(None, upload(3, 1), oneshot::channel().0);
        let mut turns = Vec::new();
        while let Some(mut aside) = asides.next() {
            let [Entry::Stage { bytes, .. }] = &aside.next_entries()[..] else { panic!("a piece") };
            turns.push(bytes[0]);
            asides.written(aside, Ok(())).expect("written");
        }
        assert_eq!(turns, [1, 2, 3, 1, 2, 1, 1, 1, 1]);
    }

    #[test]
    fn what_is_staged_goes_if_nothing_names_it() {
        let mut asides = Asides::new(EPOCH, Some(1));
        let drops = |number| vec![Entry::DropStaged { staged: StagedId { epoch: EPOCH, number } }];
        // No room for its second piece.
        let (done, mut failed) = oneshot::channel();
        asides.keep(None, module(PIECE_BYTES + 1).1, done);
        turn(&mut asides, Ok(()));
        turn(&mut asides, Err(full()));
        assert!(matches!(failed.try_recv(), Ok(Err(_))));
        assert_eq!(asides.take_abandoned(), drops(1));
        // Staged, and refused after that: nobody has it any more.
        let stage = |asides: &mut Asides, bytes: &Bytes| {
            let (done, mut staged) = oneshot::channel();
            asides.stage(None, bytes.clone(), done);
            turn(asides, Ok(()));
            staged.try_recv().expect("it ended").expect("it is staged");
            assert_eq!(asides.take_abandoned(), [], "it may still be named");
        };
        let refused = bytes(2);
        stage(&mut asides, &refused);
        drop(refused);
        assert_eq!(asides.take_abandoned(), drops(2));
        // Named, by a part of a message that has more.
        let message = bytes(9);
        let part = message.slice(3..7);
        stage(&mut asides, &part);
        assert_eq!(asides.take(&message), None);
        assert_eq!(asides.take(&part.clone()), Some(StagedId { epoch: EPOCH, number: 3 }));
        assert_eq!(asides.take(&part), None, "once");
        drop((message, part));
        assert_eq!(asides.take_abandoned(), []);
    }
}
