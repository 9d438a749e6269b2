//! What is no part of `/v1`: the description of the interface, metrics, and whether the gateway lives.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};

use crate::{
    access::Access,
    app::App,
    extract::ask,
    metrics::{self, Format},
    openapi,
    problem::Problem,
    ready,
};

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

/// What the scheduler and this gateway count, for operators: as OpenMetrics if the header Accept names it,
/// else in the older text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "system",
    responses(
        (status = 200, content(
            (String = "text/plain"),
            (String = "application/openmetrics-text"),
        )),
        (status = 403, description = "The key is not an operator's", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn metrics(
    State(app): State<App>,
    access: Access,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access.operator()?;
    let (counted, tenants) =
        (ask(access.client.metrics()).await?, ask(access.client.usage()).await?);
    let text = metrics::of_scheduler(&app.metrics, counted, tenants).map_err(Problem::away)?;
    Ok(Format::of(&headers).answer(text))
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

/// Whether the gateway can do its work: its grid answers, and can store what it is given.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "system",
    security(()),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 503, description = "The grid does not answer, or cannot store anything", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    ready::check(&app.ready, &app.clients, &*app.grid).await?;
    Ok("ok\n")
}
