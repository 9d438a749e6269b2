//! Logging in with a code that works once, and logging out.

use axum::{
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Deserialize;
use wasmgrid_client::ClientError;
use wasmgrid_pages::{
    Guest,
    login::{Login, LoginSays},
};
use wasmgrid_proto::{Millis, Reason, Secret};

use super::{
    answer::{onward, shown},
    viewer::is_own_site,
};
use crate::{access::COOKIE, app::App, extract::ask, problem::Problem, serve::PeerAddress};

/// For how long a code works, as the scheduler has it.
const VALID: Millis = Millis(120_000);

/// For how long a browser keeps a session, in seconds; the scheduler ends it then in any case.
const SESSION_S: u32 = 12 * 60 * 60;

/// What stands in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    code: Option<String>,
    ended: Option<String>,
    out: Option<String>,
}

/// The page. Looking at it uses no code up.
pub async fn page(State(app): State<App>, Query(asked): Query<Asked>) -> Response {
    let says = match asked {
        Asked { code: Some(_), .. } => LoginSays::Take,
        Asked { out: Some(_), .. } => LoginSays::LoggedOut,
        Asked { ended: Some(_), .. } => LoginSays::Ended,
        Asked { .. } => LoginSays::Command,
    };
    shown(StatusCode::OK, html(&app, says))
}

fn html(app: &App, says: LoginSays) -> String {
    Login { grid: Guest::new(app.site.grid.as_str()), says, valid: VALID }.html()
}

/// Takes the code, and begins a session.
pub async fn take(
    State(app): State<App>,
    peer: Option<axum::Extension<PeerAddress>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // Another site must not log a browser in as somebody else.
    if !is_own_site(&headers) {
        return Ok(shown(StatusCode::FORBIDDEN, html(&app, LoginSays::Command)));
    }
    let from = peer.map(|axum::Extension(peer)| peer.0.ip());
    app.keys.may_try(from)?;
    let code = asked.code.unwrap_or_default().parse::<Secret>();
    let made = match code {
        Ok(code) => {
            let client = app.clients.get(&*app.grid, None).await?;
            ask(async {
                match client.login(code).await {
                    Ok((_, session)) => Ok(Some(session)),
                    Err(ClientError::Api(error)) if *error.reason == Reason::BadLogin => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?
        }
        Err(_) => None,
    };
    let Some(session) = made else {
        app.keys.count_wrong(from);
        return Ok(shown(StatusCode::FORBIDDEN, html(&app, LoginSays::OldLink)));
    };
    Ok(with_cookie(&app, &session.text(), SESSION_S, "/"))
}

/// Ends the browser's session there.
pub fn logged_out(app: &App) -> Response {
    with_cookie(app, "", 0, "/login?out")
}

fn with_cookie(app: &App, value: &str, seconds: u32, to: &str) -> Response {
    let secure = if app.site.is_plain { "" } else { "; Secure" };
    let cookie =
        format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut response = onward(to);
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
