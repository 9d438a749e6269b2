//! Modules, by their digests.

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use wasmgrid_proto::Digest;

use crate::{
    access::Access,
    extract::{At, ask},
    problem::Problem,
};

/// Bytes of a module at most: what one message to the scheduler carries. Its own cap is lower.
pub const MODULE_MAX: usize = 64 << 20;

/// A module that the grid has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModuleView {
    /// Its BLAKE3, 64 hexadecimal digits.
    pub digest: String,
    /// Its size.
    pub size_bytes: u64,
}

/// A digest in a path.
///
/// # Errors
/// If it is none.
pub fn digest(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|error| Problem::invalid("digest_invalid", error))
}

/// Whether the grid has a module.
#[utoipa::path(
    head,
    path = "/v1/modules/{digest}",
    tag = "modules",
    params(("digest" = String, Path, pattern = "^[0-9a-fA-F]{64}$", description = "The BLAKE3 of the file, 64 hexadecimal digits")),
    responses(
        (status = 200, description = "The grid has it"),
        (status = 404, description = "The grid does not have it"),
    ),
)]
pub async fn have(access: Access, At(text): At<String>) -> Result<StatusCode, Problem> {
    let present = ask(access.client.have_module(digest(&text)?)).await?;
    Ok(if present { StatusCode::OK } else { StatusCode::NOT_FOUND })
}

/// Give the grid a module. What is no task is refused with what was found.
#[utoipa::path(
    put,
    path = "/v1/modules/{digest}",
    tag = "modules",
    params(("digest" = String, Path, pattern = "^[0-9a-fA-F]{64}$", description = "The BLAKE3 of the file, 64 hexadecimal digits")),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The file"),
    responses(
        (status = 201, description = "The grid has it now", body = ModuleView),
        (status = 200, description = "The grid had it already", body = ModuleView),
        (status = 413, description = "It is too large", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
        (status = 422, description = "It is no task, or has another digest", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn put(
    access: Access,
    At(text): At<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let said = digest(&text)?;
    let bytes = access.body(&headers, body, MODULE_MAX).await?;
    let found = Digest::of(&bytes);
    if found != said {
        let detail = format!("the module's digest is {found}, not {said}");
        return Err(Problem::invalid("digest_mismatch", detail).with("digest", found.to_string()));
    }
    let view = ModuleView { digest: found.to_string(), size_bytes: bytes.len() as u64 };
    let status = if ask(access.client.have_module(found)).await? {
        StatusCode::OK
    } else {
        ask(access.client.put_module(bytes)).await?;
        StatusCode::CREATED
    };
    Ok((status, Json(view)).into_response())
}
