//! `wasmgrid job`: jobs of a cluster, their results and their end.

use wasmgrid_client::Client;
use wasmgrid_proto::{JobId, JobStatus, Millis};

use super::{view::JobView, with};
use crate::{
    args::{Format, JobCommand, Order, OutputArgs, Talk},
    exit::Exit,
    run::{
        collect::Collector,
        exit_of,
        failures::Failures,
        output::{Output, Shape},
        progress::Progress,
        session::{self, Ending},
    },
    table,
};

/// How often a job that is waited for is asked about: its results, which a watch would bring, are
/// not wanted.
const POLL: Millis = Millis(200);

/// Does what was asked of jobs.
///
/// # Errors
/// Where the cluster cannot be reached, has no such job, or the output cannot be written.
pub async fn job(command: JobCommand, talk: Talk) -> anyhow::Result<Exit> {
    match command {
        JobCommand::List { limit, grid, output } => {
            let (jobs, more) = with(&grid, async |client| Ok(client.jobs(limit).await?)).await?;
            list(&jobs, output)?;
            if more > 0 {
                eprintln!("wasmgrid: {more} older jobs are not shown; --limit shows more");
            }
        }
        JobCommand::Show { job, grid, output } => {
            show(&with(&grid, async |client| Ok(client.job(job).await?)).await?, output)?;
        }
        JobCommand::Results { job, follow, output, grid } => {
            return with(&grid, async |client| results(client, job, follow, &output, talk).await)
                .await;
        }
        JobCommand::Cancel { job, grid } => {
            with(&grid, async |client| Ok(client.cancel(job).await?)).await?;
        }
        JobCommand::Wait { job, grid, output } => {
            let status = with(&grid, async |client| wait(client, job, talk).await).await?;
            if output == Format::Json {
                show(&status, output)?;
            }
            return Ok(exit_of(status.state));
        }
    }
    Ok(Exit::Ok)
}

fn list(jobs: &[JobStatus], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&jobs.iter().map(JobView::from).collect::<Vec<_>>());
    }
    let row = |job: &JobStatus| {
        let counts = &job.counts;
        [
            job.job.to_string(),
            job.spec.name.clone(),
            job.state.to_string(),
            format!("{}/{}", counts.ended(), counts.total),
            counts.failed.to_string(),
            counts.running.to_string(),
            table::ago(job.submitted_at),
        ]
    };
    let heading = ["ID", "NAME", "STATE", "DONE", "FAILED", "RUNNING", "SUBMITTED"];
    table::rows(heading, jobs.iter().map(row));
    Ok(())
}

fn show(job: &JobStatus, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&JobView::from(job));
    }
    let (counts, task) = (&job.counts, &job.spec.task);
    table::fields([
        ("id", job.job.to_string()),
        ("name", job.spec.name.clone()),
        ("state", job.state.to_string()),
        ("inputs", if job.closed { "closed".into() } else { "open: more may come".into() }),
        ("tasks", counts.total.to_string()),
        ("queued", counts.queued.to_string()),
        ("running", counts.running.to_string()),
        ("ok", counts.ok.to_string()),
        ("failed", counts.failed.to_string()),
        ("cancelled", counts.cancelled.to_string()),
        ("expired", counts.expired.to_string()),
        ("skipped", counts.skipped.to_string()),
        ("retried", counts.retried.to_string()),
        ("module", format!("{} ({})", task.module, task.kind)),
        ("fuel", task.limits.fuel.to_string()),
        ("memory", task.limits.memory.to_string()),
        ("timeout", task.limits.deadline.to_string()),
        ("submitted", table::ago(job.submitted_at)),
        (
            "took",
            job.ended_at.map_or_else(String::new, |at| at.since(job.submitted_at).to_string()),
        ),
    ]);
    Ok(())
}

async fn results(
    client: &Client,
    job: JobId,
    follow: bool,
    args: &OutputArgs,
    talk: Talk,
) -> anyhow::Result<Exit> {
    let (status, mut results) = client.watch(job, 0).await?;
    let shape = match (args.format, args.raw) {
        (Format::Json, _) => Shape::Json,
        (Format::Text, true) => Shape::Raw,
        (Format::Text, false) => Shape::Lines,
    };
    let mut output = Output::open(args.out.as_deref(), shape)?;
    output.begin()?;
    let failures = Failures::new(status.spec.task.limits, job, args.out.as_deref());
    let ordered = args.order == Order::Input;
    let progress = Progress::new(talk.quiet || !follow);
    let mut collector = Collector::new(output, ordered, failures, None, progress);
    let until = if follow { u64::MAX } else { status.results };
    let ending = session::collect(&mut results, &mut collector, until, || ()).await?;
    Ok(match ending {
        Ending::Ended(status) => exit_of(status.state),
        Ending::Detached | Ending::OutputClosed => Exit::Ok,
    })
}

async fn wait(client: &Client, job: JobId, talk: Talk) -> anyhow::Result<JobStatus> {
    let mut progress = Progress::new(talk.quiet);
    loop {
        let status = client.job(job).await?;
        if status.state.is_terminal() {
            progress.clear();
            return Ok(status);
        }
        progress.update(&status);
        tokio::time::sleep(POLL.duration()).await;
    }
}
