//! What is done around every request: it is checked before anybody looks at it, its answer gets the
//! headers that protect a browser, and it is counted.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::Instant;
use tracing::{Instrument as _, field::Empty};

use crate::{
    answer::{Asker, settled},
    app::App,
    hosts::check,
    metrics::name,
    trace::trace_id,
};

/// Refuses requests for other hosts and with long URLs, and completes every answer.
pub async fn protect(State(app): State<App>, request: Request, next: Next) -> Response {
    let checked = check(&app.hosts, request.version(), request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in &HEADERS {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

/// Counts a request, and what its answer holds. What is logged on its way has its route, and its tenant and trace if they are known.
pub async fn count(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let (began, method) = (Instant::now(), request.method().clone());
    // Paths that nothing stands for are as many as clients make up.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("other", MatchedPath::as_str).to_owned();
    let (tenant, trace_id) = (Empty, trace_id(request.headers()));
    let span = tracing::info_span!("request", method = name(&method), route, tenant, trace_id);
    let asker = Asker::default();
    request.extensions_mut().insert(asker.clone());
    let is_safe = method.is_safe();
    let answered = async { settled(&asker, is_safe, next.run(request).await).await };
    let response = answered.instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), began.elapsed());
    span.in_scope(|| tracing::debug!(status, seconds = took.as_secs_f64(), "answered"));
    app.metrics.count(route, &method, status, took);
    response
}

/// What every answer has, unless it says otherwise itself.
static HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];
