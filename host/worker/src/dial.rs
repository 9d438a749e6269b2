//! How a worker reaches its scheduler, again and again; and the task that carries the link.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use wasmgrid_net::{
    Backoff, CertificateProblem, Endpoint, Link, LinkError, NetError, Receiver, Sender,
};
use wasmgrid_proto::{
    frame::Envelope,
    wire::{ApiError, FromWorker, ToWorker},
};

use crate::{
    event::Event,
    link_state::{GaveUp, MISUNDERSTOOD_MAX},
    renewal::{self, ANSWERS_MAX, Answer, Keep},
};

/// Messages between the agent and the link's writer. Few: what does not fit stays with the
/// agent, where results that wait together become one batch.
const OUTBOX_MESSAGES: usize = 8;

/// A link that lived for so long was a good one: the next is dialled at once. Those that end sooner
/// are dialled after pauses that grow, so that no scheduler is flooded.
const GOOD: Duration = Duration::from_secs(2);

/// The longest pause where what must change is a clock, a certificate or who has an address.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// See [`MISUNDERSTOOD_MAX`].
const MISUNDERSTOOD_WITHIN: Duration = Duration::from_secs(60);

/// What the scheduler is told where the agent ends the link.
const HUNG_UP: &str = "the worker closed the link";

/// How a worker reaches its scheduler.
#[derive(Clone)]
pub enum Dial {
    /// Over QUIC.
    Quic {
        /// Dials with the worker's credentials.
        endpoint: Endpoint,
        /// Says at each dial where the scheduler may be, `HOST:PORT` each.
        addresses: Addresses,
        /// Keeps the credentials that the worker gets when it renews them. With none they are lost
        /// with the process.
        keep: Option<Keep>,
    },
    /// In the same process: gives the worker's end of a new link each time it is called.
    InProcess(Arc<dyn Fn() -> Link<FromWorker, ToWorker> + Send + Sync>),
}

/// Where a scheduler may be: what is known of it may change while a worker looks for it.
pub type Addresses = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quic { addresses, .. } => f.debug_tuple("Quic").field(&addresses()).finish(),
            Self::InProcess(_) => f.write_str("InProcess"),
        }
    }
}

impl Dial {
    /// Over QUIC, to a scheduler at one of these addresses, `HOST:PORT` each. Credentials that the
    /// worker renews are lost with the process.
    #[must_use]
    pub fn quic(endpoint: Endpoint, addresses: Vec<String>) -> Self {
        Self::Quic { endpoint, addresses: Arc::new(move || addresses.clone()), keep: None }
    }

    async fn connect(&self) -> Result<Link<FromWorker, ToWorker>, NetError> {
        match self {
            Self::Quic { endpoint, addresses, .. } => endpoint.connect_worker(&addresses()).await,
            Self::InProcess(connect) => Ok(connect()),
        }
    }

