//! The grid inside one command: scheduler, worker and client in this process, with nothing to set
//! up and nothing left behind but compiled modules.

use anyhow::Context as _;
use wasmgrid_client::Client;
use wasmgrid_server::{Server, ServerConfig};
use wasmgrid_worker::Worker;

use crate::{module, parts};

/// The grid's name; it is never seen.
const GRID: &str = "local";

/// A grid that lives as long as this.
pub struct LocalGrid {
    server: Server,
    worker: Worker,
    client: Client,
}

impl LocalGrid {
    /// Starts all parts. Must be called inside a runtime.
    ///
    /// # Errors
    /// Where the worker's sandbox cannot be made.
    pub async fn start(setup: parts::WorkerSetup) -> anyhow::Result<Self> {
        let store = Box::new(wasmgrid_store::memory());
        let server =
            Server::start(ServerConfig::new(GRID), store, module::admission(setup.caps.clone()))
                .context("failed to start the scheduler")?;
        let dial = parts::worker_dial(server.handle(), GRID, GRID)?;
        let worker = parts::start_worker(setup, dial)?;
        let client = parts::client(server.handle(), GRID).await?;
        Ok(Self { server, worker, client })
    }

    /// Asks this grid.
    pub const fn client(&self) -> &Client {
        &self.client
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
