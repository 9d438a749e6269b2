//! The one thread that writes the store. It commits in groups by natural batching: whatever has
//! come while the last commit was syncing is the next one. There are no timers. Between two groups
//! it writes one piece of what is [beside] the journal.
//!
//! It also sees to it that the journal stays short: once the records behind the snapshot are many,
//! another thread makes a new one of what is committed, and this one commits it between two
//! groups, together with the end of the records that it covers.

mod beside;

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    watch,
};
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::Epoch;
use wasmgrid_store::{Commit, Entry, Reader, Snapshot, Store, StoreError};

use crate::{
    blocking::{BackgroundTask, Blocking},
    compact,
    driver::{Batch, Halt},
    error::ServerError,
    inbox::Party,
};

pub(crate) use beside::Done;

use beside::Asides;

/// Writes that wait for the thread: the driver hands over one a turn, and keeps the rest itself.
const WRITES_QUEUED: usize = 64;

/// Bytes after which a commit takes no more in: all others wait for it, some tens of milliseconds of
/// a disk.
const COMMIT_BYTES: usize = 4 << 20;

/// Bytes of records behind the snapshot at which a new one is made, unless the snapshot itself has
/// more: a start then reads little, and what is written again is no more than what was written.
const JOURNAL_BYTES: usize = 8 << 20;

/// The same where nothing waits for a commit.
const JOURNAL_BYTES_IDLE: usize = 256 << 10;

/// How long the thread waits before it tries again to write to a full disk.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// How long it waits before it asks once more what became of a commit that is in doubt: all that is
/// to be committed waits with it, so it is short beside what the store takes for one try.
pub(crate) const DOUBT_RETRY: Duration = Duration::from_millis(100);

/// How long no snapshot is made after one that there was no room for.
const COMPACT_RETRY: Duration = Duration::from_secs(30);

/// What the thread is asked to write.
#[derive(Debug)]
pub(crate) enum Write {
    /// Of the core: answered by [`Progress::Committed`].
    Batch(Batch),
    /// Modules and values beside the journal, which nothing in the core rests on: so a failure
    /// fails the asker alone.
    Keep { by: Option<Party>, entries: Vec<Entry>, done: Done<()> },
    /// Large data of a record to come, so that the record's commit is short.
    Stage { by: Option<Party>, bytes: Bytes, done: Done<()> },
    /// Nothing was to be committed for a while: the store may do what it put off.
    Tidy,
    /// A snapshot was made, or could not be; with the bytes of records that it covers.
    Snapshot(Result<Option<(Snapshot, usize)>, ServerError>),
}

/// How much there is to read at a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Bytes of the snapshot.
    pub snapshot_bytes: usize,
    /// Bytes of the records behind it.
    pub tail_bytes: usize,
}

/// What the thread reports. If it breaks off, the channel of these ends without a failure.
#[derive(Debug)]
pub(crate) enum Progress {
    /// All batches up to this one are durable, and so much would be read at a start.
    Committed { number: u64, extent: Extent },
    /// The journal was compacted: so much would be read at a start.
    Compacted { extent: Extent },
    /// Nothing is committed for now, for this reason; `None` once commits succeed again.
    Halted(Option<Halt>),
    /// A commit failed, which is certain; none will succeed.
    Failed(ServerError),
}

/// The running thread.
pub(crate) struct Journal {
    /// What it is to write. It ends when all senders of these are gone.
    pub writes: mpsc::Sender<Write>,
    /// Whether nothing is committed, since the disk is full or a commit is in doubt.
    pub halted: watch::Receiver<bool>,
    /// What it reports.
    pub progress: mpsc::Receiver<Progress>,
    /// Its end.
    pub thread: BackgroundTask,
}

/// Starts the thread. It ends when every sender of writes is gone and all is written, or when a
/// commit fails. Once `stop` is cancelled it no longer waits for a full disk to have room.
///
/// # Errors
/// Where the operating system gives no thread.
pub(crate) fn start(
    store: Box<dyn Store>,
    extent: Extent,
    epoch: Epoch,
    stop: CancellationToken,
    blocking: &Blocking,
) -> std::io::Result<Journal> {
    let (sender, writes) = mpsc::channel(WRITES_QUEUED);
    let (to_self, blocking_too) = (sender.downgrade(), blocking.clone());
    // It may wait to report: whoever runs the driver always listens.
    let (reports, progress) = mpsc::channel(WRITES_QUEUED);
    let (halts, halted) = watch::channel(false);
    let compactor = None;
    let asides = Asides::new(epoch, store.stage_from());
    let writer = Writer {
        store,
        asides,
        extent,
        epoch,
        reports,
        halted: halts,
        writes,
        to_self,
        compactor,
        compact_after: None,
        // An earlier term may have left some.
        reclaims: true,
        reclaimed: false,
        halt: None,
        stop,
        blocking: blocking_too,
    };
    let thread = blocking.start("journal", writer.run())?;
    Ok(Journal { writes: sender, halted, progress, thread })
}

