//! `GET /v1/jobs/{job}/results`: results from any position of a job's result log, held open if that is
//! wanted. What a slow reader has not taken is bounded by its watch.

use std::io;

use axum::{
    body::Bytes,
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::{FutureExt as _, stream};
use serde::Deserialize;
use wasmgrid_client::{Client, JobEvent};
use wasmgrid_proto::{JobId, Outcome, Parts as Pieces, ResultBlock, ResultMeta};
use wasmgrid_views::{Data, ResultBytes, ResultLine, error};

use super::{
    parts::{Marked, Parts},
    stored::Stored,
};
use crate::{
    access::{Access, Watched},
    answer::{self, PIECE, STALL_TIME},
    bounds::OpenStream,
    counted::Results,
    extract::{At, Params, ask},
    problem::Problem,
};

/// Bytes of a result that is written at once.
const SMALL: usize = 16 << 10;

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
    let watch = Results::watch(&access.client, &access.answers, job, query.cursor, STALL_TIME);
    let (status, results) = ask(watch).await?;
    let reader = Reader {
        results,
        block: None,
        parts: Parts::default(),
        position: query.cursor,
        until: (!query.follow).then_some(status.results),
        format: query.format,
        stored: query.inputs.then(|| Stored::new(job, access.answers.clone())),
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
    let mut response = answer::streamed(access.answers, chunks);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// Ends a connection before its answer is whole, so that nobody takes it for whole.
fn broken(problem: &Problem) -> io::Error {
    tracing::debug!(why = %problem.json(), "a stream of results breaks off");
    io::Error::other(problem.json().to_string())
}

/// Writes results as they come, and no more of them than is taken.
struct Reader {
    results: Results,
    /// The results that came last, of which some were not written.
    block: Option<Block>,
    /// What is left of the result that is being written.
    parts: Parts,
    /// Behind the last result that is being written, or was.
    position: u64,
    /// Where it ends if the job goes on.
    until: Option<u64>,
    format: Format,
    stored: Option<Stored>,
    key: Watched,
    client: Client,
    _open: OpenStream,
}

/// Results that came together.
struct Block {
    attempt: u32,
    worker: u64,
    metas: std::vec::IntoIter<ResultMeta>,
    payload: Bytes,
}

impl Block {
    fn new(block: ResultBlock, payload: Bytes) -> Self {
        let (attempt, worker) = (block.attempt, block.worker.0);
        Self { attempt, worker, metas: block.results.into_iter(), payload }
    }

    /// The next result, with its bytes.
    fn next(&mut self) -> Option<(ResultMeta, Bytes)> {
        let meta = self.metas.next()?;
        let length = usize::try_from(meta.payload_len()).unwrap_or(usize::MAX);
        Some((meta, self.payload.split_to(length.min(self.payload.len()))))
    }
}

impl Reader {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        self.key.check_if_due().await?;
        let mut out = Vec::new();
        loop {
            self.parts.write(&mut out)?;
            if out.len() >= PIECE || !self.advance(&mut out).await? {
                break;
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// Goes on to what comes next; false if there is nothing behind what is written.
    async fn advance(&mut self, out: &mut Vec<u8>) -> Result<bool, Problem> {
        if let Some(block) = self.block.take() {
            self.go_on(out, block).await?;
            return Ok(true);
        }
        // It may have to wait for room.
        self.stored.iter_mut().for_each(Stored::rest);
        if self.until.is_some_and(|until| self.position >= until) {
            return Ok(false);
        }
        let event = if out.is_empty() {
            tokio::select! {
                event = self.results.next() => event,
                lapsed = self.key.lapses() => return Err(lapsed),
            }
        } else {
            // What is there goes first.
            if self.results.waits() {
                return Ok(false);
            }
            let Some(event) = self.results.next().now_or_never() else { return Ok(false) };
            event
        };
        match event.transpose()? {
            Some(JobEvent::Results { first_cursor, block, payload }) => {
                self.position = first_cursor;
                self.block = Some(Block::new(block, payload));
            }
            Some(JobEvent::Update(_)) => {}
            Some(JobEvent::Ended(_)) | None => self.until = Some(self.position),
        }
        Ok(true)
    }

    /// Writes results of a block until there is a piece, or one is written in parts.
    async fn go_on(&mut self, out: &mut Vec<u8>, mut block: Block) -> Result<(), Problem> {
        while out.len() < PIECE && self.parts.is_empty() {
            let Some((meta, bytes)) = block.next() else { return Ok(()) };
            let input = match &mut self.stored {
                Some(stored) => {
                    stored.rest();
                    stored.fetch(&self.client, meta.index).await?;
                    stored.input(meta.index)
                }
                None => None,
            };
            let of = Of { cursor: self.position, attempt: block.attempt, worker: block.worker };
            self.position += 1;
            let is_small = bytes.len() + input.as_ref().map_or(0, Bytes::len) <= SMALL;
            match (self.format, is_small) {
                (Format::Ndjson, true) => at_once(out, of, &meta, &bytes, input.as_deref()),
                (Format::Ndjson, false) => in_parts(&mut self.parts, of, meta, &bytes, input),
                (format, true) => {
                    plain(format, &meta, &bytes, |bytes| out.extend_from_slice(&bytes))
                }
                (format, false) => plain(format, &meta, &bytes, |bytes| self.parts.plain(bytes)),
            }?;
        }
        self.block = Some(block);
        Ok(())
    }
}

/// Of which result a line is.
#[derive(Clone, Copy)]
struct Of {
    cursor: u64,
    attempt: u32,
    worker: u64,
}

/// Writes a line.
fn at_once(
    out: &mut Vec<u8>,
    of: Of,
    meta: &ResultMeta,
    bytes: &[u8],
    input: Option<&[u8]>,
) -> Result<(), Problem> {
    let Pieces { output, records, log } = meta.parts(bytes).map_err(Problem::away)?;
    let input = input.map(Data::from);
    let records = records.map(Data::from).collect();
    let line = line(of, meta, input, (Data::from(output), records, Data::from(log)));
    serde_json::to_writer(&mut *out, &line).map_err(Problem::away)?;
    out.push(b'\n');
    Ok(())
}

/// Has a line written whose bytes are many.
fn in_parts(
    parts: &mut Parts,
    of: Of,
    mut meta: ResultMeta,
    bytes: &Bytes,
    input: Option<Bytes>,
) -> Result<(), Problem> {
    let (output, records, log) = split(&meta, bytes)?;
    let lengths = std::mem::take(&mut meta.record_lens);
    let mut marked = Marked::new()?;
    // In the order in which they stand in the line.
    let input = input.map(|input| marked.data(input));
    let output = marked.data(output);
    let records = marked.list(records, lengths);
    let line = line(of, &meta, input, (output, records, marked.data(log)));
    marked.filled(&line, parts)?;
    parts.plain(Bytes::from_static(b"\n"));
    Ok(())
}

/// A result's output, all its records one behind the other, and its log.
fn split(meta: &ResultMeta, bytes: &Bytes) -> Result<(Bytes, Bytes, Bytes), Problem> {
    let Pieces { output, log, .. } = meta.parts(bytes).map_err(Problem::away)?;
    let (records_at, log_at) = (output.len(), bytes.len() - log.len());
    let log = bytes.slice(log_at..);
    Ok((bytes.slice(..records_at), bytes.slice(records_at.min(log_at)..log_at), log))
}

fn line<'a>(
    of: Of,
    meta: &ResultMeta,
    input: Option<Data<'a>>,
    (output, records, log): (Data<'a>, Vec<Data<'a>>, Data<'a>),
) -> ResultLine<'a> {
    ResultLine {
        index: meta.index,
        from: None,
        input,
        file: None,
        cursor: Some(of.cursor),
        outcome: meta.outcome.name(),
        deterministic: meta.outcome.is_deterministic(),
        bytes: Some(ResultBytes { output, records }),
        output_file: None,
        attempt: of.attempt,
        worker: Some(of.worker),
        usage: meta.usage.into(),
        error: error(&meta.outcome),
        log,
        log_dropped: meta.log_dropped,
    }
}

/// What a task returned and emitted; nothing of one that failed.
fn plain(
    format: Format,
    meta: &ResultMeta,
    bytes: &Bytes,
    mut write: impl FnMut(Bytes),
) -> Result<(), Problem> {
    if meta.outcome != Outcome::Ok {
        return Ok(());
    }
    let (output, records, _) = meta.split(bytes).map_err(Problem::away)?;
    for bytes in records.into_iter().chain([output]) {
        let is_cut = bytes.last().is_some_and(|last| *last != b'\n');
        write(bytes);
        if format == Format::Lines && is_cut {
            write(Bytes::from_static(b"\n"));
        }
    }
    Ok(())
}
