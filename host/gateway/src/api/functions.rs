//! Functions: tasks that are called by a name.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use wasmgrid_proto::{Digest, FunctionTerms, Outcome};
use wasmgrid_views::FunctionView;

use super::{
    spec::{SpecBody, program},
    submit::other_kind,
};
use crate::{
    access::Access,
    answer::{PIECE, no_room, whole},
    app::App,
    body,
    bounds::shares::{Room, Share},
    counted::part,
    extract::{At, ask},
    problem::Problem,
};

/// Bytes of a deployment at most.
const DEPLOYMENT_MAX: usize = 1 << 20;

/// Bytes of a call's input at most: what one message to the scheduler carries.
const INPUT_MAX: usize = 64 << 20;

/// Bytes of other results that come with a large one at most: a watch's window.
const BESIDE: usize = 1 << 20;

/// A function as it is deployed.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionBody {
    /// What runs, as of a job; it needs a module, and has no inputs and no end.
    pub spec: SpecBody,
    /// How many calls may run at once; as many as there is room for if it is left out.
    pub concurrency: Option<u32>,
    /// How many calls may run or wait; 10,000 if it is left out.
    pub max_calls: Option<u32>,
}

/// Functions.
#[derive(Serialize, utoipa::ToSchema)]
pub struct FunctionList {
    /// By name.
    #[schema(value_type = Vec<crate::schemas::Function>)]
    functions: Vec<serde_json::Value>,
}

/// Deploy a function, or replace it: new calls go to it at once, and earlier ones end as they were.
#[utoipa::path(
    put,
    path = "/v1/functions/{name}",
    tag = "functions",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", description = "1 to 64 of a-z, 0-9, '-', '_' and '.', the first a letter or a digit")),
    request_body = FunctionBody,
    responses(
        (status = 200, body = crate::schemas::Function),
        (status = 422, description = "It is no function", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn deploy(
    access: Access,
    At(name): At<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = access.body(&headers, body, DEPLOYMENT_MAX).await?;
    let wrong = |error: &dyn std::fmt::Display| Problem::invalid("function_invalid", error);
    let FunctionBody { mut spec, concurrency, max_calls } =
        body::object(&bytes).map_err(|error| wrong(&error))?;
    if !spec.inputs.is_empty()
        || spec.closed
        || spec.deadline_ms.is_some()
        || spec.max_failures.is_some()
    {
        return Err(wrong(&"a function has no inputs, closed, deadline_ms or max_failures"));
    }
    spec.name.clone_from(&name);
    let mut terms = FunctionTerms { concurrency, ..FunctionTerms::default() };
    terms.calls = max_calls.unwrap_or(terms.calls);
    if terms.concurrency == Some(0) || terms.calls == 0 {
        return Err(wrong(&"concurrency and max_calls are at least 1"));
    }
    let job = spec.job(None, None)?.of_function(terms).map_err(|error| wrong(&error))?;
    let client = &access.client;
    let made = ask(async { Ok(client.deploy(&name, job.clone()).await) }).await?;
    let kind = made.as_ref().err().and_then(other_kind).filter(|_| spec.kind.is_none());
    let status = match kind {
        Some(kind) => {
            let mut job = job;
            job.task.kind = kind;
            job.task.program = program(kind, &name);
            ask(client.deploy(&name, job)).await?
        }
        None => made?,
    };
    Ok(Json(FunctionView::from(&status)).into_response())
}

/// Functions of the key's tenant.
#[utoipa::path(get, path = "/v1/functions", tag = "functions", responses((status = 200, body = FunctionList)))]
pub async fn list(access: Access) -> Result<Json<FunctionList>, Problem> {
    let all = ask(access.client.functions()).await?;
    let view = |one| serde_json::to_value(FunctionView::from(one)).map_err(Problem::away);
    let functions = all.iter().map(view).collect::<Result<_, _>>()?;
    Ok(Json(FunctionList { functions }))
}

/// Delete a function; its calls that have not ended still run.
#[utoipa::path(
    delete,
    path = "/v1/functions/{name}",
    tag = "functions",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", description = "The function")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "There is no such function", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn delete(access: Access, At(name): At<String>) -> Result<StatusCode, Problem> {
    ask(access.client.delete_function(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Call a function: the body is its input, and the answer's body its output. The headers
/// `wasmgrid-job`, `wasmgrid-index`, `wasmgrid-fuel` and `wasmgrid-wall-us` say what ran and what it took.
#[utoipa::path(
    post,
    path = "/v1/functions/{name}",
    tag = "functions",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9._-]{0,63}(@[0-9a-fA-F]{64})?$", description = "The function; NAME@DIGEST only while it runs that module")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The input"),
    responses(
        (status = 200, description = "The output", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "There is no such function", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
        (status = 424, description = "The task failed; `outcome` has its kind", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
        (status = 503, description = "Too many calls of it have not ended", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn call(
    State(app): State<App>,
    access: Access,
    At(name): At<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (name, module) = version(&name)?;
    if !access.answers.has_room() {
        return Err(no_room());
    }
    let bytes = access.body(&headers, body, INPUT_MAX).await?;
    let callee = (access.act_for.clone(), name, module);
    // A call takes as long as its task and what is before it, and as long as its key is good.
    let mut key = access.watch();
    let result = tokio::select! {
        result = app.callers.call(&access.client, callee, bytes) => result?,
        lapsed = key.lapses() => return Err(lapsed),
    };
    let meta = &result.meta;
    let mut took = HeaderMap::new();
    for (name, number) in [
        ("wasmgrid-job", result.job.0),
        ("wasmgrid-index", meta.index),
        ("wasmgrid-fuel", meta.usage.fuel),
        ("wasmgrid-wall-us", meta.usage.wall_us),
    ] {
        took.insert(HeaderName::from_static(name), HeaderValue::from(number));
    }
    if meta.outcome != Outcome::Ok {
        let title = "The task failed.";
        let problem =
            Problem::new(StatusCode::FAILED_DEPENDENCY, "call_failed", title, &meta.outcome);
        return Ok((took, problem.with("outcome", meta.outcome.name())).into_response());
    }
    let octets = HeaderValue::from_static("application/octet-stream");
    let attachment = HeaderValue::from_static("attachment");
    took.insert(header::CONTENT_TYPE, octets);
    took.insert(header::CONTENT_DISPOSITION, attachment);
    let output = result.output();
    let Some(room) = room(&access.answers, output.len()) else {
        // It is there as long as the grid keeps it.
        let place = format!("/v1/jobs/{}/tasks/{}/output", result.job, meta.index);
        return Ok((took, no_room().with("output", place)).into_response());
    };
    Ok((took, whole(room.keep(part(output)))).into_response())
}

/// Room for an output, and for what came with it and is held as long as it is.
fn room(answers: &Share, bytes: usize) -> Option<Room> {
    if bytes > PIECE { answers.try_take(bytes + BESIDE) } else { answers.try_small(bytes) }
}

/// A function's name, and the module that it must run.
fn version(text: &str) -> Result<(String, Option<Digest>), Problem> {
    let Some((name, digest)) = text.split_once('@') else { return Ok((text.into(), None)) };
    let digest = digest.parse().map_err(|error| Problem::invalid("digest_invalid", error))?;
    Ok((name.into(), Some(digest)))
}
