//! Inputs that clients ask for, to show them with their results. They are read from the store beside
//! the driver, past the cache: who reads an old job takes no memory from the jobs that run.

use std::collections::VecDeque;

use bytes::Bytes;
use wasmgrid_proto::{
    InputBlock, JobId, LogRef, TaskRange,
    frame::Envelope,
    wire::{LIST_MAX, Reply, ReplyFrame, ToClient},
};

use super::{
    Driver, Effect, LinkId, Observer, cache::Cached, clients::no_job, gate::Gated, workers::join,
};
use crate::error::ServerError;

/// Bytes of one answer, unless a single input is larger: many small inputs cost one round trip, and
/// results of the same client wait for little.
const ANSWER_BYTES: usize = 1 << 20;

/// Segments that are read for one answer: what one client asks keeps a reader busy for milliseconds.
const ANSWER_SEGMENTS: usize = 256;

/// What the length of an input takes in an answer, at most.
const LENGTH_BYTES: usize = 5;

/// The questions of one client that have no answer yet: as many as it may have requests open.
#[derive(Default)]
pub(super) struct Questions {
    /// In the order in which they came.
    waiting: VecDeque<Question>,
    /// The inputs for the first of them are being read.
    is_reading: bool,
}

#[derive(Clone, Copy)]
struct Question {
    id: u64,
    job: JobId,
    tasks: TaskRange,
}

/// A reading of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputReading {
    /// The job that has them in its log.
    pub job: JobId,
    /// Which are wanted; the first of them was stored when this was made.
    pub tasks: TaskRange,
}

/// Inputs as they were read.
#[derive(Debug)]
pub struct GivenInputs {
    inputs: InputBlock,
    payload: Bytes,
}

impl InputReading {
    /// Reads the inputs, as many of the first as fit one answer; `segment` reads the segment that holds
    /// a place.
    ///
    /// # Errors
    /// As `segment`, for the first of them.
    pub fn read(
        &self,
        mut segment: impl FnMut(LogRef) -> Result<Cached, ServerError>,
    ) -> Result<GivenInputs, ServerError> {
        let (inputs, payload) = self.cut(segment(self.place(0))?, 0, ANSWER_BYTES)?;
        let InputBlock::Packed(mut lengths) = inputs else {
            return Ok(GivenInputs { inputs, payload });
        };
        let (mut bytes, mut pieces) = (payload.len(), vec![payload]);
        while bytes < ANSWER_BYTES && pieces.len() < ANSWER_SEGMENTS {
            let skip = lengths.len() as u64;
            if skip >= self.tasks.count || lengths.len() >= LIST_MAX {
                break;
            }
            // What cannot be read is another answer's, if it is wanted.
            let next = segment(self.place(skip)).and_then(|next| {
                // An input that exceeds the rest would be cut all the same, as it is the first.
                self.cut(next, skip, ANSWER_BYTES - bytes)
            });
            let Ok((InputBlock::Packed(more), payload)) = next else { break };
            if lengths.len() + more.len() > LIST_MAX || bytes + payload.len() > ANSWER_BYTES {
                break;
            }
            bytes += payload.len();
            lengths.extend(more);
            pieces.push(payload);
        }
        Ok(GivenInputs { inputs: InputBlock::Packed(lengths), payload: join(pieces) })
    }

    fn place(&self, skip: u64) -> LogRef {
        LogRef::input(self.job, self.tasks.first.saturating_add(skip))
    }

    /// Those of a segment from the `skip`-th wanted one on.
    fn cut(
        &self,
        segment: Cached,
        skip: u64,
        max_bytes: usize,
    ) -> Result<(InputBlock, Bytes), ServerError> {
        let place = self.place(skip);
        let count = self.tasks.count.saturating_sub(skip).min(LIST_MAX as u64);
        let missing = || ServerError::Missing { what: place.to_string() };
        let Cached::Inputs(inputs) = segment else { return Err(missing()) };
        let wanted = TaskRange { first: place.position, count };
        inputs.cut(wanted, max_bytes).map_err(|_| missing())
    }
}

impl<O: Observer> Driver<O> {
    /// Has a question for inputs wait for its turn.
    pub(super) fn inputs_request(&mut self, link: LinkId, id: u64, job: JobId, tasks: TaskRange) {
        if let Some(client) = self.state.clients.get_mut(&link) {
            client.questions.waiting.push_back(Question { id, job, tasks });
            self.state.touched.insert(link);
        }
    }

    /// Answers what a client asked for, while its link has room: what needs no reading at once, and
    /// one reading at a time.
    pub(super) fn pump_inputs(&mut self, link: LinkId) {
        while let Some(client) = self.state.clients.get_mut(&link) {
            let Some(Question { id, job, tasks }) = client.questions.waiting.front().copied()
            else {
                return;
            };
            if client.questions.is_reading || !client.outbox.has_room() {
                return;
            }
            if self.grid.state(job).is_some() && self.grid.stored_inputs(job, tasks).is_some() {
                if let Some(client) = self.state.clients.get_mut(&link) {
                    client.questions.is_reading = true;
                }
                // Inputs that were appended just now may not be in the store yet.
                self.hold(Gated::Inputs { link });
                return self.release();
            }
            client.questions.waiting.pop_front();
            let none = Reply::Inputs { first: tasks.first, inputs: InputBlock::Packed(Vec::new()) };
            let reply = self.grid.state(job).map(|_| none).ok_or_else(|| no_job(job));
            self.answer(link, id, reply);
        }
    }

