//! What the worker has to say: results, which are kept until they are acknowledged, and everything
//! else. Results that wait together become one batch; whether they may wait for others is the
//! agent's to say.

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec::Vec,
};

use bytes::{Bytes, BytesMut};
use wasmgrid_proto::{
    JobId, LeaseId, RangeList, ResultBlock, ResultMeta,
    budget::{BLOCK_META, RESULT_FIXED, RESULT_PAYLOAD_MAX, RESULTS_META_MAX},
    frame::Envelope,
    wire::{FromWorker, HeldLease, Returned, WorkerResults},
};

/// Payload and meta bytes at which a batch takes no more blocks: it then travels without delaying
/// what is behind it.
const BATCH_BYTES: usize = 1 << 20;

/// Results at which a batch takes no more blocks: what has that many is worth a message.
const BATCH_RESULTS: usize = 4_096;

/// Ranges of tasks in one message that gives them back: at 20 bytes each a third of a frame's meta.
const RETURNED_MAX: usize = 16_384;

/// Results of so many bytes wait for no others: those of two batches of tiny tasks.
const GATHER_BYTES: usize = 128 << 10;

/// Leases and ranges of tasks that a joining worker names at most: with what proves the leases they
/// fit one frame. What is not named is taken to be lost, and runs again; what it gave is discarded
/// then.
const HELD_MAX: usize = 24_576;

/// Messages other than results that wait while there is no link or it is slow; all are dropped
/// beyond. Joining again tells the scheduler all that they would have told.
const CONTROL_MAX: usize = 1_024;

/// What waits to be said, and what was said and must perhaps be said again.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    control: VecDeque<FromWorker>,
    /// Messages were dropped, so that the scheduler must be told anew by joining.
    dropped: bool,
    /// Results that are in no batch, and about how many bytes they take.
    unbatched: VecDeque<Unbatched>,
    unbatched_bytes: usize,
    batches: BTreeMap<u64, SealedBatch>,
    /// The first batch that was not sent on this link.
    unsent: u64,
    next_batch: u64,
    bytes: usize,
}

/// Results of one lease that fit a message.
#[derive(Debug)]
struct Unbatched {
    block: ResultBlock,
    payload: Bytes,
    size: Size,
}

/// What results take.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// In memory, about.
    bytes: usize,
    /// On the wire at most, their payload apart.
    meta: usize,
}

#[derive(Debug)]
struct SealedBatch {
    blocks: Vec<Arc<ResultBlock>>,
    payload: Bytes,
    bytes: usize,
}

impl Outgoing {
    /// Nothing to say yet. Batches are numbered from `first_batch` on: another process of the same
    /// worker must have other numbers, as what acknowledges its batches may come to this one.
    pub(crate) fn new(first_batch: u64) -> Self {
        Self { unsent: first_batch, next_batch: first_batch, ..Self::default() }
    }

    /// Queues a message that is not results.
    pub(crate) fn say(&mut self, message: FromWorker) {
        if matches!(message, FromWorker::Heartbeat(_)) {
            // Only the newest says how things are.
            self.control.retain(|waiting| !matches!(waiting, FromWorker::Heartbeat(_)));
        }
        if self.control.len() >= CONTROL_MAX {
            self.control.clear();
            self.dropped = true;
        }
        self.control.push_back(message);
    }

    /// Says that tasks will not be run here, in as many messages as that takes.
    pub(crate) fn say_returned(&mut self, mut returned: Returned) {
        while returned.tasks.len() > RETURNED_MAX {
            let rest = returned.tasks.split_off(RETURNED_MAX);
            self.say(FromWorker::Returned(returned.clone()));
            returned.tasks = rest;
        }
        self.say(FromWorker::Returned(returned));
    }

