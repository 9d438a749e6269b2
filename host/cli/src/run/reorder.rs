//! Puts results that come as tasks end back into the order of their inputs. What waits for an
//! earlier one is in memory up to a bound, then in a temporary file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use wasmgrid_proto::{Outcome, ResultBlock, ResultMeta, Usage, WorkerId};

/// Bytes of waiting results that are kept in memory, with what each costs beside its payload.
const MEMORY_BYTES: usize = 64 << 20;

/// Results of so many bytes are most of the frame they came in: workers gather smaller ones up to
/// twice as many.
const SHARED_BYTES: usize = 512 << 10;

/// The attempt of a task that never ran: others are counted from 1. It has no worker and no place in
/// the job's result log.
pub const NEVER_RAN: u32 = 0;

/// A task's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its place in the job's result log.
    pub cursor: u64,
    /// What the result says, and how its payload is cut.
    pub meta: ResultMeta,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Where it ran.
    pub worker: WorkerId,
    /// Output, records and log.
    pub payload: Bytes,
}

/// The same, in the run that it came with.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// As in [`Finished`].
    pub cursor: u64,
    /// As in [`Finished`].
    pub meta: &'a ResultMeta,
    /// As in [`Finished`].
    pub attempt: u32,
    /// As in [`Finished`].
    pub worker: WorkerId,
    /// As in [`Finished`].
    pub payload: &'a [u8],
}

/// Results of neighbouring tasks that came together, the first task's first. They are kept and
/// printed as they came: what is done for each of a million tasks shows in how long all take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first one's place in the job's result log; the others follow it.
    cursor: u64,
    attempt: u32,
    worker: WorkerId,
    results: Vec<ResultMeta>,
    payload: Bytes,
}

impl Shown<'_> {
    /// On its own.
    pub fn to_finished(self) -> Finished {
        let Self { cursor, meta, attempt, worker, payload } = self;
        let payload = Bytes::copy_from_slice(payload);
        Finished { cursor, meta: meta.clone(), attempt, worker, payload }
    }
}

impl Run {
    /// The results of a block that begins at `first_cursor`, as runs of neighbours.
    ///
    /// # Errors
    /// Where block and payload do not belong together.
    pub fn all(first_cursor: u64, block: ResultBlock, payload: Bytes) -> anyhow::Result<Vec<Self>> {
        let (declared, present) = (block.payload_len(), payload.len() as u64);
        if declared != present {
            bail!("results of {declared} bytes came with {present}");
        }
        let ResultBlock { attempt, worker, results, .. } = block;
        let run = Self { cursor: first_cursor, attempt, worker, results, payload };
        if run.results.is_empty() {
            return Ok(Vec::new());
        }
        let follows = |pair: &[ResultMeta]| match pair {
            [before, next] => before.index.checked_add(1) == Some(next.index),
            _ => false,
        };
        // As a slot gives them, unless some of its tasks were taken elsewhere.
        if run.results.windows(2).all(follows) {
            return Ok(vec![run]);
        }
        Ok(run.only(|_| true))
    }

    /// The results, in order.
    pub fn results(&self) -> impl Iterator<Item = Shown<'_>> {
        let (attempt, worker) = (self.attempt, self.worker);
        let mut payload: &[u8] = &self.payload;
        (self.cursor..).zip(&self.results).map(move |(cursor, meta)| {
            let length = usize::try_from(meta.payload_len()).unwrap_or(usize::MAX);
            let (part, rest) = payload.split_at(length.min(payload.len()));
            payload = rest;
            Shown { cursor, meta, attempt, worker, payload: part }
        })
    }

    /// What of the results `keep` takes, given their places, as runs of neighbours.
    pub fn only(self, keep: impl Fn(usize) -> bool) -> Vec<Self> {
        let Self { cursor, attempt, worker, results, payload } = self;
        let mut runs: Vec<Self> = Vec::new();
        // Where the last run's bytes begin, and the next result's.
        let (mut begin, mut end) = (0_usize, 0_usize);
        for (place, (cursor, meta)) in (cursor..).zip(results).enumerate() {
            let start = end;
            let length = usize::try_from(meta.payload_len()).unwrap_or(usize::MAX);
            end = start.saturating_add(length).min(payload.len());
            if !keep(place) {
                continue;
            }
            let next = (meta.index, cursor);
            let follows = |run: &&mut Self| (run.end(), run.cursor + run.count()) == next;
            if let Some(run) = runs.last_mut().filter(follows) {
                run.results.push(meta);
                run.payload = payload.slice(begin..end);
            } else {
                begin = start;
                let (results, payload) = (vec![meta], payload.slice(begin..end));
                runs.push(Self { cursor, attempt, worker, results, payload });
            }
        }
        runs
    }

    /// The result of a task that never ran.
    pub fn unrun(index: u64, why: String) -> Self {
        let meta = ResultMeta {
            index,
            outcome: Outcome::Refused(why),
            usage: Usage::default(),
            output_len: 0,
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        };
        let (cursor, attempt, worker) = (0, NEVER_RAN, WorkerId(0));
        Self { cursor, attempt, worker, results: vec![meta], payload: Bytes::new() }
    }

    /// How many results it has.
    fn count(&self) -> u64 {
        self.results.len() as u64
    }

    /// The first task's index.
    fn first(&self) -> u64 {
        self.results.first().map_or(0, |meta| meta.index)
    }

    /// The index behind the last task's.
    fn end(&self) -> u64 {
        self.first().saturating_add(self.count())
    }

    /// About what it takes in memory.
    fn cost(&self) -> usize {
        let records = |meta: &ResultMeta| meta.record_lens.len() * size_of::<u32>();
        let records: usize = self.results.iter().map(records).sum();
        size_of::<Self>() + size_of_val(&*self.results) + records + self.payload.len()
    }
}

