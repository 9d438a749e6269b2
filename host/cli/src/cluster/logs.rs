//! `wasmgrid job logs`: what a job's tasks have logged, also those that ended ok.

use wasmgrid_client::{Client, JobEvent, JobStream};
use wasmgrid_proto::{JobId, TaskResult, TaskState, TaskStatus};
use wasmgrid_views::{Data, LogView};

use crate::{
    args::Format,
    escape::Lines,
    exit::usage,
    print::{self, data, message},
    run::reorder::{Run, Shown},
};

/// Prints the log of one task.
///
/// # Errors
/// Where there is no such task, it has not ended, its log is not kept any more, or standard output
/// cannot be written.
pub async fn of_task(
    client: &Client,
    job: JobId,
    index: u64,
    output: Format,
) -> anyhow::Result<()> {
    let status = client.task(job, index).await?;
    if let Some(result) = &status.result {
        return of_result(client, &status, result, output).await;
    }
    if status.state != TaskState::Ended {
        return Err(usage(format!(
            "task {job}/{index} is {}, and its log arrives with its result; `wasmgrid job logs \
             {job} --follow` shows each log as it arrives",
            status.state
        )));
    }
    if status.log.is_empty() {
        message!("task {job}/{index} ended without a result, and its log was not kept");
        return Ok(());
    }
    let (attempt, outcome) = (status.attempt, "cancelled");
    let log = Data::from(status.log.as_slice());
    match output {
        Format::Json => json(&LogView { index, attempt, outcome, log, log_dropped: 0 }),
        Format::Text => text(&status.log, None, 0),
    }
}

async fn of_result(
    client: &Client,
    status: &TaskStatus,
    result: &TaskResult,
    output: Format,
) -> anyhow::Result<()> {
    let (job, index) = (status.task.job, status.task.index);
    let (_, mut results) = client.watch(job, result.cursor).await?;
    while let Some(event) = results.next().await.transpose()? {
        let JobEvent::Results { first_cursor, block, payload } = event else { continue };
        for run in Run::all(first_cursor, block, payload)? {
            if let Some(shown) = run.results().find(|shown| shown.meta.index == index) {
                let is_logged = print_log(shown, output, None)?;
                if !is_logged && output == Format::Text {
                    message!("task {job}/{index} logged nothing");
                }
                return Ok(());
            }
        }
        break;
    }
    Err(anyhow::anyhow!("the result of task {job}/{index} has moved; try again"))
}

/// Prints the logs of all tasks that have a result, with `follow` until the job has ended.
///
/// # Errors
/// Where there is no such job, or standard output cannot be written.
pub async fn of_job(
    client: &Client,
    job: JobId,
    follow: bool,
    output: Format,
) -> anyhow::Result<()> {
    let (status, mut results) = client.watch(job, 0).await?;
    let until = if follow { u64::MAX } else { status.results };
    let (mut cursor, mut logged) = (0, 0_u64);
    while cursor < until
        && let Some((next, count)) = some(&mut results, until, output).await?
    {
        (cursor, logged) = (cursor.max(next), logged + count);
    }
    if logged == 0 && output == Format::Text {
        message!("no finished task of job {job} logged anything");
    }
    Ok(())
}

/// Prints the logs of the results that come next: behind which place they are, and how many logs
/// there were. `None` at the job's end.
async fn some(
    results: &mut JobStream,
    until: u64,
    output: Format,
) -> anyhow::Result<Option<(u64, u64)>> {
    match results.next().await.transpose()? {
        Some(JobEvent::Results { first_cursor, block, payload }) => {
            let (mut end, mut logged) = (first_cursor, 0);
            for run in Run::all(first_cursor, block, payload)? {
                for shown in run.results().filter(|shown| shown.cursor < until) {
                    end = shown.cursor + 1;
                    let index = shown.meta.index;
                    logged += u64::from(print_log(shown, output, Some(index))?);
                }
            }
            Ok(Some((end, logged)))
        }
        Some(JobEvent::Update(_)) => Ok(Some((0, 0))),
        Some(JobEvent::Ended(_)) | None => Ok(None),
    }
}

/// Says whether there was something to print.
fn print_log(shown: Shown<'_>, output: Format, of: Option<u64>) -> anyhow::Result<bool> {
    let parts = shown.meta.parts(shown.payload)?;
    let (log, log_dropped) = (parts.log, shown.meta.log_dropped);
    if log.is_empty() && log_dropped == 0 {
        return Ok(false);
    }
    match output {
        Format::Json => json(&LogView {
            index: shown.meta.index,
            attempt: shown.attempt,
            outcome: shown.meta.outcome.name(),
            log: Data::from(log),
            log_dropped,
        })?,
        Format::Text => text(log, of, log_dropped)?,
    }
    Ok(true)
}

fn json(view: &LogView<'_>) -> anyhow::Result<()> {
    Ok(print::exactly(&format!("{}\n", serde_json::to_string(view)?))?)
}

/// The lines of a log, each behind the index of its task where there are several.
fn text(log: &[u8], of: Option<u64>, dropped: u64) -> anyhow::Result<()> {
    let head = of.map(|index| format!("{index}: ")).unwrap_or_default();
    let log = String::from_utf8_lossy(log);
    let mut lines = Lines::default();
    let mut is_empty = true;
    for line in log.lines() {
        lines.push(format_args!("{head}{line}"));
        is_empty = false;
    }
    if !is_empty {
        print::lines(&lines)?;
    }
    if dropped > 0 {
        data!("{head}({dropped} more bytes were dropped at --log-limit)")?;
    }
    Ok(())
}