    /// Keeps results until they are acknowledged. Those of one lease that follow each other
    /// become one block, as far as they fit one message. A result that fits none is cut, or ends in
    /// another way ([`ResultBlock::fit`]): it would be sent again and again in vain.
    pub(crate) fn add(&mut self, mut block: ResultBlock, payload: Bytes) {
        let payload = block.fit(payload);
        let size = Size::of(&block, &payload);
        if size.meta <= RESULTS_META_MAX && payload.len() <= RESULT_PAYLOAD_MAX {
            return self.add_unbatched(Unbatched { block, payload, size });
        }
        for (block, payload) in block.pieces(payload) {
            let size = Size::of(&block, &payload);
            self.add_unbatched(Unbatched { block, payload, size });
        }
    }

    fn add_unbatched(&mut self, next: Unbatched) {
        self.bytes += next.size.bytes;
        self.unbatched_bytes += next.size.bytes;
        if let Some(last) = self.unbatched.back_mut().filter(|last| last.takes(&next)) {
            last.size = last.size.plus(next.size);
            last.block.results.extend(next.block.results);
        } else {
            self.unbatched.push_back(next);
        }
    }

    /// About how much memory unacknowledged results take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True where no result waits to be sent or acknowledged, and nothing else to be said.
    pub(crate) fn is_empty(&self) -> bool {
        self.control.is_empty() && !self.has_results()
    }

    /// True where results wait to be sent or acknowledged.
    pub(crate) fn has_results(&self) -> bool {
        !self.unbatched.is_empty() || !self.batches.is_empty()
    }

    /// True where a message was dropped since the last link.
    pub(crate) fn has_dropped(&self) -> bool {
        self.dropped
    }

    /// True where results are in no batch.
    pub(crate) fn has_unbatched(&self) -> bool {
        !self.unbatched.is_empty()
    }

    /// True where something waits to be sent. With `gather` results may wait for others, while they
    /// are few.
    pub(crate) fn has_next(&self, gather: bool) -> bool {
        let gathers = gather && self.unbatched_bytes < GATHER_BYTES;
        let seals = !self.unbatched.is_empty() && !gathers;
        !self.control.is_empty() || seals || self.unsent < self.next_batch
    }

    /// The next to send.
    pub(crate) fn next(&mut self, gather: bool) -> Option<Envelope<FromWorker>> {
        if let Some(message) = self.control.pop_front() {
            return Some(message.into());
        }
        if self.batches.range(self.unsent..).next().is_none() && self.has_next(gather) {
            self.seal();
        }
        let (number, batch) = self.batches.range(self.unsent..).next()?;
        self.unsent = number + 1;
        let results = WorkerResults { batch: *number, blocks: batch.blocks.clone() };
        let message = FromWorker::Results(results);
        Some(Envelope { message, payload: batch.payload.clone() })
    }

    /// These batches need not be kept any more.
    pub(crate) fn acknowledged(&mut self, batches: &[u64]) {
        for number in batches {
            if let Some(batch) = self.batches.remove(number) {
                self.bytes = self.bytes.saturating_sub(batch.bytes);
            }
        }
    }

    /// There is a new link: all that is not acknowledged is sent again, and what else was said is
    /// told by joining.
    pub(crate) fn restart(&mut self) {
        self.unsent = self.batches.keys().next().copied().unwrap_or(self.next_batch);
        self.control.clear();
        self.dropped = false;
    }

    /// The leases that have unacknowledged results, with those.
    pub(crate) fn held(&self) -> impl Iterator<Item = HeldLease> {
        let unbatched = self.unbatched.iter().map(|one| &one.block);
        let batches = self.batches.values().flat_map(|batch| &batch.blocks).map(AsRef::as_ref);
        let blocks = batches.chain(unbatched);
        let held = |block: &ResultBlock| {
            let tasks = block.runs().collect();
            let ResultBlock { job, lease, attempt, .. } = *block;
            HeldLease { job, lease, attempt, tasks }
        };
        blocks.map(held)
    }

