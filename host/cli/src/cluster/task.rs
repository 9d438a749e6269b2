//! What is shown of single tasks, and of results that differ.

use bytes::Bytes;
use wasmgrid_client::{Client, ClientError, JobEvent};
use wasmgrid_proto::{
    ByteCount, Divergence, Divergences, Fuel, JobId, Millis, Outcome, ResultBlock, TaskRange,
    TaskState, TaskStatus, Witness,
};
use wasmgrid_views::{Kept, TaskView, WitnessView};

use crate::{
    args::Format,
    print::{Unwritten, data},
    table,
};

/// Characters of an input that are shown.
const INPUT_SHOWN: usize = 80;

/// Characters of an output that are shown; JSON has all of it.
const OUTPUT_SHOWN: usize = 2_000;

/// What the grid has of a task.
pub struct Asked {
    status: TaskStatus,
    input: Option<Bytes>,
    /// Its result with its bytes.
    kept: Option<Kept>,
}

/// A task with its input and its result, as far as the grid has them.
///
/// # Errors
/// [`ClientError`], as for every question.
pub async fn ask(client: &Client, job: JobId, index: u64) -> Result<Asked, ClientError> {
    let status = client.task(job, index).await?;
    let input = match client.inputs(job, TaskRange::one(index)).await {
        Ok(found) => found.input(index),
        // An older scheduler has no answer to that.
        Err(ClientError::Unsupported { .. }) => None,
        Err(error) => return Err(error),
    };
    let kept = match &status.result {
        Some(result) => kept(client, job, (index, result.cursor)).await?,
        None => None,
    };
    Ok(Asked { status, input, kept })
}

/// The bytes of a result; `None` if they were deleted meanwhile.
async fn kept(
    client: &Client,
    job: JobId,
    (index, cursor): (u64, u64),
) -> Result<Option<Kept>, ClientError> {
    let mut results = match client.watch(job, cursor).await {
        Ok((_, results)) => results,
        Err(ClientError::Api(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    while let Some(event) = results.next().await {
        match event {
            Ok(JobEvent::Results { block, payload, .. }) => {
                return Ok(find(index, &block, &payload));
            }
            Ok(JobEvent::Update(_)) => {}
            Ok(JobEvent::Ended(_)) | Err(ClientError::Api(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn find(index: u64, block: &ResultBlock, payload: &Bytes) -> Option<Kept> {
    let mut entries = block.entries(payload).ok()?;
    let (meta, bytes) = entries.find(|(meta, _)| meta.index == index)?;
    let (output, records, log) = meta.split(&bytes).ok()?;
    Some(Kept {
        output: output.into(),
        records: records.into_iter().map(Into::into).collect(),
        log: log.into(),
        log_dropped: meta.log_dropped,
        received: block.received(),
    })
}

/// Prints a task.
///
/// # Errors
/// Where stdout cannot be written.
pub fn show(asked: &Asked, output: Format) -> anyhow::Result<()> {
    let Asked { status: task, input, kept } = asked;
    let kept = kept.as_ref();
    if output == Format::Json {
        return table::json(&TaskView::new(task, input.as_deref(), kept));
    }
    let attempt = if task.attempt == 0 { String::new() } else { task.attempt.to_string() };
    let input = input.as_deref().map(|input| beginning(input, INPUT_SHOWN));
    table::fields([
        ("task", task.task.to_string()),
        ("input", input.unwrap_or_default()),
        ("state", task.state.to_string()),
        ("attempt", attempt),
        ("worker", task.worker.clone()),
        ("runs", if task.suspect { "alone on a worker".into() } else { String::new() }),
    ])?;
    if let Some(result) = &task.result {
        let usage = &result.usage;
        let ended = kept.and_then(|kept| kept.received);
        table::fields([
            ("fuel", Fuel(usage.fuel).to_string()),
            ("memory", ByteCount(usage.memory_bytes).to_string()),
            ("took", Millis(usage.wall_us.div_ceil(1_000)).to_string()),
            ("ended", ended.map_or_else(String::new, table::ago)),
            ("output", ByteCount(result.output_bytes).to_string()),
        ])?;
        data!("{}", result.outcome)?;
        if let Outcome::Trap { backtrace, .. } = &result.outcome
            && !backtrace.is_empty()
        {
            data!("backtrace:\n{backtrace}")?;
        }
    } else if task.state == TaskState::Ended {
        data!("it ended without a result: its job ended first, or the result was deleted")?;
    }
    if task.attempts_dropped > 0 {
        data!("{} older attempts are not listed", task.attempts_dropped)?;
    }
    // The outcome of a lost task has them already.
    for attempt in task.attempts.iter().filter(|_| task.result.is_none()) {
        data!("{attempt}")?;
    }
    let output = kept.map(|kept| kept.output.as_slice()).filter(|output| !output.is_empty());
    if let Some(output) = output {
        data!("output:\n{}", beginning(output, OUTPUT_SHOWN))?;
    }
    let log = kept.map_or(&task.log, |kept| &kept.log);
    if !log.is_empty() {
        data!("log:\n{}", String::from_utf8_lossy(log))?;
    }
    match kept.map_or(0, |kept| kept.log_dropped) {
        0 => Ok(()),
        dropped => Ok(data!("({dropped} more bytes were dropped at --log-limit)")?),
    }
}

/// The beginning of an input or output, as far as it is a text.
fn beginning(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(most).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Prints results that differ, below their job.
///
/// # Errors
/// Where stdout cannot be written.
pub fn list_divergences(found: &Divergences) -> Result<(), Unwritten> {
    for divergence in &found.list {
        let witness = |witness: &Witness| {
            let WitnessView { worker, attempt, digest } = WitnessView::new(witness, found);
            let short: String = digest.chars().take(12).collect();
            format!("{short} by {worker} in attempt {attempt}")
        };
        let Divergence { index, at, committed, late } = divergence;
        let (committed, late) = (witness(committed), witness(late));
        data!("task {index} diverged at {at}: {committed} counts, {late} was discarded")?;
    }
    match found.count.saturating_sub(found.list.len() as u64) {
        0 => Ok(()),
        more => data!("{more} more diverged and are not listed"),
    }
}
