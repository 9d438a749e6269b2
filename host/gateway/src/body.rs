//! The bodies of requests: read as they come, up to a bound.

use axum::{
    body::{Body, BodyDataStream, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use serde::{de::DeserializeOwned, ser::Error as _};
use tokio::time::{Duration, timeout};

use crate::{bounds::Bounds, problem::Problem};

/// For how long the next bytes of a body may take that is needed as a whole.
const NEXT_BYTES: Duration = Duration::from_secs(30);

/// Reads a body that has at most so many bytes. They own the room that they take.
///
/// # Errors
/// If it has more, comes too slowly, or ends early.
pub async fn whole(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    bounds: &Bounds,
) -> Result<Bytes, Problem> {
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    check(declared.unwrap_or_default(), most)?;
    let (mut stream, mut held) = (body.into_data_stream(), bounds.held());
    let mut bytes = BytesMut::new();
    while let Some(chunk) = next_in_time(&mut stream).await? {
        check(bytes.len() + chunk.len(), most)?;
        held.set(bytes.len() + chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(held.keep(bytes.freeze()))
}

fn check(bytes: usize, most: usize) -> Result<(), Problem> {
    if bytes > most {
        return Err(Problem::too_large(format!("the body has more than {most} bytes")));
    }
    Ok(())
}

async fn next_in_time(stream: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    match timeout(NEXT_BYTES, next(stream)).await {
        Ok(next) => next,
        Err(_) => {
            let (title, detail) = ("The body came too slowly.", "the next bytes took too long");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", title, detail))
        }
    }
}

/// What a JSON object says. Serde would also take a list of the fields' values for one.
///
/// # Errors
/// What is wrong with it, and where.
pub fn object<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    if json.trim_ascii_start().first() == Some(&b'{') {
        serde_json::from_slice(json)
    } else {
        Err(serde_json::Error::custom("expected a JSON object"))
    }
}

/// The next bytes of a body; `None` at its end.
///
/// # Errors
/// If it ends early.
pub async fn next(stream: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    stream.next().await.transpose().map_err(|error| cut(&error))
}

/// A body ended before it was whole.
pub fn cut(error: &dyn std::fmt::Display) -> Problem {
    let title = "The body did not come whole.";
    Problem::new(StatusCode::BAD_REQUEST, "body_cut", title, error)
}
