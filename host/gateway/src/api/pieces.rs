//! A body becomes inputs as it comes: a line a task, a part a task, or all of it one task. Not for
//! sending them.

use bytes::{Bytes, BytesMut};
use serde::de::IgnoredAny;
use wasmgrid_proto::InputBlock;

use crate::{bounds::Held, problem::Problem};

/// Bytes of one input at most: what the scheduler takes.
pub const INPUT_MAX: usize = 64 << 20;

/// Bytes and inputs that are appended together: enough that a commit costs little for each.
pub const BATCH_BYTES: usize = 1 << 20;
pub const BATCH_INPUTS: usize = 16_384;

/// Bytes of which everybody may hold as many without asking for room.
const FREE_BYTES: usize = 64 << 10;

/// What an input is in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line with a JSON value, which is handed on as it stands. Lines without anything are skipped.
    JsonLines,
    /// A line, without its end.
    Lines,
    /// All bytes up to where somebody says that the task ends.
    Whole,
}

/// Inputs that are appended together.
#[derive(Default)]
pub struct Batch {
    lengths: Vec<u32>,
    payload: BytesMut,
    /// The room of what was taken out of a body.
    held: Option<Held>,
}

impl Batch {
    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// True if it should not grow any more.
    pub fn is_full(&self) -> bool {
        self.payload.len() >= BATCH_BYTES || self.lengths.len() >= BATCH_INPUTS
    }

    /// How many inputs it has.
    pub fn count(&self) -> usize {
        self.lengths.len()
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Has these behind its own.
    pub fn join(&mut self, other: Self) {
        self.lengths.extend(other.lengths);
        self.payload.unsplit(other.payload);
        match (&mut self.held, other.held) {
            (Some(held), Some(other)) => held.merge(other),
            (held, other) => *held = held.take().or(other),
        }
    }

    /// As it is sent. Its bytes own the room that they take.
    pub fn block(self) -> (InputBlock, Bytes) {
        let bytes = self.payload.freeze();
        let payload = match self.held {
            Some(held) => held.keep(bytes),
            None => bytes,
        };
        (InputBlock::Packed(self.lengths), payload)
    }

    fn push(&mut self, input: &[u8]) -> Result<(), Problem> {
        self.lengths.push(u32::try_from(input.len()).map_err(|_| input_too_large())?);
        self.payload.extend_from_slice(input);
        Ok(())
    }
}

/// Cuts a body into inputs.
pub struct Cutter {
    form: Form,
    /// The beginning of an input whose end has not come.
    rest: BytesMut,
    batch: Batch,
    line: u64,
    held: Held,
}

fn input_too_large() -> Problem {
    Problem::too_large(format!("an input has more than {INPUT_MAX} bytes"))
}

impl Cutter {
    /// Of a body of this form.
    pub fn new(form: Form, held: Held) -> Self {
        Self { form, rest: BytesMut::new(), batch: Batch::default(), line: 0, held }
    }

    /// Takes the next bytes of the body, up to where the batch is full; gives back the others.
    ///
    /// # Errors
    /// If an input is too large, or is no JSON where it should be.
    pub fn push(&mut self, mut bytes: Bytes) -> Result<Bytes, Problem> {
        if self.form == Form::Whole {
            self.keep(&bytes)?;
            return Ok(Bytes::new());
        }
        while !self.batch.is_full() {
            let Some(end) = memchr::memchr(b'\n', &bytes) else {
                self.keep(&bytes)?;
                return Ok(Bytes::new());
            };
            let line = bytes.split_to(end + 1);
            self.keep_line(line.strip_suffix(b"\n").unwrap_or(&line))?;
        }
        self.hold()?;
        Ok(bytes)
    }

    /// The input that has come so far has all its bytes. Behind the last line's end there is none.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn end(&mut self) -> Result<(), Problem> {
        if self.form == Form::Whole {
            let input = std::mem::take(&mut self.rest);
            self.batch.push(&input)?;
        } else if !self.rest.is_empty() {
            self.keep_line(b"")?;
        }
        self.hold()
    }