    /// Makes the next batch of what is in none.
    fn seal(&mut self) {
        let (mut blocks, mut pieces) = (Vec::new(), Vec::new());
        let (mut size, mut payload, mut results) = (Size::default(), 0, 0);
        while let Some(next) = self.unbatched.front() {
            let with_next = size.plus(next.size);
            payload += next.payload.len();
            results += next.block.results.len();
            let over = with_next.bytes > BATCH_BYTES
                || with_next.meta > RESULTS_META_MAX
                || payload > RESULT_PAYLOAD_MAX
                || results > BATCH_RESULTS;
            if over && !blocks.is_empty() {
                break;
            }
            size = with_next;
            let Some(Unbatched { block, payload, .. }) = self.unbatched.pop_front() else { break };
            blocks.push(Arc::new(block));
            pieces.push(payload);
        }
        let bytes = size.bytes;
        self.unbatched_bytes = self.unbatched_bytes.saturating_sub(bytes);
        if !blocks.is_empty() {
            self.batches
                .insert(self.next_batch, SealedBatch { blocks, payload: join(pieces), bytes });
            self.next_batch += 1;
        }
    }
}

impl Unbatched {
    /// Whether these are more results of the same block.
    fn takes(&self, next: &Self) -> bool {
        let (ours, theirs) = (&self.block, &next.block);
        self.payload.is_empty()
            && next.payload.is_empty()
            && (ours.lease, ours.attempt) == (theirs.lease, theirs.attempt)
            && ours.results.len() + theirs.results.len() <= BATCH_RESULTS
            && self.size.plus(next.size).meta <= RESULTS_META_MAX
    }
}

impl Size {
    fn of(block: &ResultBlock, payload: &Bytes) -> Self {
        let count = block.results.len();
        let varying: usize = block.results.iter().map(ResultMeta::varying_bytes).sum();
        Self {
            bytes: payload.len() + count * size_of::<ResultMeta>() + varying,
            meta: BLOCK_META + count * RESULT_FIXED + varying,
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, meta: self.meta + other.meta }
    }
}

/// The pieces one behind the other; a single one is not copied.
fn join(mut pieces: Vec<Bytes>) -> Bytes {
    pieces.retain(|piece| !piece.is_empty());
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in &pieces {
        joined.extend_from_slice(piece);
    }
    joined.freeze()
}

