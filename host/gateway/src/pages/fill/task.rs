//! The page of a task.

use bytes::Bytes;
use wasmgrid_pages::{
    Guest, GuestBlock, Prose, State,
    limits::Used,
    task::{AttemptRow, Log, ShownBytes, Task},
};
use wasmgrid_proto::{Attempt, JobId, JobStatus, OutcomeClass, TaskResult, TaskStatus};

use super::results::{ROOM_TIME, read};
use crate::{access::Access, counted, extract::ask, picture::kind_of, problem::Problem};

/// Bytes of an input or output that are shown.
const SHOWN_BYTES: usize = 4 << 10;

/// Lines of a log that are shown: its last ones.
const LOG_LINES: usize = 200;

/// Bytes of a log that are looked at.
const LOG_BYTES: usize = 64 << 10;

/// The page.
pub async fn task(access: &Access, job: JobId, index: u64) -> Result<Task, Problem> {
    let client = &access.client;
    let task = ask(client.task(job, index)).await?;
    let status = ask(client.job(job)).await?;
    let input = counted::input(client, &access.answers, job, index, ROOM_TIME).await?;
    let (output, log) = match &task.result {
        Some(result) => ended(access, job, (task.attempt, result)).await?,
        None => (None, Log { lines: lines(&task.log).1, ..Log::default() }),
    };
    Ok(filled(&status, &task, input, (output, log)))
}

fn filled(
    status: &JobStatus,
    task: &TaskStatus,
    input: Option<Bytes>,
    (output, log): (Option<Bytes>, Log),
) -> Task {
    let (job, index) = (status.job, task.task.index);
    let limits = status.spec.task.limits;
    let at = |what: &str| format!("/v1/jobs/{job}/tasks/{index}/{what}");
    let picture =
        |bytes: &Bytes| kind_of(bytes).map(|_| format!("/jobs/{job}/tasks/{index}/picture"));
    Task {
        job,
        job_name: Guest::new(status.spec.name.as_str()),
        index,
        state: task.state,
        outcome: task.result.as_ref().map(|result| result.outcome.clone()),
        remark: Prose::default(),
        ended_at: None,
        worker: Guest::new(task.worker.as_str()),
        seed: status.spec.task.seed,
        before: index.checked_sub(1),
        next: Some(index + 1).filter(|next| *next < status.counts.total),
        attempts: task.attempts.iter().map(attempt).chain(last_attempt(task)).collect(),
        attempts_dropped: task.attempts_dropped,
        log,
        input: input.map(|bytes| shown(&bytes, at("input"), None)),
        output: output.map(|bytes| shown(&bytes, at("output"), picture(&bytes))),
        used: used(task.result.as_ref()),
        limits,
    }
}

fn used(result: Option<&TaskResult>) -> Used {
    result.map_or_else(Used::default, |result| Used {
        fuel: Some(result.usage.fuel),
        wall_us: Some(result.usage.wall_us),
        memory: Some(result.usage.memory_bytes),
        output: Some(result.output_bytes),
        record: None,
        log: Some(result.log_bytes),
    })
}

fn attempt(attempt: &Attempt) -> AttemptRow {
    AttemptRow {
        number: attempt.attempt,
        state: State::of_class(OutcomeClass::Lost).worded(attempt.counter.to_string()),
        worker: Guest::new(attempt.worker.as_str()),
        given: None,
        began: None,
        wall_us: None,
        said: Prose::default().guest(attempt.reason.as_str()),
    }
}

/// The attempt that has the task's result.
fn last_attempt(task: &TaskStatus) -> Option<AttemptRow> {
    let result = task.result.as_ref()?;
    Some(AttemptRow {
        number: task.attempt,
        state: State::of_outcome(&result.outcome),
        worker: Guest::new(task.worker.as_str()),
        given: None,
        began: None,
        wall_us: Some(result.usage.wall_us),
        said: Prose::default(),
    })
}

/// The output and the log of a task that has a result, as long as the grid keeps them.
async fn ended(
    access: &Access,
    job: JobId,
    (attempt, result): (u32, &TaskResult),
) -> Result<(Option<Bytes>, Log), Problem> {
    let found = read(access, job, result.cursor, 1, |meta, bytes| {
        let (output, _, log) = meta.split(bytes).ok()?;
        let (before, lines) = lines(&log);
        let log = Log { attempt, before, lines, dropped: meta.log_dropped };
        Some(((!output.is_empty()).then_some(output), log))
    });
    match ask(found).await {
        Ok(found) => Ok(found.into_iter().flatten().next().unwrap_or_default()),
        Err(problem) if problem.status() == axum::http::StatusCode::GONE => Ok(Default::default()),
        Err(problem) => Err(problem),
    }
}

/// The last lines of a log, and how many are before them.
fn lines(log: &[u8]) -> (u64, Vec<Guest>) {
    let cut = log.len().saturating_sub(LOG_BYTES);
    let (old, new) = log.split_at(cut);
    let all: Vec<&[u8]> = new.split(|byte| *byte == b'\n').collect();
    // A log that ends with its line has no empty one behind.
    let all = match all.as_slice() {
        [lines @ .., []] => lines,
        lines => lines,
    };
    let skip = all.len().saturating_sub(LOG_LINES);
    let before = old.iter().filter(|byte| **byte == b'\n').count() + skip;
    (before as u64, all.iter().skip(skip).map(|line| Guest::of_bytes(line)).collect())
}

fn shown(bytes: &Bytes, download: String, picture: Option<String>) -> ShownBytes {
    let part = bytes.get(..SHOWN_BYTES.min(bytes.len())).unwrap_or_default();
    let is_text = std::str::from_utf8(part).is_ok_and(|_| !part.contains(&0));
    let kind = match (kind_of(bytes), is_text) {
        (Some(kind), _) => kind.word(),
        (None, true) if is_json(bytes) => "JSON",
        (None, true) => "text",
        (None, false) => "bytes",
    };
    ShownBytes {
        bytes: bytes.len() as u64,
        kind,
        text: GuestBlock::of_bytes(part),
        picture,
        cut: (bytes.len() - part.len()) as u64,
        download,
    }
}

/// True for what is one JSON value; what is long is not looked at.
fn is_json(bytes: &[u8]) -> bool {
    bytes.len() <= SHOWN_BYTES && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_shown_and_what_is_before_it_counted() {
        let log: String = (0..LOG_LINES + 3).map(|line| format!("{line}\n")).collect();
        let (before, shown) = lines(log.as_bytes());
        assert_eq!((before, shown.len()), (3, LOG_LINES));
        assert_eq!(shown.first(), Some(&Guest::new("3")));
        assert_eq!(lines(b""), (0, Vec::new()));
        assert_eq!(lines(b"a"), (0, vec![Guest::new("a")]));
    }

    #[test]
    fn bytes_are_told_by_what_they_are() {
        let kind =
            |bytes: &'static [u8]| shown(&Bytes::from_static(bytes), String::new(), None).kind;
        assert_eq!(kind(b"{\"a\":1}"), "JSON");
        assert_eq!(kind(b"a text"), "text");
        assert_eq!(kind(b"\0\x01"), "bytes");
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n"), "PNG");
    }
}
