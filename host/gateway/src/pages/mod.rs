//! The web pages: their routes, and who may see them. What they show is filled in from the scheduler's
//! answers ([`fill`]); how it looks is `wasmgrid-pages`.

mod answer;
mod asked;
mod assets;
mod fill;
mod forms;
mod live;
mod login;
mod picture;
mod viewer;
mod wanted;

use axum::{
    Router,
    extract::{DefaultBodyLimit, OriginalUri, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use wasmgrid_pages::{Page as _, plain};

use crate::{api, app::App};
use answer::shown;
use asked::Extent;
use viewer::Viewer;
use wanted::Wanted;

/// Bytes of a form at most.
const FORM_BYTES: usize = 16 << 10;

/// The pages, each with its stream and its parts.
const PAGES: [&str; 9] = [
    "",
    "/jobs",
    "/jobs/{job}",
    "/jobs/{job}/tasks/{index}",
    "/workers",
    "/workers/{name}",
    "/functions",
    "/keys",
    "/about",
];

/// What can be sent, each to a path of its own.
const FORMS: [&str; 6] = [
    "/logout",
    "/jobs/{job}/close",
    "/jobs/{job}/retry",
    "/workers/{name}/cordon",
    "/workers/{name}/uncordon",
    "/workers/{name}/drain",
];

/// Before these are sent, a page asks once more.
const CONFIRMED: [&str; 2] = ["/jobs/{job}/cancel", "/keys/{id}/revoke"];

/// All routes.
pub fn routes() -> Router<App> {
    let mut router = Router::new()
        .route("/login", get(login::page).post(login::take))
        .route("/jobs/{job}/tasks/{index}/picture", get(picture::picture))
        .route("/assets/{hash}/{name}", get(assets::asset));
    for page in PAGES {
        let whole = if page.is_empty() { "/" } else { page };
        router = router
            .route(whole, get(whole_page))
            .route(&format!("{page}/live"), get(live::stream))
            .route(&format!("{page}/part/{{id}}"), get(part));
    }
    for form in FORMS {
        router = router.route(form, post(forms::send));
    }
    for form in CONFIRMED {
        router = router.route(form, get(forms::ask).post(forms::send));
    }
    router.layer(DefaultBodyLimit::max(FORM_BYTES))
}

/// A whole page.
async fn whole_page(State(app): State<App>, viewer: Viewer, wanted: Wanted) -> Response {
    match wanted.load(&app, &viewer, Extent::All).await {
        Ok(page) => shown(StatusCode::OK, page.html(&viewer.shell)),
        Err(problem) => viewer.problem(&app, &wanted.path, &problem),
    }
}

/// One part of a page alone.
async fn part(
    State(app): State<App>,
    viewer: Viewer,
    wanted: Wanted,
    Path(names): Path<std::collections::BTreeMap<String, String>>,
) -> Response {
    let id = names.get("id").map_or("", String::as_str);
    match wanted.load(&app, &viewer, Extent::All).await {
        Ok(page) => match page.part(&viewer.shell, id) {
            Some(inside) => shown(StatusCode::OK, inside),
            None => shown(StatusCode::NOT_FOUND, plain::Problem::no_page().html(&viewer.shell)),
        },
        Err(problem) => viewer.problem(&app, &wanted.path, &problem),
    }
}

/// There is nothing at this path: a browser is told by a page, programs by a problem.
pub async fn nowhere(
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    viewer: Result<Viewer, Response>,
) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_browser = accepted.is_some_and(|accepted| accepted.contains("text/html"));
    if !is_browser || uri.path().starts_with("/v1/") {
        return api::nothing().await.into_response();
    }
    match viewer {
        Ok(viewer) => shown(StatusCode::NOT_FOUND, plain::Problem::no_page().html(&viewer.shell)),
        Err(login) => login,
    }
}