struct Writer {
    store: Box<dyn Store>,
    asides: Asides,
    extent: Extent,
    epoch: Epoch,
    reports: mpsc::Sender<Progress>,
    halted: watch::Sender<bool>,
    writes: mpsc::Receiver<Write>,
    /// For the compactor: it must not keep the thread alive.
    to_self: mpsc::WeakSender<Write>,
    /// Makes a snapshot.
    compactor: Option<BackgroundTask>,
    /// Until when none is made, as the last could not be written.
    compact_after: Option<Instant>,
    /// Something that was dropped may still be to be deleted.
    reclaims: bool,
    /// Some of it was.
    reclaimed: bool,
    /// What was last reported of why nothing is committed.
    halt: Option<Halt>,
    stop: CancellationToken,
    blocking: Blocking,
}

impl Writer {
    async fn run(mut self) {
        while let Some(next) = self.next().await {
            if let Err(error) = self.write(next).await {
                // Without a driver nobody is left to be told.
                let _ = self.reports.send(Progress::Failed(error)).await;
                break;
            }
        }
        // It may be about to send what it made.
        drop(self.writes);
        if let Some(compactor) = self.compactor {
            compactor.ended().await;
        }
    }

    /// What has come, waited for if there is nothing else to write; `None` at the end.
    async fn next(&mut self) -> Option<Option<Write>> {
        if self.asides.is_empty() && !self.reclaims {
            return self.writes.recv().await.map(Some);
        }
        match self.writes.try_recv() {
            Ok(write) => Some(Some(write)),
            // What is dropped is deleted in another term.
            Err(TryRecvError::Disconnected) if self.asides.is_empty() => None,
            Err(_) => Some(None),
        }
    }

    async fn write(&mut self, next: Option<Write>) -> Result<(), ServerError> {
        if let Some(first) = next {
            self.write_group(first).await?;
        }
        self.reclaim().await.map_err(ServerError::of_commit)?;
        let Some(mut aside) = self.asides.next() else { return Ok(()) };
        self.blocking.pause().await;
        let commit = Commit { entries: aside.next_entries() };
        let written = self.commit(&commit).await;
        self.asides.written(aside, written).map_err(ServerError::of_commit)
    }

