//! How a worker keeps its certificate: it renews it over its own link in time, and the link stays.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::mpsc, time};
use wasmgrid_net::{Credentials, Endpoint, NetError, Renewal, Sender};
use wasmgrid_proto::{
    Micros, Millis,
    wire::{ApiError, Denied, FromWorker, Renewed},
};

/// The longest time between two looks at the date, which a clock that is set may move at once.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long the scheduler may take to sign: it makes the certificate durable first.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// After a renewal that failed the next is tried when this part of the time that is left has passed.
const AGAIN_PART: u32 = 20;

/// The bounds of that.
const AGAIN: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(3_600);

/// Answers that wait: there is one question at a time.
pub(crate) const ANSWERS_MAX: usize = 4;

type Save = dyn Fn(&Credentials) -> Result<(), NetError> + Send + Sync;

/// Where a worker's credentials are kept.
#[derive(Clone)]
pub struct Keep(Arc<Save>);

impl Keep {
    /// Keeps them as `save` does, which may block; what it wrote before is good until then.
    pub fn new(
        save: impl Fn(&Credentials) -> Result<(), NetError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(save))
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keep")
    }
}

/// What the scheduler says of a worker's certificate.
pub(crate) enum Answer {
    Renewed(Renewed),
    NotRenewed(Denied),
    /// It should be renewed soon.
    Soon,
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    #[error("the scheduler replied: {0}")]
    Denied(ApiError),
    #[error("the scheduler does not answer")]
    Silence,
    #[error(transparent)]
    Unusable(#[from] NetError),
    #[error("failed to save the new certificate")]
    BrokeOff,
}

/// Renews the certificate that an endpoint shows whenever it is time to, as long as the link lasts.
pub(crate) async fn keep(
    endpoint: &Endpoint,
    keep: Option<&Keep>,
    sender: &Sender<FromWorker>,
    mut answers: mpsc::Receiver<Answer>,
) {
    loop {
        wait(endpoint, &mut answers).await;
        let Err(error) = renew(endpoint, keep, sender, &mut answers).await else {
            let ends = endpoint.credentials().validity().ends;
            tracing::info!(%ends, "this worker's certificate is renewed");
            if endpoint.renew_at() <= today() {
                // The clocks of both machines differ by more than its life.
                time::sleep(LOOK_EVERY).await;
            }
            continue;
        };
        if sender.is_closed() {
            return std::future::pending().await;
        }
        let validity = endpoint.credentials().validity();
        let (ends, left) = (validity.ends, validity.left(today()));
        let again = left.duration() / AGAIN_PART;
        let again = again.clamp(*AGAIN.start(), *AGAIN.end());
        if validity.warn_at() <= today() {
            let reason = error.to_string();
            tracing::warn!(
                reason,
                %ends,
                left = %Millis(left.0 / 1_000 * 1_000),
                "this worker's certificate expires soon and cannot be renewed; after that, the \
                 worker must join again with a new token"
            );
        } else {
            tracing::info!(%error, retry_in = ?again, "this worker's certificate was not renewed \
                 yet");
        }
        time::sleep(again).await;
    }
}

/// Waits until it is time for a renewal.
async fn wait(endpoint: &Endpoint, answers: &mut mpsc::Receiver<Answer>) {
    loop {
        let left = endpoint.renew_at().since(today()).duration();
        if left.is_zero() {
            return;
        }
        tokio::select! {
            () = time::sleep(left.min(LOOK_EVERY)) => {}
            answer = answers.recv() => match answer {
                Some(Answer::Soon) => endpoint.outdated(),
                // An answer that came too late; the key is gone.
                Some(Answer::Renewed(_) | Answer::NotRenewed(_)) => {}
                None => std::future::pending().await,
            },
        }
    }
}

async fn renew(
    endpoint: &Endpoint,
    keep: Option<&Keep>,
    sender: &Sender<FromWorker>,
    answers: &mut mpsc::Receiver<Answer>,
) -> Result<(), NotRenewed> {
    let key = Renewal::new()?;
    let asked = sender.send(FromWorker::Renew(key.request())).await;
    asked.map_err(|_| NotRenewed::Silence)?;
    let mut soon = false;
    let answered = async {
        loop {
            match answers.recv().await {
                Some(Answer::Renewed(renewed)) => break Ok(renewed),
                Some(Answer::NotRenewed(denied)) => break Err(NotRenewed::Denied(denied.error)),
                Some(Answer::Soon) => soon = true,
                None => break Err(NotRenewed::Silence),
            }
        }
    };
    let answer = time::timeout(ANSWER_TIME, answered).await;
    let renewed = answer.map_err(|_| NotRenewed::Silence)??;
    let credentials = key.accept(endpoint.credentials().identity(), renewed)?;
    endpoint.check(&credentials)?;
    if let Some(Keep(save)) = keep.cloned() {
        let new = credentials.clone();
        let saved = tokio::task::spawn_blocking(move || save(&new)).await;
        saved.map_err(|_| NotRenewed::BrokeOff)??;
    }
    endpoint.renew(credentials);
    if soon {
        // The authority may be another one than that which has just signed.
        endpoint.outdated();
    }
    Ok(())
}

/// The date by this machine's clock.
fn today() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
