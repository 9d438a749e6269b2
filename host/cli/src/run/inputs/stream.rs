//! Inputs as they come from a reader on a thread of its own. Not for what is read.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::mpsc, task::JoinSet};
use wasmgrid_proto::Digest;

use super::chunk::{Chunk, Piece};
use crate::{exit::usage, run::again};

/// Pieces that are read ahead while one is sent.
const PIECES_AHEAD: usize = 4;

/// A job's inputs.
pub enum Inputs {
    /// All of them, known from the start.
    Known(Chunk),
    /// What a reader finds.
    Stream(Stream),
}

/// Reads inputs on a thread of its own, and stops when it is dropped.
pub struct Stream {
    pieces: mpsc::Receiver<anyhow::Result<Piece>>,
    /// What was taken and given back.
    back: Option<Piece>,
    /// The reader; it may sit in a read that ends only with the process.
    _reader: JoinSet<()>,
}

impl Stream {
    /// The next inputs: as many as are there, up to the bounds of one append. `None` at the end.
    /// Cancel safe.
    ///
    /// # Errors
    /// Where an input is wrong; nothing comes after that.
    pub async fn next(&mut self) -> Option<anyhow::Result<Piece>> {
        match self.back.take() {
            Some(piece) => Some(Ok(piece)),
            None => self.pieces.recv().await,
        }
    }

    /// Gives back what was taken last: it comes next.
    pub fn give_back(&mut self, piece: Piece) {
        self.back = Some(piece);
    }
}

/// Starts a reader, which ends where it is done or its inputs are wanted no more. Must be called
/// inside a runtime.
pub fn stream(done: Option<Done>, read: impl FnOnce(Sink) + Send + 'static) -> Stream {
    let (out, pieces) = mpsc::channel(PIECES_AHEAD);
    let mut reader = JoinSet::new();
    reader.spawn_blocking(move || {
        let Some(done) = done else { return read(Sink::new(out)) };
        let done = Arc::new(Mutex::new(done));
        let sink = Sink { out: out.clone(), done: Some(done.clone()) };
        let next = lock(&done).next;
        if next == 0 || sink.out.blocking_send(Ok(Piece::Gap(next))).is_ok() {
            read(sink);
            lock(&done).end().map(|error| out.blocking_send(Err(error)));
        }
    });
    Stream { pieces, back: None, _reader: reader }
}

fn lock(done: &Mutex<Done>) -> MutexGuard<'_, Done> {
    done.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Inputs that have their results from an earlier run, and are passed over.
#[derive(Clone, Debug)]
pub struct Done {
    /// How many there are: the index of the first that has none.
    next: u64,
    /// Of these, how many were not read yet.
    left: u64,
    /// What they were then, and what those were that were read.
    then: Digest,
    now: Digest,
    /// Whether that is known of them: what the command line says is the same anyway.
    is_read: bool,
}

impl Done {
    /// So many inputs, which were these.
    pub const fn new(next: u64, then: Digest, start: Digest) -> Self {
        Self { next, left: next, then, now: start, is_read: false }
    }

    /// Passes over what is done; gives what is not.
    fn pass(&mut self, piece: Piece) -> anyhow::Result<Option<Piece>> {
        if self.left == 0 {
            return Ok(Some(piece));
        }
        let (count, all) = (piece.count().min(self.left), piece.count());
        let piece = piece.behind(count, |input| self.see(input));
        self.passed(count)?;
        Ok((count < all).then_some(piece))
    }

    /// Passes over files, without opening one.
    ///
    /// # Errors
    /// A usage error where they are others, or fewer.
    pub fn pass_files(&mut self, mut paths: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(paths.len());
        let rest = paths.split_off(count);
        paths.iter().for_each(|path| self.see(path.as_os_str().as_encoded_bytes()));
        self.passed(count as u64)?;
        self.end().map_or(Ok(rest), Err)
    }

    fn see(&mut self, input: &[u8]) {
        self.now = again::chained(self.now, input);
        self.is_read = true;
    }

    fn passed(&mut self, count: u64) -> anyhow::Result<()> {
        self.left -= count;
        if self.left > 0 || !self.is_read || self.now == self.then {
            return Ok(());
        }
        Err(usage(format!(
            "the first {} inputs have changed since the run of --resume; use another file for \
             another run",
            self.next
        )))
    }

    /// What is wrong where the inputs end.
    fn end(&self) -> Option<anyhow::Error> {
        (self.left > 0).then(|| {
            usage(format!(
                "there are {} inputs, but --resume has results of {}: the inputs have changed; use \
                 another file for another run",
                self.next - self.left,
                self.next
            ))
        })
    }
}

/// Where a reader puts what it finds.
pub struct Sink {
    out: mpsc::Sender<anyhow::Result<Piece>>,
    done: Option<Arc<Mutex<Done>>>,
}

impl Sink {
    /// Hands on to there.
    pub const fn new(out: mpsc::Sender<anyhow::Result<Piece>>) -> Self {
        Self { out, done: None }
    }

    /// Hands it on and waits for room; false where nobody wants more.
    pub fn send(&self, piece: anyhow::Result<Piece>) -> bool {
        let Some(done) = &self.done else { return self.out.blocking_send(piece).is_ok() };
        match piece.and_then(|piece| lock(done).pass(piece)) {
            Ok(None) => !self.out.is_closed(),
            Ok(Some(piece)) => self.out.blocking_send(Ok(piece)).is_ok(),
            Err(error) => {
                // It is what is wrong, and not also that there are too few.
                lock(done).left = 0;
                let _ = self.out.blocking_send(Err(error));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wasmgrid_proto::InputBlock;

    use super::{super::chunk::Origins, *};

    fn lines(texts: &[&str]) -> Piece {
        Piece::Inputs(Chunk {
            block: InputBlock::Packed(texts.iter().map(|text| text.len() as u32).collect()),
            payload: Bytes::from(texts.concat()),
            origins: Origins::Lines {
                file: "in".into(),
                numbers: (1..).take(texts.len()).collect(),
            },
        })
    }

    #[test]
    fn what_is_done_is_passed_over_where_it_is_the_same() {
        let start = Digest::of(b"");
        let then =
            ["a", "b", "c"].iter().fold(start, |all, text| again::chained(all, text.as_bytes()));
        let mut done = Done::new(3, then, start);
        assert_eq!(done.pass(lines(&["a", "b"])).expect("the same"), None);
        let rest = done.pass(lines(&["c", "d"])).expect("the same").expect("some");
        let Piece::Inputs(chunk) = &rest else { panic!("{rest:?}") };
        assert_eq!((chunk.block.count(), &chunk.payload[..]), (1, &b"d"[..]));
        let numbers = vec![2];
        assert_eq!(chunk.origins, Origins::Lines { file: "in".into(), numbers });
        assert_eq!(done.pass(lines(&["e"])).expect("new"), Some(lines(&["e"])));
        assert!(done.end().is_none());
        for others in [&["a", "x", "c"][..], &["ab", "", "c"]] {
            assert!(Done::new(3, then, start).pass(lines(others)).is_err(), "{others:?}");
        }
        let mut few = Done::new(3, then, start);
        few.pass(lines(&["a", "b"])).expect("the same");
        assert!(few.end().expect("too few").to_string().contains("there are 2 inputs"));
    }
}
