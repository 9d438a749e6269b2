//! Who asks: the key of a request, and the client that acts for its tenant.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
};
use tokio::time::Instant;
use wasmgrid_client::Client;
use wasmgrid_proto::wire::Role;

use crate::{
    answer::Asker,
    app::App,
    body::whole,
    bounds::{Held, OpenStream, shares::Share},
    grid::ActFor,
    keys::{BELIEVED, wrong},
    problem::Problem,
    serve::PeerAddress,
};

/// The name of the cookie with a browser's session, whose value is a key.
pub const COOKIE: &str = "wasmgrid_session";

/// Somebody with a key that is good, and the grid as it sees it.
pub struct Access {
    /// Asks the grid for it.
    pub client: Client,
    /// Whom the gateway speaks for.
    pub act_for: ActFor,
    /// What its tenant may hold of answers.
    pub answers: Share,
    key: String,
    text: Arc<str>,
    app: App,
}

impl Access {
    /// Refuses everybody but operators. The scheduler does so too where it is asked.
    ///
    /// # Errors
    /// If the key is not an operator's.
    pub fn operator(&self) -> Result<(), Problem> {
        if self.act_for.role == Role::Operator {
            return Ok(());
        }
        let (title, detail) = ("The role does not allow it.", "the key is not an operator's");
        Err(Problem::new(StatusCode::FORBIDDEN, "role_not_allowed", title, detail))
    }

    /// The key's number.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Counts a stream of the key, which may be open for long.
    ///
    /// # Errors
    /// If the key has too many.
    pub fn open_stream(&self) -> Result<OpenStream, Problem> {
        self.app.bounds.open(&self.key, &self.act_for.tenant)
    }

    /// Counts a page of the key that goes on by itself.
    ///
    /// # Errors
    /// If the key has too many.
    pub fn open_page(&self) -> Result<OpenStream, Problem> {
        self.app.bounds.open_page(&self.key, &self.act_for.tenant)
    }

    /// Room for what is read of the request.
    pub fn held(&self) -> Held {
        self.app.bounds.held(&self.act_for.tenant)
    }

    /// Reads a body that has at most so many bytes, and looks at the key again: it may have been revoked
    /// while the body came. The bytes own the room that they take.
    ///
    /// # Errors
    /// If it has more, comes too slowly or ends early, or if the key is good no more.
    pub async fn body(
        &self,
        headers: &HeaderMap,
        body: Body,
        most: usize,
    ) -> Result<Bytes, Problem> {
        let bytes = whole(headers, body, most, self.held()).await?;
        self.check().await?;
        Ok(bytes)
    }

    /// Looks at the key again, after something that takes long.
    ///
    /// # Errors
    /// If it is good no more.
    pub async fn check(&self) -> Result<(), Problem> {
        self.app.keys.check(&*self.app.grid, &self.text, None).await.map(|_| ())
    }

    /// Looks again and again whether the key is still good.
    pub fn watch(&self) -> Watched {
        let next = Instant::now() + BELIEVED;
        Watched { app: Arc::clone(&self.app), text: Arc::clone(&self.text), next }
    }
}

/// A key whose stream is open.
pub struct Watched {
    app: App,
    text: Arc<str>,
    next: Instant,
}

impl Watched {
    /// Returns once the key is good no more, or the gateway stops. Cancel safe.
    pub async fn lapses(&mut self) -> Problem {
        let stop = self.app.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Problem::stopping(),
                () = tokio::time::sleep_until(self.next) => {}
            }
            if let Err(problem) = self.check().await {
                return problem;
            }
        }
    }

    /// The same for a stream that always has something to do: looks if it is time.
    ///
    /// # Errors
    /// If the key is good no more, or the gateway stops.
    pub async fn check_if_due(&mut self) -> Result<(), Problem> {
        if self.app.stop.is_cancelled() {
            return Err(Problem::stopping());
        }
        if Instant::now() < self.next { Ok(()) } else { self.check().await }
    }

    async fn check(&mut self) -> Result<(), Problem> {
        let app = &self.app;
        let checked = app.keys.check(&*app.grid, &self.text, None).await;
        self.next = Instant::now() + BELIEVED;
        match checked {
            // While the grid is away nobody can say; what was sent before was allowed.
            Err(problem) if problem.status() != StatusCode::UNAUTHORIZED => {
                tracing::debug!(status = %problem.status(), "a key could not be checked");
                Ok(())
            }
            checked => checked.map(|_| ()),
        }
    }
}

impl FromRequestParts<App> for Access {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let from = parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
        let text = presented(&parts.method, &parts.headers)?;
        let access = Self::of(app, text, from).await?;
        access.tell(parts);
        Ok(access)
    }
}

impl Access {
    /// That of a key.
    ///
    /// # Errors
    /// If it is nobody's, or the grid cannot be reached.
    pub async fn of(app: &App, text: &str, from: Option<IpAddr>) -> Result<Self, Problem> {
        let key = app.keys.check(&*app.grid, text, from).await?;
        tracing::Span::current().record("tenant", &*key.act_for.tenant);
        let client = app.clients.get(&*app.grid, Some(&key.act_for)).await?;
        let answers = app.bounds.answers(&key.act_for.tenant);
        Ok(Self {
            client,
            act_for: key.act_for,
            answers,
            key: key.id,
            text: text.into(),
            app: Arc::clone(app),
        })
    }
}

impl Access {
    /// Says whose answer it will be.
    pub fn tell(&self, parts: &Parts) {
        if let Some(asker) = parts.extensions.get::<Asker>() {
            asker.is(&self.answers);
        }
    }
}

/// The key that a request presents: its bearer token, or a browser's cookie.
fn presented<'a>(method: &Method, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| wrong())?;
        let (scheme, key) = value.split_once(' ').ok_or_else(wrong)?;
        return if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(wrong()) };
    }
    let text = cookie(headers).ok_or_else(wrong)?;
    // A browser sends it with every request; only those of the gateway's own pages may change things.
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if method.is_safe() || site == Some("same-origin") {
        return Ok(text);
    }
    let title = "The request comes from another site.";
    let detail = "a session changes something only from the gateway's own pages; use a key";
    Err(Problem::new(StatusCode::FORBIDDEN, "other_site", title, detail))
}

/// The session of a browser.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_key_is_a_bearer_token_or_a_cookie_of_the_same_site() {
        let bearer = headers(&[("authorization", "bearer  abc")]);
        assert_eq!(presented(&Method::POST, &bearer).expect("a key"), "abc");
        let session = ("cookie", "a=b; wasmgrid_session=xyz; c=d");
        assert_eq!(presented(&Method::GET, &headers(&[session])).expect("a key"), "xyz");
        assert!(presented(&Method::POST, &headers(&[session])).is_err());
        let cross = headers(&[session, ("sec-fetch-site", "cross-site")]);
        assert!(presented(&Method::POST, &cross).is_err());
        let own = headers(&[session, ("sec-fetch-site", "same-origin")]);
        assert_eq!(presented(&Method::POST, &own).expect("a key"), "xyz");
        for wrong in
            [&[][..], &[("authorization", "Basic abc")], &[("cookie", "wasmgrid_sessions=x")]]
        {
            assert!(presented(&Method::GET, &headers(wrong)).is_err());
        }
    }
}
