//! `POST /v1/jobs/{job}/inputs`: inputs as they stream in. One batch is read while another is appended
//! and a third waits, so that a slow grid slows the sender.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    Json,
    body::{Body, BodyDataStream, Bytes},
    extract::{FromRequest as _, Multipart, Request},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use tokio::sync::mpsc;
use wasmgrid_proto::JobId;
use wasmgrid_views::AppendedView;

use super::{
    pieces::{Batch, Cutter, Form},
    submit::{next_chunk, next_part, no_parts, not_taken},
};
use crate::{
    access::Access,
    body::{self, Pace},
    extract::{At, Params, ask, text},
    problem::Problem,
};

/// Inputs of a request with a producer's number at most: it is one append.
const NUMBERED_INPUTS: usize = 65_536;

/// Bytes of its inputs at most.
const NUMBERED_BYTES: usize = 16 << 20;

/// The header with a producer's number and its request's.
const PRODUCER: &str = "wasmgrid-producer";

/// How inputs are appended.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppendQuery {
    /// Whether no more inputs come after these.
    close: bool,
}

/// Append inputs to an open job, behind whatever it has. They run while the rest of the body comes.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/inputs",
    tag = "jobs",
    params(
        ("job" = u64, Path, description = "The job"),
        ("close" = Option<bool>, Query, description = "True if no more inputs come after these"),
        ("Wasmgrid-Producer" = Option<String>, Header, pattern = "^[0-9]+/[1-9][0-9]*$", description = "`ID/N`: a producer's number, and its request's, from 1. The request is one append of at most 65,536 inputs and 16 MiB, and is done once however often it is repeated"),
    ),
    request_body(
        content(
            (String = "application/x-ndjson"),
            (String = "text/plain"),
            (Vec<u8> = "application/octet-stream"),
            (Vec<u8> = "multipart/form-data"),
        ),
        description = "`application/x-ndjson`: a line, which is a JSON value, is a task. `text/plain`: a line is a task. `application/octet-stream`: the body is one task. `multipart/form-data`: a part is a task",
    ),
    responses(
        (status = 200, description = "All inputs are part of the job", body = crate::schemas::Appended),
        (status = 409, description = "The job takes no more inputs", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
        (status = 422, description = "The body is not what its type says; `appended` says how many inputs before that are part of the job", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn append(
    access: Access,
    At(job): At<u64>,
    Params(AppendQuery { close }): Params<AppendQuery>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let (job, open) = (JobId(job), access.open_stream()?);
    let producer = text(&headers, PRODUCER)?.map(producer).transpose()?;
    let source = Source::of(&headers, request).await?;
    let cutter = Cutter::new(source.form(), access.held());
    let client = &access.client;
    let (first, count) = match producer {
        Some(producer) => {
            let batch = source.whole(cutter).await?;
            access.check().await?;
            let count = batch.count() as u64;
            let (inputs, payload) = batch.block();
            (Some(ask(client.append_as(job, producer, inputs, payload)).await?), count)
        }
        None => stream(&access, job, source, cutter).await?,
    };
    if close {
        ask(client.close(job)).await?;
    }
    let first = match first {
        Some(first) => first,
        None => ask(client.job(job)).await?.counts.total,
    };
    drop(open);
    Ok(Json(AppendedView { job: job.0, first, count }).into_response())
}

/// A producer's number and its request's: `ID/N`.
fn producer(text: &str) -> Result<(u64, u64), Problem> {
    let pair = text.split_once('/');
    let pair = pair.and_then(|(id, number)| Some((id.parse().ok()?, number.parse().ok()?)));
    pair.filter(|(_, number)| *number > 0).ok_or_else(|| {
        let detail = format!("{PRODUCER}: {text:?}: expected ID/N, two whole numbers, N from 1");
        Problem::invalid("producer_invalid", detail)
    })
}

/// Where inputs come from.
enum Source {
    /// A body, and what of it has come and does not fit the batch.
    Body {
        body: BodyDataStream,
        form: Form,
        left: Bytes,
        /// If it is needed as a whole.
        pace: Option<Pace>,
    },
    Parts(Multipart, Pace),
}

impl Source {
    async fn of(headers: &HeaderMap, request: Request<Body>) -> Result<Self, Problem> {
        let kind = text(headers, header::CONTENT_TYPE.as_str())?.unwrap_or_default();
        let plain = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let form = match plain.as_str() {
            "application/x-ndjson" => Form::JsonLines,
            "text/plain" => Form::Lines,
            "application/octet-stream" => Form::Whole,
            "multipart/form-data" => {
                let parts = Multipart::from_request(request, &()).await;
                let parts = parts.map_err(|error| no_parts(&error.body_text()))?;
                return Ok(Self::Parts(parts, Pace::default()));
            }
            _ => return Err(not_taken(kind, TAKEN)),
        };
        let body = request.into_body().into_data_stream();
        let pace = matches!(form, Form::Whole).then(Pace::default);
        Ok(Self::Body { body, form, left: Bytes::new(), pace })
    }

    const fn form(&self) -> Form {
        match self {
            Self::Body { form, .. } => *form,
            Self::Parts(..) => Form::Whole,
        }
    }

    /// Takes what comes next into the batch, which must have room; false at the end.
    async fn fill(&mut self, cutter: &mut Cutter) -> Result<bool, Problem> {
        match self {
            Self::Body { body, left, pace, .. } => {
                if left.is_empty() {
                    let next = body::next(body);
                    let next = match pace {
                        Some(pace) => pace.next(next).await?,
                        None => next.await?,
                    };
                    let Some(chunk) = next else {
                        cutter.end()?;
                        return Ok(false);
                    };
                    pace.iter_mut().for_each(|pace| pace.came(chunk.len()));
                    *left = chunk;
                }
                *left = cutter.push(std::mem::take(left))?;
            }
            Self::Parts(parts, pace) => {
                let Some(mut part) = next_part(parts, pace).await? else { return Ok(false) };
                while let Some(chunk) = next_chunk(&mut part, pace).await? {
                    cutter.push(chunk)?;
                }
                cutter.end()?;
            }
        }
        Ok(true)
    }

    /// Reads to the end, and hands a batch on as soon as somebody waits for one.
    async fn read(mut self, mut cutter: Cutter, out: mpsc::Sender<Batch>) -> Result<(), Problem> {
        loop {
            let more = self.fill(&mut cutter).await?;
            let batch = cutter.batch();
            if !batch.is_empty() {
                let place = match batch.is_full() || !more {
                    true => out.reserve().await.ok(),
                    false => out.try_reserve().ok(),
                };
                place.into_iter().for_each(|place| place.send(cutter.take()));
            }
            // Whoever appends tells why it has stopped.
            if !more || out.is_closed() {
                return Ok(());
            }
        }
    }

    /// Reads to the end what must fit one append.
    async fn whole(mut self, mut cutter: Cutter) -> Result<Batch, Problem> {
        if let Self::Body { pace, .. } = &mut self {
            pace.get_or_insert_default();
        }
        let mut whole = Batch::default();
        loop {
            let more = self.fill(&mut cutter).await?;
            whole.join(cutter.take());
            if whole.count() > NUMBERED_INPUTS || whole.bytes() > NUMBERED_BYTES {
                let detail = format!(
                    "a request of a producer has at most {NUMBERED_INPUTS} inputs and \
                     {NUMBERED_BYTES} bytes; send the others as its next request"
                );
                return Err(Problem::too_large(detail));
            }
            if !more {
                return Ok(whole);
            }
        }
    }
}

/// The types of bodies with inputs.
const TAKEN: &str = "application/x-ndjson, text/plain, application/octet-stream or \
                     multipart/form-data";

/// Appends what comes, until its end or the key's. Gives the index of the first input, if there is
/// one, and how many there are.
async fn stream(
    access: &Access,
    job: JobId,
    source: Source,
    cutter: Cutter,
) -> Result<(Option<u64>, u64), Problem> {
    let (out, batches) = mpsc::channel(1);
    let count = AtomicU64::new(0);
    let told = |problem: Problem| problem.with("appended", count.load(Ordering::Relaxed));
    let mut key = access.watch();
    let (read, append) = (source.read(cutter, out), append_all(access, job, batches, &count));
    tokio::pin!(read, append);
    let read = tokio::select! {
        read = &mut read => read,
        // As long as somebody reads it does not end well.
        appended = &mut append => return appended.map(|first| (first, 0)).map_err(told),
        lapsed = key.lapses() => return Err(told(lapsed)),
    };
    // What was read before an error is appended all the same.
    let first = append.await.map_err(told)?;
    read.map_err(told)?;
    Ok((first, count.load(Ordering::Relaxed)))
}

async fn append_all(
    access: &Access,
    job: JobId,
    mut batches: mpsc::Receiver<Batch>,
    count: &AtomicU64,
) -> Result<Option<u64>, Problem> {
    let (mut producer, mut first) = (access.client.producer(job)?, None);
    while let Some(batch) = batches.recv().await {
        access.check().await?;
        let more = batch.count() as u64;
        let (inputs, payload) = batch.block();
        let at = producer.append(inputs, payload).await?;
        first.get_or_insert(at);
        count.fetch_add(more, Ordering::Relaxed);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_is_two_numbers() {
        assert_eq!(producer("18446744073709551615/1").expect("two"), (u64::MAX, 1));
        for text in ["", "1", "1/", "/1", "1/0", "a/1", "1/2/3", "-1/1"] {
            assert!(producer(text).is_err(), "{text}");
        }
    }
}
