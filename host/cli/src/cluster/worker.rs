//! `wasmgrid worker list|show|drain|cordon|uncordon`: what a grid's workers are and do.

use wasmgrid_proto::{Contest, Millis, WorkerStatus};

use super::{view, view::WorkerView, with};
use crate::{
    args::{Format, GridArgs, WorkerNoun},
    exit::{Exit, usage},
    print::{data, message},
    table,
};

/// Does what was asked of workers.
///
/// # Errors
/// Where the cluster cannot be reached or has no such worker.
pub async fn worker(command: WorkerNoun) -> anyhow::Result<Exit> {
    match command {
        WorkerNoun::List { grid, output } => {
            let (workers, contests) = all(&grid).await?;
            list(&workers, &contests, output)?;
        }
        WorkerNoun::Show { name, grid, output } => {
            let (workers, contests) = all(&grid).await?;
            let worker = workers.iter().find(|worker| worker.name == name).ok_or_else(|| {
                usage(format!("the grid has no worker {name:?}; see `wasmgrid worker list`"))
            })?;
            show(worker, contest_of(worker, &contests), output)?;
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

async fn all(grid: &GridArgs) -> anyhow::Result<(Vec<WorkerStatus>, Vec<Contest>)> {
    with(grid, async |client| Ok((client.workers().await?, client.contests().await?))).await
}

/// The last machine that was refused because it has the worker's identity.
fn contest_of<'a>(worker: &WorkerStatus, contests: &'a [Contest]) -> Option<&'a Contest> {
    contests.iter().find(|contest| contest.name == worker.name)
}

/// What an operator should know of it, and do.
fn warning(contest: &Contest) -> String {
    format!(
        "another machine with the identity of {} was refused {}, at {}: join it with a token of its \
         own (`wasmgrid token create` makes one)",
        contest.name,
        table::ago(contest.at),
        contest.address
    )
}

fn list(workers: &[WorkerStatus], contests: &[Contest], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        let view = |worker| WorkerView::new(worker, contest_of(worker, contests));
        return table::json(&workers.iter().map(view).collect::<Vec<_>>());
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
    table::rows(heading, workers.iter().map(row))?;
    for contest in contests {
        message!("{}", warning(contest));
    }
    Ok(())
}

/// A worker's state; of one that is failing also for how long it gets nothing.
fn state(worker: &WorkerStatus) -> String {
    let until = view::failing(&worker.state).and_then(|failing| failing.until);
    match until.map(|until| until.since(table::now())) {
        Some(rest) if rest >= Millis(1_000) => format!("failing (rests {})", table::seconds(rest)),
        _ => worker.state.to_string(),
    }
}

fn show(worker: &WorkerStatus, contest: Option<&Contest>, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&WorkerView::new(worker, contest));
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
        ("warning", contest.map_or_else(String::new, warning)),
    ])?;
    if worker.running.is_empty() {
        return Ok(());
    }
    data!("")?;
    let rows = worker.running.iter().map(|running| {
        let progress = running.progress.map(|(done, total)| format!("{done}/{total}"));
        let elapsed = Millis(running.elapsed_ms).to_string();
        [running.task.to_string(), elapsed, progress.unwrap_or_default()]
    });
    Ok(table::rows(["TASK", "RUNS FOR", "PROGRESS"], rows)?)
}
