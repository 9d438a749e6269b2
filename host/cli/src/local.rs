//! The grid inside one command: scheduler, worker and client in this process, with nothing to set
//! up and nothing left behind but compiled modules.

use std::{
    cell::RefCell,
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use wasmgrid_client::Client;
use wasmgrid_proto::ByteCount;
use wasmgrid_server::{Blocking, Server, ServerConfig};
use wasmgrid_store::{LogKind, MemoryStore};
use wasmgrid_worker::{Worker, sandbox::Sandbox};

use crate::{
    module,
    parts::{self, Machine},
    run::session::Settled,
};

/// The grid's name; it is never seen.
const GRID: &str = "local";

/// Memory for recent inputs and results: they are all in memory here, and read from there as fast.
const SEGMENT_CACHE: ByteCount = ByteCount(16 << 20);

/// What was read stays for so long: the scheduler may have asked for it just before, and a read
/// that finds nothing ends it. No read takes as long.
const FORGET_AFTER: Duration = Duration::from_secs(1);

/// What was read goes earlier where so many bytes were read behind it: a second of large results
/// would fill the memory. That is more than the scheduler sends ahead of a reader.
const FORGET_BEHIND: u64 = 32 << 20;

/// How often what was read is noted, so that the notes are few.
const NOTE_EVERY: Duration = Duration::from_millis(100);

/// And behind how many bytes at the latest.
const NOTE_BYTES: u64 = 4 << 20;

/// When something was read.
struct Note {
    at: Instant,
    read: Settled,
}

/// A grid that lives as long as this.
pub struct LocalGrid {
    server: Server,
    worker: Worker,
    sandbox: Sandbox,
    client: Client,
    store: MemoryStore,
    /// What is to be let go of, the oldest first.
    read: RefCell<VecDeque<Note>>,
}

impl LocalGrid {
    /// Starts all parts. Must be called inside a runtime.
    ///
    /// # Errors
    /// Refuses a machine that can be seen to be unable to run tasks.
    pub async fn start(setup: parts::WorkerSetup) -> anyhow::Result<Self> {
        let caps = setup.settings.caps();
        // Its first runner starts beside all that follows.
        let machine = Machine::start(setup)?;
        let store = MemoryStore::without_journal();
        let mut config = ServerConfig {
            segment_cache: SEGMENT_CACHE,
            blocking: Blocking::Memory,
            ..ServerConfig::new(GRID)
        };
        // Whoever runs it has the whole machine.
        config.grid.quotas.clear();
        // It shows the inputs that it has itself.
        config.grid.keep_inputs = 0;
        let admission = module::admission(caps);
        let server = Server::start(config, Box::new(store.reopen()), admission)
            .context("failed to start the scheduler")?;
        let dial = parts::worker_dial(server.handle(), GRID, GRID)?;
        let sandbox = machine.sandbox().clone();
        let (worker, _) = machine.work(dial);
        let client = parts::client(server.handle(), GRID).await?;
        Ok(Self { server, worker, sandbox, client, store, read: RefCell::default() })
    }

    /// Lets go of inputs and results that were read by the one reader there is here: they would
    /// fill the memory of a job without end.
    pub fn forget(&self, settled: Settled) {
        let (mut notes, now) = (self.read.borrow_mut(), Instant::now());
        let is_new = |last: &Note| {
            now - last.at >= NOTE_EVERY
                || settled.bytes.saturating_sub(last.read.bytes) >= NOTE_BYTES
        };
        if notes.back().is_none_or(is_new) {
            notes.push_back(Note { at: now, read: settled });
        }
        let is_old = |note: &mut Note| {
            now - note.at >= FORGET_AFTER
                || settled.bytes.saturating_sub(note.read.bytes) >= FORGET_BEHIND
        };
        while let Some(Note { read, .. }) = notes.pop_front_if(is_old) {
            self.store.forget(read.job, LogKind::Input, read.input);
            self.store.forget(read.job, LogKind::Result, read.cursor);
        }
    }

    /// Asks this grid.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until it is known whether this machine can run tasks.
    ///
    /// # Errors
    /// Refuses one that cannot.
    pub async fn proven(&self) -> anyhow::Result<()> {
        parts::proven(&self.sandbox).await
    }

    /// Resolves where the scheduler fails, with the reason.
    pub async fn failed(&self) -> anyhow::Error {
        anyhow::Error::from(self.server.failed().await).context("the scheduler failed")
    }

    /// Stops all parts; what runs is dropped.
    ///
    /// # Errors
    /// Where the scheduler had failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.client.shutdown().await;
        self.worker.stop().await;
        self.server.shutdown().await.context("the scheduler failed")
    }
}
