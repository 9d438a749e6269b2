//! Where what blocks is done: commits, reads, looking at modules.

use std::{fmt, future::Future, sync::Arc, thread, time::Duration};

use tokio::{runtime::Handle, task};
use tokio_util::task::TaskTracker;

/// Where a server does what blocks.
#[derive(Clone, Default)]
pub enum Blocking {
    /// On threads beside the runtime, so that nothing waits for the disk. What a grid uses.
    #[default]
    Threads,
    /// As [`Blocking::Threads`], but commits are done on the runtime: for a store in memory, where
    /// one takes less than the way to another thread and back.
    Memory,
    /// On the runtime's own thread, each time between two pauses that this gives. A simulation
    /// whose clock is paused has no other way to repeat: how far a thread gets beside it depends
    /// on the machine. Everything else waits meanwhile, so the store must be in memory.
    InTurn(Arc<dyn Fn() -> Duration + Send + Sync>),
}

/// What goes on beside the driver until it ends by itself.
pub(crate) enum BackgroundTask {
    Thread(thread::JoinHandle<()>),
    Task(task::JoinHandle<()>),
}

impl Blocking {
    /// Runs a call that may take long.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        tasks: &TaskTracker,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match self {
            // None where the call panicked.
            Self::Threads | Self::Memory => tasks.spawn_blocking(call).await.ok(),
            Self::InTurn(_) => {
                self.pause().await;
                let result = call();
                self.pause().await;
                Some(result)
            }
        }
    }

    /// Starts what does blocking calls of its own, between [`Blocking::pause`]s.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub(crate) fn start(
        &self,
        name: &str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<BackgroundTask> {
        match self {
            Self::Threads => {
                let runtime = Handle::current();
                let run = move || runtime.block_on(work);
                thread::Builder::new().name(name.into()).spawn(run).map(BackgroundTask::Thread)
            }
            Self::Memory | Self::InTurn(_) => Ok(BackgroundTask::Task(tokio::spawn(work))),
        }
    }

    /// The time that half of a blocking call takes in a simulation; none elsewhere.
    pub(crate) async fn pause(&self) {
        if let Self::InTurn(pause) = self {
            tokio::time::sleep(pause()).await;
        }
    }
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            Self::Memory => "Memory",
            Self::InTurn(_) => "InTurn",
        })
    }
}

impl BackgroundTask {
    /// Waits for its end; false where it broke off.
    pub(crate) async fn ended(self) -> bool {
        match self {
            Self::Thread(thread) => {
                matches!(task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
            }
            Self::Task(task) => task.await.is_ok(),
        }
    }
}
