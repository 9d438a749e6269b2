//! `wasmgrid worker list|show|set|drain|cordon|uncordon|remove`: what a grid's workers are and do.

use std::collections::BTreeMap;

use wasmgrid_client::Client;
use wasmgrid_net::{Role, Validity};
use wasmgrid_proto::{
    Contest, Micros, Millis, WorkerFilter, WorkerId, WorkerReport, WorkerRow, WorkerState,
    WorkerStatus,
};
use wasmgrid_views::{Vouched, WorkerView};

use super::{authority::validity, counted, membership, view, with};
use crate::{
    args::{AskArgs, Format, WorkerNoun},
    exit::{Exit, usage},
    print::{data, message},
    table,
};

/// How often a worker that is waited for is asked about.
const POLL: Millis = Millis(200);

/// Does what was asked of workers.
///
/// # Errors
/// Where the cluster cannot be reached or has no such worker.
pub async fn worker(command: WorkerNoun) -> anyhow::Result<Exit> {
    match command {
        WorkerNoun::List { all, ask: AskArgs { grid, output } } => {
            let found = with(&grid, async |client| {
                let (workers, hidden) = client.list_workers(all).await?;
                Found::with(client, workers, hidden).await
            });
            list(&found.await?, output)?;
        }
        WorkerNoun::Show { name: None, ask } => membership::show(ask.output)?,
        WorkerNoun::Set { server, name, state_dir } => {
            membership::set(state_dir.as_deref(), name.as_deref(), &server).await?;
        }
        WorkerNoun::Show { name: Some(name), ask: AskArgs { grid, output } } => {
            let found = with(&grid, async |client| {
                let worker = client.worker(&name).await?;
                Found::with(client, vec![worker], 0).await
            });
            let found = found.await?;
            found.workers.first().map_or(Ok(()), |worker| show(worker, &found, output))?;
        }
        WorkerNoun::Drain { name, wait, grid } => {
            with(&grid, async |client| drain(client, &name, wait).await).await?;
        }
        WorkerNoun::Remove { name, grid } => {
            with(&grid, async |client| Ok(client.remove(Role::Worker, &name).await?)).await?;
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

/// Drains a worker, and waits until it has nothing where that is wanted.
async fn drain(client: &Client, name: &str, wait: bool) -> anyhow::Result<()> {
    client.drain(name).await?;
    if !wait {
        return Ok(());
    }
    loop {
        match client.worker(name).await?.state {
            WorkerState::Drained => return Ok(()),
            WorkerState::Draining => {}
            WorkerState::Gone => {
                message!("worker {name} is gone; its tasks run elsewhere");
                return Ok(());
            }
            state => {
                let why = format!("worker {name} was uncordoned meanwhile, and is {state}");
                return Err(usage(why));
            }
        }
        tokio::time::sleep(POLL.duration()).await;
    }
}

/// What the grid tells of its workers.
struct Found {
    workers: Vec<WorkerStatus>,
    /// How many are gone for long, and not among them.
    hidden: u64,
    contests: Vec<Contest>,
    vouched: Vouched,
    /// For how long the certificate of each is good, by name.
    certificates: BTreeMap<String, Validity>,
    /// What is counted of them, as far as the scheduler counts it.
    rows: BTreeMap<WorkerId, WorkerRow>,
}

impl Found {
    /// These workers, and what else is to be known of them.
    async fn with(
        client: &Client,
        workers: Vec<WorkerStatus>,
        hidden: u64,
    ) -> anyhow::Result<Self> {
        let contests = client.contests().await?;
        let (keys, vouched) = client.vouched().await?;
        let authority = client.authority().await?;
        let workers_only =
            authority.certificates.into_iter().filter(|one| one.role == Role::Worker);
        let certificates = workers_only.map(|one| (one.name.clone(), validity(&one))).collect();
        let vouched = Vouched { keys, workers: vouched };
        let name = match workers.as_slice() {
            [one] => Some(one.name.clone()),
            _ => None,
        };
        let filter = WorkerFilter { name, ..WorkerFilter::default() };
        let rows = counted::workers(client, &filter).await?.into_iter();
        let rows = rows.map(|row| (row.status.worker, row)).collect();
        Ok(Self { workers, hidden, contests, vouched, certificates, rows })
    }

    /// The last machine that was refused because it has the worker's identity.
    fn contest_of(&self, worker: &WorkerStatus) -> Option<&Contest> {
        self.contests.iter().find(|contest| contest.name == worker.name)
    }

    /// What is left of a worker's certificate.
    fn left(&self, worker: &WorkerStatus) -> String {
        self.certificates.get(&worker.name).map(table::left).unwrap_or_default()
    }

    fn view(&self, worker: &WorkerStatus) -> WorkerView {
        let certificate = self.certificates.get(&worker.name).map(view::certificate);
        let view = WorkerView::new(worker, self.contest_of(worker), &self.vouched, certificate);
        match self.rows.get(&worker.worker) {
            Some(row) => view.counted(row),
            None => view,
        }
    }
}

/// What an operator should know of it, and do.
fn warning(contest: &Contest) -> String {
    format!(
        "another machine with the identity of {} was refused {}, from {}; give that machine its \
         own token (`wasmgrid token create`)",
        contest.name,
        table::ago(contest.at),
        contest.address
    )
}

fn list(all: &Found, output: Format) -> anyhow::Result<()> {
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
            heard(worker),
            all.left(worker),
            view::labels(&all.vouched, worker),
        ]
    };
    let heading =
        ["NAME", "STATE", "SLOTS", "ASSIGNED", "DONE", "ADDRESS", "HEARD", "CERTIFICATE", "LABELS"];
    table::rows(heading, all.workers.iter().map(row))?;
    for contest in &all.contests {
        message!("{}", warning(contest));
    }
    match all.hidden {
        0 => {}
        1 => message!("1 worker is gone and not shown; --all shows it"),
        more => message!("{more} workers are gone and not shown; --all shows them"),
    }
    Ok(())
}

/// When a worker was last heard.
fn heard(worker: &WorkerStatus) -> String {
    match worker.heard_at {
        Micros(0) => "before the scheduler started".into(),
        at => table::ago(at),
    }
}

/// A worker's state; of one that is failing also for how long it gets nothing.
fn state(worker: &WorkerStatus) -> String {
    let until = view::failing(&worker.state).and_then(|failing| failing.until);
    match until.map(|until| until.since(table::now())) {
        Some(rest) if rest >= Millis(1_000) => format!("failing (rests {})", table::seconds(rest)),
        _ => worker.state.to_string(),
    }
}

/// What confines a worker's tasks, and what of that is missing.
fn jail(report: &WorkerReport) -> String {
    let isolation = &report.isolation;
    match report.jail_lacks.as_slice() {
        [] => format!("isolation {isolation}, no layer is missing"),
        layers => format!("isolation {isolation}, without {}", layers.join(", ")),
    }
}

fn show(worker: &WorkerStatus, all: &Found, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&all.view(worker));
    }
    let contest = all.contest_of(worker);
    let (state, failing) = (state(worker), view::failing(&worker.state));
    let row = all.rows.get(&worker.worker);
    let why = failing.map(|failing| format!(": {}", failing.reason)).unwrap_or_default();
    table::fields([
        ("name", worker.name.clone()),
        ("id", worker.worker.to_string()),
        ("state", state + &why),
        ("address", worker.address.clone()),
        ("slots", worker.capacity.slots.to_string()),
        ("memory", worker.capacity.memory.to_string()),
        ("labels", view::labels(&all.vouched, worker)),
        ("engine", worker.capacity.engine.clone()),
        ("assigned", worker.assigned.to_string()),
        ("done", worker.committed.to_string()),
        ("rate", row.map_or_else(String::new, |row| counted::rate(row.pace))),
        ("memory taken", row.map_or_else(String::new, |row| row.memory_taken.to_string())),
        ("jail", row.and_then(|row| row.report.as_ref()).map_or_else(String::new, jail)),
        ("heard", heard(worker)),
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
