//! Where child processes are started: on one thread that lives as long as this process. To start one
//! suspends the thread that does it until the child runs its program, which takes milliseconds on a
//! busy machine: the threads that drive slots and links have better things to do. And a child is
//! killed with the thread that started it, so that no thread which may end can start one.

use std::{
    io,
    sync::{OnceLock, mpsc},
    thread,
};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

type Start = Box<dyn FnOnce() + Send>;

static STARTER: OnceLock<Option<mpsc::Sender<Start>>> = OnceLock::new();

/// Starts a child process. If nobody waits for it any more once it runs, it is dropped, which ends it
/// if the command says so.
///
/// # Errors
/// Where the system has no process for it, or no thread to start it.
pub(crate) async fn start(mut command: Command) -> io::Result<Child> {
    let no_thread = || io::Error::other("no thread could be started for it");
    let runtime = Handle::current();
    let (done, started) = oneshot::channel();
    let start: Start = Box::new(move || {
        let _inside = runtime.enter();
        // Nobody waits any more if it cannot be sent.
        let _ = done.send(command.spawn());
    });
    starter().ok_or_else(no_thread)?.send(start).map_err(|_| no_thread())?;
    started.await.map_err(|_| no_thread())?
}

fn starter() -> Option<&'static mpsc::Sender<Start>> {
    let begin = || {
        let (sender, starts) = mpsc::channel::<Start>();
        let run = move || starts.into_iter().for_each(|start| start());
        thread::Builder::new().name("wasmgrid-starter".into()).spawn(run).ok()?;
        Some(sender)
    };
    STARTER.get_or_init(begin).as_ref()
}
