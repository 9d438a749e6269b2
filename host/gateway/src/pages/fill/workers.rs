//! The list of workers; for operators.

use wasmgrid_pages::{
    overview::WorkerCounts,
    workers::{WorkerRow, Workers},
};
use wasmgrid_proto::{WorkerFilter, WorkerId, WorkerRow as Counted};

use super::{super::asked::Asked, per_second};
use crate::{access::Access, clock::now, extract::ask, problem::Problem};

/// Workers of a page.
const PAGE: u32 = 100;

/// Layers of a jail that a worker can lack.
pub const LAYERS: u32 = 7;

/// The page.
pub async fn workers(access: &Access, asked: &Asked) -> Result<Workers, Problem> {
    access.operator()?;
    let after = asked.cursor.parse().ok().map(WorkerId);
    let state = asked.state.as_str();
    let states = if state.is_empty() { Vec::new() } else { vec![state.to_owned()] };
    let filter = WorkerFilter { states, ..WorkerFilter::default() };
    let (rows, next) = ask(access.client.worker_rows(after, PAGE, &filter)).await?;
    let overview = ask(access.client.overview()).await?;
    let slots = &overview.slots;
    let linked = slots.busy + slots.idle + slots.cordoned + slots.draining + slots.failing;
    let of = overview.metrics.map(|metrics| metrics.workers).unwrap_or_default();
    Ok(Workers {
        now: now(),
        counts: WorkerCounts {
            ready: of.ready,
            cordoned: of.cordoned,
            draining: of.draining + of.drained,
            failing: of.failing,
            gone: of.gone,
        },
        slots: linked,
        busy: slots.busy,
        state: state.to_owned(),
        rows: rows.iter().map(row).collect(),
        cursor: after.map_or_else(String::new, |worker| worker.0.to_string()),
        next: next.map(|worker| worker.0.to_string()),
        waiting_tasks: overview.tasks.queued,
        waiting_jobs: overview.jobs.active,
    })
}

fn row(counted: &Counted) -> WorkerRow {
    let Counted { status, pace, memory_taken, report, .. } = counted;
    let labels = status.capacity.labels.iter();
    WorkerRow {
        id: status.worker,
        name: status.name.as_str().into(),
        address: status.address.as_str().into(),
        state: status.state.clone(),
        slots: status.capacity.slots.into(),
        busy: status.running.len() as u64,
        memory: status.capacity.memory,
        memory_used: *memory_taken,
        rate: per_second(*pace),
        done: status.committed,
        jail: report.as_ref().map(|report| {
            let lacks = u32::try_from(report.jail_lacks.len()).unwrap_or(LAYERS);
            (LAYERS.saturating_sub(lacks), LAYERS)
        }),
        labels: labels.map(|(key, value)| format!("{key}={value}").into()).collect(),
        heard_at: Some(status.heard_at),
    }
}
