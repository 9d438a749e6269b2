//! The inputs whose results have not come: what a failed task's input was and where it is from,
//! and how far reading may run ahead. Bounded by that, not by the job.

use std::{collections::VecDeque, ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tokio::sync::Notify;
use wasmgrid_proto::InputBlock;

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
    /// Inputs without a result, not counting ranges, which cost nothing.
    open: u64,
    open_bytes: u64,
    /// Bytes of the inputs that have a result, as far as they were let go of.
    settled_bytes: u64,
    /// Results that wait for one before them.
    held: u64,
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
            });
        }
        first
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
        let emptied = (entry.left == 0).then(|| entry.chunk.block.payload_len());
        let ranged = matches!(entry.chunk.origins, Origins::Range);
        if let Some(bytes) = emptied {
            entry.chunk.payload = Bytes::new();
            self.open_bytes -= if ranged { 0 } else { bytes };
            self.settled_bytes += bytes;
        }
        self.open -= u64::from(!ranged);
        while self.chunks.front().is_some_and(|entry| entry.left == 0) {
            self.chunks.pop_front();
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
    fn input(&self, offset: u64) -> Option<Input> {
        let (block, payload) = self.chunk.block.slice(&self.chunk.payload, offset, 1).ok()?;
        let bytes = match block {
            InputBlock::Numbers { start, .. } => Bytes::from(start.to_string()),
            InputBlock::Packed(_) => payload,
        };
        let at = usize::try_from(offset).ok()?;
        let place = match &self.chunk.origins {
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
        };
        Some(Input { bytes, place })
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
