//! What browsers are answered.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::problem::Problem;

/// What pages may load: the gateway's own files and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Answers with HTML.
pub fn shown(status: StatusCode, html: String) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (status, headers, html).into_response()
}

/// Has the browser go to another page.
pub fn onward(to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// There is nothing of that kind at a path.
pub fn nothing() -> Problem {
    let (title, detail) =
        ("There is no such page.", "The address is wrong, or what was there is gone.");
    Problem::new(StatusCode::NOT_FOUND, "no_such_page", title, detail)
}
