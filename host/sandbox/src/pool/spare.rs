//! The next runner, started ahead for whichever slot needs one next: a change of tenant, a runner
//! that has served its time or one that was killed then cost no start. One for all slots: each
//! holds about 10 MB, and slots rarely need one at the same moment; then the second waits for
//! the 2 ms that a start takes.
//!
//! Whoever starts them all is also who knows whether they start: the first one, and the first after
//! anything that raises a doubt, is given away once it has run a task that does nothing. Until then
//! slots wait.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    task::yield_now,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    PoolConfig,
    condition::{Condition, Doubts},
    launch::Runner,
    trial,
};
use crate::{Inability, Isolation, SandboxError, compile::Compiler};

/// Before a spare is started in place of one that ended by itself, and before a first failure is
/// believed: that what lacked may be there again in a moment.
const RESTART_WAIT: Duration = Duration::from_millis(200);

/// Between two tries while tasks cannot be run: the first, which doubles each time, and the longest.
const RETRY_WAIT: Duration = Duration::from_secs(1);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Slots that wait for a runner at the same time; more wait to be queued.
const REQUESTS_MAX: usize = 16;

type Request = oneshot::Sender<Runner>;

/// Where slots take their runners from; clones stand for the same spare.
#[derive(Clone)]
pub(super) struct Spares {
    requests: mpsc::Sender<Request>,
    condition: watch::Receiver<Condition>,
    doubts: Arc<Doubts>,
}

/// Starts spares, one at a time.
pub(super) struct Keeper {
    config: Arc<PoolConfig>,
    compiler: Arc<Compiler>,
    requests: mpsc::Receiver<Request>,
    /// One that waits while it is found out whether runners start.
    waiting: Option<Request>,
    spare: Option<Runner>,
    condition: watch::Sender<Condition>,
    doubts: Arc<Doubts>,
    /// Nothing says that the next runner will not do.
    sure: bool,
    stop: CancellationToken,
}

/// Both ends: the [`Keeper`] is to be run.
pub(super) fn spares(
    config: &Arc<PoolConfig>,
    compiler: &Arc<Compiler>,
    stop: &CancellationToken,
) -> (Spares, Keeper) {
    let (sender, requests) = mpsc::channel(REQUESTS_MAX);
    let (condition, seen) = watch::channel(Condition::Trying);
    let doubts = Arc::<Doubts>::default();
    let spares = Spares { requests: sender, condition: seen, doubts: Arc::clone(&doubts) };
    let keeper = Keeper {
        config: Arc::clone(config),
        compiler: Arc::clone(compiler),
        requests,
        waiting: None,
        spare: None,
        condition,
        doubts,
        sure: false,
        stop: stop.clone(),
    };
    (spares, keeper)
}

impl Spares {
    /// A runner that nobody has used, at once where there is a spare; waits while none can be
    /// started. `None` once the pool is stopped.
    pub(super) async fn take(&self) -> Option<Runner> {
        let (sender, started) = oneshot::channel();
        self.requests.send(sender).await.ok()?;
        started.await.ok()
    }

    /// Waits until no runner can be started.
    pub(super) async fn run_out(&self) {
        if self.condition.clone().wait_for(Condition::is_unable).await.is_err() {
            // The pool is stopped, which is for others to see.
            std::future::pending().await
        }
    }

    /// A runner failed that had no reason to.
    pub(super) fn doubt(&self) {
        self.doubts.raise();
    }

    /// What is known of them.
    pub(super) fn condition(&self) -> &watch::Receiver<Condition> {
        &self.condition
    }

    /// Where doubts are raised.
    pub(super) fn doubts(&self) -> &Arc<Doubts> {
        &self.doubts
    }
}

impl Keeper {
    /// Where there are no slots nothing is to be run, and so nothing to be proved.
    pub(super) fn idle(self) {
        self.condition.send_replace(Condition::Able);
    }

    /// Keeps a spare until the pool is stopped.
    pub(super) async fn run(mut self) {
        while self.keep_one().await.is_some() {}
        self.end_spare().await;
    }