/// Results that wait for those before them.
#[derive(Default)]
pub struct Reorder {
    /// The index that is printed next.
    next: u64,
    /// What is there of those after it, by their first index; no two have a task in common.
    waiting: BTreeMap<u64, Waiting>,
    /// How many results these are.
    held: u64,
    memory_bytes: usize,
    memory_max: usize,
    spill: Option<Spill>,
}

struct Waiting {
    count: u64,
    place: Place,
}

enum Place {
    Memory(Box<Run>),
    Disk {
        offset: u64,
    },
    /// There is no result of these tasks, and none to wait for.
    Nowhere,
}

impl Reorder {
    /// A buffer that begins with task 0.
    pub fn new() -> Self {
        Self { memory_max: MEMORY_BYTES, ..Self::default() }
    }

    /// The index that is printed next: all before it were.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// How many results wait.
    pub const fn len(&self) -> u64 {
        self.held
    }

    /// Takes results; puts those into `due` that are next, and those that waited for them.
    ///
    /// # Errors
    /// Where the temporary file cannot be written or read.
    pub fn push(&mut self, run: Run, due: &mut Vec<Run>) -> anyhow::Result<()> {
        if !self.is_new(&run) {
            // Some of it came before.
            let (first, known) = (run.first(), self.known(&run));
            let fresh = run.only(|place| {
                let index = first.saturating_add(place as u64);
                !known.iter().any(|range| range.contains(&index))
            });
            return fresh.into_iter().try_for_each(|run| self.push(run, due));
        }
        if run.first() != self.next {
            return self.keep(run);
        }
        self.next = run.end();
        due.push(run);
        self.pop_due(due)
    }

    /// Waits for no result of these tasks; puts those into `due` that waited for them.
    ///
    /// # Errors
    /// Where the temporary file cannot be read.
    pub fn skip(&mut self, tasks: Range<u64>, due: &mut Vec<Run>) -> anyhow::Result<()> {
        if tasks.start < self.next {
            return Ok(());
        }
        let waiting = Waiting { count: tasks.end - tasks.start, place: Place::Nowhere };
        self.waiting.insert(tasks.start, waiting);
        self.pop_due(due)
    }

    fn pop_due(&mut self, due: &mut Vec<Run>) -> anyhow::Result<()> {
        while self.waiting.first_key_value().is_some_and(|(first, _)| *first == self.next) {
            due.extend(self.pop()?);
        }
        Ok(())
    }

