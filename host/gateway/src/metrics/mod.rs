//! What is counted, as Prometheus reads it: of the scheduler and of the gateway's own requests
//! (`scheduler`, `http`), and of a worker (`worker`). Every label has few values: no job, no task. The
//! names follow Prometheus's conventions: seconds and bytes, and `_total` at the end of counters, which
//! the encoder adds.

mod encode;
mod format;
mod http;
mod scheduler;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;

use prometheus_client::{encoding::text::encode, registry::Registry};
use wasmgrid_proto::{Metrics, TenantUsage, WorkerCounts};

pub use format::Format;
pub use http::{HttpMetrics, name};

use scheduler::Scrape;
use worker::WorkerScrape;

/// What the scheduler and this gateway count.
///
/// # Errors
/// None that can happen: writing to a string does not fail.
pub fn of_scheduler(
    http: &HttpMetrics,
    metrics: Metrics,
    tenants: Vec<TenantUsage>,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    http.register(&mut registry);
    registry.register_collector(Box::new(Scrape::new(metrics, tenants)));
    text(&registry)
}

/// What a worker counts.
///
/// # Errors
/// None that can happen: writing to a string does not fail.
pub fn of_worker(counts: WorkerCounts) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(WorkerScrape(counts)));
    text(&registry)
}

fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}
