//! The grid inside one command: scheduler, worker and client in this process, with nothing to set
//! up and nothing left behind but compiled modules.

use std::{
    cell::RefCell,
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use wasmgrid_client::Client;
use wasmgrid_proto::{ByteCount, JobId};
use wasmgrid_server::{Blocking, Server, ServerConfig};
use wasmgrid_store::{LogKind, MemoryStore};
use wasmgrid_worker::Worker;

use crate::{module, parts};

/// The grid's name; it is never seen.
const GRID: &str = "local";

/// Memory for recent inputs and results: they are all in memory here, and read from there as fast.
const SEGMENT_CACHE: ByteCount = ByteCount(16 << 20);

/// What was read stays for so long: the scheduler may have asked for it just before, and a read
/// that finds nothing ends it. A second's results are little, and no read takes as long.
const FORGET_AFTER: Duration = Duration::from_secs(1);

/// How often what was read is noted, so that the notes are few.
const NOTE_EVERY: Duration = Duration::from_millis(100);

/// When something was read: inputs of a job before an index, results before a cursor.
struct Note {
    at: Instant,
    job: JobId,
    input: u64,
    cursor: u64,
}

/// A grid that lives as long as this.
pub struct LocalGrid {
    server: Server,
    worker: Worker,
    client: Client,
    store: MemoryStore,
    /// What is to be let go of, the oldest first.
    read: RefCell<VecDeque<Note>>,
}

impl LocalGrid {
    /// Starts all parts. Must be called inside a runtime.
    ///
    /// # Errors
    /// Where the worker's sandbox cannot be made.
    pub async fn start(setup: parts::WorkerSetup) -> anyhow::Result<Self> {
        let store = MemoryStore::without_journal();
        let config = ServerConfig {
            segment_cache: SEGMENT_CACHE,
            blocking: Blocking::Memory,
            ..ServerConfig::new(GRID)
        };
        let admission = module::admission(setup.caps.clone());
        let server = Server::start(config, Box::new(store.reopen()), admission)
            .context("failed to start the scheduler")?;
        let dial = parts::worker_dial(server.handle(), GRID, GRID)?;
        let worker = parts::start_worker(setup, dial)?;
        let client = parts::client(server.handle(), GRID).await?;
        Ok(Self { server, worker, client, store, read: RefCell::default() })
    }

    /// Lets go of the inputs of a job before one index and of its results before a cursor: they
    /// were read by the one reader there is here, and would fill the memory of a job without end.
    pub fn forget(&self, job: JobId, input: u64, cursor: u64) {
        let (mut read, now) = (self.read.borrow_mut(), Instant::now());
        if read.back().is_none_or(|last| now - last.at >= NOTE_EVERY) {
            read.push_back(Note { at: now, job, input, cursor });
        }
        while let Some(old) = read.pop_front_if(|note| now - note.at >= FORGET_AFTER) {
            self.store.forget(old.job, LogKind::Input, old.input);
            self.store.forget(old.job, LogKind::Result, old.cursor);
        }
    }

    /// Asks this grid.
    pub const fn client(&self) -> &Client {
        &self.client
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
