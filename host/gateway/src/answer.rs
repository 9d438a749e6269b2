//! The bodies of answers: handed over in pieces as their reader takes them, and counted until they were
//! written. A reader that takes nothing for too long loses its answer.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    response::{IntoResponse as _, Response},
};
use futures_util::{Stream, StreamExt as _, stream};
use hyper::body::{Frame, SizeHint};
use tokio::{sync::mpsc, time::timeout};
use tracing::Instrument as _;

use crate::{
    bounds::shares::{Share, Sizes},
    problem::Problem,
};

/// Bytes that are handed over together, unless fewer are there.
pub const PIECE: usize = 64 << 10;

/// For how long a client may take nothing of an answer, and for how long an answer waits for room.
pub const STALL_TIME: Duration = Duration::from_secs(120);

/// Bytes that are held for answers. A result takes up to 72 MiB.
pub const ANSWERS: Sizes = Sizes { all: 384 << 20, tenant: 96 << 20, reserve: 32 << 20 };

/// Whose answer it will be, once somebody has found that out.
#[derive(Clone, Default)]
pub struct Asker(Arc<OnceLock<Share>>);

impl Asker {
    /// It is of this tenant.
    pub fn is(&self, share: &Share) {
        // It is told once, or twice the same.
        let _ = self.0.set(share.clone());
    }
}

/// The bytes of an answer are counted already, and are handed over in pieces.
#[derive(Clone, Copy)]
struct Counted;

/// What is handed over: bytes, or that there are no more.
type Piece = io::Result<Option<Bytes>>;

