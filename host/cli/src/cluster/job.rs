//! `wasmgrid job`: jobs of a cluster, their results and their end.

use anyhow::Context as _;
use bytes::Bytes;
use wasmgrid_client::{Client, Producer};
use wasmgrid_proto::{
    Divergences, InputBlock, JobFilter, JobId, JobState, JobStatus, JobSummary, Millis, WITH, text,
    wire::More,
};
use wasmgrid_views::{AppendedView, JobView, JobWithDivergences, written};

use super::{
    counted::{self, Listed},
    explain, logs, task, view, with,
};
use crate::{
    args::{AskArgs, Format, InputArgs, JobCommand, Order, OutputArgs, StoredEachArgs, Talk},
    exit::{Exit, WithExit as _, usage},
    interrupt::Interrupt,
    print::{self, data, message},
    run::{
        Reading,
        clash::Reads,
        collect::Collector,
        exit_of,
        failures::Failures,
        inputs::{Chunk, Inputs, Piece, Sources, Unread, check_batch},
        output::{Output, Shape},
        progress::Progress,
        rest, say_left_out, say_unread,
        session::{self, Ending},
        stored_dir,
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
pub async fn job(command: JobCommand, talk: Talk, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    match command {
        JobCommand::Results { job, from, follow, output, each, grid } => {
            let wanted = Wanted { job, from, follow };
            let shown = (&output, &each);
            with(&grid, async |client| results(client, wanted, shown, talk, interrupt).await).await
        }
        JobCommand::Append { job, inputs, grid, output } => {
            let appended = Appended { job, output, count: 0 };
            let append = with(&grid, async |client| append(client, &inputs, appended, talk).await);
            interrupt.ends(append).await
        }
        command => interrupt.ends(ask(command, talk)).await,
    }
}

/// How many jobs a list has after those that were asked for, in words; `None` if it has none.
pub fn older(more: More) -> Option<String> {
    match more {
        More::Exactly(0) | More::AtMost(0) => None,
        More::Exactly(count) => Some(format!("{count} older jobs")),
        More::AtMost(count) => Some(format!("up to {count} older jobs")),
        More::Many => Some("many older jobs".into()),
    }
}

async fn ask(command: JobCommand, talk: Talk) -> anyhow::Result<Exit> {
    match command {
        JobCommand::List { states, name, tenant, limit, ask: AskArgs { grid, output } } => {
            let states = states.into_iter().map(JobState::from).collect();
            let filter = JobFilter { states, name, tenant };
            let jobs = async |client: &Client| Ok(counted::jobs(client, limit, &filter).await?);
            let (jobs, more) = with(&grid, jobs).await?;
            list(&jobs, output)?;
            if let Some(older) = older(more) {
                message!("{older} are not shown; --limit shows more");
            }
        }
        JobCommand::Logs { job, task: Some(index), grid, output, .. } => {
            with(&grid, async |client| logs::of_task(client, job, index, output).await).await?;
        }
        JobCommand::Logs { job, task: None, follow, grid, output } => {
            with(&grid, async |client| logs::of_job(client, job, follow, output).await).await?;
        }
        JobCommand::Show { job, task: Some(index), ask: AskArgs { grid, output } } => {
            let ask = async |client: &Client| Ok(task::ask(client, job, index).await?);
            task::show(&with(&grid, ask).await?, output)?;
        }
        JobCommand::Show { job, task: None, ask: AskArgs { grid, output } } => {
            let ask = async |client: &Client| {
                let summary = counted::of_job(client, job).await?;
                Ok((client.job(job).await?, client.divergences(job).await?, summary))
            };
            let (status, divergences, summary) = with(&grid, ask).await?;
            show(&status, output, Some((&divergences, summary.as_ref())))?;
        }
        JobCommand::Explain { job, ask: AskArgs { grid, output } } => {
            explain::show(
                &with(&grid, async |client| Ok(client.explain(job).await?)).await?,
                output,
            )?;
        }
        JobCommand::Close { job, grid } => {
            with(&grid, async |client| close(client, job).await).await?;
        }
        JobCommand::Retry { job, failed: _, limits, grid, output } => {
            let retry = async |client: &Client| {
                let old = client.job(job).await?.spec.task.limits;
                let new = limits.over(old);
                Ok(client.retry(job, (new != old).then_some(new)).await?)
            };
            retried(job, &with(&grid, retry).await?, output, talk)?;
        }
        JobCommand::Results { .. } | JobCommand::Append { .. } => {}
        JobCommand::Cancel { job, grid } => {
            with(&grid, async |client| Ok(client.cancel(job).await?)).await?;
        }
        JobCommand::Wait { job, ask: AskArgs { grid, output } } => {
            let status = with(&grid, async |client| wait(client, job, talk).await).await?;
            if output == Format::Json {
                print::unless_enough(show(&status, output, None))?;
            }
            return Ok(exit_of(status.state));
        }
    }
    Ok(Exit::Ok)
}

/// Prints the job that runs tasks of another again.
fn retried(job: JobId, new: &JobStatus, output: Format, talk: Talk) -> anyhow::Result<()> {
    if !talk.quiet {
        let count = new.counts.total;
        message!(
            "job {} runs {count} of the tasks of job {job} again, under their indices",
            new.job
        );
    }
    let printed = match output {
        Format::Text => data!("{}", new.job).map_err(Into::into),
        Format::Json => show(new, output, None),
    };
    printed.with_context(|| format!("job {} was made", new.job)).exit(Exit::Failed)
}

/// Closes a job. One that ended open has nothing left to close, as whoever feeds it should know.
async fn close(client: &Client, job: JobId) -> anyhow::Result<()> {
    let status = client.job(job).await?;
    if status.state.is_terminal() && !status.closed {
        return Err(usage(format!("job {job} has already ended: {}", status.state)));
    }
    Ok(client.close(job).await?)
}

fn list(jobs: &[Listed], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&jobs.iter().map(Listed::view).collect::<Vec<_>>());
    }
    let row = |Listed { status: job, .. }: &Listed| {
        let counts = &job.counts;
        [
            job.job.to_string(),
            job.spec.name.clone(),
            job.spec.task.tenant.clone(),
            job.state.to_string(),
            format!("{}/{}", counts.ended(), counts.total),
            counts.failed.to_string(),
            counts.running.to_string(),
            table::ago(job.submitted_at),
        ]
    };
    let heading = ["ID", "NAME", "TENANT", "STATE", "DONE", "FAILED", "GIVEN OUT", "SUBMITTED"];
    Ok(table::rows(heading, jobs.iter().map(row))?)
}

