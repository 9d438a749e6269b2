//! The inputs of results whose job was submitted by another command: the grid has them, and they are
//! fetched as their results are to be shown. Not for the fetching itself.

use std::collections::VecDeque;

use wasmgrid_client::StoredInputs;
use wasmgrid_proto::{JobId, TaskId, TaskRange};

use super::{
    ledger::{Input, Place},
    reorder::{Run, Shown},
};

/// Tasks whose inputs are asked for at once; an answer has as many of the first of them as fit it.
/// Results of neighbouring tasks are shown one after the other, or soon after each other.
const AHEAD: u64 = 4_096;

/// Bytes of inputs that are kept for results that are still to come, beyond those of one answer:
/// results that are shown as tasks end are of tasks so close to each other.
const KEPT_BYTES: usize = 32 << 20;

/// What an answer takes beside its inputs.
const PART_BYTES: usize = 256;

/// Results that are shown next, and inputs that are known.
pub struct Fetched {
    job: JobId,
    due: VecDeque<Run>,
    /// How many results of the first run were shown.
    shown: usize,
    known: Known,
    /// Results that were shown and whose input the grid has no more.
    deleted: u64,
}

/// Answers, the oldest first.
#[derive(Default)]
struct Known {
    parts: VecDeque<Part>,
    bytes: usize,
}

/// Of these tasks it is known which input each has, or that it is deleted.
struct Part {
    tasks: TaskRange,
    inputs: Option<StoredInputs>,
}

impl Fetched {
    /// Those of a job.
    pub fn new(job: JobId) -> Self {
        Self { job, due: VecDeque::new(), shown: 0, known: Known::default(), deleted: 0 }
    }

    /// Has results shown after those before.
    pub fn push(&mut self, runs: Vec<Run>) {
        self.due.extend(runs);
    }

    /// Shows results in their order, up to the first whose input is not known.
    ///
    /// # Errors
    /// As `show`.
    pub fn show(
        &mut self,
        mut show: impl FnMut(Shown<'_>, &Input) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while let Some(run) = self.due.front() {
            for result in run.results().skip(self.shown) {
                let task = TaskId { job: self.job, index: result.meta.index };
                let Some(input) = self.known.input(task) else { return Ok(()) };
                self.deleted += u64::from(input.place == Place::Deleted(task));
                show(result, &input)?;
                self.shown += 1;
            }
            self.due.pop_front();
            self.shown = 0;
        }
        Ok(())
    }

    /// The tasks whose inputs are to be fetched for what is shown next, and their job.
    pub fn wanted(&self) -> Option<(JobId, TaskRange)> {
        let next = self.due.front()?.results().nth(self.shown)?;
        Some((self.job, TaskRange { first: next.meta.index, count: AHEAD }))
    }

    /// Takes what was found of the tasks that were [`wanted`](Self::wanted).
    pub fn give(&mut self, wanted: TaskRange, found: StoredInputs) {
        let tasks = match found.tasks() {
            none if none.count == 0 => wanted,
            found => TaskRange::between(wanted.first, found.end()),
        };
        self.known.add(Part { tasks, inputs: Some(found) });
    }

    /// The grid cannot be asked: no input is ever known.
    pub fn give_up(&mut self) {
        self.known.add(Part { tasks: TaskRange::ALL, inputs: None });
    }

    /// Results that were shown without their inputs, since those are deleted.
    pub const fn deleted(&self) -> u64 {
        self.deleted
    }
}

