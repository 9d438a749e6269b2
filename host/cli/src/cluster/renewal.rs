//! The certificate of a context is renewed while a command uses it: beside what the command does,
//! which neither waits for it nor fails with it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::time;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use wasmgrid_client::Client;
use wasmgrid_net::{Endpoint, Renewal};

use crate::{exit, print::message, table};

/// How long a renewal may take: a command that has ended waits for so long at most.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is none after [`PATIENCE`].
const SILENCE: &str = "the scheduler does not answer";

/// The longest time between two looks at the date, which a clock that is set may move at once.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// After a renewal that failed the next is tried when this part of the time that is left has passed.
const AGAIN_PART: u32 = 20;

/// The bounds of that.
const AGAIN: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3_600);

/// What renews a context's certificate as long as a command uses it.
pub struct Renewing {
    used: Arc<Used>,
    ending: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// A context that is used.
struct Used {
    name: String,
    folder: PathBuf,
    client: Client,
    endpoint: Endpoint,
}

impl Renewing {
    /// Renews the certificate of a context whose credentials are in `folder`.
    pub fn start(name: &str, folder: PathBuf, client: Client, endpoint: Endpoint) -> Self {
        let ending = CancellationToken::new();
        let used = Arc::new(Used { name: name.to_owned(), folder, client, endpoint });
        let task = tokio::spawn(used.clone().keep(ending.clone()));
        Self { used, ending, task: AbortOnDropHandle::new(task) }
    }

    /// Renews it at once, whatever is left of it.
    ///
    /// # Errors
    /// Where the grid gives none in time, or it cannot be kept.
    pub async fn now(&self) -> anyhow::Result<()> {
        let name = &self.used.name;
        let renewed = time::timeout(PATIENCE, self.used.renew()).await;
        let renewed = renewed.unwrap_or_else(|_| Err(anyhow::anyhow!("{SILENCE}")));
        renewed.with_context(|| format!("the certificate of context {name:?} was not renewed"))
    }

    /// True where it should be renewed.
    pub fn is_due(&self) -> bool {
        self.used.endpoint.renew_at() <= table::now()
    }

    /// Waits for a renewal that is under way or due, for a moment.
    pub async fn end(self) {
        self.ending.cancel();
        // It says itself what went wrong.
        let _ = time::timeout(PATIENCE, self.task).await;
    }
}

impl Used {
    async fn keep(self: Arc<Self>, ending: CancellationToken) {
        let mut has_warned = false;
        loop {
            let left = self.endpoint.renew_at().since(table::now()).duration();
            if !left.is_zero() {
                tokio::select! {
                    () = time::sleep(left.min(LOOK_EVERY)) => continue,
                    () = ending.cancelled() => return,
                }
            }
            let error = match time::timeout(PATIENCE, self.renew()).await {
                // Where it is still due, the clocks differ by more than its life.
                Ok(Ok(())) if self.endpoint.renew_at() > table::now() => continue,
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(_) => anyhow::anyhow!("{SILENCE}"),
            };
            let validity = self.endpoint.credentials().validity();
            if validity.warn_at() <= table::now() && !has_warned {
                has_warned = true;
                let (name, ends) = (&self.name, validity.ends);
                message!(
                    "the certificate of context {name} expires at {ends} and cannot be renewed: {}",
                    exit::chain(&error)
                );
            }
            let again = (validity.left(table::now()).duration() / AGAIN_PART)
                .clamp(*AGAIN.start(), *AGAIN.end());
            tokio::select! {
                () = time::sleep(again) => {}
                () = ending.cancelled() => return,
            }
        }
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let key = Renewal::new()?;
        let renewed = self.client.renew(key.request()).await?;
        let credentials = key.accept(self.endpoint.credentials().identity(), renewed)?;
        self.endpoint.check(&credentials)?;
        if self.folder.is_dir() {
            let (new, folder) = (credentials.clone(), self.folder.clone());
            let saved = tokio::task::spawn_blocking(move || new.save(&folder)).await;
            saved.context("it broke off")?.context("the new one cannot be kept")?;
        }
        self.endpoint.renew(credentials);
        Ok(())
    }
}
