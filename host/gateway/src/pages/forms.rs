//! What browsers send: each form has its session's token, so that no other site can send one.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::{Form, FromRequest as _, MatchedPath, OriginalUri, Path, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use wasmgrid_pages::{
    CSRF_FIELD, Guest, Page as _,
    cancel::{AtStake, Confirm},
    path_part, plain,
};
use wasmgrid_proto::{JobId, KeyId};

use super::{
    answer::{nothing, onward, shown},
    login::logged_out,
    viewer::{Viewer, is_own_site},
};
use crate::{app::App, extract::ask as answered, problem::Problem};

/// The parts of a path by their names.
type Names = BTreeMap<String, String>;

/// Does what a form asks for, and has the browser look at what became of it.
pub async fn send(
    State(app): State<App>,
    viewer: Viewer,
    matched: MatchedPath,
    OriginalUri(uri): OriginalUri,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let form = match read(&viewer, &headers, body).await {
        Ok(form) => form,
        Err(problem) => return viewer.problem(&app, uri.path(), &problem),
    };
    let token = form.get(CSRF_FIELD).map_or("", String::as_str);
    if !is_own_site(&headers) || !viewer.sent(token) {
        let page = plain::Problem::forged().html(&viewer.shell);
        return shown(StatusCode::FORBIDDEN, page);
    }
    if matched.as_str() == "/logout" {
        return match log_out(&viewer).await {
            Ok(()) => logged_out(&app),
            Err(problem) => viewer.problem(&app, "/", &problem),
        };
    }
    match done(&viewer, matched.as_str(), &names).await {
        Ok(to) => onward(&to),
        Err(problem) => viewer.problem(&app, uri.path(), &problem),
    }
}

/// Bytes of a form at most: a token, and no text.
const FORM_MAX: usize = 16 << 10;

/// What a browser sends, whose session is good still.
async fn read(viewer: &Viewer, headers: &HeaderMap, body: Body) -> Result<Names, Problem> {
    let bytes = viewer.access.body(headers, body, FORM_MAX).await?;
    let mut request = Request::new(Body::from(bytes));
    *request.method_mut() = Method::POST;
    let kind = headers.get(header::CONTENT_TYPE).cloned();
    kind.map(|kind| request.headers_mut().insert(header::CONTENT_TYPE, kind));
    let form = Form::<Names>::from_request(request, &()).await;
    form.map(|Form(form)| form).map_err(|error| Problem::invalid("body_invalid", error.body_text()))
}

/// The session is good no more, for whoever has it.
async fn log_out(viewer: &Viewer) -> Result<(), Problem> {
    let Ok(id) = viewer.access.key().parse::<KeyId>() else { return Ok(()) };
    answered(viewer.access.client.revoke_key(id)).await
}

/// Where to look then.
async fn done(viewer: &Viewer, form: &str, names: &Names) -> Result<String, Problem> {
    let client = &viewer.access.client;
    match form {
        "/jobs/{job}/close" => {
            let job = job(names)?;
            answered(client.close(job)).await?;
            Ok(format!("/jobs/{job}"))
        }
        "/jobs/{job}/cancel" => {
            let job = job(names)?;
            answered(client.cancel(job)).await?;
            Ok(format!("/jobs/{job}"))
        }
        "/jobs/{job}/retry" => {
            let again = answered(client.retry_once(job(names)?, None, None)).await?;
            Ok(format!("/jobs/{}", again.job))
        }
        "/keys/{id}/revoke" => {
            answered(client.revoke_key(key(names)?)).await?;
            Ok("/keys".into())
        }
        worker => {
            let name = names.get("name").map_or("", String::as_str);
            match worker.rsplit('/').next() {
                Some("cordon") => answered(client.cordon(name, true)).await?,
                Some("uncordon") => answered(client.cordon(name, false)).await?,
                Some("drain") => answered(client.drain(name)).await?,
                _ => return Err(nothing()),
            }
            Ok(format!("/workers/{}", path_part(name)))
        }
    }
}

/// The page that asks once more.
pub async fn ask(
    State(app): State<App>,
    viewer: Viewer,
    matched: MatchedPath,
    OriginalUri(uri): OriginalUri,
    Path(names): Path<Names>,
) -> Response {
    match question(&viewer, matched.as_str(), &names).await {
        Ok(page) => shown(StatusCode::OK, page.html(&viewer.shell)),
        Err(problem) => viewer.problem(&app, uri.path(), &problem),
    }
}

async fn question(viewer: &Viewer, form: &str, names: &Names) -> Result<Confirm, Problem> {
    let client = &viewer.access.client;
    if form == "/keys/{id}/revoke" {
        let id = key(names)?;
        let keys = answered(client.keys()).await?;
        let key = keys.into_iter().find(|key| key.id == id).ok_or_else(nothing)?;
        return Ok(Confirm::revoke(&id.to_string(), Guest::new(&*key.name)));
    }
    let status = answered(client.job(job(names)?)).await?;
    let counts = status.counts;
    let stake = AtStake { queued: counts.queued, running: counts.running, results: status.results };
    let name = Guest::new(status.spec.name.as_str());
    Ok(Confirm::cancel(status.job, name, stake, !status.closed))
}

fn job(names: &Names) -> Result<JobId, Problem> {
    let number = names.get("job").and_then(|number| number.parse().ok());
    number.map(JobId).ok_or_else(nothing)
}

fn key(names: &Names) -> Result<KeyId, Problem> {
    names.get("id").and_then(|id| id.parse().ok()).ok_or_else(nothing)
}