    /// All inputs that were there when a client's question came to its turn are in the store.
    pub(super) fn read_inputs(&mut self, link: LinkId) {
        let Some(client) = self.state.clients.get_mut(&link) else { return };
        let Some(Question { job, tasks, .. }) = client.questions.waiting.front().copied() else {
            return;
        };
        if let Some(tasks) = self.grid.stored_inputs(job, tasks) {
            let LogRef { job, .. } = self.grid.input_of(job, tasks.first);
            return self
                .effects
                .push(Effect::ReadInputs { link, reading: InputReading { job, tasks } });
        }
        // They were deleted meanwhile.
        client.questions.is_reading = false;
        self.state.touched.insert(link);
    }

    /// Inputs were read for a client.
    pub(super) fn inputs_read(
        &mut self,
        link: LinkId,
        reading: InputReading,
        found: Result<GivenInputs, ServerError>,
    ) {
        let first = reading.tasks.first;
        let is_dropped = !self.grid.holds(LogRef::input(reading.job, first));
        if let Some(client) = self.state.clients.get_mut(&link) {
            client.questions.is_reading = false;
            self.state.touched.insert(link);
        }
        match found {
            Ok(given) => self.give_inputs(link, first, given),
            // They were deleted meanwhile: the question is looked at again.
            Err(ServerError::Missing { .. }) if is_dropped => {}
            Err(error) => self.fail(error),
        }
    }

    fn give_inputs(&mut self, link: LinkId, first: u64, given: GivenInputs) {
        let Some(client) = self.state.clients.get_mut(&link) else { return };
        let Some(Question { id, .. }) = client.questions.waiting.pop_front() else { return };
        client.answered();
        let GivenInputs { inputs, payload } = given;
        let meta_bytes = match &inputs {
            InputBlock::Packed(lengths) => lengths.len() * LENGTH_BYTES,
            InputBlock::Numbers { .. } => 0,
        };
        let message =
            ToClient::Reply(ReplyFrame { id, reply: Ok(Reply::Inputs { first, inputs }) });
        // It counts as bulk and not as an answer: there was room for it before it was read.
        match client.outbox.push_weighing(Envelope { message, payload }, meta_bytes) {
            Ok(queued) => self.effects.push(Effect::ToClient(link, queued)),
            Err(_) => self.close(link, "it does not read its inputs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{super::cache::Inputs, *};

    /// A log of segments that begin one behind the other.
    fn read(segments: &[(InputBlock, &'static str)], tasks: TaskRange) -> (InputBlock, Bytes) {
        let reading = InputReading { job: JobId(1), tasks };
        let given = reading.read(|place| {
            let mut first = 0;
            for (block, payload) in segments {
                let end = first + block.count();
                if place.position < end {
                    let inputs =
                        Inputs::new(first, block.clone(), Bytes::from_static(payload.as_bytes()));
                    return Ok(Cached::Inputs(Arc::new(inputs.expect("whole"))));
                }
                first = end;
            }
            Err(ServerError::Missing { what: place.to_string() })
        });
        let GivenInputs { inputs, payload } = given.expect("there");
        (inputs, payload)
    }

    fn packed(lengths: &[u32]) -> InputBlock {
        InputBlock::Packed(lengths.to_vec())
    }

    #[test]
    fn inputs_of_small_segments_are_one_answer() {
        let numbers = InputBlock::Numbers { start: 7, step: 1, count: 100 };
        let log = [(packed(&[1, 2]), "abb"), (packed(&[3]), "ccc"), (numbers, "")];
        let all = TaskRange { first: 0, count: 1_000 };
        assert_eq!(read(&log, all), (packed(&[1, 2, 3]), "abbccc".into()));
        let some = TaskRange { first: 1, count: 2 };
        assert_eq!(read(&log, some), (packed(&[2, 3]), "bbccc".into()));
        let last = TaskRange { first: 4, count: 2 };
        let numbers = InputBlock::Numbers { start: 8, step: 1, count: 2 };
        assert_eq!(read(&log, last), (numbers, Bytes::new()));
    }

    #[test]
    fn an_answer_is_bounded_and_has_at_least_one_input() {
        let large: &'static str = "x".repeat(ANSWER_BYTES + 1).leak();
        let (short, long) = (packed(&[1]), packed(&[large.len() as u32]));
        let all = TaskRange { first: 0, count: 10 };
        let log = [(short.clone(), "a"), (long.clone(), large), (short.clone(), "b")];
        assert_eq!(read(&log, all), (short, "a".into()));
        let rest = TaskRange { first: 1, count: 9 };
        assert_eq!(read(&log, rest), (long, large.into()));
        let many = vec![(packed(&[1]), "a"); ANSWER_SEGMENTS + 1];
        let (inputs, _) = read(&many, TaskRange::ALL);
        assert_eq!(inputs.count(), ANSWER_SEGMENTS as u64);
    }
}
