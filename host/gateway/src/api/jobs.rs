//! One job: how it stands, why it waits, and what ends it or runs it again.

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use wasmgrid_proto::{JobId, Limits};
use wasmgrid_views::{ExplanationView, JobView, JobWithDivergences};

use super::spec::LimitsBody;
use crate::{
    access::Access,
    body,
    clock::now,
    extract::{At, ask, text},
    problem::Problem,
};

/// Bytes of a small body at most.
const SMALL: usize = 64 << 10;

/// One job.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}",
    tag = "jobs",
    params(("job" = u64, Path, description = "The job")),
    responses(
        (status = 200, body = JobView),
        (status = 404, description = "There is no such job", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn job(access: Access, At(job): At<u64>) -> Result<Json<JobView>, Problem> {
    let status = ask(access.client.job(JobId(job))).await?;
    Ok(Json(JobView::from(&status)))
}

/// Why a job's tasks wait.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/explain",
    tag = "jobs",
    params(("job" = u64, Path, description = "The job")),
    responses((status = 200, body = crate::schemas::Explanation)),
)]
pub async fn explain(access: Access, At(job): At<u64>) -> Result<Response, Problem> {
    let explanation = ask(access.client.explain(JobId(job))).await?;
    Ok(Json(ExplanationView::new(&explanation, now(), |_| None)).into_response())
}

/// A job with its results that differ and should not.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/divergences",
    tag = "jobs",
    params(("job" = u64, Path, description = "The job")),
    responses((status = 200, body = JobWithDivergences)),
)]
pub async fn divergences(
    access: Access,
    At(job): At<u64>,
) -> Result<Json<JobWithDivergences>, Problem> {
    let job = JobId(job);
    let counted = ask(access.client.job_summary(job)).await?;
    let found = ask(access.client.divergences(job)).await?;
    Ok(Json(JobWithDivergences::new(&counted.status, &found, Some(&counted))))
}

/// Say that no more inputs come; the job ends with its last task.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/close",
    tag = "jobs",
    params(("job" = u64, Path, description = "The job")),
    responses((status = 200, description = "The job", body = JobView)),
)]
pub async fn close(access: Access, At(job): At<u64>) -> Result<Json<JobView>, Problem> {
    ask(access.client.close(JobId(job))).await?;
    self::job(access, At(job)).await
}

/// Stop a job; its results so far are kept.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/cancel",
    tag = "jobs",
    params(("job" = u64, Path, description = "The job")),
    responses((status = 200, description = "The job", body = JobView)),
)]
pub async fn cancel(access: Access, At(job): At<u64>) -> Result<Json<JobView>, Problem> {
    ask(access.client.cancel(JobId(job))).await?;
    self::job(access, At(job)).await
}

/// How an ended job is run again.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryBody {
    /// Other limits for the new job; those that are left out are the old job's.
    limits: LimitsBody,
}

/// Run again, as a new job, the tasks of an ended job that did not end ok.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/retry",
    tag = "jobs",
    params(
        ("job" = u64, Path, description = "The ended job"),
        ("Idempotency-Key" = Option<String>, Header, description = "A request that repeats a key gets the job of the first one"),
    ),
    request_body(content = Option<RetryBody>, content_type = "application/json"),
    responses(
        (status = 201, description = "The new job, whose path is in `Location`", body = JobView),
        (status = 409, description = "The job has not ended, or nothing of it failed", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn retry(
    access: Access,
    At(job): At<u64>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let job = JobId(job);
    let bytes = access.body(&headers, request, SMALL).await?;
    let wanted: RetryBody = match bytes.trim_ascii() {
        [] => RetryBody::default(),
        json => body::object(json).map_err(|error| Problem::invalid("body_invalid", error))?,
    };
    let limits: Option<Limits> = match wanted.limits.is_empty() {
        true => None,
        false => Some(wanted.limits.over(ask(access.client.job(job)).await?.spec.task.limits)),
    };
    let key = text(&headers, "idempotency-key")?.map(str::to_owned);
    let status = ask(access.client.retry_once(job, limits, key)).await?;
    let place = format!("/v1/jobs/{}", status.job);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(JobView::from(&status)))
        .into_response())
}
