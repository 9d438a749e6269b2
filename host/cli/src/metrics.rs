//! The metrics of the worker in this process, served where `--metrics` says.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmgrid_gateway::{WorkerSource, serve_worker_metrics};
use wasmgrid_worker::Worker;

use crate::args::MetricsListen;

/// A socket on which metrics will be served.
pub struct Bound(TcpListener);

/// Metrics that are served.
pub struct Served {
    serving: JoinHandle<()>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// The socket, if there is to be one.
///
/// # Errors
/// If the address cannot be had.
pub async fn bind(wanted: Option<MetricsListen>) -> anyhow::Result<Option<Bound>> {
    let Some(MetricsListen::At(address)) = wanted else { return Ok(None) };
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("failed to serve metrics on {address}; choose another address with --metrics")
    })?;
    Ok(Some(Bound(listener)))
}

impl Bound {
    /// Serves what a worker counts.
    pub fn serve(self, worker: &Worker) -> Served {
        if let Ok(address) = self.0.local_addr() {
            tracing::info!(%address, "metrics are served");
        }
        let counter = worker.counter();
        let source: WorkerSource = Arc::new(move || {
            let counter = counter.clone();
            Box::pin(async move { counter.counts().await })
        });
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve_worker_metrics(self.0, source, stop.clone()));
        Served { serving, _stop_on_drop: stop.clone().drop_guard(), stop }
    }
}

impl Served {
    /// Ends it.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.serving.await {
            tracing::warn!(%error, "serving metrics ended early");
        }
    }
}
