//! The picture that a task's output is, for an `<img>`.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use wasmgrid_proto::JobId;

use super::answer::nothing;
use crate::{
    access::Access, answer::whole, api::tasks::output_of, extract::At, picture::kind_of,
    problem::Problem,
};

/// A guest's picture runs nothing and loads nothing, also if somebody opens it alone.
const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox; default-src 'none'; style-src 'unsafe-inline'");

/// One picture.
pub async fn picture(
    access: Access,
    At((job, index)): At<(u64, u64)>,
) -> Result<Response, Problem> {
    let output = output_of(&access, JobId(job), index).await?;
    let kind = kind_of(&output).ok_or_else(nothing)?;
    let kind = HeaderValue::from_static(kind.content_type());
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, SANDBOX)];
    Ok((headers, whole(output)).into_response())
}
