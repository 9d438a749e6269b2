//! `wasmgrid worker list|show|drain|cordon|uncordon`: what a grid's workers are and do.

use wasmgrid_proto::{Millis, WorkerStatus};

use super::{view, view::WorkerView, with};
use crate::{
    args::{Format, GridArgs, WorkerNoun},
    exit::{Exit, usage},
    print, table,
};

/// Does what was asked of workers.
///
/// # Errors
/// Where the cluster cannot be reached or has no such worker.
pub async fn worker(command: WorkerNoun) -> anyhow::Result<Exit> {
    match command {
        WorkerNoun::List { grid, output } => list(&all(&grid).await?, output)?,
        WorkerNoun::Show { name, grid, output } => {
            let workers = all(&grid).await?;
            let worker = workers.iter().find(|worker| worker.name == name).ok_or_else(|| {
                usage(format!("the grid has no worker {name:?}; see `wasmgrid worker list`"))
            })?;
            show(worker, output)?;
        }
        WorkerNoun::Drain { name, grid } => {
            with(&grid, async |client| Ok(client.drain(&name).await?)).await?;
        }
        WorkerNoun::Cordon { name, grid } => {
            with(&grid, async |client| Ok(client.cordon(&name, true).await?)).await?;
        }
        WorkerNoun::Uncordon { name, grid } => {
            with(&grid, async |client| Ok(client.cordon(&name, false).await?)).await?;
        }
    }
    Ok(Exit::Ok)
}

async fn all(grid: &GridArgs) -> anyhow::Result<Vec<WorkerStatus>> {
    with(grid, async |client| Ok(client.workers().await?)).await
}

fn list(workers: &[WorkerStatus], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&workers.iter().map(WorkerView::from).collect::<Vec<_>>());
    }
    let row = |worker: &WorkerStatus| {
        [
            worker.name.clone(),
            state(worker),
            worker.capacity.slots.to_string(),
            worker.assigned.to_string(),
            worker.committed.to_string(),
            worker.address.clone(),
            table::ago(worker.heard_at),
            view::labels(worker).join(" "),
        ]
    };
    let heading = ["NAME", "STATE", "SLOTS", "ASSIGNED", "DONE", "ADDRESS", "HEARD", "LABELS"];
    Ok(table::rows(heading, workers.iter().map(row))?)
}

/// A worker's state; of one that is failing also for how long it gets nothing.
fn state(worker: &WorkerStatus) -> String {
    let until = view::failing(&worker.state).and_then(|failing| failing.until);
    match until.map(|until| until.since(table::now())) {
        Some(rest) if rest >= Millis(1_000) => format!("failing (rests {})", table::seconds(rest)),
        _ => worker.state.to_string(),
    }
}

fn show(worker: &WorkerStatus, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&WorkerView::from(worker));
    }
    let (state, failing) = (state(worker), view::failing(&worker.state));
    let why = failing.map(|failing| format!(": {}", failing.reason)).unwrap_or_default();
    table::fields([
        ("name", worker.name.clone()),
        ("id", worker.worker.to_string()),
        ("state", state + &why),
        ("address", worker.address.clone()),
        ("slots", worker.capacity.slots.to_string()),
        ("memory", worker.capacity.memory.to_string()),
        ("labels", view::labels(worker).join(" ")),
        ("engine", worker.capacity.engine.clone()),
        ("assigned", worker.assigned.to_string()),
        ("done", worker.committed.to_string()),
        ("heard", table::ago(worker.heard_at)),
    ])?;
    if worker.running.is_empty() {
        return Ok(());
    }
    print::text("\n")?;
    let rows = worker.running.iter().map(|running| {
        let progress = running.progress.map(|(done, total)| format!("{done}/{total}"));
        let elapsed = Millis(running.elapsed_ms).to_string();
        [running.task.to_string(), elapsed, progress.unwrap_or_default()]
    });
    Ok(table::rows(["TASK", "RUNS FOR", "PROGRESS"], rows)?)
}
