//! Inputs as they come from a reader on a thread of its own. Not for what is read.

use tokio::{sync::mpsc, task::JoinSet};

use super::chunk::{Chunk, Piece};

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
pub fn stream(read: impl FnOnce(Sink) + Send + 'static) -> Stream {
    let (out, pieces) = mpsc::channel(PIECES_AHEAD);
    let mut reader = JoinSet::new();
    reader.spawn_blocking(move || read(Sink::new(out)));
    Stream { pieces, back: None, _reader: reader }
}

/// Where a reader puts what it finds.
pub struct Sink {
    out: mpsc::Sender<anyhow::Result<Piece>>,
}

impl Sink {
    /// Hands on to there.
    pub const fn new(out: mpsc::Sender<anyhow::Result<Piece>>) -> Self {
        Self { out }
    }

    /// Hands it on and waits for room; false where nobody wants more.
    pub fn send(&self, piece: anyhow::Result<Piece>) -> bool {
        self.out.blocking_send(piece).is_ok()
    }
}
