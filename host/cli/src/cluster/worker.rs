//! `wasmgrid worker list|show|drain|cordon|uncordon`: what a grid's workers are and do.

use std::collections::BTreeMap;

use wasmgrid_net::{Role, Validity};
use wasmgrid_proto::{Contest, Millis, WorkerStatus};

use super::{
    authority::validity,
    view,
    view::{Vouched, WorkerView},
    with,
};
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
            list(&all(&grid).await?, output)?;
        }
        WorkerNoun::Show { name, grid, output } => {
            let all = all(&grid).await?;
            let worker =
                all.workers.iter().find(|worker| worker.name == name).ok_or_else(|| {
                    usage(format!("the grid has no worker {name:?}; see `wasmgrid worker list`"))
                })?;
            show(worker, &all, output)?;
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

/// What the grid tells of its workers.
struct All {
    workers: Vec<WorkerStatus>,
    contests: Vec<Contest>,
    vouched: Vouched,
    /// For how long the certificate of each is good, by name.
    certificates: BTreeMap<String, Validity>,
}

async fn all(grid: &GridArgs) -> anyhow::Result<All> {
    with(grid, async |client| {
        let (workers, contests) = (client.workers().await?, client.contests().await?);
        let (keys, vouched) = client.vouched().await?;
        let authority = client.authority().await?;
        let workers_only =
            authority.certificates.into_iter().filter(|one| one.role == Role::Worker);
        let certificates = workers_only.map(|one| (one.name.clone(), validity(&one))).collect();
        let vouched = Vouched { keys, workers: vouched };
        Ok(All { workers, contests, vouched, certificates })
    })
    .await
}

impl All {
    /// The last machine that was refused because it has the worker's identity.
    fn contest_of(&self, worker: &WorkerStatus) -> Option<&Contest> {
        self.contests.iter().find(|contest| contest.name == worker.name)
    }

    /// What is left of a worker's certificate.
    fn left(&self, worker: &WorkerStatus) -> String {
        self.certificates.get(&worker.name).map(table::left).unwrap_or_default()
    }

    fn view(&self, worker: &WorkerStatus) -> WorkerView {
        let validity = self.certificates.get(&worker.name);
        WorkerView::new(worker, self.contest_of(worker), &self.vouched, validity)
    }
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

fn list(all: &All, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        let views = all.workers.iter().map(|worker| all.view(worker));
        return table::json(&views.collect::<Vec<_>>());
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
            all.left(worker),
            all.vouched.labels(worker),
        ]
    };
    let heading =
        ["NAME", "STATE", "SLOTS", "ASSIGNED", "DONE", "ADDRESS", "HEARD", "CERTIFICATE", "LABELS"];
    table::rows(heading, all.workers.iter().map(row))?;
    for contest in &all.contests {
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

fn show(worker: &WorkerStatus, all: &All, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&all.view(worker));
    }
    let contest = all.contest_of(worker);
    let (state, failing) = (state(worker), view::failing(&worker.state));
    let why = failing.map(|failing| format!(": {}", failing.reason)).unwrap_or_default();
    table::fields([
        ("name", worker.name.clone()),
        ("id", worker.worker.to_string()),
        ("state", state + &why),
        ("address", worker.address.clone()),
        ("slots", worker.capacity.slots.to_string()),
        ("memory", worker.capacity.memory.to_string()),
        ("labels", all.vouched.labels(worker)),
        ("engine", worker.capacity.engine.clone()),
        ("assigned", worker.assigned.to_string()),
        ("done", worker.committed.to_string()),
        ("heard", table::ago(worker.heard_at)),
        ("certificate", all.left(worker)),
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