    /// What can be appended.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Takes what can be appended.
    pub fn take(&mut self) -> Batch {
        let mut batch = std::mem::take(&mut self.batch);
        batch.held = Some(self.held.part(batch.payload.len()));
        batch
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        if self.rest.len() + bytes.len() > INPUT_MAX {
            return Err(input_too_large());
        }
        self.rest.extend_from_slice(bytes);
        self.hold()
    }

    fn keep_line(&mut self, end: &[u8]) -> Result<(), Problem> {
        if self.rest.len() + end.len() > INPUT_MAX {
            return Err(input_too_large());
        }
        self.line += 1;
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return self.line(end);
        }
        let mut whole = rest;
        whole.extend_from_slice(end);
        self.line(&whole)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.form == Form::JsonLines {
            if line.trim_ascii().is_empty() {
                return Ok(());
            }
            if let Err(error) = serde_json::from_slice::<IgnoredAny>(line) {
                let detail = format!("line {} is no JSON value: {error}", self.line);
                return Err(Problem::invalid("line_not_json", detail).with("line", self.line));
            }
        }
        self.batch.push(line)
    }

    fn hold(&mut self) -> Result<(), Problem> {
        let bytes = self.rest.len() + self.batch.payload.len();
        self.held.set(bytes.saturating_sub(FREE_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Bounds;

    fn cut(form: Form, chunks: &[&'static str]) -> Result<Vec<String>, Problem> {
        let mut cutter = Cutter::new(form, Bounds::default().held("ada"));
        for chunk in chunks {
            let left = cutter.push(Bytes::from_static(chunk.as_bytes()))?;
            assert!(left.is_empty(), "it is not full");
        }
        cutter.end()?;
        let (InputBlock::Packed(lengths), mut payload) = cutter.take().block() else {
            panic!("it is packed")
        };
        let text = |length: u32| {
            let bytes = payload.split_to(length as usize);
            String::from_utf8(bytes.to_vec()).expect("UTF-8")
        };
        Ok(lengths.into_iter().map(text).collect())
    }

    #[test]
    fn a_line_is_a_task_wherever_the_body_was_cut() {
        for chunks in
            [&["a\nbc\r\n\nd"][..], &["a", "\nb", "c\r", "\n", "\n", "d"], &["a\nbc\r\n\nd\n"]]
        {
            assert_eq!(cut(Form::Lines, chunks).expect("lines"), ["a", "bc", "", "d"]);
        }
        assert_eq!(cut(Form::Lines, &[]).expect("none"), [""; 0]);
    }

    #[test]
    fn a_line_of_json_is_handed_on_as_it_stands() {
        let lines = cut(Form::JsonLines, &["{\"a\": 1}\n", "\n  \n", "[1, 2]\r\n\"x\""]);
        assert_eq!(lines.expect("JSON"), ["{\"a\": 1}", "[1, 2]", "\"x\""]);
        let problem = cut(Form::JsonLines, &["1\n\n{\n"]).expect_err("no JSON");
        assert_eq!(problem.json()["line"], 3);
    }

    #[test]
    fn a_whole_body_is_one_task_also_if_it_is_empty() {
        assert_eq!(cut(Form::Whole, &["a\n", "b"]).expect("one"), ["a\nb"]);
        assert_eq!(cut(Form::Whole, &[]).expect("one"), [""]);
    }

    #[test]
    fn a_batch_that_is_full_leaves_the_rest() {
        let mut cutter = Cutter::new(Form::Lines, Bounds::default().held("ada"));
        let many = Bytes::from("x\n".repeat(BATCH_INPUTS + 5));
        let left = cutter.push(many).expect("lines");
        assert_eq!((cutter.take().count(), left.len()), (BATCH_INPUTS, 10));
        assert!(cutter.push(left).expect("lines").is_empty());
        assert_eq!(cutter.batch().count(), 5);
    }
}
