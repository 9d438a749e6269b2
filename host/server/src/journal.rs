//! The one thread that writes the store. It commits in groups by natural batching: whatever has
//! come while the last commit was syncing is the next one. There are no timers.

use std::{sync::Arc, thread, time::Duration};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::{Epoch, InputBlock, JobId, Record};
use wasmgrid_store::{Commit, Entry, LogKind, Segment, Store, StoreError};

use crate::{
    blocking::{Beside, Blocking},
    cache::{Results, encode},
    driver::Event,
};

/// Writes that wait for the thread: the driver hands over one a turn, and keeps the rest itself.
const WRITES_QUEUED: usize = 64;

/// Bytes after which a commit takes no more in, so that one does not take seconds.
const COMMIT_BYTES: usize = 32 << 20;

/// How long the thread waits before it tries again to write to a full disk.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// What a record takes in memory and on disk, about, in bytes.
const RECORD_BYTES: usize = 128;

/// One thing to make durable.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most are records, and a box would cost an allocation each"
)]
pub(crate) enum Item {
    /// A record.
    Record(Record),
    /// The inputs of the record after it.
    Inputs { job: JobId, first: u64, block: InputBlock, payload: Bytes },
    /// The results of the record after it.
    Results { job: JobId, results: Arc<Results> },
}

/// What the driver hands over at once: committed together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The driver's number of it.
    pub number: u64,
    /// In order.
    pub items: Vec<Item>,
}

/// What the thread is asked to write.
#[derive(Debug)]
pub(crate) enum Write {
    /// Of the core: answered by [`Event::Committed`].
    Batch(Batch),
    /// Modules and values beside the journal, which nothing in the core rests on: so a failure
    /// fails the asker alone.
    Keep { entries: Vec<Entry>, done: oneshot::Sender<Result<(), Arc<StoreError>>> },
    /// Nothing was to be committed for a while: the store may do what it put off.
    Tidy,
}

impl Item {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Record(_) => RECORD_BYTES,
            Self::Inputs { block, payload, .. } => {
                let lengths = match block {
                    InputBlock::Packed(lengths) => lengths.len() * size_of::<u32>(),
                    InputBlock::Numbers { .. } => 0,
                };
                RECORD_BYTES + lengths + payload.len()
            }
            Self::Results { results, .. } => {
                RECORD_BYTES + results.meta_bytes + results.payload.len()
            }
        }
    }
}

/// Starts the thread. It ends when every sender of writes is gone and all is written, or when a
/// commit fails. Once `stop` is cancelled it no longer waits for a
/// full disk to have room.
///
/// # Errors
/// Where the operating system gives no thread.
pub(crate) fn start(
    store: Box<dyn Store>,
    epoch: Epoch,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    blocking: &Blocking,
) -> std::io::Result<(mpsc::Sender<Write>, Beside)> {
    let (sender, writes) = mpsc::channel(WRITES_QUEUED);
    let writer = Writer { store, epoch, events, writes, stop, blocking: blocking.clone() };
    let thread = blocking.start("journal", writer.run())?;
    Ok((sender, thread))
}

struct Writer {
    store: Box<dyn Store>,
    epoch: Epoch,
    events: mpsc::Sender<Event>,
    writes: mpsc::Receiver<Write>,
    stop: CancellationToken,
    blocking: Blocking,
}

impl Writer {
    async fn run(mut self) {
        while let Some(write) = self.writes.recv().await {
            if let Err(error) = self.write_group(write).await {
                // Without a driver nobody is left to be told.
                let _ = self.events.send(Event::StoreFailed(Arc::new(error))).await;
                return;
            }
        }
    }

    /// Commits `first` and whatever else has come.
    async fn write_group(&mut self, first: Write) -> Result<(), StoreError> {
        let (mut entries, mut keeps, mut last, mut bytes) = (Vec::new(), Vec::new(), None, 0);
        let mut next = Some(first);
        while let Some(write) = next {
            match write {
                Write::Batch(batch) => {
                    last = Some(batch.number);
                    for item in &batch.items {
                        bytes += item.bytes();
                        entries.push(entry(item)?);
                    }
                }
                Write::Keep { entries, done } => keeps.push((entries, done)),
                Write::Tidy => self.store.idle()?,
            }
            next = if bytes < COMMIT_BYTES { self.writes.try_recv().ok() } else { None };
        }
        if let Some(number) = last {
            self.blocking.pause().await;
            self.commit_journal(&Commit { entries }).await?;
            self.blocking.pause().await;
            let _ = self.events.send(Event::Committed { number }).await;
        }
        for (entries, done) in keeps {
            self.blocking.pause().await;
            let result = self.store.commit(self.epoch, &Commit { entries });
            match result.map(drop) {
                Err(error) if !matches!(error, StoreError::Full(_)) => {
                    // The store is not to be trusted any more: the server ends.
                    return Err(error);
                }
                result => drop(done.send(result.map_err(Arc::new))),
            }
        }
        Ok(())
    }

    /// Commits what the core has already counted on: on a full disk it is tried again until there
    /// is room, while the driver takes nothing new from clients.
    async fn commit_journal(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let mut full = false;
        loop {
            match self.store.commit(self.epoch, commit) {
                Ok(_) => {
                    if full {
                        let _ = self.events.send(Event::StoreFull(false)).await;
                    }
                    return Ok(());
                }
                Err(StoreError::Full(_)) if !self.stop.is_cancelled() => {
                    if !full {
                        full = true;
                        let _ = self.events.send(Event::StoreFull(true)).await;
                    }
                    thread::sleep(FULL_RETRY);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn entry(item: &Item) -> Result<Entry, StoreError> {
    let encoded = match item {
        Item::Record(record) => {
            postcard::to_allocvec(record).map(|bytes| Entry::Record(bytes.into()))
        }
        Item::Inputs { job, first, block, payload } => {
            encode(block, payload).map(|(head, data)| {
                let (job, first, count) = (*job, *first, block.count());
                Entry::Segment(Segment { job, log: LogKind::Input, first, count, head, data })
            })
        }
        Item::Results { job, results } => {
            encode(&results.block, &results.payload).map(|(head, data)| {
                let (job, first) = (*job, results.first);
                let count = results.block.results.len() as u64;
                Entry::Segment(Segment { job, log: LogKind::Result, first, count, head, data })
            })
        }
    };
    encoded.map_err(|error| StoreError::Invalid(format!("a record or segment: {error}")))
}