/// A body whose pieces come from a task of its own, which sees how long each waits.
struct Pieces {
    pieces: mpsc::Receiver<Piece>,
    /// How many bytes are to come, if that is known.
    left: Option<u64>,
    is_over: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(context));
        Poll::Ready(match piece {
            Some(Ok(Some(bytes))) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Some(Ok(Frame::data(bytes)))
            }
            Some(Ok(None)) => {
                self.is_over = true;
                None
            }
            Some(Err(error)) => {
                self.is_over = true;
                Some(Err(error))
            }
            // It must not look whole.
            None => {
                self.is_over = true;
                Some(Err(io::Error::new(io::ErrorKind::TimedOut, "its reader took nothing")))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// An answer whose pieces are made as they are taken. They are counted as the tenant's.
pub fn streamed(
    share: Share,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response {
    body(Some(share), None, pieces)
}

/// An answer with bytes that own the room that they take.
pub fn whole(bytes: Bytes) -> Response {
    let length = bytes.len();
    if length <= PIECE {
        let mut response = Response::new(Body::from(bytes));
        response.extensions_mut().insert(Counted);
        return response;
    }
    let pieces = stream::unfold(bytes, |mut rest| async move {
        let piece = rest.split_to(PIECE.min(rest.len()));
        (!piece.is_empty()).then_some((Ok(piece), rest))
    });
    body(None, Some(length as u64), pieces)
}

/// Counts an answer of known length, and hands it over in pieces; one for which there is no room is a
/// problem, unless the request has changed something: those answers are short, and their senders must
/// not be told that nothing was done.
pub async fn settled(asker: &Asker, is_safe: bool, response: Response) -> Response {
    let (Some(share), None) = (asker.0.get(), response.extensions().get::<Counted>()) else {
        return response;
    };
    let exact = response.body().size_hint().exact().unwrap_or_default();
    let length = usize::try_from(exact).unwrap_or(usize::MAX);
    if length == 0 {
        return response;
    }
    let room = match share.try_small(length) {
        Some(room) => room,
        None if is_safe => return no_room().into_response(),
        None => return response,
    };
    let (head, body) = response.into_parts();
    // It is there already.
    let Ok(bytes) = to_bytes(body, length).await else {
        return Problem::away("the answer did not come whole").into_response();
    };
    let mut counted = whole(room.keep(bytes));
    *counted.status_mut() = head.status;
    counted.headers_mut().extend(head.headers);
    counted
}

/// There is no room for an answer.
pub fn no_room() -> Problem {
    let detail = "answers that were not read yet take all memory that this tenant's answers may \
                  take; read or end them, or try again";
    Problem::busy("answers_wait", detail)
}

fn body(
    share: Option<Share>,
    left: Option<u64>,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response {
    let (out, taken) = mpsc::channel(1);
    // There may be thousands that wait: each has its state once.
    let pieces = Box::pin(pieces);
    tokio::spawn(hand_over(share, pieces, out).in_current_span());
    let body = Body::new(Pieces { pieces: taken, left, is_over: false });
    let mut response = Response::new(body);
    response.extensions_mut().insert(Counted);
    response
}

/// Makes pieces until the end, or until nobody takes them.
async fn hand_over(
    share: Option<Share>,
    mut pieces: impl Stream<Item = io::Result<Bytes>> + Unpin,
    out: mpsc::Sender<Piece>,
) {
    loop {
        let piece = tokio::select! {
            biased;
            () = out.closed() => return,
            piece = next(&mut pieces, share.as_ref()) => piece,
        };
        let is_last = !matches!(piece, Ok(Some(_)));
        match timeout(STALL_TIME, out.send(piece)).await {
            Ok(Ok(())) if !is_last => {}
            Ok(_) => return,
            Err(_) => return tracing::debug!("an answer ends whose reader takes nothing"),
        }
    }
}

async fn next(
    pieces: &mut (impl Stream<Item = io::Result<Bytes>> + Unpin),
    share: Option<&Share>,
) -> Piece {
    let Some(piece) = pieces.next().await.transpose()? else { return Ok(None) };
    let Some(share) = share else { return Ok(Some(piece)) };
    Ok(Some(share.small(piece.len()).await.keep(piece)))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::bounds::shares::Shares;

    const SIZES: Sizes = Sizes { all: 4 * PIECE, tenant: 4 * PIECE, reserve: 0 };

    fn share() -> Share {
        Shares::new(SIZES).of("ada")
    }

    /// What may still be taken, in pieces.
    fn free(share: &Share) -> usize {
        std::iter::from_fn(|| share.try_small(PIECE)).take(9).collect::<Vec<_>>().len()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_gives_its_room_back_and_does_not_look_whole() {
        let share = share();
        let large = share.try_take(3 * PIECE).expect("room").keep(vec![1; 3 * PIECE]);
        let mut body = whole(large).into_body();
        assert_eq!(body.size_hint().exact(), Some(3 * PIECE as u64));
        let first = body.frame().await.expect("a piece").expect("whole");
        assert_eq!(first.data_ref().map(Bytes::len), Some(PIECE));
        drop(first);
        assert_eq!(free(&share), 1, "the rest of it is held");
        tokio::time::sleep(STALL_TIME / 2).await;
        // It is slow, and takes something in time.
        body.frame().await.expect("a piece").expect("whole");
        tokio::time::sleep(STALL_TIME / 2 + Duration::from_secs(1)).await;
        body.frame().await.expect("a piece").expect("whole");
        assert!(body.frame().await.is_none() && free(&share) == 4);
        // Nobody takes this one.
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[2; PIECE])));
        let mut body = streamed(share.clone(), endless).into_body();
        body.frame().await.expect("a piece").expect("whole");
        tokio::time::sleep(2 * STALL_TIME).await;
        // What had been handed over is there still; then it breaks off.
        assert_eq!(free(&share), 3);
        body.frame().await.expect("a piece").expect("whole");
        assert!(body.frame().await.expect("an end").is_err());
        assert_eq!(free(&share), 4);
    }

    #[tokio::test]
    async fn an_answer_whose_reader_left_gives_its_room_back() {
        let share = share();
        let pieces = stream::pending::<io::Result<Bytes>>();
        let held = share.try_small(PIECE).expect("room");
        let pieces = pieces.map(move |piece| {
            let _ = &held;
            piece
        });
        let response = streamed(share.clone(), pieces);
        assert_eq!(free(&share), 3);
        drop(response);
        while free(&share) < 4 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_answer_of_known_length_is_counted_until_it_was_read() {
        let (share, asker) = (share(), Asker::default());
        let answer = || Response::new(Body::from(vec![1; PIECE]));
        assert_eq!(settled(&asker, true, answer()).await.status(), StatusCode::OK);
        assert_eq!(free(&share), 4, "it is nobody's");
        asker.is(&share);
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(settled(&asker, true, answer()).await);
        }
        assert_eq!(free(&share), 0);
        let refused = settled(&asker, true, answer()).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        // What was done is not refused.
        assert_eq!(settled(&asker, false, answer()).await.status(), StatusCode::OK);
        let body = open.pop().expect("one of them").into_body().collect().await.expect("whole");
        assert_eq!(body.to_bytes().len(), PIECE);
        assert_eq!(free(&share), 1);
    }
}
