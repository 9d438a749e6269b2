//! Puts results that come as tasks end back into the order of their inputs. What waits for an
//! earlier one is in memory up to a bound, then in a temporary file.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use wasmgrid_proto::{ResultBlock, ResultMeta, WorkerId};

/// Bytes of waiting results that are kept in memory.
const MEMORY_BYTES: usize = 64 << 20;

/// A task's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
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
    /// The results of a block, each with its part of the payload.
    ///
    /// # Errors
    /// Where block and payload do not belong together.
    pub fn all(block: ResultBlock, mut payload: Bytes) -> anyhow::Result<Vec<Self>> {
        let (declared, present) = (block.payload_len(), payload.len() as u64);
        if declared != present {
            bail!("results of {declared} bytes came with {present}");
        }
        let (attempt, worker) = (block.attempt, block.worker);
        let cut = |meta: ResultMeta| {
            let length = usize::try_from(meta.payload_len()).unwrap_or(usize::MAX);
            let payload = payload.split_to(length.min(payload.len()));
            Self { meta, attempt, worker, payload }
        };
        Ok(block.results.into_iter().map(cut).collect())
    }
}

/// Results that wait for those before them.
#[derive(Default)]
pub struct Reorder {
    /// The index that is printed next.
    next: u64,
    /// What is there of `next` and those after it.
    waiting: VecDeque<Place>,
    memory_bytes: usize,
    memory_max: usize,
    spill: Option<Spill>,
}

#[derive(Default)]
enum Place {
    #[default]
    Missing,
    Memory(Box<Finished>),
    Disk {
        offset: u64,
    },
}

impl Reorder {
    /// A buffer that begins with task 0.
    pub fn new() -> Self {
        Self { memory_max: MEMORY_BYTES, ..Self::default() }
    }

    /// Takes a result; gives it back at once where it is the next.
    ///
    /// # Errors
    /// Where the temporary file cannot be written.
    pub fn push(&mut self, finished: Finished) -> anyhow::Result<Option<Finished>> {
        let index = finished.meta.index;
        if index == self.next && self.waiting.is_empty() {
            self.next += 1;
            return Ok(Some(finished));
        }
        let Some(offset) = index.checked_sub(self.next).and_then(|at| usize::try_from(at).ok())
        else {
            return Ok(None);
        };
        if offset >= self.waiting.len() {
            self.waiting.resize_with(offset + 1, Place::default);
        }
        let place = self.keep(finished)?;
        if let Some(slot) = self.waiting.get_mut(offset) {
            *slot = place;
        }
        self.pop()
    }

    /// The next result, where it is there.
    ///
    /// # Errors
    /// Where the temporary file cannot be read.
    pub fn pop(&mut self) -> anyhow::Result<Option<Finished>> {
        if matches!(self.waiting.front(), None | Some(Place::Missing)) {
            return Ok(None);
        }
        self.advance()
    }

    /// The next result that is there, past those that never came: for a job's end.
    ///
    /// # Errors
    /// Where the temporary file cannot be read.
    pub fn pop_past_gaps(&mut self) -> anyhow::Result<Option<Finished>> {
        while matches!(self.waiting.front(), Some(Place::Missing)) {
            self.waiting.pop_front();
            self.next += 1;
        }
        self.advance()
    }

    fn advance(&mut self) -> anyhow::Result<Option<Finished>> {
        let Some(place) = self.waiting.pop_front() else { return Ok(None) };
        self.next += 1;
        match place {
            Place::Missing => Ok(None),
            Place::Memory(finished) => {
                self.memory_bytes -= finished.payload.len();
                Ok(Some(*finished))
            }
            Place::Disk { offset } => {
                let spill = self.spill.as_mut().context("a result on disk without its file")?;
                spill.read(offset).context("failed to read back results that waited").map(Some)
            }
        }
    }

    fn keep(&mut self, mut finished: Finished) -> anyhow::Result<Place> {
        if self.memory_bytes + finished.payload.len() > self.memory_max {
            let spill = match &mut self.spill {
                Some(spill) => spill,
                none => none.insert(Spill::new().context("failed to make a temporary file")?),
            };
            let offset = spill.write(&finished).context("failed to put waiting results on disk")?;
            return Ok(Place::Disk { offset });
        }
        // A copy, so that a small result does not hold on to the whole frame it came in.
        finished.payload = Bytes::copy_from_slice(&finished.payload);
        self.memory_bytes += finished.payload.len();
        Ok(Place::Memory(Box::new(finished)))
    }
}

/// A file without a name, gone with the process.
struct Spill {
    file: BufWriter<File>,
    end: u64,
}

impl Spill {
    fn new() -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile()?), end: 0 })
    }

    fn write(&mut self, finished: &Finished) -> io::Result<u64> {
        let head = (&finished.meta, finished.attempt, finished.worker);
        let head = postcard::to_allocvec(&head).map_err(io::Error::other)?;
        let offset = self.end;
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
        let (meta, attempt, worker): (ResultMeta, _, _) =
            postcard::from_bytes(&head).map_err(io::Error::other)?;
        let payload = read_vec(file, meta.payload_len())?.into();
        file.seek(SeekFrom::End(0))?;
        Ok(Finished { meta, attempt, worker, payload })
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
        let mut reorder = Reorder { memory_max: 20, ..Reorder::default() };
        let backwards: Vec<u64> = (0..100).rev().collect();
        assert_eq!(order(&mut reorder, &backwards), (0..100).collect::<Vec<_>>());
        assert!(reorder.spill.is_some());
        assert_eq!(reorder.memory_bytes, 0);
        let more: Vec<u64> = (100..150).rev().collect();
        assert_eq!(order(&mut reorder, &more), (100..150).collect::<Vec<_>>());
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