    /// The next results that are there, past those that never came: for a job's end.
    ///
    /// # Errors
    /// Where the temporary file cannot be read.
    pub fn pop_past_gaps(&mut self) -> anyhow::Result<Option<Run>> {
        while !self.waiting.is_empty() {
            if let Some(run) = self.pop()? {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// Takes out what waits first.
    fn pop(&mut self) -> anyhow::Result<Option<Run>> {
        let Some((first, Waiting { count, place })) = self.waiting.pop_first() else {
            return Ok(None);
        };
        self.next = first.saturating_add(count);
        match place {
            Place::Nowhere => Ok(None),
            Place::Memory(run) => {
                self.held -= count;
                self.memory_bytes -= run.cost();
                Ok(Some(*run))
            }
            Place::Disk { offset } => {
                self.held -= count;
                let spill = self.spill.as_mut().context("a result on disk without its file")?;
                let read = spill.read(offset).context("failed to read back buffered results")?;
                Ok(Some(read))
            }
        }
    }

    /// Whether no task of the run has a result that waits or was printed.
    fn is_new(&self, run: &Run) -> bool {
        let before = self.waiting.range(..run.end()).next_back();
        let overlaps = before
            .is_some_and(|(first, waiting)| first.saturating_add(waiting.count) > run.first());
        run.first() >= self.next && !overlaps
    }

    /// The tasks that have a result already, as far as the run's are concerned.
    fn known(&self, run: &Run) -> Vec<Range<u64>> {
        let waiting = self.waiting.range(..run.end()).rev();
        let ranges = waiting.map(|(first, waiting)| *first..first.saturating_add(waiting.count));
        let near = ranges.take_while(|range| range.end > run.first());
        std::iter::once(0..self.next).chain(near).collect()
    }

    fn keep(&mut self, mut run: Run) -> anyhow::Result<()> {
        let (first, count) = (run.first(), run.count());
        let place = if self.memory_bytes + run.cost() > self.memory_max {
            let spill = match &mut self.spill {
                Some(spill) => spill,
                none => none.insert(Spill::new().context("failed to make a temporary file")?),
            };
            let offset = spill.write(&run).context("failed to write buffered results to disk")?;
            Place::Disk { offset }
        } else {
            if run.payload.len() < SHARED_BYTES {
                // A copy, so that small results do not hold on to the whole frame they came in.
                run.payload = Bytes::copy_from_slice(&run.payload);
            }
            self.memory_bytes += run.cost();
            Place::Memory(Box::new(run))
        };
        self.held += count;
        self.waiting.insert(first, Waiting { count, place });
        Ok(())
    }
}

/// A file without a name, gone with the process.
struct Spill {
    file: BufWriter<File>,
    end: u64,
    /// Runs in it that were not read back.
    waiting: u64,
}

impl Spill {
    fn new() -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile()?), end: 0, waiting: 0 })
    }

    fn write(&mut self, run: &Run) -> io::Result<u64> {
        let head = (&run.results, run.attempt, run.worker, run.cursor);
        let head = postcard::to_allocvec(&head).map_err(io::Error::other)?;
        self.begin_again()?;
        let offset = self.end;
        self.waiting += 1;
        for part in [&(head.len() as u64).to_le_bytes(), &head[..], &run.payload] {
            self.file.write_all(part)?;
            self.end += part.len() as u64;
        }
        Ok(offset)
    }

    fn read(&mut self, offset: u64) -> io::Result<Run> {
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(offset))?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let head = read_vec(file, u64::from_le_bytes(length))?;
        let (results, attempt, worker, cursor): (Vec<ResultMeta>, _, _, _) =
            postcard::from_bytes(&head).map_err(io::Error::other)?;
        let length = results.iter().map(ResultMeta::payload_len).sum();
        let payload = read_vec(file, length)?.into();
        file.seek(SeekFrom::End(0))?;
        self.waiting -= 1;
        Ok(Run { cursor, attempt, worker, results, payload })
    }

    /// Uses the file's room again once all in it was read back: it must not grow for ever.
    fn begin_again(&mut self) -> io::Result<()> {
        if self.waiting == 0 && self.end > 0 {
            self.file.flush()?;
            self.file.get_mut().set_len(0)?;
            self.file.get_mut().rewind()?;
            self.end = 0;
        }
        Ok(())
    }
}