    /// Keeps the agent linked until `stop`, or until that makes no sense any more.
    pub(crate) async fn keep_linked(self, events: mpsc::Sender<Event>, stop: CancellationToken) {
        let mut tries = Tries::default();
        while !stop.is_cancelled() {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = stop.cancelled() => return,
            };
            let linked_at = Instant::now();
            let end = match connected {
                Ok(link) => carry(link, &self, &events, &stop).await,
                Err(error) => End::Unreachable(error),
            };
            let wait = match tries.after(end, linked_at.elapsed()) {
                Next::Dial(reason, wait) => {
                    // The agent is gone only when the worker ends.
                    let _ = events.send(Event::Unlinked { reason }).await;
                    wait
                }
                Next::GiveUp(why) => {
                    let _ = events.send(Event::GaveUp { why }).await;
                    return;
                }
                Next::End => return,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// What follows from the end of a link.
enum Next {
    /// Another is dialled after so long; why the last one ended.
    Dial(String, Duration),
    GiveUp(GaveUp),
    /// Nobody needs another link.
    End,
}

/// How dialling went so far.
#[derive(Default)]
struct Tries {
    backoff: Backoff,
    /// Links that ended because the two sides do not understand each other.
    misunderstood: u32,
}

impl Tries {
    /// What to do after a link that lived for so long.
    fn after(&mut self, end: End, lived: Duration) -> Next {
        if lived >= GOOD {
            self.backoff.reset();
        }
        if lived >= MISUNDERSTOOD_WITHIN {
            self.misunderstood = 0;
        }
        let (reason, wait) = match end {
            End::Stopped => return Next::End,
            End::HungUp => return Next::Dial(HUNG_UP.into(), self.backoff.next()),
            End::Refused(error) => return Next::GiveUp(GaveUp::Refused(error)),
            End::Lost(Some(LinkError::Removed { reason, .. })) => {
                return Next::GiveUp(GaveUp::Removed(reason));
            }
            End::Unreachable(error) if is_final(&error) => return Next::GiveUp(error.into()),
            End::Unreachable(error) if is_stubborn(&error) => {
                (error.to_string(), self.backoff.next_within(LONG_PAUSE))
            }
            End::Unreachable(error) => (error.to_string(), self.backoff.next()),
            End::Lost(Some(error)) if error.is_misunderstanding() => {
                self.misunderstood += 1;
                if self.misunderstood >= MISUNDERSTOOD_MAX {
                    return Next::GiveUp(GaveUp::Misunderstood(error));
                }
                (error.to_string(), self.backoff.next())
            }
            End::Lost(error) => {
                let closed = || "the scheduler closed the link".into();
                (error.map_or_else(closed, |error| error.to_string()), self.backoff.next())
            }
        };
        tracing::warn!(reason, retry_in = ?wait, "no link to the scheduler");
        Next::Dial(reason, wait)
    }
}

/// True where a dial that failed so fails each time until something is changed on this side: the
/// scheduler of this grid has spoken, or none was asked.
fn is_final(error: &NetError) -> bool {
    match error.telling() {
        NetError::Refused { problem, .. } => !matches!(
            problem,
            CertificateProblem::Expired
                | CertificateProblem::NotYetValid
                | CertificateProblem::Alert(_)
        ),
        NetError::Version { .. }
        | NetError::Minor { .. }
        | NetError::WrongRole { .. }
        | NetError::Denied { .. }
        | NetError::NoAddress
        | NetError::Identity(_)
        | NetError::Token(_)
        | NetError::File { .. }
        | NetError::Certificate { .. }
        | NetError::Credentials { .. } => true,
        NetError::Unreachable { .. }
        | NetError::Address { .. }
        | NetError::Busy { .. }
        | NetError::Socket { .. }
        | NetError::Several { .. }
        | NetError::BadCertificate { .. } => false,
    }
}

/// True where a dial that failed so may succeed once a clock is right, or another answers at the
/// address; neither takes a second.
fn is_stubborn(error: &NetError) -> bool {
    matches!(error.telling(), NetError::Refused { .. } | NetError::BadCertificate { .. })
}

/// How a link was over.
enum End {
    /// There was none.
    Unreachable(NetError),
    /// Not by this side's wish; how, where it was not in order.
    Lost(Option<LinkError>),
    /// The scheduler lets this worker not join.
    Refused(ApiError),
    /// The agent hung up.
    HungUp,
    /// The worker stops, or the agent is gone: nobody needs another link.
    Stopped,
}

/// Carries one link until it ends.
async fn carry(
    link: Link<FromWorker, ToWorker>,
    dial: &Dial,
    events: &mpsc::Sender<Event>,
    stop: &CancellationToken,
) -> End {
    let Link { sender, receiver, peer } = link;
    let (outbox, outgoing) = mpsc::channel(OUTBOX_MESSAGES);
    if events.send(Event::Linked { outbox, minor: peer.minor }).await.is_err() {
        return End::Stopped;
    }
    let (told, answers) = mpsc::channel(ANSWERS_MAX);
    let renewing = async {
        match dial {
            Dial::Quic { endpoint, keep, .. } => {
                renewal::keep(endpoint, keep.as_ref(), &sender, answers).await;
            }
            // Nobody there has a certificate.
            Dial::InProcess(_) => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        end = read(receiver, events, told) => end,
        () = renewing => End::Lost(None),
        // Why nothing more is taken, the reader sees.
        () = write(&sender, outgoing) => End::HungUp,
        () = stop.cancelled() => End::Stopped,
    };
    sender.close(match &end {
        End::HungUp => HUNG_UP,
        End::Stopped => "the worker stops",
        _ => "the worker's link is over",
    });
    end
}

async fn read(
    mut receiver: Receiver<ToWorker>,
    events: &mpsc::Sender<Event>,
    certificates: mpsc::Sender<Answer>,
) -> End {
    loop {
        let envelope = match receiver.recv().await {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return End::Lost(None),
            Err(error) => return End::Lost(Some(error)),
        };
        let answer = match envelope.message {
            ToWorker::Refused(refused) => return End::Refused(refused.error),
            ToWorker::Renewed(renewed) => Answer::Renewed(renewed),
            ToWorker::NotRenewed(denied) => Answer::NotRenewed(denied),
            ToWorker::RenewSoon(_) => Answer::Soon,
            _ => {
                if events.send(Event::Heard { envelope }).await.is_err() {
                    return End::Stopped;
                }
                continue;
            }
        };
        // One that there is no room for was not asked for.
        let _ = certificates.try_send(answer);
    }
}

/// Writes until the agent hangs up; never ready where the link ends first.
async fn write(sender: &Sender<FromWorker>, mut outgoing: mpsc::Receiver<Envelope<FromWorker>>) {
    while let Some(envelope) = outgoing.recv().await {
        if sender.send(envelope).await.is_err() {
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_net::Release;

    use super::*;

    fn misunderstood() -> End {
        let (peer, theirs) = ("scheduler".into(), Release::ours());
        let reason = "what is that?".into();
        End::Lost(Some(LinkError::Misunderstood { peer, theirs, reason }))
    }

    fn unreachable() -> End {
        let (address, reason) = ("there".into(), "silence".into());
        End::Unreachable(NetError::Unreachable { address, reason })
    }

    fn wait(next: Next) -> Duration {
        match next {
            Next::Dial(_, wait) => wait,
            _ => panic!("it gives up"),
        }
    }

    #[test]
    fn two_sides_that_do_not_understand_each_other_try_it_three_times() {
        let mut tries = Tries::default();
        for _ in 0..2 {
            wait(tries.after(misunderstood(), Duration::ZERO));
        }
        wait(tries.after(misunderstood(), Duration::from_secs(3_600)));
        wait(tries.after(End::Lost(None), Duration::ZERO));
        wait(tries.after(misunderstood(), Duration::ZERO));
        let next = tries.after(misunderstood(), Duration::ZERO);
        let Next::GiveUp(why @ GaveUp::Misunderstood(_)) = next else { panic!("it goes on") };
        let source = std::error::Error::source(&why).expect("why").to_string();
        assert_eq!(source.matches(&Release::ours().to_string()).count(), 2, "both: {source}");
    }

    #[test]
    fn a_worker_that_was_taken_away_dials_no_more() {
        let (peer, reason) = ("scheduler".into(), "an operator removed it".to_owned());
        let removed = End::Lost(Some(LinkError::Removed { peer, reason: reason.clone() }));
        let next = Tries::default().after(removed, Duration::from_secs(60));
        assert!(matches!(next, Next::GiveUp(GaveUp::Removed(why)) if why == reason));
        let problem = CertificateProblem::Removed(reason);
        let refused = NetError::Refused { address: "there".into(), problem };
        let next = Tries::default().after(End::Unreachable(refused), Duration::ZERO);
        assert!(matches!(next, Next::GiveUp(GaveUp::Unreachable(_))));
    }

    #[test]
    fn links_that_end_at_once_are_dialled_after_pauses_that_grow() {
        let mut tries = Tries::default();
        let waits: Vec<_> =
            (0..10).map(|_| wait(tries.after(End::Lost(None), Duration::ZERO))).collect();
        assert!(waits[0] <= Duration::from_millis(100), "{waits:?}");
        assert!(waits[9] >= Duration::from_millis(1_500), "{waits:?}");
        let after_a_good_one = wait(tries.after(End::Lost(None), GOOD));
        assert!(after_a_good_one <= Duration::from_millis(100), "{after_a_good_one:?}");
        assert!((0..100).all(|_| {
            wait(tries.after(unreachable(), Duration::ZERO)) <= Duration::from_secs(3)
        }));
    }

    #[test]
    fn a_transient_end_is_dialled_again_and_a_final_one_is_not() {
        let address = || String::from("there");
        let refused = |problem| NetError::Refused { address: address(), problem };
        let bad = |problem| NetError::BadCertificate { address: address(), problem };
        let wrong_grid =
            || CertificateProblem::WrongGrid { found: "home".into(), wanted: "work".into() };
        for error in [
            refused(CertificateProblem::WrongAuthority),
            refused(CertificateProblem::Other("it is for another grid".into())),
            NetError::Version { address: address() },
            NetError::WrongRole { found: "client".into(), wanted: "worker".into() },
        ] {
            let next = Tries::default().after(End::Unreachable(error.clone()), Duration::ZERO);
            assert!(matches!(next, Next::GiveUp(GaveUp::Unreachable(_))), "{error}");
        }
        for error in [
            refused(CertificateProblem::Expired),
            refused(CertificateProblem::NotYetValid),
            bad(CertificateProblem::Expired),
            bad(wrong_grid()),
        ] {
            let mut tries = Tries::default();
            let mut last = Duration::ZERO;
            for _ in 0..20 {
                last = wait(tries.after(End::Unreachable(error.clone()), Duration::ZERO));
            }
            assert!(last >= LONG_PAUSE / 2 && last <= LONG_PAUSE, "{error}: {last:?}");
        }
    }
}
