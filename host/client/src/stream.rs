//! A job's results on their way from the actor to their reader: bounded by a window of bytes,
//! which the reader gives back as it reads.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use wasmgrid_proto::{
    ByteCount, JobStatus, ResultBlock, UnknownExtension, frame::FRAME_MAX, wire::ResultsFrame,
};

use crate::{Client, ClientError, Room, Taken, room::held};

/// The actor hears of each such part of the window that was read: it gives credit back by larger
/// parts, and is on another thread.
const READ_PART: u64 = 16;

/// Wakes the actor: some reader has read, or has gone.
pub type Wake = Arc<Notify>;

/// What a stream of a job brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// Results, in the order of the job's result log.
    Results {
        /// The first one's position in the log.
        first_cursor: u64,
        /// The results.
        block: ResultBlock,
        /// Their bytes; see [`ResultBlock::entries`].
        payload: Bytes,
    },
    /// How the job stands now.
    Update(JobStatus),
    /// The job has ended and all its results were brought. Nothing comes after this.
    Ended(JobStatus),
}

/// A job's results and how it stands. Dropping it ends the watch.
pub struct JobStream {
    frames: mpsc::Receiver<Frame>,
    news: watch::Receiver<News>,
    /// The frame that is being read, as blocks, and what it gives back when it is read.
    blocks: VecDeque<(Arc<ResultBlock>, Bytes)>,
    open_cost: u64,
    /// Its room, until the next one is asked for: what is in memory beside its bytes.
    open_taken: Option<Taken>,
    /// The position behind the last result that was brought.
    cursor: u64,
    /// How the job ended, once that is known.
    end: Option<JobStatus>,
    over: bool,
    consumed: Arc<AtomicU64>,
    /// What this end has added to that, and how much of it is worth a word to the actor.
    read: u64,
    read_step: u64,
    wake: Wake,
    /// The link lives as long as somebody reads from it.
    client: Client,
}

/// What is told of a job beside its results: the latest only.
#[derive(Default)]
struct News {
    status: Option<JobStatus>,
    /// Why the stream ends early, once all that was passed on is read.
    error: Option<ClientError>,
}

/// The actor's end of a stream.
pub struct Sink {
    frames: mpsc::Sender<Frame>,
    news: watch::Sender<News>,
    consumed: Arc<AtomicU64>,
    /// The first position wanted.
    pub cursor: u64,
    /// Bytes that may be under way or unread.
    pub window: u64,
    /// Where results need room, that.
    pub room: Option<Arc<dyn Room>>,
}

/// Both ends of a stream from `cursor` on.
pub fn pair(cursor: u64, window: ByteCount, wake: Wake, client: Client) -> (JobStream, Sink) {
    // Every frame costs something, so that the window bounds their number; one may exceed it.
    let frames_max = (window.0 / ResultsFrame::RESULT_COST).min(1 << 20) + 1;
    let (frames, frames_out) = mpsc::channel(usize::try_from(frames_max).unwrap_or(usize::MAX));
    let (news, news_out) = watch::channel(News::default());
    let consumed = Arc::new(AtomicU64::new(0));
    let sink = Sink {
        frames,
        news,
        consumed: Arc::clone(&consumed),
        cursor,
        window: window.0,
        room: None,
    };
    let stream = JobStream {
        frames: frames_out,
        news: news_out,
        blocks: VecDeque::new(),
        open_cost: 0,
        open_taken: None,
        cursor,
        end: None,
        over: false,
        consumed,
        read: 0,
        read_step: (window.0 / READ_PART).max(1),
        wake,
        client,
    };
    (stream, sink)
}

