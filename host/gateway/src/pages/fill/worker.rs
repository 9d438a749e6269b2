//! The page of a worker; for operators.

use wasmgrid_pages::{
    Guest, Prose,
    worker::{Layer, RunningRow, Worker},
};
use wasmgrid_proto::{RunningTask, WorkerFilter, WorkerRow};

use super::per_second;
use crate::{access::Access, api::workers::Around, clock::now, extract::ask, problem::Problem};

/// Tasks that are listed, those that run the longest.
const RUNNING: usize = 32;

/// The page.
pub async fn worker(access: &Access, name: &str) -> Result<Worker, Problem> {
    access.operator()?;
    let client = &access.client;
    let status = ask(client.worker(name)).await?;
    let filter = WorkerFilter { name: Some(name.replace('*', "")), ..WorkerFilter::default() };
    let (rows, _) = ask(client.worker_rows(None, 1, &filter)).await?;
    let counted = rows.into_iter().find(|row| row.status.name == status.name);
    let view = Around::of(client).await?;
    let certificate_ends = view.certificate_of(name);
    let capacity = &status.capacity;
    let report = counted.as_ref().and_then(|row| row.report.clone());
    let lacks = report.as_ref().map(|report| report.jail_lacks.clone()).unwrap_or_default();
    let isolation = report.map(|report| ("isolation", Guest::new(report.isolation)));
    let mut running: Vec<RunningTask> = status.running.clone();
    running.sort_by_key(|task| std::cmp::Reverse(task.elapsed_ms));
    let busy = running.len() as u64;
    Ok(Worker {
        now: now(),
        id: status.worker,
        name: status.name.as_str().into(),
        address: status.address.as_str().into(),
        state: status.state.clone(),
        heard_at: Some(status.heard_at),
        linked_at: None,
        slots: capacity.slots.into(),
        busy,
        queued: status.assigned.saturating_sub(busy),
        memory: capacity.memory,
        memory_used: counted.as_ref().map(|row| row.memory_taken).unwrap_or_default(),
        rate: counted.as_ref().map_or(0.0, |row: &WorkerRow| per_second(row.pace)),
        done: status.committed,
        runners_lost: None,
        lanes: None,
        lanes_job: String::new(),
        running: running.iter().take(RUNNING).map(row).collect(),
        busy_line: None,
        memory_line: None,
        jail: lacks.iter().map(|layer| lacking(layer)).collect(),
        labels: capacity.labels.iter().map(|(k, v)| format!("{k}={v}").into()).collect(),
        engine: capacity.engine.as_str().into(),
        facts: isolation.into_iter().collect(),
        certificate_ends,
    })
}

fn row(task: &RunningTask) -> RunningRow {
    RunningRow {
        task: task.task,
        more: 0,
        job_name: Guest::default(),
        us: task.elapsed_ms.saturating_mul(1_000),
        progress: task.progress,
        memory: None,
    }
}

/// A layer of the jail that is missing; the worker's log says why, and what helps.
fn lacking(layer: &str) -> Layer {
    Layer {
        name: Guest::new(layer),
        holds: false,
        says: Prose::new("its log says why, and what helps"),
    }
}