impl Known {
    fn add(&mut self, part: Part) {
        self.bytes += part.bytes();
        self.parts.push_back(part);
        while self.bytes > KEPT_BYTES && self.parts.len() > 1 {
            let Some(oldest) = self.parts.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    /// The input of a task; `None` if nothing is known of it.
    fn input(&self, task: TaskId) -> Option<Input> {
        let part = self.parts.iter().rev().find(|part| part.tasks.contains(task.index))?;
        let Some(inputs) = &part.inputs else {
            return Some(Input { bytes: Default::default(), place: Place::Single });
        };
        Some(match inputs.input(task.index) {
            Some(bytes) => Input { bytes, place: Place::Stored(task) },
            None => Input { bytes: Default::default(), place: Place::Deleted(task) },
        })
    }
}

impl Part {
    fn bytes(&self) -> usize {
        PART_BYTES + self.inputs.as_ref().map_or(0, StoredInputs::bytes)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wasmgrid_proto::InputBlock;

    use super::{super::reorder::tests::runs, *};

    const JOB: JobId = JobId(3);

    fn fetched(indices: &[u64]) -> Fetched {
        let mut fetched = Fetched::new(JOB);
        fetched.push(runs(indices));
        fetched
    }

    /// What is shown now: each result's index and its input.
    fn shown(fetched: &mut Fetched) -> Vec<(u64, Input)> {
        let mut all = Vec::new();
        let show = |result: Shown<'_>, input: &Input| {
            all.push((result.meta.index, input.clone()));
            Ok(())
        };
        fetched.show(show).expect("shown");
        all
    }

    /// Gives one-letter inputs from this index on, of those that are wanted.
    fn give(fetched: &mut Fetched, first: u64, letters: &'static str) {
        let (job, wanted) = fetched.wanted().expect("wanted");
        assert_eq!(job, JOB);
        let inputs = InputBlock::Packed(vec![1; letters.len()]);
        let found = StoredInputs::new(first, inputs, Bytes::from(letters), wanted);
        fetched.give(wanted, found.expect("of those"));
    }

    fn stored(index: u64, text: &'static str) -> (u64, Input) {
        let place = Place::Stored(TaskId { job: JOB, index });
        (index, Input { bytes: Bytes::from(text), place })
    }

    fn deleted(index: u64) -> (u64, Input) {
        let place = Place::Deleted(TaskId { job: JOB, index });
        (index, Input { bytes: Bytes::new(), place })
    }

    #[test]
    fn results_wait_for_their_inputs_and_keep_their_order() {
        let mut fetched = fetched(&[4, 3, 0, 5]);
        assert_eq!(shown(&mut fetched), []);
        give(&mut fetched, 4, "e");
        assert_eq!(shown(&mut fetched), [stored(4, "e")]);
        assert_eq!(fetched.wanted().expect("wanted").1.first, 3);
        give(&mut fetched, 3, "d");
        assert_eq!(shown(&mut fetched), [stored(3, "d")]);
        // Of 0 to 4 none is there, but what follows is.
        give(&mut fetched, 5, "f");
        assert_eq!(shown(&mut fetched), [deleted(0), stored(5, "f")]);
        assert_eq!((fetched.wanted(), fetched.deleted()), (None, 1));
    }

    #[test]
    fn inputs_that_are_not_there_are_asked_for_once() {
        let mut fetched = fetched(&[7, 8, 9_000]);
        give(&mut fetched, 7, "");
        assert_eq!(shown(&mut fetched), [deleted(7), deleted(8)]);
        fetched.give_up();
        let unknown = Input { bytes: Bytes::new(), place: Place::Single };
        assert_eq!(shown(&mut fetched), [(9_000, unknown)]);
        assert_eq!((fetched.wanted(), fetched.deleted()), (None, 2));
    }

    #[test]
    fn answers_are_kept_up_to_a_bound() {
        let mut fetched = fetched(&[0]);
        let large = Bytes::from(vec![b'x'; KEPT_BYTES / 4]);
        for first in 0..100 {
            let (wanted, inputs) =
                (TaskRange::one(first), InputBlock::Packed(vec![large.len() as u32]));
            let found = StoredInputs::new(first, inputs, large.clone(), wanted).expect("fits");
            fetched.give(wanted, found);
        }
        assert!(fetched.known.bytes <= KEPT_BYTES && fetched.known.parts.len() == 3);
    }
}