fn read_vec(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
pub mod tests {
    use wasmgrid_proto::{Extensions, JobId, LeaseId, Outcome, Usage};

    use super::*;

    /// A result whose output is `output`.
    pub fn finished(index: u64, outcome: Outcome, output: &str) -> Finished {
        Finished {
            cursor: index,
            meta: ResultMeta {
                index,
                outcome,
                usage: Usage::default(),
                output_len: output.len() as u32,
                record_lens: Vec::new(),
                log_len: 0,
                log_dropped: 0,
            },
            attempt: 1,
            worker: WorkerId(1),
            payload: Bytes::copy_from_slice(output.as_bytes()),
        }
    }

    impl Finished {
        /// As it is printed.
        pub fn shown(&self) -> Shown<'_> {
            let Self { cursor, meta, attempt, worker, payload } = self;
            Shown { cursor: *cursor, meta, attempt: *attempt, worker: *worker, payload }
        }
    }

    fn ok(index: u64) -> Finished {
        finished(index, Outcome::Ok, &"x".repeat(index as usize))
    }

    /// The runs of a block with the results of these tasks.
    pub fn runs(indexes: &[u64]) -> Vec<Run> {
        let all: Vec<_> = indexes.iter().map(|index| ok(*index)).collect();
        let results = all.iter().map(|finished| finished.meta.clone()).collect();
        let payload: Vec<u8> = all.iter().flat_map(|finished| finished.payload.to_vec()).collect();
        let (job, lease, worker) = (JobId(1), LeaseId(1), WorkerId(1));
        let extensions = Extensions::NONE;
        let block = ResultBlock { job, lease, worker, attempt: 1, results, extensions };
        Run::all(0, block, payload.into()).expect("they fit")
    }

    /// The tasks of runs, each of whose results is looked at.
    fn indexes(runs: &[Run]) -> Vec<u64> {
        let results = runs.iter().flat_map(Run::results);
        results
            .map(|shown| {
                let index = shown.meta.index;
                assert_eq!(shown.to_finished(), Finished { cursor: shown.cursor, ..ok(index) });
                index
            })
            .collect()
    }

    /// Pushes results in this order, one by one, and gives the order in which they come out.
    fn order(reorder: &mut Reorder, pushed: &[u64]) -> Vec<u64> {
        let mut due = Vec::new();
        for index in pushed {
            for run in runs(&[*index]) {
                reorder.push(run, &mut due).expect("kept");
            }
        }
        indexes(&due)
    }

    #[test]
    fn results_come_out_in_the_order_of_their_inputs() {
        assert_eq!(order(&mut Reorder::new(), &[2, 0, 1, 5, 4, 3]), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn blocks_of_several_slots_come_out_in_the_order_of_their_inputs() {
        let (mut reorder, mut due) = (Reorder::new(), Vec::new());
        for block in [&[4, 5, 6][..], &[0, 1, 9, 10], &[2, 3, 7], &[11, 8]] {
            for run in runs(block) {
                reorder.push(run, &mut due).expect("kept");
            }
        }
        assert_eq!(indexes(&due), (0..12).collect::<Vec<_>>());
        assert_eq!((reorder.len(), reorder.memory_bytes), (0, 0));
    }

    #[test]
    fn a_run_keeps_its_places_where_a_part_of_it_is_left_out() {
        let run = runs(&[3, 4, 5, 6, 7]).remove(0);
        let parts = run.only(|place| place != 1 && place != 4);
        assert_eq!(indexes(&parts), [3, 5, 6]);
        let cursors: Vec<_> =
            parts.iter().flat_map(Run::results).map(|shown| shown.cursor).collect();
        assert_eq!(cursors, [0, 2, 3]);
    }

    #[test]
    fn beyond_the_bound_they_wait_on_disk_and_come_back_the_same() {
        let mut reorder = Reorder { memory_max: 2_000, ..Reorder::default() };
        let backwards: Vec<u64> = (0..100).rev().collect();
        assert_eq!(order(&mut reorder, &backwards), (0..100).collect::<Vec<_>>());
        assert!(reorder.spill.is_some());
        assert_eq!(reorder.memory_bytes, 0);
        let filled = reorder.spill.as_ref().map(|spill| spill.end);
        let more: Vec<u64> = (100..130).rev().collect();
        assert_eq!(order(&mut reorder, &more), (100..130).collect::<Vec<_>>());
        let again = reorder.spill.as_ref().map(|spill| spill.end);
        assert!(again < filled, "the file grows for ever: {filled:?}, then {again:?}");
    }

    #[test]
    fn at_the_end_gaps_are_passed_over() {
        let mut reorder = Reorder::new();
        assert_eq!(order(&mut reorder, &[0, 2, 5]), [0]);
        let mut rest = Vec::new();
        while let Some(run) = reorder.pop_past_gaps().expect("read") {
            rest.push(run);
        }
        assert_eq!(indexes(&rest), [2, 5]);
        assert_eq!(reorder.len(), 0);
    }

    #[test]
    fn what_has_no_task_is_not_waited_for() {
        let (mut reorder, mut due) = (Reorder::new(), Vec::new());
        reorder.skip(0..2, &mut due).expect("skipped");
        reorder.skip(3..5, &mut due).expect("skipped");
        for run in runs(&[5]).into_iter().chain(runs(&[2])) {
            reorder.push(run, &mut due).expect("kept");
        }
        assert_eq!(indexes(&due), [2, 5]);
        reorder.skip(7..9, &mut due).expect("skipped");
        assert_eq!(reorder.len(), 0);
        assert!(reorder.pop_past_gaps().expect("read").is_none());
    }

    #[test]
    fn a_result_that_comes_twice_comes_out_once() {
        assert_eq!(order(&mut Reorder::new(), &[0, 0, 1]), [0, 1]);
        let (mut reorder, mut due) = (Reorder::new(), Vec::new());
        for block in [&[0, 1][..], &[5, 6], &[1, 2, 3], &[3, 4, 5, 6, 7]] {
            for run in runs(block) {
                reorder.push(run, &mut due).expect("kept");
            }
        }
        assert_eq!(indexes(&due), (0..8).collect::<Vec<_>>());
    }
}
