//! The metrics of a worker, served by its own process. They have no names of jobs, tasks or tenants, and
//! nobody needs a key to read them.

use std::{pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::WorkerCounts;

use crate::{
    metrics::{self, Format},
    serve,
};

/// What a worker has counted, to come; `None` once it has ended.
pub type CountsToCome = Pin<Box<dyn Future<Output = Option<WorkerCounts>> + Send>>;

/// Asks a worker what it has counted.
pub type WorkerSource = Arc<dyn Fn() -> CountsToCome + Send + Sync>;

/// Serves a worker's `/metrics`, `/healthz` and `/readyz` until `stop`.
pub async fn serve_worker_metrics(
    listener: TcpListener,
    source: WorkerSource,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/metrics", get(answer))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(source);
    serve::serve(router, listener, None, stop).await;
}

/// Why there is nothing to say.
type Away = (StatusCode, &'static str);

async fn counts(source: &WorkerSource) -> Result<WorkerCounts, Away> {
    source().await.ok_or((StatusCode::SERVICE_UNAVAILABLE, "the worker has ended\n"))
}

async fn answer(State(source): State<WorkerSource>, headers: HeaderMap) -> Result<Response, Away> {
    let counts = counts(&source).await?;
    let failed = |_| (StatusCode::INTERNAL_SERVER_ERROR, "failed to write the metrics\n");
    let text = metrics::of_worker(counts).map_err(failed)?;
    Ok(Format::of(&headers).answer(text))
}

async fn ready(State(source): State<WorkerSource>) -> Result<&'static str, Away> {
    if counts(&source).await?.is_linked {
        return Ok("ok\n");
    }
    Err((StatusCode::SERVICE_UNAVAILABLE, "the worker is not in its grid\n"))
}