    /// Deletes some of what was dropped, if something was.
    async fn reclaim(&mut self) -> Result<(), StoreError> {
        if !self.reclaims {
            return Ok(());
        }
        self.blocking.pause().await;
        match self.store.reclaim() {
            Ok(true) => self.reclaimed = true,
            Ok(false) => {
                self.reclaims = false;
                if std::mem::take(&mut self.reclaimed) {
                    self.tidy()?;
                }
            }
            // Nothing is lost: it is tried again after the next drop, or in the next term.
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "failed to delete what was dropped; it is tried again later");
                self.reclaims = false;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Commits `first` and whatever else has come.
    async fn write_group(&mut self, first: Write) -> Result<(), ServerError> {
        let failed = ServerError::of_commit;
        let (mut entries, mut last, mut bytes) = (Vec::new(), None, 0);
        let (mut tidy, mut made) = (false, None);
        let mut next = Some(first);
        while let Some(write) = next {
            match write {
                Write::Batch(batch) => {
                    last = Some(batch.number);
                    for item in &batch.items {
                        bytes += item.bytes();
                        let staged = |data: &Bytes| self.asides.take(data);
                        item.add_entries(&mut entries, staged).map_err(failed)?;
                    }
                }
                Write::Keep { by, entries, done } => self.asides.keep(by, entries, done),
                Write::Stage { by, bytes, done } => self.asides.stage(by, bytes, done),
                Write::Tidy => tidy = true,
                Write::Snapshot(result) => made = Some(result),
            }
            next = if bytes < COMMIT_BYTES { self.writes.try_recv().ok() } else { None };
        }
        if let Some(number) = last {
            entries.extend(self.asides.take_abandoned());
            let commit = Commit { entries };
            self.blocking.pause().await;
            self.commit_journal(&commit).await.map_err(failed)?;
            self.blocking.pause().await;
            self.reclaims |= drops(&commit);
            self.extent.tail_bytes += record_bytes(&commit);
            let extent = self.extent;
            let _ = self.reports.send(Progress::Committed { number, extent }).await;
        }
        if let Some(made) = made {
            self.compacted(made).await?;
        }
        self.compact(if tidy { JOURNAL_BYTES_IDLE } else { JOURNAL_BYTES }).map_err(failed)?;
        if tidy { self.tidy().map_err(failed) } else { Ok(()) }
    }

    /// Does what the store put off, until something waits.
    fn tidy(&mut self) -> Result<(), StoreError> {
        self.store.idle()?;
        while self.writes.is_empty() && self.store.shrink()? {}
        Ok(())
    }

    /// Has a snapshot made, where the records behind the last have at least so many bytes.
    fn compact(&mut self, bytes: usize) -> Result<(), StoreError> {
        let Extent { snapshot_bytes, tail_bytes } = self.extent;
        if tail_bytes < bytes.max(snapshot_bytes) || self.compactor.is_some() {
            return Ok(());
        }
        if self.compact_after.is_some_and(|after| Instant::now() < after) {
            return Ok(());
        }
        let reader = match self.store.reader() {
            Ok(reader) => reader,
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => {
                self.cannot_compact(&error);
                return Ok(());
            }
        };
        let to_self = self.to_self.clone();
        match self.blocking.start("compactor", make_snapshot(reader, to_self)) {
            Ok(compactor) => self.compactor = Some(compactor),
            // The journal grows on until there is a thread.
            Err(error) => tracing::warn!(%error, "failed to start the thread that compacts the \
                 journal"),
        }
        Ok(())
    }

    /// The compactor is done: what it made is committed. Where it or the commit was kept from its
    /// work by what may pass, the records stay, and it is tried again later.
    async fn compacted(
        &mut self,
        made: Result<Option<(Snapshot, usize)>, ServerError>,
    ) -> Result<(), ServerError> {
        if let Some(compactor) = self.compactor.take() {
            compactor.ended().await;
        }
        match made {
            Ok(None) => self.extent.tail_bytes = 0,
            Ok(Some((snapshot, covered_bytes))) => {
                let committed = self.commit_snapshot(snapshot, covered_bytes).await;
                committed.map_err(ServerError::of_commit)?;
                let extent = self.extent;
                let _ = self.reports.send(Progress::Compacted { extent }).await;
            }
            Err(ServerError::Load(error)) if error.is_transient() => self.cannot_compact(&error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn commit_snapshot(
        &mut self,
        snapshot: Snapshot,
        covered_bytes: usize,
    ) -> Result<(), StoreError> {
        let snapshot_bytes = snapshot.parts.iter().map(Bytes::len).sum();
        let commit = Commit { entries: vec![Entry::Snapshot(snapshot)] };
        match self.commit(&commit).await {
            Ok(()) => {
                let tail_bytes = self.extent.tail_bytes.saturating_sub(covered_bytes);
                self.extent = Extent { snapshot_bytes, tail_bytes };
                tracing::debug!(snapshot_bytes, covered_bytes, "journal compacted");
                Ok(())
            }
            // The records are all there still, and to make a snapshot takes reading them all.
            Err(error @ StoreError::Full(_)) => {
                self.cannot_compact(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Puts off the next try to make a snapshot: the journal grows on until then.
    fn cannot_compact(&mut self, error: &StoreError) {
        tracing::warn!(%error, "failed to compact the journal; it is retried later");
        self.compact_after = Some(Instant::now() + COMPACT_RETRY);
    }

    /// Commits what the core has already counted on: on a full disk it is tried again until there
    /// is room, while the driver takes nothing new from clients.
    async fn commit_journal(&mut self, commit: &Commit) -> Result<(), StoreError> {
        loop {
            match self.commit(commit).await {
                Err(StoreError::Full(_)) if !self.stop.is_cancelled() => {
                    self.report(Some(Halt::Full)).await;
                    wait(&self.stop, FULL_RETRY).await;
                }
                Ok(()) => {
                    self.report(None).await;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Commits a group. While it is not known what became of it, the store is asked again, for as
    /// long as it takes: neither an answer nor an end of the process would be right before that is
    /// known.
    async fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let mut result = self.store.commit(self.epoch, commit);
        let mut first = true;
        while let Err(error @ StoreError::InDoubt { .. }) = &result {
            if first {
                let source = std::error::Error::source(error).map(ToString::to_string);
                tracing::warn!(%error, source, "a commit is in doubt; the store is asked again");
                first = false;
            } else if self.stop.is_cancelled() {
                break;
            } else {
                self.report(Some(Halt::InDoubt)).await;
                wait(&self.stop, DOUBT_RETRY).await;
            }
            result = self.store.resolve();
        }
        let is_known = matches!(result, Ok(_) | Err(StoreError::Full(_)));
        if self.halt == Some(Halt::InDoubt) && is_known {
            self.report(None).await;
        }
        result.map(drop)
    }

    /// Tells the driver why nothing is committed, if that is new.
    async fn report(&mut self, halt: Option<Halt>) {
        if self.halt != halt {
            self.halt = halt;
            self.halted.send_replace(halt.is_some());
            // Without a driver nobody is left to be told.
            let _ = self.reports.send(Progress::Halted(halt)).await;
        }
    }
}

/// Waits before the next try, unless the server stops.
async fn wait(stop: &CancellationToken, span: Duration) {
    stop.run_until_cancelled(tokio::time::sleep(span)).await;
}

/// Sends the journal's thread a snapshot of what is committed, unless that thread is ending.
async fn make_snapshot(mut reader: Box<dyn Reader>, journal: mpsc::WeakSender<Write>) {
    let made = compact::snapshot(reader.as_mut());
    // It holds up the copying of the WAL.
    drop(reader);
    if let Some(journal) = journal.upgrade() {
        let _ = journal.send(Write::Snapshot(made)).await;
    }
}

fn drops(commit: &Commit) -> bool {
    commit.entries.iter().any(|entry| matches!(entry, Entry::DropSegments { .. }))
}

fn record_bytes(commit: &Commit) -> usize {
    let bytes = |entry: &Entry| if let Entry::Record(bytes) = entry { bytes.len() } else { 0 };
    commit.entries.iter().map(bytes).sum()
}
