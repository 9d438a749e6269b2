//! Puts results that come as tasks end back into the order of their inputs. What waits for an
//! earlier one is in memory up to a bound, then in a temporary file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use wasmgrid_proto::{ResultBlock, ResultMeta, WorkerId};

/// Bytes of waiting results that are kept in memory, with what each costs beside its payload.
const MEMORY_BYTES: usize = 64 << 20;

/// A result of so many bytes is most of the frame it came in: workers gather smaller ones up to
/// twice as many.
const SHARED_BYTES: usize = 512 << 10;

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

impl Finished {
    /// The results of a block that begins at `first_cursor`, each with its part of the payload.
    ///
    /// # Errors
    /// Where block and payload do not belong together.
    pub fn all(
        first_cursor: u64,
        block: ResultBlock,
        mut payload: Bytes,
    ) -> anyhow::Result<Vec<Self>> {
        let (declared, present) = (block.payload_len(), payload.len() as u64);
        if declared != present {
            bail!("results of {declared} bytes came with {present}");
        }
        let (attempt, worker) = (block.attempt, block.worker);
        let cut = |(cursor, meta): (u64, ResultMeta)| {
            let length = usize::try_from(meta.payload_len()).unwrap_or(usize::MAX);
            let payload = payload.split_to(length.min(payload.len()));
            Self { cursor, meta, attempt, worker, payload }
        };
        Ok((first_cursor..).zip(block.results).map(cut).collect())
    }

    /// About what it takes in memory.
    fn cost(&self) -> usize {
        size_of::<Self>() + self.meta.record_lens.len() * size_of::<u32>() + self.payload.len()
    }
}

/// Results that wait for those before them.
#[derive(Default)]
pub struct Reorder {
    /// The index that is printed next.
    next: u64,
    /// What is there of those after it, by index.
    waiting: BTreeMap<u64, Place>,
    memory_bytes: usize,
    memory_max: usize,
    spill: Option<Spill>,
}

enum Place {
    Memory(Box<Finished>),
    Disk { offset: u64 },
}

impl Reorder {
    /// A buffer that begins with task 0.
    pub fn new() -> Self {
        Self { memory_max: MEMORY_BYTES, ..Self::default() }
    }

    /// How many results wait.
    pub fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Takes a result; gives it back at once where it is the next.
    ///
    /// # Errors
    /// Where the temporary file cannot be written.
    pub fn push(&mut self, finished: Finished) -> anyhow::Result<Option<Finished>> {
        let index = finished.meta.index;
        if index == self.next {
            self.next += 1;
            return Ok(Some(finished));
        }
        if index > self.next && !self.waiting.contains_key(&index) {
            let place = self.keep(finished)?;
            self.waiting.insert(index, place);
        }
        Ok(None)
    }

    /// The next result, where it is there.
    ///
    /// # Errors
    /// Where the temporary file cannot be read.
    pub fn pop(&mut self) -> anyhow::Result<Option<Finished>> {
        let is_there = self.waiting.first_key_value().is_some_and(|(index, _)| *index == self.next);
        if is_there { self.pop_past_gaps() } else { Ok(None) }
    }

    /// The next result that is there, past those that never came: for a job's end.
    ///
    /// # Errors
    /// Where the temporary file cannot be read.
    pub fn pop_past_gaps(&mut self) -> anyhow::Result<Option<Finished>> {
        let Some((index, place)) = self.waiting.pop_first() else { return Ok(None) };
        self.next = index + 1;
        match place {
            Place::Memory(finished) => {
                self.memory_bytes -= finished.cost();
                Ok(Some(*finished))
            }
            Place::Disk { offset } => {
                let spill = self.spill.as_mut().context("a result on disk without its file")?;
                let read = spill.read(offset).context("failed to read back results that waited")?;
                Ok(Some(read))
            }
        }
    }

    fn keep(&mut self, mut finished: Finished) -> anyhow::Result<Place> {
        if self.memory_bytes + finished.cost() > self.memory_max {
            let spill = match &mut self.spill {
                Some(spill) => spill,
                none => none.insert(Spill::new().context("failed to make a temporary file")?),
            };
            let offset = spill.write(&finished).context("failed to put waiting results on disk")?;
            return Ok(Place::Disk { offset });
        }
        if finished.payload.len() < SHARED_BYTES {
            // A copy, so that a small result does not hold on to the whole frame it came in.
            finished.payload = Bytes::copy_from_slice(&finished.payload);
        }
        self.memory_bytes += finished.cost();
        Ok(Place::Memory(Box::new(finished)))
    }
}

/// A file without a name, gone with the process.
struct Spill {
    file: BufWriter<File>,
    end: u64,
    /// Results in it that were not read back.
    waiting: u64,
}

impl Spill {
    fn new() -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile()?), end: 0, waiting: 0 })
    }

    fn write(&mut self, finished: &Finished) -> io::Result<u64> {
        let head = (&finished.meta, finished.attempt, finished.worker, finished.cursor);
        let head = postcard::to_allocvec(&head).map_err(io::Error::other)?;
        self.begin_again()?;
        let offset = self.end;
        self.waiting += 1;
        for part in [&(head.len() as u64).to_le_bytes(), &head[..], &finished.payload] {
            self.file.write_all(part)?;
            self.end += part.len() as u64;
        }
        Ok(offset)
    }

    fn read(&mut self, offset: u64) -> io::Result<Finished> {
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(offset))?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let head = read_vec(file, u64::from_le_bytes(length))?;
        let (meta, attempt, worker, cursor): (ResultMeta, _, _, _) =
            postcard::from_bytes(&head).map_err(io::Error::other)?;
        let payload = read_vec(file, meta.payload_len())?.into();
        file.seek(SeekFrom::End(0))?;
        self.waiting -= 1;
        Ok(Finished { cursor, meta, attempt, worker, payload })
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
    use wasmgrid_proto::{Outcome, Usage};

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

    fn ok(index: u64) -> Finished {
        finished(index, Outcome::Ok, &"x".repeat(index as usize))
    }

    /// Pushes results in this order, and gives the order in which they come out.
    fn order(reorder: &mut Reorder, indexes: &[u64]) -> Vec<u64> {
        let mut out = Vec::new();
        for index in indexes {
            let mut ready = reorder.push(ok(*index)).expect("kept");
            while let Some(finished) = ready {
                assert_eq!(finished, ok(finished.meta.index));
                out.push(finished.meta.index);
                ready = reorder.pop().expect("read");
            }
        }
        out
    }

    #[test]
    fn results_come_out_in_the_order_of_their_inputs() {
        assert_eq!(order(&mut Reorder::new(), &[2, 0, 1, 5, 4, 3]), [0, 1, 2, 3, 4, 5]);
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
        while let Some(finished) = reorder.pop_past_gaps().expect("read") {
            rest.push(finished.meta.index);
        }
        assert_eq!(rest, [2, 5]);
    }

    #[test]
    fn a_result_that_comes_twice_comes_out_once() {
        assert_eq!(order(&mut Reorder::new(), &[0, 0, 1]), [0, 1]);
    }
}