/// Puts what is held of one lease in several places together, neighbours as one range.
pub(crate) fn merge(held: impl IntoIterator<Item = HeldLease>) -> Vec<HeldLease> {
    let mut leases = BTreeMap::<(JobId, LeaseId), HeldLease>::new();
    for lease in held {
        match leases.get_mut(&(lease.job, lease.lease)) {
            Some(known) => known.tasks.extend(lease.tasks),
            None => _ = leases.insert((lease.job, lease.lease), lease),
        }
    }
    let mut room = HELD_MAX;
    let joined = |mut lease: HeldLease| {
        lease.tasks = RangeList::rising(lease.tasks).into_vec();
        room = room.checked_sub(1 + lease.tasks.len())?;
        Some(lease)
    };
    leases.into_values().map_while(joined).collect()
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec};

    use wasmgrid_proto::{
        Digest, Extensions, LeaseProof, Outcome, TaskRange, Usage, WorkerId, frame::encode_one,
        wire::NeedModule,
    };

    use super::*;

    fn block(lease: u64, first: u64, count: u64, output: u32) -> (ResultBlock, Bytes) {
        let meta = |index| ResultMeta {
            index,
            outcome: Outcome::Ok,
            usage: Usage::default(),
            output_len: output,
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        };
        let results: Vec<_> = (first..first + count).map(meta).collect();
        let payload = Bytes::from(vec![b'x'; results.len() * output as usize]);
        let (job, lease, worker) = (JobId(1), LeaseId(lease), WorkerId(1));
        let extensions = Extensions::NONE;
        (ResultBlock { job, lease, worker, attempt: 1, results, extensions }, payload)
    }

    fn results(outgoing: &mut Outgoing) -> Option<(u64, Vec<u64>)> {
        match outgoing.next(false)?.message {
            FromWorker::Results(results) => {
                let indices = results.blocks.iter().flat_map(|block| &block.results);
                Some((results.batch, indices.map(|meta| meta.index).collect()))
            }
            _ => None,
        }
    }

    #[test]
    fn results_that_wait_together_travel_together() {
        let mut outgoing = Outgoing::default();
        for (lease, first) in [(7, 0), (7, 2), (8, 9)] {
            let (block, payload) = block(lease, first, 2, 3);
            outgoing.add(block, payload);
        }
        assert_eq!(results(&mut outgoing), Some((0, vec![0, 1, 2, 3, 9, 10])));
        assert!(!outgoing.has_next(false));
    }

    #[test]
    fn a_batch_is_sent_again_as_it_was_until_it_is_acknowledged() {
        let mut outgoing = Outgoing::default();
        let (first, payload) = block(1, 0, 1, 0);
        outgoing.add(first, payload);
        assert_eq!(results(&mut outgoing), Some((0, vec![0])));
        outgoing.restart();
        let (second, payload) = block(1, 1, 1, 0);
        outgoing.add(second, payload);
        let held = merge(outgoing.held());
        assert_eq!(held.len(), 1);
        assert_eq!(results(&mut outgoing), Some((0, vec![0])));
        assert_eq!(results(&mut outgoing), Some((1, vec![1])));
        outgoing.acknowledged(&[0, 1]);
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.bytes(), 0);
    }

    #[test]
    fn what_is_held_is_told_in_as_few_ranges_as_there_are() {
        let mut outgoing = Outgoing::default();
        // Slots that share a lease end its tasks in turns.
        for first in (0..200).step_by(2).chain((1..200).step_by(2)) {
            let (block, payload) = block(1, first, 1, 1);
            outgoing.add(block, payload);
        }
        let held = merge(outgoing.held());
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].tasks, [TaskRange { first: 0, count: 200 }]);
    }

    #[test]
    fn what_is_told_of_what_is_held_fits_a_frame() {
        let mut outgoing = Outgoing::default();
        for lease in 0..60_000 {
            let (block, payload) = block(u64::MAX - lease, u64::MAX - 2 * lease - 1, 1, 0);
            outgoing.add(block, payload);
        }
        let held = merge(outgoing.held());
        assert_eq!(held.len(), HELD_MAX / 2);
        let capacity = wasmgrid_proto::WorkerCapacity {
            slots: 1,
            memory: wasmgrid_proto::ByteCount(1),
            labels: Vec::new(),
            engine: String::new(),
        };
        let started = wasmgrid_proto::Micros(1);
        let most = TaskRange { first: u64::MAX, count: u64::MAX };
        let tag = wasmgrid_proto::LeaseTag([0xff; 16]);
        let proof = |held: &HeldLease| LeaseProof { lease: held.lease, tasks: most, tag };
        let proofs = held.iter().map(proof).collect();
        let join = wasmgrid_proto::wire::Join { started, capacity, held, proofs };
        let envelope = Envelope::from(FromWorker::Join(join));
        assert!(wasmgrid_proto::frame::encode_one(&envelope).is_ok());
    }

    #[test]
    fn another_process_has_other_numbers() {
        let mut outgoing = Outgoing::new(1_000);
        let (block, payload) = block(1, 0, 1, 0);
        outgoing.add(block, payload);
        assert_eq!(results(&mut outgoing), Some((1_000, vec![0])));
        // Meant for the process before.
        outgoing.acknowledged(&[0]);
        assert!(outgoing.has_results());
        outgoing.acknowledged(&[1_000]);
        assert!(!outgoing.has_results());
    }

    #[test]
    fn what_does_not_fit_asks_for_a_new_link() {
        let mut outgoing = Outgoing::default();
        for digest in (0..=CONTROL_MAX).map(|_| Digest([0; 32])) {
            assert!(!outgoing.has_dropped());
            outgoing.say(FromWorker::NeedModule(NeedModule { digest }));
        }
        assert!(outgoing.has_dropped());
        outgoing.restart();
        assert!(!outgoing.has_dropped() && !outgoing.has_next(false));
    }

    #[test]
    fn results_that_gather_wait_until_they_are_many() {
        let mut outgoing = Outgoing::default();
        let (first, payload) = block(1, 0, 1, 100);
        outgoing.add(first, payload);
        assert!(!outgoing.has_next(true) && outgoing.next(true).is_none());
        assert!(outgoing.has_next(false) && outgoing.has_unbatched());
        let (many, payload) = block(1, 1, 1, GATHER_BYTES as u32);
        outgoing.add(many, payload);
        assert!(outgoing.has_next(true) && outgoing.next(true).is_some());
        assert!(!outgoing.has_unbatched());
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut outgoing = Outgoing::default();
        for lease in 0..3 {
            let (block, payload) = block(lease, lease, 1, 700 << 10);
            outgoing.add(block, payload);
        }
        assert_eq!(results(&mut outgoing), Some((0, vec![0])));
        assert_eq!(results(&mut outgoing), Some((1, vec![1])));
    }

    /// All messages there are, and what they say of which tasks.
    fn all(outgoing: &mut Outgoing) -> Vec<(u64, &'static str, u32)> {
        let mut said = Vec::new();
        while let Some(envelope) = outgoing.next(false) {
            encode_one(&envelope).expect("it fits a frame");
            let FromWorker::Results(results) = envelope.message else { continue };
            let metas = results.blocks.iter().flat_map(|block| &block.results);
            said.extend(metas.map(|meta| (meta.index, meta.outcome.name(), meta.output_len)));
        }
        said
    }

    #[test]
    fn whatever_results_are_each_message_fits_a_frame_and_each_task_has_one() {
        for (count, text) in [(1, 2 << 20), (40, 300_000), (600, 4_000), (4_000, 700), (9_000, 0)] {
            for records in [0, 3, 70_000] {
                if records > 3 && count > 40 {
                    continue;
                }
                let mut outgoing = Outgoing::default();
                let (mut many, _) = block(1, 0, count, 0);
                for meta in &mut many.results {
                    meta.outcome = Outcome::Refused("n".repeat(text));
                    meta.record_lens = vec![0; records];
                }
                outgoing.add(many, Bytes::new());
                // And one at a time, which become blocks of one lease.
                for index in count..count + 300 {
                    let (mut one, _) = block(2, index, 1, 0);
                    one.results[0].outcome = Outcome::Lost("m".repeat(text.min(5_000)));
                    outgoing.add(one, Bytes::new());
                }
                let said = all(&mut outgoing);
                let indices = said.iter().map(|(index, ..)| *index);
                assert!(indices.eq(0..count + 300), "{count} of {text}");
                let expected = if records > 65_536 { "limit" } else { "refused" };
                assert_eq!(said[0].1, expected, "{count} of {text} with {records}");
            }
        }
    }

    #[test]
    fn a_result_that_no_message_can_carry_ends_as_the_limit_it_is_over() {
        let mut outgoing = Outgoing::default();
        let (large, payload) = block(1, 7, 1, u32::try_from(RESULT_PAYLOAD_MAX + 1).unwrap());
        outgoing.add(large, payload);
        let (small, payload) = block(1, 8, 1, 5);
        outgoing.add(small, payload);
        assert_eq!(all(&mut outgoing), [(7, "limit", 0), (8, "ok", 5)]);
    }

    #[test]
    fn tasks_that_are_given_back_are_told_of_in_as_many_messages_as_that_takes() {
        let mut outgoing = Outgoing::default();
        let range = |at: u64| TaskRange { first: u64::MAX - 2 * at, count: u64::MAX };
        let tasks: Vec<_> = (0..40_000).map(range).collect();
        let (job, lease, reason) = (JobId(1), LeaseId(1), String::new());
        outgoing.say_returned(Returned { job, lease, tasks: tasks.clone(), reason });
        let mut told = Vec::new();
        while let Some(envelope) = outgoing.next(false) {
            encode_one(&envelope).expect("it fits a frame");
            let FromWorker::Returned(returned) = envelope.message else { panic!("{envelope:?}") };
            told.extend(returned.tasks);
        }
        assert!(told == tasks);
    }
}