/// Prints a job, and what else was asked of it: its divergences, and what was counted of it.
fn show(
    job: &JobStatus,
    output: Format,
    asked: Option<(&Divergences, Option<&JobSummary>)>,
) -> anyhow::Result<()> {
    if output == Format::Json {
        return match asked {
            Some((found, summary)) => table::json(&JobWithDivergences::new(job, found, summary)),
            None => table::json(&JobView::from(job)),
        };
    }
    let (divergences, summary) = asked.unzip();
    let summary = summary.flatten();
    let known = |text: &dyn Fn(&JobSummary) -> String| summary.map_or_else(String::new, text);
    let (counts, task) = (&job.counts, &job.spec.task);
    table::fields([
        ("id", job.job.to_string()),
        ("name", job.spec.name.clone()),
        ("tenant", task.tenant.clone()),
        ("state", job.state.to_string()),
        ("inputs", if job.closed { "closed".into() } else { "open: more inputs may come".into() }),
        ("tasks", counts.total.to_string()),
        ("queued", counts.queued.to_string()),
        ("given out", counts.running.to_string()),
        ("running", known(&|summary| summary.running.to_string())),
        ("ok", counts.ok.to_string()),
        ("failed", counts.failed.to_string()),
        ("cancelled", counts.cancelled.to_string()),
        ("expired", counts.expired.to_string()),
        ("skipped", counts.skipped.to_string()),
        ("retried", counts.retried.to_string()),
        ("discarded", counts.discarded.to_string()),
        ("diverged", divergences.map_or_else(String::new, |found| found.count.to_string())),
        ("module", format!("{} ({})", task.module, task.kind)),
        ("ok exits", view::ok_exits(task)),
        ("with", task.blob(WITH).map_or_else(String::new, |digest| digest.to_string())),
        ("fuel", task.limits.fuel.to_string()),
        ("memory", task.limits.memory.to_string()),
        ("timeout", task.limits.deadline.to_string()),
        ("requires", written(&job.spec.requires).join(" ")),
        ("rate", known(&|summary| counted::rate(summary.pace))),
        ("task time", known(&counted::took)),
        ("submitted", table::ago(job.submitted_at)),
        (
            "took",
            job.ended_at.map_or_else(String::new, |at| at.since(job.submitted_at).to_string()),
        ),
    ])?;
    divergences.map_or(Ok(()), task::list_divergences)?;
    Ok(summary.map_or(Ok(()), counted::print_failures)?)
}

/// Which results are asked for.
#[derive(Clone, Copy)]
struct Wanted {
    job: JobId,
    from: u64,
    follow: bool,
}