impl JobStream {
    /// Whose stream it is, to ask what else there is to ask.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What comes next; `None` after [`JobEvent::Ended`] or an error. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Result<JobEvent, ClientError>> {
        if self.over {
            return None;
        }
        let event = self.event().await;
        self.over = matches!(event, Err(_) | Ok(JobEvent::Ended(_)));
        Some(event)
    }

    async fn event(&mut self) -> Result<JobEvent, ClientError> {
        loop {
            if let Some(results) = self.pop() {
                return Ok(results);
            }
            self.open_taken = None;
            if let Some(status) = self.end.take_if(|status| status.results <= self.cursor) {
                return Ok(JobEvent::Ended(status));
            }
            tokio::select! {
                biased;
                frame = self.frames.recv() => match frame {
                    Some(frame) => self.open(frame),
                    // The actor lets go of a stream at the job's end, and after an error.
                    None => self.end = Some(self.last_news()?),
                },
                Ok(()) = self.news.changed() => match self.news.borrow_and_update().status.clone() {
                    Some(status) if status.state.is_terminal() => self.end = Some(status),
                    Some(status) => return Ok(JobEvent::Update(status)),
                    None => {}
                },
            }
        }
    }

    /// How the job ended, or why the stream does.
    fn last_news(&self) -> Result<JobStatus, ClientError> {
        let news = self.news.borrow();
        match (&news.error, &news.status) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(status)) if status.state.is_terminal() => Ok(status.clone()),
            _ => Err(ClientError::Stopped),
        }
    }

    fn open(&mut self, frame: Frame) {
        let Frame { first_cursor, blocks, mut payload, cost, taken } = frame;
        self.cursor = first_cursor;
        self.open_cost = cost;
        self.open_taken = taken;
        self.blocks = blocks
            .into_iter()
            .map(|block| {
                let length = usize::try_from(block.payload_len()).unwrap_or(usize::MAX);
                let part = payload.split_to(length.min(payload.len()));
                (block, part)
            })
            .collect();
    }

    /// The next block of the open frame. With its last one the frame counts as read.
    fn pop(&mut self) -> Option<JobEvent> {
        let (block, payload) = self.blocks.pop_front()?;
        let first_cursor = self.cursor;
        self.cursor += block.results.len() as u64;
        if self.blocks.is_empty() {
            self.consumed.fetch_add(self.open_cost, Ordering::Relaxed);
            let before = self.read / self.read_step;
            self.read = self.read.saturating_add(self.open_cost);
            if self.read / self.read_step > before {
                self.wake.notify_one();
            }
        }
        // A scheduler in this process may send it to others too.
        let block = Arc::unwrap_or_clone(block);
        Some(JobEvent::Results { first_cursor, block, payload })
    }
}

impl Drop for JobStream {
    fn drop(&mut self) {
        self.frames.close();
        self.wake.notify_one();
    }
}

impl fmt::Debug for JobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobStream")
            .field("cursor", &self.cursor)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Sink {
    /// Whether the reader has gone.
    pub fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }

    /// How many bytes were read, by [`Frame::cost`].
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// Passes a frame on. False where there is no room for it, which its sender had to know.
    pub fn pass(&self, frame: Frame) -> bool {
        !matches!(self.frames.try_send(frame), Err(mpsc::error::TrySendError::Full(_)))
    }

    /// Ends the stream with an error, behind what was passed on.
    pub fn fail(self, error: ClientError) {
        self.news.send_modify(|news| news.error = Some(error));
    }

    /// Counts bytes as read that are not passed on.
    pub fn give_back(&self, bytes: u64) {
        self.consumed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Passes on how the job stands; only the latest counts.
    pub fn tell(&self, status: JobStatus) {
        self.news.send_modify(|news| news.status = Some(status));
    }

    /// What may be held of a stream: its window, which one frame may exceed. The cost of a frame
    /// counts its results too, so it can be more than the frame's bytes, but not twice as much.
    pub const fn held_max(&self) -> u64 {
        self.window.saturating_add(2 * FRAME_MAX as u64)
    }
}

/// Results that stand one behind the other in a job's result log.
#[derive(Debug)]
pub struct Frame {
    /// The first one's position.
    pub first_cursor: u64,
    blocks: Vec<Arc<ResultBlock>>,
    payload: Bytes,
    /// What they use of the window.
    pub cost: u64,
    taken: Option<Taken>,
}

impl Frame {
    /// A frame as it came.
    pub fn new(frame: ResultsFrame, payload: Bytes) -> Self {
        let cost = frame.credit_bytes();
        Self { first_cursor: frame.first_cursor, blocks: frame.blocks, payload, cost, taken: None }
    }

    /// Takes its room, if it needs any.
    ///
    /// # Errors
    /// [`ClientError::NoRoom`].
    pub fn settle(&mut self, room: Option<&dyn Room>) -> Result<(), ClientError> {
        let Some(room) = room else { return Ok(()) };
        let taken = room.take(self.cost).ok_or(ClientError::NoRoom { bytes: self.cost })?;
        self.payload = held(std::mem::take(&mut self.payload), &taken);
        self.taken = Some(taken);
        Ok(())
    }

    /// Whether it has no results, or they were all skipped.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Refuses results with a critical extension that this side does not know.
    pub fn check(&self) -> Result<(), UnknownExtension> {
        self.blocks.iter().try_for_each(|block| block.check_extensions())
    }

    /// The position behind its last result.
    pub fn end(&self) -> u64 {
        let count: u64 = self.blocks.iter().map(|block| block.results.len() as u64).sum();
        self.first_cursor.saturating_add(count)
    }

    /// Drops the results before `cursor`, which came before. The cost stays, as it was used.
    pub fn skip_to(&mut self, cursor: u64) {
        for block in &mut self.blocks {
            let skip = cursor.saturating_sub(self.first_cursor);
            if skip == 0 {
                break;
            }
            let block = Arc::make_mut(block);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(block.results.len());
            let bytes: u64 = block.results.drain(..skip).map(|meta| meta.payload_len()).sum();
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.payload = self.payload.slice(bytes.min(self.payload.len())..);
            self.first_cursor += skip as u64;
            if !block.results.is_empty() {
                break;
            }
        }
        self.blocks.retain(|block| !block.results.is_empty());
    }
}
