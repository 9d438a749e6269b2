//! The bodies of requests: read as they come, up to a bound.

use axum::{
    body::{Body, BodyDataStream, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use serde::{de::DeserializeOwned, ser::Error as _};
use tokio::time::{Duration, Instant, timeout};

use crate::{bounds::Held, problem::Problem};

/// For how long the next bytes of a body may take that is needed as a whole.
const NEXT_BYTES: Duration = Duration::from_secs(30);

/// How long such a body may take in any case, and how fast it must be after that, in bytes a second.
const START: Duration = Duration::from_secs(60);
const LEAST_RATE: usize = 16 << 10;

/// Reads a body that has at most so many bytes. They own the room that they take.
///
/// # Errors
/// If it has more, comes too slowly, or ends early.
pub async fn whole(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    mut held: Held,
) -> Result<Bytes, Problem> {
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    check(declared.unwrap_or_default(), most)?;
    let (mut stream, mut pace) = (body.into_data_stream(), Pace::default());
    let mut bytes = BytesMut::new();
    while let Some(chunk) = pace.next(next(&mut stream)).await? {
        pace.came(chunk.len());
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

/// How fast a body comes that is needed as a whole. Time in which the gateway itself is slow does not count.
#[derive(Default)]
pub struct Pace {
    waited: Duration,
    bytes: usize,
}

impl Pace {
    /// Waits for the next part of a body.
    ///
    /// # Errors
    /// If it takes too long, or all of it comes too slowly.
    pub async fn next<T>(
        &mut self,
        part: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let seconds = (self.bytes / LEAST_RATE) as u64;
        let left = (START + Duration::from_secs(seconds)).saturating_sub(self.waited);
        let begun = Instant::now();
        let next = timeout(left.min(NEXT_BYTES), part).await;
        self.waited += begun.elapsed();
        next.unwrap_or_else(|_| {
            let (title, detail) = ("The body came too slowly.", "the next bytes took too long");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", title, detail))
        })
    }

    /// So many bytes came.
    pub const fn came(&mut self, bytes: usize) {
        self.bytes += bytes;
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn after<T>(seconds: u64, value: T) -> Result<T, Problem> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Ok(value)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_and_not_for_ever() {
        let mut pace = Pace::default();
        assert!(pace.next(after(31, ())).await.is_err(), "nothing came for too long");
        let mut pace = Pace::default();
        for _ in 0..2 {
            pace.next(after(29, ())).await.expect("a slow start");
            pace.came(1);
        }
        assert!(pace.next(after(29, ())).await.is_err(), "a byte in half a minute");
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.next(after(20, ())).await.expect("it is as fast as it must be");
            pace.came(20 * LEAST_RATE);
        }
    }
}
