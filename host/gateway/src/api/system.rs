//! What is no part of `/v1`: the description of the interface, metrics, and whether the gateway lives.

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};

use crate::{access::Access, app::App, extract::ask, metrics, openapi, problem::Problem, ready};

/// The text format of OpenMetrics, as Prometheus reads it.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// This document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "system",
    security(()),
    responses((status = 200, description = "The description of this interface, OpenAPI 3.1")),
)]
pub async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], openapi::document()).into_response()
}

/// What the scheduler and this gateway count, in the text format of OpenMetrics; for operators.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "system",
    responses(
        (status = 200, body = String, content_type = "application/openmetrics-text"),
        (status = 403, description = "The key is not an operator's", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn metrics(State(app): State<App>, access: Access) -> Result<Response, Problem> {
    access.operator()?;
    let (counted, tenants) =
        (ask(access.client.metrics()).await?, ask(access.client.usage()).await?);
    let text = metrics::text(&app.metrics, counted, tenants).map_err(Problem::away)?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

/// Whether the gateway's process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "system",
    security(()),
    responses((status = 200, body = String, content_type = "text/plain")),
)]
pub async fn health() -> &'static str {
    "ok\n"
}

/// Whether the gateway can do its work: its grid answers.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "system",
    security(()),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 503, description = "The grid does not answer", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    ready::check(&app.ready, &app.clients, &*app.grid).await?;
    Ok("ok\n")
}
