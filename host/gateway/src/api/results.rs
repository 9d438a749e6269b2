//! `GET /v1/jobs/{job}/results`: results from any position of a job's result log, held open if that is
//! wanted. What a slow reader has not taken is bounded by its watch.

use std::io;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::{FutureExt as _, stream};
use serde::Deserialize;
use wasmgrid_client::{Client, JobEvent, JobStream};
use wasmgrid_proto::{JobId, Outcome, Parts, ResultBlock, ResultMeta};
use wasmgrid_views::{Data, ResultBytes, ResultLine, error};

use super::stored::{Stored, shown};
use crate::{
    access::{Access, Watched},
    bounds::OpenStream,
    extract::{At, Params, ask},
    problem::Problem,
};

/// Bytes that are sent together, unless fewer are there.
const CHUNK: usize = 64 << 10;

/// Which results, and how.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResultsQuery {
    cursor: u64,
    follow: bool,
    format: Format,
    inputs: bool,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// An object a line.
    #[default]
    Ndjson,
    /// Records and outputs alone, as they are.
    Raw,
    /// The same, each as a line.
    Lines,
}

/// Results, in the order in which they were committed, each with its cursor. A stream that breaks off is
/// continued from the cursor behind the last result.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/results",
    tag = "jobs",
    params(
        ("job" = u64, Path, description = "The job"),
        ("cursor" = Option<u64>, Query, description = "The first position of the result log; 0 if it is left out"),
        ("follow" = Option<bool>, Query, description = "True to be sent further results until the job has ended"),
        ("format" = Option<String>, Query, description = "`ndjson` (an object a line), `raw` (what tasks returned and emitted, one behind the other) or `lines` (the same, each as a line)"),
        ("inputs" = Option<bool>, Query, description = "True to have each result with its input, as long as the grid keeps it"),
    ),
    responses(
        (status = 200, description = "Results", content(
            (crate::schemas::ResultObject = "application/x-ndjson"),
            (Vec<u8> = "application/octet-stream"),
        )),
        (status = 410, description = "Results were deleted; `next` is the first cursor that is left, if there is one", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn results(
    access: Access,
    At(job): At<u64>,
    Params(query): Params<ResultsQuery>,
) -> Result<Response, Problem> {
    let (job, open) = (JobId(job), access.open_stream()?);
    let (status, stream) = ask(access.client.watch(job, query.cursor)).await?;
    let reader = Reader {
        results: stream,
        position: query.cursor,
        until: (!query.follow).then_some(status.results),
        format: query.format,
        stored: query.inputs.then(|| Stored::new(job)),
        key: access.watch(),
        client: access.client,
        _open: open,
    };
    let kind = match query.format {
        Format::Ndjson => "application/x-ndjson",
        Format::Raw | Format::Lines => "application/octet-stream",
    };
    let chunks = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(None) => None,
            Ok(Some(chunk)) => Some((Ok(chunk), Some(reader))),
            Err(problem) => Some((Err(broken(&problem)), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// Ends a connection before its answer is whole, so that nobody takes it for whole.
fn broken(problem: &Problem) -> io::Error {
    tracing::debug!(why = %problem.json(), "a stream of results breaks off");
    io::Error::other(problem.json().to_string())
}

/// Writes results as they come.
struct Reader {
    results: JobStream,
    /// Behind the last result that was written.
    position: u64,
    /// Where it ends if the job goes on.
    until: Option<u64>,
    format: Format,
    stored: Option<Stored>,
    key: Watched,
    client: Client,
    _open: OpenStream,
}

impl Reader {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        self.key.check_if_due().await?;
        let mut out = Vec::new();
        while out.len() < CHUNK {
            if self.until.is_some_and(|until| self.position >= until) {
                break;
            }
            let event = if out.is_empty() {
                tokio::select! {
                    event = self.results.next() => event,
                    lapsed = self.key.lapses() => return Err(lapsed),
                }
            } else {
                // What is there goes first.
                let Some(event) = self.results.next().now_or_never() else { break };
                event
            };
            match event.transpose()? {
                Some(JobEvent::Results { first_cursor, block, payload }) => {
                    self.write(&mut out, first_cursor, &block, &payload).await?;
                }
                Some(JobEvent::Update(_)) => {}
                Some(JobEvent::Ended(_)) | None => {
                    self.until = Some(self.position);
                }
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    async fn write(
        &mut self,
        out: &mut Vec<u8>,
        first: u64,
        block: &ResultBlock,
        payload: &Bytes,
    ) -> Result<(), Problem> {
        let entries = block.entries(payload).map_err(Problem::away)?;
        for (cursor, (meta, bytes)) in (first..).zip(entries) {
            let input = match &mut self.stored {
                Some(stored) => {
                    stored.fetch(&self.client, meta.index).await?;
                    stored.input(meta.index)
                }
                None => None,
            };
            let parts = meta.parts(&bytes).map_err(Problem::away)?;
            match self.format {
                Format::Ndjson => {
                    let line = line(cursor, block, meta, parts, shown(input.as_ref()));
                    serde_json::to_writer(&mut *out, &line).map_err(Problem::away)?;
                    out.push(b'\n');
                }
                Format::Raw | Format::Lines => plain(out, self.format, meta, parts),
            }
            self.position = cursor + 1;
        }
        Ok(())
    }
}

fn line<'a>(
    cursor: u64,
    block: &ResultBlock,
    meta: &ResultMeta,
    parts: Parts<'a, impl Iterator<Item = &'a [u8]>>,
    input: Option<Data<'a>>,
) -> ResultLine<'a> {
    let Parts { output, records, log } = parts;
    ResultLine {
        index: meta.index,
        from: None,
        input,
        file: None,
        cursor: Some(cursor),
        outcome: meta.outcome.name(),
        deterministic: meta.outcome.is_deterministic(),
        bytes: Some(ResultBytes {
            output: Data::from(output),
            records: records.map(Data::from).collect(),
        }),
        output_file: None,
        attempt: block.attempt,
        worker: Some(block.worker.0),
        usage: meta.usage.into(),
        error: error(&meta.outcome),
        log: Data::from(log),
        log_dropped: meta.log_dropped,
    }
}

/// What a task returned and emitted; nothing of one that failed.
fn plain<'a>(
    out: &mut Vec<u8>,
    format: Format,
    meta: &ResultMeta,
    parts: Parts<'a, impl Iterator<Item = &'a [u8]>>,
) {
    if meta.outcome != Outcome::Ok {
        return;
    }
    let Parts { output, records, .. } = parts;
    for bytes in records.chain([output]) {
        out.extend_from_slice(bytes);
        if format == Format::Lines && bytes.last().is_some_and(|last| *last != b'\n') {
            out.push(b'\n');
        }
    }
}
