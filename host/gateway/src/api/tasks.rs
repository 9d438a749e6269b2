//! One task: how it stands, its input, and its log.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use wasmgrid_client::JobEvent;
use wasmgrid_proto::{JobId, ResultMeta, TaskState, TaskStatus};
use wasmgrid_views::TaskView;

use super::parts::{Marked, Parts};
use crate::{
    access::Access,
    answer::{self, STALL_TIME},
    counted::{self, Results, part},
    extract::{At, ask},
    problem::Problem,
};

/// The bytes of a guest are only ever data: no browser shows them as a page.
const BYTES: [(HeaderName, HeaderValue); 2] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
    (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
];

/// One task, with its input as long as the grid keeps it.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/tasks/{index}",
    tag = "tasks",
    params(("job" = u64, Path, description = "The job"), ("index" = u64, Path, description = "The task's index")),
    responses(
        (status = 200, body = crate::schemas::Task),
        (status = 404, description = "There is no such job or task", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn task(access: Access, At((job, index)): At<(u64, u64)>) -> Result<Response, Problem> {
    let status = ask(access.client.task(JobId(job), index)).await?;
    let input =
        counted::input(&access.client, &access.answers, JobId(job), index, STALL_TIME).await?;
    let (mut marked, mut parts) = (Marked::new()?, Parts::default());
    let view = TaskView { input: input.map(|input| marked.data(input)), ..view(&status) };
    marked.filled(&view, &mut parts)?;
    let mut response = answer::streamed(access.answers, parts.pieces());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

fn view(status: &TaskStatus) -> TaskView<'_> {
    TaskView::new(status, None, None)
}

/// A task's input, as it was given.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/tasks/{index}/input",
    tag = "tasks",
    params(("job" = u64, Path, description = "The job"), ("index" = u64, Path, description = "The task's index")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 410, description = "The input was deleted", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn input(access: Access, At((job, index)): At<(u64, u64)>) -> Result<Response, Problem> {
    let job = JobId(job);
    // There may be no such task.
    ask(access.client.task(job, index)).await?;
    let found = counted::input(&access.client, &access.answers, job, index, STALL_TIME).await?;
    let found = found.ok_or_else(|| gone("input_deleted", "the task's input was deleted"))?;
    Ok((BYTES, answer::whole(found)).into_response())
}

/// What a task that has ended has put out, without its records.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/tasks/{index}/output",
    tag = "tasks",
    params(("job" = u64, Path, description = "The job"), ("index" = u64, Path, description = "The task's index")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 409, description = "The task has not ended", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
        (status = 410, description = "The result was deleted", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn output(access: Access, At((job, index)): At<(u64, u64)>) -> Result<Response, Problem> {
    let output = output_of(&access, JobId(job), index).await?;
    Ok((BYTES, answer::whole(output)).into_response())
}

/// The output of a task, with the room that it takes.
///
/// # Errors
/// If it has no result, or the grid keeps it no more.
pub async fn output_of(access: &Access, job: JobId, index: u64) -> Result<Bytes, Problem> {
    let status = ask(access.client.task(job, index)).await?;
    let Some(result) = &status.result else { return kept(status).map(|_| Bytes::new()) };
    let found = of_result(access, job, result.cursor, |meta, bytes| {
        meta.split(bytes).ok().map(|(output, ..)| part(output))
    });
    found.await?.ok_or_else(|| gone("result_deleted", "the task's result was deleted"))
}

/// What a task that has ended has logged.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/tasks/{index}/log",
    tag = "tasks",
    params(("job" = u64, Path, description = "The job"), ("index" = u64, Path, description = "The task's index")),
    responses(
        (status = 200, description = "`Wasmgrid-Log-Dropped` says how many bytes were dropped", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 409, description = "The task has not ended", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
        (status = 410, description = "The result was deleted", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn log(access: Access, At((job, index)): At<(u64, u64)>) -> Result<Response, Problem> {
    let job = JobId(job);
    let status = ask(access.client.task(job, index)).await?;
    let (log, dropped) = match &status.result {
        Some(result) => {
            let found = of_result(&access, job, result.cursor, |meta, bytes| {
                let (_, _, log) = meta.split(bytes).ok()?;
                Some((part(log), meta.log_dropped))
            })
            .await?;
            found.ok_or_else(|| gone("result_deleted", "the task's result was deleted"))?
        }
        None => kept(status)?,
    };
    let dropped = [(HeaderName::from_static("wasmgrid-log-dropped"), HeaderValue::from(dropped))];
    Ok((BYTES, dropped, answer::whole(log)).into_response())
}

/// What is wanted of the result at a position of the log; `None` if it is not there.
async fn of_result<T>(
    access: &Access,
    job: JobId,
    cursor: u64,
    of: impl Fn(&ResultMeta, &Bytes) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let watch = Results::watch(&access.client, &access.answers, job, cursor, STALL_TIME);
    let (_, mut results) = ask(watch).await?;
    // It may wait for room first.
    while let Some(event) = results.next().await {
        let JobEvent::Results { first_cursor, block, payload } = event? else { continue };
        let at = usize::try_from(cursor.saturating_sub(first_cursor)).unwrap_or(usize::MAX);
        let mut entries = block.entries(&payload).ok().into_iter().flatten();
        return Ok(entries.nth(at).and_then(|(meta, bytes)| of(meta, &bytes)));
    }
    Ok(None)
}

/// The log of a task without a result: of one that was cancelled.
fn kept(status: TaskStatus) -> Result<(Bytes, u64), Problem> {
    if status.state == TaskState::Ended {
        return Ok((Bytes::from(status.log), 0));
    }
    let (title, detail) =
        ("The task has not ended.", "the task has not ended, and its log is not here");
    Err(Problem::new(StatusCode::CONFLICT, "task_active", title, detail))
}

fn gone(code: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::GONE, code, "It was deleted.", detail)
}
