//! The inputs whose results have not come: what a failed task's input was and where it is from,
//! and how far reading may run ahead. Bounded by that, not by the job.

use std::{collections::VecDeque, ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tokio::sync::Notify;
use wasmgrid_proto::{InputBlock, TaskId};

use super::inputs::{Chunk, Origins, Piece, Unread};

/// Inputs may be sent ahead of their results up to so many bytes: they are kept here until then,
/// and once more in the grid of one command.
const AHEAD_BYTES: u64 = 64 << 20;
/// The same in inputs: a quarter of a second of work for a thousand slots of one-millisecond tasks.
const AHEAD_INPUTS: u64 = 1 << 18;
/// So few inputs may be ahead also where they are large, so that there is one for each slot.
const AHEAD_LARGE: u64 = 64;
/// Bytes of those.
const AHEAD_LARGE_BYTES: u64 = 256 << 20;
/// Runs of indices without a task may be ahead of who takes them: each is a few bytes, or some
/// thousand names of files.
const AHEAD_ABSENT: usize = 64;

/// The inputs of a job that are on their way.
#[derive(Default)]
pub struct Ledger {
    chunks: VecDeque<Entry>,
    /// Inputs so far: the index of the next.
    total: u64,
    /// Of these, inputs of tasks: the others are indices without one.
    tasks: u64,
    /// Inputs without a result, not counting ranges, which cost nothing.
    open: u64,
    open_bytes: u64,
    /// Bytes of the inputs that have a result, as far as they were let go of.
    settled_bytes: u64,
    /// Results that wait for one before them.
    held: u64,
    /// Inputs are needed until their results are shown.
    shown_with: bool,
    /// Indices without a task that nobody has taken yet, rising.
    absent: Vec<Absent>,
    /// There are some.
    absence: Arc<Notify>,
}

/// Indices at which the job has no task.
#[derive(Debug, PartialEq, Eq)]
pub enum Absent {
    /// None was wanted.
    Gap(Range<u64>),
    /// Inputs that cannot be read, from this index on.
    Unread(u64, Vec<Unread>),
}

struct Entry {
    first: u64,
    chunk: Chunk,
    done: Bits,
    /// Those before this one have a result.
    low: u64,
    left: u64,
    /// Those whose results are still to be shown, where inputs are needed for that.
    unshown: u64,
    /// Its bytes are gone.
    is_freed: bool,
    /// Where the input begins that was shown last: its place, and its first byte.
    shown: (usize, usize),
}

/// One input, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its bytes.
    pub bytes: Bytes,
    /// From where.
    pub place: Place,
}

/// Where an input is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// From nowhere but itself: a number of a range, a point of a grid.
    Range,
    /// The one input of a task without input flags.
    Single,
    /// A line, or some.
    Line {
        /// `file:number`, or `file:first-last`.
        name: String,
    },
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
    },
    /// From the log of a job of another command, which alone knew where it was from.
    Stored(TaskId),
    /// The same, but the grid has deleted it.
    Deleted(TaskId),
}

impl Ledger {
    /// Adds inputs; gives the first one's index.
    pub fn add(&mut self, piece: Piece) -> u64 {
        let (first, count) = (self.total, piece.count());
        self.total += count;
        let chunk = match piece {
            Piece::Inputs(chunk) => chunk,
            Piece::Gap(_) => {
                self.miss(Absent::Gap(first..self.total));
                return first;
            }
            Piece::Unread(unread) => {
                self.miss(Absent::Unread(first, unread));
                return first;
            }
        };
        self.tasks += count;
        if !matches!(chunk.origins, Origins::Range) {
            self.open += count;
            self.open_bytes += chunk.block.payload_len();
        }
        if count > 0 {
            self.chunks.push_back(Entry {
                first,
                chunk,
                done: Bits::default(),
                low: 0,
                left: count,
                unshown: if self.shown_with { count } else { 0 },
                is_freed: false,
                shown: (0, 0),
            });
        }
        first
    }

