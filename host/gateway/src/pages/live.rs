//! The stream of a page: its parts as they change, each no more often than it says.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use tokio::time::Instant;
use wasmgrid_pages::{LivePart, event};
use wasmgrid_proto::Digest;

use super::{asked::Extent, viewer::Viewer, wanted::Wanted};
use crate::{
    access::{Watched, cookie},
    answer,
    app::App,
    bounds::OpenStream,
    problem::Problem,
};

/// How often a page is looked at.
const BEAT: Duration = Duration::from_secs(1);

/// How often something is sent if nothing changes: proxies end connections that are silent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// The stream of a page.
pub async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    viewer: Result<Viewer, Response>,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let Ok(viewer) = viewer else {
        // A stream has no use for the page of the login.
        let is_known = cookie(&headers).is_some();
        let status = if is_known { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        return Ok(status.into_response());
    };
    let open = viewer.access.open_page()?;
    let (key, answers) = (viewer.access.watch(), viewer.access.answers.clone());
    let live = Live {
        app,
        viewer,
        wanted,
        key,
        sent: BTreeMap::new(),
        beat_at: Instant::now(),
        said_at: Instant::now(),
        parts: &[],
        is_over: false,
        _open: open,
    };
    let chunks = stream::unfold(live, |mut live| async move {
        let chunk = live.next().await?;
        Some((Ok(chunk), live))
    });
    let mut response = answer::streamed(answers, chunks);
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

struct Live {
    app: App,
    viewer: Viewer,
    wanted: Wanted,
    key: Watched,
    /// What was sent of each part, as its digest, and when.
    sent: BTreeMap<&'static str, (Digest, Instant)>,
    beat_at: Instant,
    said_at: Instant,
    /// The parts that it has, or had as long as it went on.
    parts: &'static [LivePart],
    is_over: bool,
    _open: OpenStream,
}

impl Live {
    /// What is sent next; `None` if the page cannot be shown any more: the browser asks again.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            tokio::select! {
                _ = self.key.lapses() => return None,
                () = tokio::time::sleep_until(self.beat_at) => {}
            }
            self.beat_at = Instant::now() + BEAT;
            let changed = self.changed().await?;
            if !changed.is_empty() {
                self.said_at = Instant::now();
                return Some(changed.into());
            }
            if self.said_at.elapsed() >= SIGN_OF_LIFE {
                self.said_at = Instant::now();
                return Some(Bytes::from_static(b":\n\n"));
            }
        }
        None
    }

    /// The parts that are due and differ from what was sent, as events.
    async fn changed(&mut self) -> Option<String> {
        let is_due = |part: &LivePart| {
            let since = self.sent.get(part.id).map(|(_, at)| at.elapsed());
            // A beat is never quite a second.
            let wait = Duration::from_millis(part.cadence.millis()).saturating_sub(BEAT / 4);
            since.is_none_or(|since| since >= wait)
        };
        let results_due = self
            .sent
            .get("results")
            .is_none_or(|(_, at)| at.elapsed() + BEAT / 4 >= Duration::from_secs(5));
        let extent = if results_due { Extent::All } else { Extent::WithoutResults };
        let page = self.wanted.load(&self.app, &self.viewer, extent).await.ok()?;
        if page.live_parts().is_empty() {
            // It has ended. The last of each part is sent; the browser loads the page anew, which is
            // without a stream.
            self.is_over = true;
        } else {
            self.parts = page.live_parts();
        }
        let is_over = self.is_over;
        let due: Vec<LivePart> =
            self.parts.iter().copied().filter(|part| is_over || is_due(part)).collect();
        let mut events = String::new();
        for part in due {
            if part.id == "results" && extent == Extent::WithoutResults {
                continue;
            }
            let Some(inside) = page.part(&self.viewer.shell, part.id) else { continue };
            let digest = Digest::of(inside.as_bytes());
            let before = self.sent.insert(part.id, (digest, Instant::now()));
            if before.is_none_or(|(before, _)| before != digest) {
                events.push_str(&event(part.id, &inside));
            }
        }
        Some(events)
    }
}
