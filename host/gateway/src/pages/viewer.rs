//! Who looks at a page: a browser with a session. Those without one are sent to the login.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use wasmgrid_pages::{Guest, Liveness, Nav, Page as _, Prose, Shell, plain};
use wasmgrid_proto::Digest;

use super::answer::{onward, shown};
use crate::{
    access::{Access, cookie},
    app::App,
    problem::Problem,
    serve::PeerAddress,
};

/// Stands before a session in what its token against forgery is the digest of.
const FORM: &str = "wasmgrid form\n";

/// A browser that is logged in.
pub struct Viewer {
    /// What it may see.
    pub access: Access,
    /// What all its pages share.
    pub shell: Shell,
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let Some(session) = cookie(&parts.headers) else { return Err(onward("/login")) };
        let from = parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
        match Access::of(app, session, from).await {
            Ok(access) => {
                access.tell(parts);
                Ok(Self::new(app, access, session))
            }
            Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
                Err(onward("/login?ended"))
            }
            Err(problem) => Err(unknown(app, parts.uri.path(), &problem)),
        }
    }
}

impl Viewer {
    fn new(app: &App, access: Access, session: &str) -> Self {
        let shell = Shell {
            grid: Guest::new(app.site.grid.as_str()),
            user: Guest::new(&*access.act_for.tenant),
            role: access.act_for.role,
            csrf: token(session),
            live: Liveness::Live,
        };
        Self { access, shell }
    }

    /// A page of something that cannot be shown.
    pub fn problem(&self, app: &App, path: &str, problem: &Problem) -> Response {
        // Whether another tenant has such a job is not told.
        let job = path.strip_prefix("/jobs/").and_then(|rest| rest.split('/').next());
        let is_hidden = matches!(problem.code(), "no_such_job" | "job_of_other_tenant");
        match job.filter(|_| is_hidden) {
            Some(job) => {
                let page = plain::Problem::no_job(job, None);
                shown(StatusCode::NOT_FOUND, page.html(&self.shell))
            }
            None => shown(problem.status(), page(app, path, problem).html(&self.shell)),
        }
    }

    /// True if a form is of one of this session's pages.
    pub fn sent(&self, token: &str) -> bool {
        // The digests are compared, so that the time tells nothing of the token.
        let digest = |text: &str| Digest::of(text.as_bytes());
        digest(token).equals_in_constant_time(&digest(&self.shell.csrf))
    }
}

/// What each form of a session has; who has it has a page of the session.
fn token(session: &str) -> String {
    Digest::of(format!("{FORM}{session}").as_bytes()).to_string()
}

/// True if a browser says that the request comes from one of the gateway's own pages, or says nothing.
pub fn is_own_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    if let Some(site) = site {
        return matches!(site, b"same-origin" | b"none");
    }
    // Browsers that do not say it so say from where a form comes.
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    host.is_some() && origin == host
}

/// What is shown if it cannot be known who looks.
fn unknown(app: &App, path: &str, problem: &Problem) -> Response {
    let shell = Shell {
        grid: Guest::new(app.site.grid.as_str()),
        user: Guest::default(),
        role: wasmgrid_proto::wire::Role::Client,
        csrf: String::new(),
        live: Liveness::Still,
    };
    let html = page(app, path, problem).html(&shell);
    // Without what a gateway must not keep apart: whether the session is good.
    shown(problem.status(), html).into_response()
}

fn page(app: &App, path: &str, problem: &Problem) -> plain::Problem {
    let nav = match path.split('/').nth(1) {
        Some("") => Nav::Overview,
        Some("jobs") => Nav::Jobs,
        Some("workers") => Nav::Workers,
        Some("functions") => Nav::Functions,
        Some("keys") => Nav::Keys,
        _ => Nav::None,
    };
    if problem.is_away() {
        return plain::Problem::away(path, nav, &app.site.scheduler);
    }
    plain::Problem {
        path: path.into(),
        nav,
        heading: problem.title().trim_end_matches('.').into(),
        text: Prose::default().guest(problem.detail()),
        onward: ("/".into(), "Overview"),
        again: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_session_and_not_the_session() {
        assert_eq!(token("a"), token("a"));
        assert_ne!(token("a"), token("b"));
        assert!(!token("wgk1_secret").contains("secret"));
    }

    #[test]
    fn other_sites_are_told_by_the_browser() {
        let from = |site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", axum::http::HeaderValue::from_static(site));
            is_own_site(&headers)
        };
        assert!(from("same-origin") && from("none") && is_own_site(&HeaderMap::new()));
        assert!(!from("cross-site") && !from("same-site"));
    }
}