    /// Has inputs kept until their results are shown; before the first result.
    pub fn show_inputs(&mut self) {
        self.shown_with = true;
        for entry in &mut self.chunks {
            entry.unshown = entry.chunk.block.count();
        }
    }

    /// The input of a result that is shown, and is needed no more after that.
    pub fn show(&mut self, index: u64) -> Option<Input> {
        let entry = self.entry(index)?;
        let input = entry.show(index - entry.first);
        entry.unshown = entry.unshown.saturating_sub(1);
        self.let_go(index);
        input
    }

    /// Lets go of what is needed no more of the inputs that came with this one.
    fn let_go(&mut self, index: u64) {
        if let Some((counted, bytes)) = self.entry(index).and_then(Entry::free) {
            self.open_bytes -= counted;
            self.settled_bytes += bytes;
        }
        while self.chunks.front().is_some_and(|entry| entry.left == 0 && entry.unshown == 0) {
            self.chunks.pop_front();
        }
    }

    fn miss(&mut self, absent: Absent) {
        self.absent.push(absent);
        self.absence.notify_one();
    }

    /// Takes the indices without a task that came since the last time.
    pub fn take_absent(&mut self) -> Vec<Absent> {
        std::mem::take(&mut self.absent)
    }

    /// Resolves once there may be some.
    pub fn absence(&self) -> Arc<Notify> {
        self.absence.clone()
    }

    /// Indices added so far.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Tasks added so far.
    pub const fn tasks(&self) -> u64 {
        self.tasks
    }

    /// True while more inputs may be read: one task that takes long must not have the results of
    /// all others wait for it without end.
    pub const fn has_room(&self) -> bool {
        let bytes = if self.open < AHEAD_LARGE { AHEAD_LARGE_BYTES } else { AHEAD_BYTES };
        self.open + self.held < AHEAD_INPUTS
            && self.open_bytes < bytes
            && self.absent.len() < AHEAD_ABSENT
    }

    /// Notes how many results wait for one before them.
    pub const fn hold(&mut self, results: u64) {
        self.held = results;
    }

    /// The first input without a result, or the next one.
    pub fn settled(&self) -> u64 {
        self.chunks.front().map_or(self.total, |entry| entry.first + entry.low)
    }

    /// The first input of those that were added together with it: what is before is let go of.
    pub fn released(&self) -> u64 {
        self.chunks.front().map_or(self.total, |entry| entry.first)
    }

    /// Bytes of all inputs that were needed no more so far.
    pub const fn settled_bytes(&self) -> u64 {
        self.settled_bytes
    }

    /// Notes a task's result; gives back its input where `wanted`. `None` where there is no such
    /// task, or it had a result before.
    pub fn settle(&mut self, index: u64, wanted: bool) -> Option<Option<Input>> {
        let entry = self.entry(index)?;
        let offset = index - entry.first;
        if !entry.done.set(offset) {
            return None;
        }
        entry.left -= 1;
        while entry.done.has(entry.low) {
            entry.low += 1;
        }
        let input = wanted.then(|| entry.input(offset)).flatten();
        let (ranged, is_last) = (matches!(entry.chunk.origins, Origins::Range), entry.left == 0);
        self.open -= u64::from(!ranged);
        if is_last {
            self.let_go(index);
        }
        Some(input)
    }

    /// How many inputs have no result.
    pub fn unsettled_len(&self) -> u64 {
        self.chunks.iter().map(|entry| entry.left).sum()
    }

    /// Inputs without a result, in order.
    pub fn unsettled(&self) -> impl Iterator<Item = (u64, Input)> {
        self.chunks.iter().filter(|entry| entry.left > 0).flat_map(|entry| {
            (0..entry.chunk.block.count())
                .filter(|offset| !entry.done.has(*offset))
                .filter_map(|offset| Some((entry.first + offset, entry.input(offset)?)))
        })
    }

    fn entry(&mut self, index: u64) -> Option<&mut Entry> {
        let behind = self.chunks.partition_point(|entry| entry.first <= index);
        let entry = self.chunks.get_mut(behind.checked_sub(1)?)?;
        (index - entry.first < entry.chunk.block.count()).then_some(entry)
    }
}

