//! The next runner, started ahead for whichever slot needs one next: a change of tenant, a runner
//! that has served its time or one that was killed then cost no start. One for all slots: each
//! holds about 10 MB, and slots rarely need one at the same moment; then the second waits for
//! the 2 ms that a start takes.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::yield_now,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{PoolConfig, launch::Runner};
use crate::{Isolation, SandboxError};

/// Before a spare is started in place of one that ended by itself.
const RESTART_WAIT: Duration = Duration::from_millis(200);

/// Slots that wait for a runner at the same time; more wait to be queued.
const REQUESTS_MAX: usize = 16;

type Started = Result<Runner, SandboxError>;
type Request = oneshot::Sender<Started>;

/// Where slots take their runners from; clones stand for the same spare.
#[derive(Clone)]
pub(super) struct Spares {
    config: Arc<PoolConfig>,
    requests: mpsc::Sender<Request>,
}

/// Starts spares, one at a time.
pub(super) struct Keeper {
    config: Arc<PoolConfig>,
    requests: mpsc::Receiver<Request>,
    stop: CancellationToken,
}

/// Both ends: the [`Keeper`] is to be run.
pub(super) fn spares(config: &Arc<PoolConfig>, stop: &CancellationToken) -> (Spares, Keeper) {
    let (sender, requests) = mpsc::channel(REQUESTS_MAX);
    let spares = Spares { config: Arc::clone(config), requests: sender };
    (spares, Keeper { config: Arc::clone(config), requests, stop: stop.clone() })
}

impl Spares {
    /// A runner that nobody has used, at once where there is a spare.
    ///
    /// # Errors
    /// Where none can be started.
    pub(super) async fn take(&self) -> Result<Runner, SandboxError> {
        if self.config.isolation == Isolation::InProcess {
            return Runner::start(&self.config).await;
        }
        let (sender, started) = oneshot::channel();
        self.requests.send(sender).await.map_err(|_| SandboxError::Stopped)?;
        started.await.map_err(|_| SandboxError::Stopped)?
    }
}

impl Keeper {
    /// Keeps a spare until the pool is stopped.
    pub(super) async fn run(mut self) {
        if self.config.isolation == Isolation::InProcess {
            return;
        }
        loop {
            let mut spare = Runner::start(&self.config).await;
            let request = select! {
                request = self.requests.recv() => request,
                () = ended(&mut spare) => {
                    // It is replaced; how it ended nobody waits to hear.
                    self.wait().await;
                    continue;
                }
                () = self.stop.cancelled() => None,
            };
            let Some(request) = request else {
                if let Ok(runner) = spare {
                    runner.end().await;
                }
                return;
            };
            if spare.is_err() {
                // That was some time ago: the slot hears how it stands now.
                spare = Runner::start(&self.config).await;
            }
            if let Err(Ok(unwanted)) = request.send(spare) {
                unwanted.end().await;
            }
            // The slot goes first, where this thread drives it too.
            yield_now().await;
        }
    }

    async fn wait(&self) {
        select! {
            () = sleep(RESTART_WAIT) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Waits until the spare has ended; it has nothing to say before.
async fn ended(spare: &mut Started) {
    match spare {
        Ok(runner) => {
            // Whatever it says, it is no good.
            let _ = runner.receive().await;
        }
        Err(_) => std::future::pending().await,
    }
}
