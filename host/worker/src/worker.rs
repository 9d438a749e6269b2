//! Starting and stopping a worker.

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmgrid_agent::WorkerConfig;
use wasmgrid_sandbox::{Sandbox, Slot};

use crate::{
    counts::Counter,
    dial::Dial,
    event::Event,
    link_state::LinkState,
    shell::{Shell, watch_condition},
    slots::Slots,
};

/// Events that wait for the shell; their senders wait when it is behind.
const EVENTS_MAX: usize = 1_024;

/// A running worker. Dropped, it stops at once, and its scheduler runs what it had elsewhere.
#[derive(Debug)]
pub struct Worker {
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    status: watch::Receiver<LinkState>,
    main: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a worker on `slots` of `sandbox`. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(config: WorkerConfig, sandbox: Sandbox, slots: Vec<Slot>, dial: Dial) -> Self {
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let (status_sender, status) = watch::channel(LinkState::Linking { reason: None });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let slots = Slots::start(slots, &events, &tasks);
        tasks.spawn(watch_condition(sandbox.condition(), events.clone(), stop.clone()));
        tasks.spawn(dial.keep_linked(events.clone(), stop.clone()));
        let shell = Shell::new(
            config,
            sandbox.clone(),
            slots,
            events.clone(),
            tasks.clone(),
            status_sender.clone(),
        );
        let ending = stop.clone();
        let main = tokio::spawn(async move {
            shell.run(inbox, ending.clone()).await;
            ending.cancel();
            sandbox.shutdown().await;
            tasks.close();
            tasks.wait().await;
            status_sender.send_replace(LinkState::Ended);
        });
        Self { events, stop, status, main: Some(main) }
    }

    /// How it stands with its scheduler, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<LinkState> {
        self.status.clone()
    }

    /// What it counts, to be asked for.
    #[must_use]
    pub fn counter(&self) -> Counter {
        Counter::new(self.events.clone())
    }

    /// Leaves the grid in order: takes nothing new, gives back what has not begun, finishes what
    /// runs, and waits until the results are committed; at most
    /// [`WorkerConfig::leave_timeout`] in all.
    pub async fn drain_and_stop(mut self) {
        // If the shell has ended, nothing is left to drain.
        let _ = self.events.send(Event::Leave).await;
        self.join().await;
    }

    /// Stops at once; what ran is run again elsewhere.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.join().await;
    }

    async fn join(&mut self) {
        if let Some(main) = self.main.take()
            && let Err(error) = main.await
        {
            tracing::error!(%error, "the worker's shell broke off");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
