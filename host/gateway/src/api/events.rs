//! `GET /v1/jobs/{job}/events`: how a job stands, as server-sent events. Each event is the whole state,
//! so nothing is lost between two connections.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde::Serialize;
use wasmgrid_client::{JobEvent, JobStream};
use wasmgrid_proto::{JobId, JobState, JobStatus};
use wasmgrid_views::CountsView;

use crate::{
    access::{Access, Watched},
    answer,
    bounds::OpenStream,
    extract::{At, ask, text},
    problem::Problem,
};

/// How often something is sent if nothing happens: proxies end connections that are silent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How a job stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProgressView {
    /// The job.
    job: u64,
    /// `active`, or how it ended.
    #[schema(value_type = String)]
    state: JobState,
    /// False while inputs may be appended.
    closed: bool,
    /// Its tasks by state.
    counts: CountsView,
    /// How many results there are.
    results: u64,
}

/// How a job stands, now and whenever that changes: events `progress`, and `end` as the last one. A
/// client that comes back with the id of the last event is answered 204, which ends an `EventSource`.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/events",
    tag = "jobs",
    params(
        ("job" = u64, Path, description = "The job"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received"),
    ),
    responses(
        (status = 200, description = "Events; the data of each is an object", body = ProgressView, content_type = "text/event-stream"),
        (status = 204, description = "The last event was received"),
    ),
)]
pub async fn events(
    access: Access,
    At(job): At<u64>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let open = access.open_stream()?;
    let last = text(&headers, "last-event-id")?.map(str::to_owned);
    // No results: only how the job stands.
    let (status, updates) = ask(access.client.watch(JobId(job), u64::MAX)).await?;
    if status.state.is_terminal() && last.as_deref() == Some(id(&status).as_str()) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (key, answers) = (access.watch(), access.answers);
    let events = Events { next: Some(status), last, updates, key, over: false, _open: open };
    let chunks = stream::unfold(events, |mut events| async move {
        let chunk = events.next().await?;
        Some((Ok(chunk), events))
    });
    let mut response = answer::streamed(answers, chunks);
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Names a state: the same state has the same id wherever it is asked for.
fn id(status: &JobStatus) -> String {
    let counts = &status.counts;
    format!(
        "{}.{}.{}.{}.{}.{}.{}",
        status.state,
        u8::from(status.closed),
        counts.total,
        counts.ended(),
        counts.failed,
        counts.running,
        status.results
    )
}

struct Events {
    /// What is told next, if it is known.
    next: Option<JobStatus>,
    /// The id of what was told last.
    last: Option<String>,
    updates: JobStream,
    key: Watched,
    over: bool,
    _open: OpenStream,
}

impl Events {
    /// The next event as text; `None` after the last.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            let status = match self.next.take() {
                Some(status) => status,
                None => match self.wait().await {
                    Ok(Some(status)) => status,
                    Ok(None) => return Some(Bytes::from_static(b":\n\n")),
                    Err(problem) => {
                        self.over = true;
                        return Some(event("problem", None, &problem.json()));
                    }
                },
            };
            let id = id(&status);
            let ended = status.state.is_terminal();
            self.over = ended;
            if self.last.as_ref() == Some(&id) && !ended {
                continue;
            }
            self.last = Some(id.clone());
            let name = if ended { "end" } else { "progress" };
            return Some(event(name, Some(&id), &ProgressView::from(&status)));
        }
        None
    }

    /// How the job stands next; `None` if it was silent for long.
    async fn wait(&mut self) -> Result<Option<JobStatus>, Problem> {
        loop {
            let event = tokio::select! {
                event = self.updates.next() => event,
                lapsed = self.key.lapses() => return Err(lapsed),
                () = tokio::time::sleep(SIGN_OF_LIFE) => return Ok(None),
            };
            match event.transpose()? {
                Some(JobEvent::Update(status) | JobEvent::Ended(status)) => {
                    return Ok(Some(status));
                }
                Some(JobEvent::Results { .. }) => {}
                None => return Err(Problem::away("the job's events have ended")),
            }
        }
    }
}

/// An event as it is sent. JSON has no line ends in it.
fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n").into()
}

impl From<&JobStatus> for ProgressView {
    fn from(status: &JobStatus) -> Self {
        Self {
            job: status.job.0,
            state: status.state,
            closed: status.closed,
            counts: CountsView::from(&status.counts),
            results: status.results,
        }
    }
}
