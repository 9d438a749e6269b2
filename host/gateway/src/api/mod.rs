//! The calls of `/v1`, and what answers beside them.

pub mod events;
pub mod functions;
pub mod inputs;
pub mod jobs;
pub mod lists;
pub mod modules;
pub mod results;
pub mod spec;
pub mod submit;
pub mod system;
pub mod tasks;
pub mod workers;

mod given;
mod parts;
mod pieces;
mod stored;

use crate::{app::App, problem::Problem};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    routing::{get, head, post},
};

/// All routes.
pub fn routes() -> Router<App> {
    let function = post(functions::call).put(functions::deploy).delete(functions::delete);
    Router::new()
        .route("/v1/modules", get(lists::modules))
        .route("/v1/modules/{digest}", head(modules::have).put(modules::put))
        .route("/v1/jobs", get(lists::jobs).post(submit::submit))
        .route("/v1/jobs/{job}", get(jobs::job))
        .route("/v1/jobs/{job}/inputs", post(inputs::append))
        .route("/v1/jobs/{job}/results", get(results::results))
        .route("/v1/jobs/{job}/events", get(events::events))
        .route("/v1/jobs/{job}/explain", get(jobs::explain))
        .route("/v1/jobs/{job}/divergences", get(jobs::divergences))
        .route("/v1/jobs/{job}/close", post(jobs::close))
        .route("/v1/jobs/{job}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{job}/retry", post(jobs::retry))
        .route("/v1/jobs/{job}/tasks/{index}", get(tasks::task))
        .route("/v1/jobs/{job}/tasks/{index}/input", get(tasks::input))
        .route("/v1/jobs/{job}/tasks/{index}/output", get(tasks::output))
        .route("/v1/jobs/{job}/tasks/{index}/log", get(tasks::log))
        .route("/v1/functions", get(functions::list))
        .route("/v1/functions/{name}", function)
        .route("/v1/workers", get(lists::workers))
        .route("/v1/workers/{name}", get(workers::worker))
        .route("/v1/workers/{name}/cordon", post(workers::cordon))
        .route("/v1/workers/{name}/uncordon", post(workers::uncordon))
        .route("/v1/workers/{name}/drain", post(workers::drain))
        .route("/v1/openapi.json", get(system::openapi))
        .route("/metrics", get(system::metrics))
        .route("/healthz", get(system::health))
        .route("/readyz", get(system::ready))
        .method_not_allowed_fallback(other_method)
        // Bodies are read with bounds of their own.
        .layer(DefaultBodyLimit::disable())
}

/// There is nothing at a path.
pub async fn nothing() -> Problem {
    let (title, detail) =
        ("There is nothing at this path.", "see /v1/openapi.json for what there is");
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", title, detail)
}

async fn other_method() -> Problem {
    let (title, detail) =
        ("The path has no such method.", "the header Allow has those that it has");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", title, detail)
}