    /// Sees that there is a spare, and waits for what becomes of it.
    async fn keep_one(&mut self) -> Option<()> {
        if self.doubts.take() {
            self.sure = false;
        }
        if !self.sure {
            self.prove().await?;
        } else if self.spare.is_none() && self.keeps_ahead() {
            self.start().await;
        }
        if let Some(request) = self.waiting.take() {
            self.give(request).await;
            return Some(());
        }
        select! {
            request = self.requests.recv() => self.give(request?).await,
            () = ended(&mut self.spare) => {
                // How it ended nobody waits to hear.
                self.end_spare().await;
                self.sure = false;
                self.wait(RESTART_WAIT).await?;
            }
            () = self.doubts.raised() => {}
            () = self.stop.cancelled() => return None,
        }
        Some(())
    }

    /// A runner that is a thread is started when it is asked for: it holds an engine of this process.
    fn keeps_ahead(&self) -> bool {
        self.config.isolation != Isolation::InProcess
    }

    async fn give(&mut self, request: Request) {
        if self.doubts.take() {
            self.sure = false;
        }
        if self.sure && self.spare.is_none() {
            self.start().await;
        }
        if !self.sure {
            self.waiting = Some(request);
            return;
        }
        if let Some(runner) = self.spare.take()
            && let Err(unwanted) = request.send(runner)
        {
            unwanted.end().await;
        }
        // The slot goes first, where this thread drives it too.
        yield_now().await;
    }

    /// Starts a spare; where that fails it has to be proved that it can be done.
    async fn start(&mut self) {
        match Runner::start(&self.config).await {
            Ok(runner) => self.spare = Some(runner),
            Err(error) => {
                tracing::debug!(error = %Inability::from(error), "a runner failed to start");
                self.sure = false;
            }
        }
    }

    /// Tries until a runner has shown that it can run tasks, which is the spare then.
    async fn prove(&mut self) -> Option<()> {
        let (mut pause, mut anew) = (RETRY_WAIT, self.doubts.take_of_compilers());
        // It could a moment ago.
        let mut patient = self.condition.borrow().is_able();
        loop {
            let error = match self.try_spare(anew).await {
                Ok(()) => {
                    self.sure = true;
                    self.condition.send_if_modified(|condition| {
                        !std::mem::replace(condition, Condition::Able).is_able()
                    });
                    return Some(());
                }
                Err(SandboxError::Stopped) => return None,
                Err(error) => error,
            };
            self.end_spare().await;
            // What was remembered of the module that does nothing says nothing any more.
            anew = true;
            if std::mem::take(&mut patient) {
                self.wait(RESTART_WAIT).await?;
                continue;
            }
            let why = Inability::from(error);
            tracing::debug!(%why, retry_in = ?pause, "tasks cannot be run");
            self.condition.send_replace(Condition::Unable { why, again: pause });
            self.wait(pause).await?;
            pause = (pause * 2).min(RETRY_WAIT_MAX);
        }
    }

    async fn try_spare(&mut self, anew: bool) -> Result<(), SandboxError> {
        let spare = match &mut self.spare {
            Some(spare) => spare,
            none => none.insert(Runner::start(&self.config).await?),
        };
        select! {
            passed = trial::pass(spare, &self.compiler, anew) => passed,
            () = self.stop.cancelled() => Err(SandboxError::Stopped),
        }
    }

    async fn end_spare(&mut self) {
        if let Some(mut runner) = self.spare.take() {
            runner.kill();
            runner.end().await;
        }
    }

    /// `None` where the pool is stopped meanwhile.
    async fn wait(&self, span: Duration) -> Option<()> {
        select! {
            () = sleep(span) => Some(()),
            () = self.stop.cancelled() => None,
        }
    }
}

/// Waits until the spare has ended; it has nothing to say before. For ever where there is none.
async fn ended(spare: &mut Option<Runner>) {
    match spare {
        Some(runner) => {
            // Whatever it says, it is no good.
            let _ = runner.receive().await;
        }
        None => std::future::pending().await,
    }
}