impl Entry {
    /// Frees the bytes where they are needed no more; gives how many of them count as open, and all.
    fn free(&mut self) -> Option<(u64, u64)> {
        // Of a file its name is shown.
        let is_shown = self.unshown == 0 || matches!(self.chunk.origins, Origins::Files(_));
        if self.left > 0 || !is_shown || self.is_freed {
            return None;
        }
        self.is_freed = true;
        self.chunk.payload = Bytes::new();
        let bytes = self.chunk.block.payload_len();
        let is_range = matches!(self.chunk.origins, Origins::Range);
        Some((if is_range { 0 } else { bytes }, bytes))
    }

    fn input(&self, offset: u64) -> Option<Input> {
        let (block, payload) = self.chunk.block.slice(&self.chunk.payload, offset, 1).ok()?;
        let bytes = match block {
            InputBlock::Numbers { start, .. } => Bytes::from(start.to_string()),
            InputBlock::Packed(_) => payload,
        };
        Some(Input { bytes, place: self.place(usize::try_from(offset).ok()?)? })
    }

    /// The same, found from where the last one was: they are shown one after the other.
    fn show(&mut self, offset: u64) -> Option<Input> {
        let at = usize::try_from(offset).ok()?;
        let place = self.place(at)?;
        let bytes = match &self.chunk.block {
            InputBlock::Numbers { .. } => return self.input(offset),
            InputBlock::Packed(_) if self.is_freed => Bytes::new(),
            InputBlock::Packed(lengths) => {
                let (from, start) = if self.shown.0 <= at { self.shown } else { (0, 0) };
                let between = lengths.get(from..at)?.iter().map(|length| *length as usize);
                let start = start + between.sum::<usize>();
                self.shown = (at, start);
                let end = start + *lengths.get(at)? as usize;
                (end <= self.chunk.payload.len()).then(|| self.chunk.payload.slice(start..end))?
            }
        };
        Some(Input { bytes, place })
    }

    fn place(&self, at: usize) -> Option<Place> {
        Some(match &self.chunk.origins {
            Origins::Range | Origins::Made => Place::Range,
            Origins::Spans { file, spans } => {
                let (first, last) = *spans.get(at)?;
                let to = if first == last { String::new() } else { format!("-{last}") };
                Place::Line { name: format!("{file}:{first}{to}") }
            }
            Origins::Single => Place::Single,
            Origins::Lines { file, numbers } => {
                Place::Line { name: format!("{file}:{}", numbers.get(at)?) }
            }
            Origins::Files(paths) => Place::File { path: paths.get(at)?.clone() },
            Origins::Kept(names) => match names.get(at)? {
                Some(name) => Place::Line { name: name.clone() },
                None => Place::Range,
            },
        })
    }
}

