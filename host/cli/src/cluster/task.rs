//! What is shown of single tasks, and of results that differ.

use bytes::Bytes;
use wasmgrid_client::{Client, ClientError};
use wasmgrid_proto::{
    ByteCount, Divergence, Divergences, Fuel, JobId, Millis, TaskRange, TaskState, TaskStatus,
    Witness,
};
use wasmgrid_views::{TaskView, WitnessView};

use crate::{
    args::Format,
    print::{Unwritten, data},
    table,
};

/// Characters of an input that are shown.
const INPUT_SHOWN: usize = 80;

/// A task and its input, as far as the grid has it.
///
/// # Errors
/// [`ClientError`], as for every question.
pub async fn ask(
    client: &Client,
    job: JobId,
    index: u64,
) -> Result<(TaskStatus, Option<Bytes>), ClientError> {
    let status = client.task(job, index).await?;
    match client.inputs(job, TaskRange::one(index)).await {
        Ok(found) => Ok((status, found.input(index))),
        // An older scheduler has no answer to that.
        Err(ClientError::Unsupported { .. }) => Ok((status, None)),
        Err(error) => Err(error),
    }
}

/// Prints a task.
///
/// # Errors
/// Where stdout cannot be written.
pub fn show(task: &TaskStatus, input: Option<&[u8]>, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&TaskView::new(task, input));
    }
    let attempt = if task.attempt == 0 { String::new() } else { task.attempt.to_string() };
    table::fields([
        ("task", task.task.to_string()),
        ("input", input.map(beginning).unwrap_or_default()),
        ("state", task.state.to_string()),
        ("attempt", attempt),
        ("worker", task.worker.clone()),
        ("runs", if task.suspect { "alone on a worker".into() } else { String::new() }),
    ])?;
    if let Some(result) = &task.result {
        let usage = &result.usage;
        table::fields([
            ("fuel", Fuel(usage.fuel).to_string()),
            ("memory", ByteCount(usage.memory_bytes).to_string()),
            ("took", Millis(usage.wall_us.div_ceil(1_000)).to_string()),
            ("output", ByteCount(result.output_bytes).to_string()),
        ])?;
        data!("{}", result.outcome)?;
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
    if !task.log.is_empty() {
        data!("log:\n{}", String::from_utf8_lossy(&task.log))?;
    }
    Ok(())
}

/// The beginning of an input, as far as it is a text.
fn beginning(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let mut shown: String = text.chars().take(INPUT_SHOWN).collect();
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
