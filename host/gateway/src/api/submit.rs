//! `POST /v1/jobs`: a job from a spec, alone or with its module.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{FromRequest as _, Multipart, Request, multipart::Field},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::BytesMut;
use wasmgrid_client::{ClientError, Named, SubmitRequest};
use wasmgrid_proto::{BLOB_BYTES_MAX, Digest, JobStatus, ModuleKind, Reason};
use wasmgrid_views::JobView;

use super::{
    modules::MODULE_MAX,
    spec::{SpecBody, program},
};
use crate::{
    access::Access,
    body::{self, Pace},
    bounds::Held,
    extract::{ask, text},
    problem::Problem,
};

/// Bytes of a spec with its first inputs at most; further inputs are appended.
const SPEC_MAX: usize = 8 << 20;

/// Bytes of a value for all tasks at most.
const WITH_MAX: usize = BLOB_BYTES_MAX as usize;

/// What was sent.
#[derive(Default)]
struct Sent {
    spec: Option<Bytes>,
    module: Option<Bytes>,
    with: Option<Bytes>,
}

/// Make a job. As JSON it is the spec; as `multipart/form-data` it has the parts `spec` (JSON), and
/// `module` (the file) or `with` (the value for all tasks), which are sent to the grid if it lacks them.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that repeats a key gets the job of the first one")),
    request_body(content = SpecBody, content_type = "application/json"),
    responses(
        (status = 201, description = "The job, whose path is in `Location`", body = JobView),
        (status = 409, description = "The idempotency key belongs to another job", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
        (status = 422, description = "The spec or the module is refused", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn submit(
    access: Access,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let kind = text(&headers, header::CONTENT_TYPE.as_str())?.unwrap_or("application/json");
    let sent = if kind.starts_with("multipart/form-data") {
        parts(request, &access).await?
    } else if kind.starts_with("application/json") {
        let spec = access.body(&headers, request.into_body(), SPEC_MAX).await?;
        Sent { spec: Some(spec), ..Sent::default() }
    } else {
        return Err(not_taken(kind, "application/json or multipart/form-data"));
    };
    let key = text(&headers, "idempotency-key")?.map(str::to_owned);
    let status = make(&access, sent, key).await?;
    let place = format!("/v1/jobs/{}", status.job);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(JobView::from(&status)))
        .into_response())
}

/// The answer to a body of a type that is not taken.
pub fn not_taken(found: &str, expected: &str) -> Problem {
    let title = "The body has a type that is not taken here.";
    let detail = format!("the content type is {found:?}; expected {expected}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_not_taken", title, detail)
}

/// The answer to a body that should be `multipart/form-data` and is not.
pub fn no_parts(error: &dyn std::fmt::Display) -> Problem {
    Problem::invalid("multipart_invalid", error)
}

async fn parts(request: Request<Body>, access: &Access) -> Result<Sent, Problem> {
    let parts = Multipart::from_request(request, &()).await;
    let mut parts = parts.map_err(|error| no_parts(&error.body_text()))?;
    let mut sent = Sent::default();
    let mut pace = Pace::default();
    while let Some(part) = next_part(&mut parts, &mut pace).await? {
        let (place, most) = match part.name() {
            Some("spec") => (&mut sent.spec, SPEC_MAX),
            Some("module") => (&mut sent.module, MODULE_MAX),
            Some("with") => (&mut sent.with, WITH_MAX),
            name => {
                let name = name.unwrap_or_default();
                let detail = format!("there is a part {name:?}; expected spec, module and with");
                return Err(no_parts(&detail));
            }
        };
        let whole = part_of(part, most, access.held(), &mut pace).await?;
        if place.replace(whole).is_some() {
            return Err(no_parts(&"a part is there twice"));
        }
    }
    access.check().await?;
    Ok(sent)
}

/// The next part of a form; what came before of it is over.
pub async fn next_part<'a>(
    parts: &'a mut Multipart,
    pace: &mut Pace,
) -> Result<Option<Field<'a>>, Problem> {
    pace.next(async { parts.next_field().await.map_err(|error| no_parts(&error)) }).await
}

/// The next bytes of a part.
pub async fn next_chunk(part: &mut Field<'_>, pace: &mut Pace) -> Result<Option<Bytes>, Problem> {
    let next = async { part.chunk().await.map_err(|error| body::cut(&error)) };
    let chunk = pace.next(next).await?;
    pace.came(chunk.as_ref().map_or(0, Bytes::len));
    Ok(chunk)
}

async fn part_of(
    mut part: Field<'_>,
    most: usize,
    mut held: Held,
    pace: &mut Pace,
) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = next_chunk(&mut part, pace).await? {
        if whole.len() + chunk.len() > most {
            return Err(Problem::too_large(format!("a part has more than {most} bytes")));
        }
        held.set(whole.len() + chunk.len())?;
        whole.extend_from_slice(&chunk);
    }
    Ok(held.keep(whole.freeze()))
}

async fn make(access: &Access, sent: Sent, key: Option<String>) -> Result<JobStatus, Problem> {
    let Sent { spec, module, with } = sent;
    let spec = spec.ok_or_else(|| no_parts(&"the part spec is missing"))?;
    let mut body = SpecBody::read(&spec)?;
    let (inputs, payload) = body.inputs(access.held())?;
    let of = |bytes: &Option<Bytes>| bytes.as_deref().map(Digest::of);
    let job = body.job(of(&module), of(&with))?;
    let mut submit =
        SubmitRequest { spec: job, key, inputs, payload, closed: body.closed, watch: false };
    let named = Named { module: module.unwrap_or_default(), blobs: with.into_iter().collect() };
    let client = &access.client;
    let first = ask(async {
        let made = client.submit_with(submit.clone(), &named).await;
        Ok(made.map(|(status, _)| status))
    });
    let error = match first.await? {
        Ok(status) => return Ok(status),
        Err(error) => error,
    };
    // Nobody but the scheduler looks into a module: it says which kind it is.
    let Some(kind) = other_kind(&error).filter(|_| body.kind.is_none()) else {
        return Err(refused(error));
    };
    submit.spec.task.kind = kind;
    submit.spec.task.program = program(kind, &body.name);
    let made = ask(async { Ok(client.submit_with(submit, &named).await) }).await?;
    made.map(|(status, _)| status).map_err(refused)
}

/// What the module is, if that is why the job was refused.
pub fn other_kind(error: &ClientError) -> Option<ModuleKind> {
    let ClientError::Api(error) = error else { return None };
    match *error.reason {
        Reason::OtherKind { found, .. } => Some(found),
        _ => None,
    }
}

/// What a job names and the grid lacks is wrong in the spec, not in the path.
fn refused(error: ClientError) -> Problem {
    let problem = Problem::from(error);
    match problem.status() {
        StatusCode::NOT_FOUND => problem.at(StatusCode::UNPROCESSABLE_ENTITY),
        _ => problem,
    }
}
