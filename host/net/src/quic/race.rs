//! Several addresses dialled at once, each a little after the one before it, so that one where
//! nobody answers costs a moment and not its whole timeout ("happy eyeballs", RFC 8305). How one
//! address is dialled is not decided here.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::time::{self, Instant};

use super::names::lookup;
use crate::error::NetError;

/// How long an address may take to answer: several round trips over any path, lost packets included.
/// With [`HEAD_START`] it bounds how many addresses are dialled at a time, to fifty.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long the latest address has before the next one is dialled beside it: the least that RFC 8305
/// recommends (section 8). A handshake on most paths takes less, so that a scheduler which answers
/// sees one of them.
const HEAD_START: Duration = Duration::from_millis(100);

/// Dials all of these addresses (`HOST:PORT` or `srv:NAME`, each of which may mean several) by `dial`, and
/// returns the first link. The other attempts are dropped, which closes them.
///
/// # Errors
/// What went wrong at the only address, or [`NetError::Several`] with each.
pub(super) async fn first<T, D>(
    addresses: &[String],
    mut dial: impl FnMut(SocketAddr) -> D,
) -> Result<T, NetError>
where
    D: Future<Output = Result<T, NetError>> + Send,
    T: Send,
{
    // All names are looked up at once, since a resolver that is silent takes long too.
    let mut lookups: Running<'_, Result<Vec<SocketAddr>, NetError>> = Running::default();
    for address in addresses {
        lookups.start(lookup(address));
    }
    let mut dials = Running::default();
    let (mut known, mut waiting) = (Vec::new(), VecDeque::new());
    let mut failures = Vec::new();
    let mut next_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            dialled = dials.next(), if !dials.is_empty() => match dialled {
                Ok(dialled) => return Ok(dialled),
                Err(error) => {
                    failures.push(error);
                    next_at = Instant::now();
                }
            },
            found = lookups.next(), if !lookups.is_empty() => match found {
                Ok(found) => for socket in found {
                    if !known.contains(&socket) {
                        known.push(socket);
                        waiting.push_back(socket);
                    }
                },
                Err(error) => failures.push(error),
            },
            () = time::sleep_until(next_at), if !waiting.is_empty() => {
                if let Some(socket) = waiting.pop_front() {
                    dials.start(in_time(socket, dial(socket)));
                    next_at = Instant::now() + HEAD_START;
                }
            }
            else => return Err(NetError::of_all(failures)),
        }
    }
}

async fn in_time<T>(
    socket: SocketAddr,
    dial: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    time::timeout(CONNECT_TIME, dial).await.unwrap_or_else(|_| {
        let reason = format!("no answer in {} s", CONNECT_TIME.as_secs());
        Err(NetError::Unreachable { address: socket.to_string(), reason })
    })
}

/// Futures that run beside each other. They are few, so all are polled whenever one is woken.
struct Running<'a, T>(Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>);

impl<T> Default for Running<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'a, T> Running<'a, T> {
    fn start(&mut self, future: impl Future<Output = T> + Send + 'a) {
        self.0.push(Box::pin(future));
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The outcome of the next that ends; never ready if there is none.
    async fn next(&mut self) -> T {
        poll_fn(|context| {
            let ended = self.0.iter_mut().enumerate().find_map(|(at, future)| {
                match future.as_mut().poll(context) {
                    Poll::Ready(outcome) => Some((at, outcome)),
                    Poll::Pending => None,
                }
            });
            match ended {
                Some((at, outcome)) => {
                    drop(self.0.remove(at));
                    Poll::Ready(outcome)
                }
                None => Poll::Pending,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn unreachable(socket: SocketAddr) -> NetError {
        NetError::Unreachable {
            address: socket.to_string(),
            reason: "nothing listens there".into(),
        }
    }

    fn addresses(count: u8) -> Vec<String> {
        (1..=count).map(|host| format!("10.0.0.{host}:7433")).collect()
    }

    /// The last number of an address.
    fn host(socket: SocketAddr) -> u8 {
        let std::net::IpAddr::V4(ip) = socket.ip() else { panic!("{socket}") };
        ip.octets()[3]
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_its_head_start_alone() {
        let (began, all) = (Instant::now(), addresses(3));
        let won = first(&all, |socket| async move {
            if host(socket) < 3 { pending().await } else { Ok(host(socket)) }
        });
        assert_eq!(won.await, Ok(3));
        let took = began.elapsed();
        assert!(took >= 2 * HEAD_START && took < 3 * HEAD_START, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_address_that_fails_the_next_is_dialled_at_once() {
        let (began, all) = (Instant::now(), addresses(3));
        let won = first(&all, |socket| async move {
            if host(socket) < 3 { Err(unreachable(socket)) } else { Ok(host(socket)) }
        });
        assert_eq!(won.await, Ok(3));
        assert!(began.elapsed() < HEAD_START, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_answers_in_time_is_dialled_alone() {
        let (mut dialled, all) = (Vec::new(), addresses(3));
        let won = first(&all, |socket| {
            dialled.push(host(socket));
            async move {
                time::sleep(HEAD_START / 2).await;
                Ok(host(socket))
            }
        });
        assert_eq!(won.await, Ok(1));
        assert_eq!(dialled, [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_fail_the_error_has_each_address_with_its_reason() {
        let began = Instant::now();
        let mut addresses = addresses(2);
        addresses.push("nonsense".into());
        // Named twice, dialled once.
        addresses.push(addresses[0].clone());
        let failed = first(&addresses, |socket| async move {
            if host(socket) == 1 {
                pending::<Result<(), _>>().await
            } else {
                Err(unreachable(socket))
            }
        });
        let error = failed.await.expect_err("nobody answers");
        assert_eq!(error.each().len(), 3, "{error}");
        let text = error.to_string();
        for part in ["10.0.0.1:7433: no answer in 5 s", "10.0.0.2:7433: nothing", "\"nonsense\""] {
            assert!(text.contains(part), "{text}");
        }
        assert!(began.elapsed() < CONNECT_TIME + HEAD_START, "all at a time");
        let none = first(&[], |_| pending::<Result<(), _>>()).await;
        assert_eq!(none, Err(NetError::NoAddress));
    }
}