async fn results(
    client: &Client,
    Wanted { job, from, follow }: Wanted,
    (args, each): (&OutputArgs, &StoredEachArgs),
    talk: Talk,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let reads = Reads::new();
    let dir = stored_dir(args, each, from, &reads)?;
    let (status, mut results) = tokio::select! {
        watched = client.watch(job, from) => watched?,
        () = interrupt.asked() => return Ok(Exit::Interrupted),
    };
    let shape = match args.format {
        Format::Json => Shape::Json,
        Format::Text if each.out_dir.is_some() => Shape::Nothing,
        Format::Text if each.with_input => Shape::WithInput,
        Format::Text if args.raw => Shape::Raw,
        Format::Text => Shape::Lines,
    };
    let mut output = Output::open(args.out.as_deref(), shape, &reads)?.beside(dir);
    output.begin()?;
    let task = &status.spec.task;
    let failures = Failures::new(task.limits, None).granting(&task.grants);
    // A part of the log has gaps in input order: what stands before them would wait for the end.
    let ordered = args.order.map_or(from == 0, |order| order == Order::Input);
    let progress = Progress::new(talk.quiet || !follow);
    let mut collector = Collector::new(output, ordered, failures, None, progress).fetching(job);
    let until = if follow { u64::MAX } else { status.results };
    let ending = tokio::select! {
        ending = session::collect(&mut results, &mut collector, from..until, |_, _| ()) => ending?,
        () = interrupt.asked() => {
            session::drain(client, &mut collector).await?;
            let rest = rest(job, collector.cursor().max(from));
            message!("`{rest}` prints the rest");
            return Ok(Exit::Interrupted);
        }
    };
    let json = args.format == Format::Json;
    let reading = Reading { from, follow, quiet: talk.quiet, json };
    match ending {
        Ending::Ended(status) => reading.conclude(&status, &mut collector),
        // All that were there when this began.
        Ending::Detached => reading.conclude(&status, &mut collector),
        Ending::OutputClosed => Ok(reading.closed(&mut collector)),
    }
}

/// What was appended so far, and how it is told.
struct Appended {
    job: JobId,
    output: Format,
    count: u64,
}

async fn append(
    client: &Client,
    inputs: &InputArgs,
    mut appended: Appended,
    talk: Talk,
) -> anyhow::Result<Exit> {
    // A job that is not there or takes no more is told before stdin is read.
    let job = appended.job;
    let mut producer = client.producer(job)?;
    producer.append(InputBlock::Packed(Vec::new()), Bytes::new()).await?;
    if inputs.cut.batch.is_some() {
        check_batch(inputs, client.job(job).await?.spec.task.kind)?;
    }
    let sources = Sources::find(inputs)?;
    let mut reads = Reads::new();
    sources.add_to(&mut reads);
    reads.check_stdout()?;
    let is_complete = say_left_out(&sources);
    let mut unread = Vec::new();
    let done = append_all(&mut producer, sources.open()?, &mut appended, &mut unread).await;
    say_unread(&unread);
    let count = appended.count;
    done.with_context(|| {
        format!("job {job} received {}, but not the rest", text::counted(count, "input"))
    })?;
    if !talk.quiet && appended.output == Format::Text {
        let inputs = text::counted(count, "input");
        message!("appended {inputs} to job {job}");
    }
    Ok(if is_complete && unread.is_empty() { Exit::Ok } else { Exit::Failed })
}

async fn append_all(
    producer: &mut Producer,
    inputs: Inputs,
    appended: &mut Appended,
    unread: &mut Vec<Unread>,
) -> anyhow::Result<()> {
    let mut stream = match inputs {
        Inputs::Known(chunk) => return append_chunk(producer, chunk, appended).await,
        Inputs::Stream(stream) => stream,
    };
    while let Some(piece) = stream.next().await.transpose()? {
        match piece {
            Piece::Inputs(chunk) => append_chunk(producer, chunk, appended).await?,
            Piece::Unread(more) => unread.extend(more),
            // Behind what others append there is nothing to leave out.
            Piece::Gap(_) => {}
        }
    }
    Ok(())
}

async fn append_chunk(
    producer: &mut Producer,
    chunk: Chunk,
    appended: &mut Appended,
) -> anyhow::Result<()> {
    let count = chunk.block.count();
    let first = producer.append(chunk.block, chunk.payload).await?;
    appended.count += count;
    if appended.output == Format::Json {
        let run = serde_json::to_string(&AppendedView { job: appended.job.0, first, count })?;
        data!("{run}").exit(Exit::Failed)?;
    }
    Ok(())
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