/// A set of small numbers that grows as they come.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number; false where it was there.
    fn set(&mut self, at: u64) -> bool {
        let Ok(word) = usize::try_from(at / 64) else { return false };
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let Some(bits) = self.0.get_mut(word) else { return false };
        let new = *bits & (1 << (at % 64)) == 0;
        *bits |= 1 << (at % 64);
        new
    }

    fn has(&self, at: u64) -> bool {
        let word = usize::try_from(at / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|bits| bits & (1 << (at % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(first_number: u64, lines: &[&str]) -> Piece {
        Piece::Inputs(Chunk {
            block: InputBlock::Packed(lines.iter().map(|line| line.len() as u32).collect()),
            payload: Bytes::from(lines.concat()),
            origins: Origins::Lines {
                file: "in".into(),
                numbers: (first_number..).take(lines.len()).collect(),
            },
        })
    }

    fn range(text: &str) -> Piece {
        let range: super::super::inputs::Range = text.parse().expect("a range");
        let (block, payload) = (range.block(), Bytes::new());
        Piece::Inputs(Chunk { block, payload, origins: Origins::Range })
    }

    #[test]
    fn a_failed_task_gets_its_input_and_its_place_back() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.add(lines(1, &["one", "two"])), 0);
        assert_eq!(ledger.add(lines(9, &["nine"])), 2);
        assert_eq!(ledger.settle(1, false), Some(None));
        let input = ledger.settle(2, true).flatten().expect("there");
        let place = Place::Line { name: "in:9".into() };
        assert_eq!((&input.bytes[..], input.place), (&b"nine"[..], place));
        assert_eq!(ledger.settle(2, true), None);
        assert_eq!(ledger.settle(7, true), None);
    }

    #[test]
    fn an_input_that_is_shown_is_kept_until_then() {
        let mut ledger = Ledger::default();
        ledger.add(lines(1, &["one", "two", "three"]));
        ledger.show_inputs();
        ledger.add(lines(4, &["four"]));
        (0..4).for_each(|index| assert!(ledger.settle(index, false).is_some()));
        assert_eq!((ledger.unsettled_len(), ledger.open_bytes), (0, 15));
        for (index, text) in [(1, "two"), (2, "three"), (0, "one"), (3, "four")] {
            assert_eq!(ledger.show(index).expect("kept").bytes, text);
        }
        assert!(ledger.chunks.is_empty() && ledger.show(0).is_none());
        assert_eq!((ledger.open_bytes, ledger.settled_bytes()), (0, 15));
        // Of a file the name is, and not its bytes.
        let origins = Origins::Files(vec!["a".into()]);
        let (block, payload) = (InputBlock::Packed(vec![3]), Bytes::from("abc"));
        ledger.add(Piece::Inputs(Chunk { block, payload, origins }));
        ledger.settle(4, false);
        assert_eq!(ledger.open_bytes, 0);
        let place = Place::File { path: "a".into() };
        assert_eq!(ledger.show(4), Some(Input { bytes: Bytes::new(), place }));
        assert!(ledger.chunks.is_empty());
    }

    #[test]
    fn what_has_no_result_at_the_end_is_known() {
        let mut ledger = Ledger::default();
        ledger.add(range("10..14"));
        ledger.settle(1, false);
        ledger.settle(3, false);
        let left: Vec<_> = ledger.unsettled().map(|(at, input)| (at, input.bytes)).collect();
        assert_eq!(left, [(0, Bytes::from("10")), (2, Bytes::from("12"))]);
    }

    #[test]
    fn settled_chunks_are_let_go_and_make_room() {
        let mut ledger = Ledger::default();
        let mut total = 0;
        while ledger.has_room() {
            let chunk = lines(1, &["x"; 8_192]);
            total += chunk.count();
            ledger.add(chunk);
        }
        assert_eq!(total, AHEAD_INPUTS);
        for index in 0..8_192 {
            ledger.settle(index, false);
        }
        assert!(ledger.has_room());
        assert_eq!(ledger.chunks.len() as u64, AHEAD_INPUTS / 8_192 - 1);
    }

    #[test]
    fn results_that_wait_for_another_leave_less_room() {
        let mut ledger = Ledger::default();
        ledger.add(lines(1, &["slow", "x"]));
        ledger.settle(1, false);
        ledger.hold(AHEAD_INPUTS - 1);
        assert!(!ledger.has_room());
        ledger.hold(0);
        assert!(ledger.has_room());
    }

    #[test]
    fn a_range_of_any_length_leaves_room() {
        let mut ledger = Ledger::default();
        ledger.add(range("0..1000000000000"));
        assert!(ledger.has_room());
        assert_eq!(ledger.settle(999_999, false), Some(None));
    }

    #[test]
    fn indices_without_a_task_are_handed_on_and_wait_for_no_result() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.add(Piece::Gap(5)), 0);
        assert_eq!(ledger.add(lines(1, &["one"])), 5);
        let unread = vec![Unread { path: "gone".into(), why: "gone".into() }];
        assert_eq!(ledger.add(Piece::Unread(unread.clone())), 6);
        assert_eq!(ledger.take_absent(), [Absent::Gap(0..5), Absent::Unread(6, unread)]);
        assert_eq!((ledger.settled(), ledger.unsettled_len()), (5, 1));
        ledger.settle(5, false);
        assert_eq!((ledger.settled(), ledger.total()), (7, 7));
    }
}
