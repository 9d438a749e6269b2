//! Ctrl-C: the first is told to whoever asked, the second ends the process. A terminal that is closed
//! counts as the first.

use std::{io, mem::MaybeUninit, ptr};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{exit::Exit, print};

/// Tells of the first Ctrl-C, or of another polite request to end: SIGTERM, or SIGHUP, which comes
/// where the terminal is closed.
#[derive(Debug)]
pub struct Interrupt {
    token: CancellationToken,
    /// Waits for signals as long as this lives.
    _watcher: JoinSet<()>,
}

impl Interrupt {
    /// Takes over these signals, but for a SIGHUP that `nohup` has the process ignore. Must be called
    /// inside a runtime.
    ///
    /// # Errors
    /// Where the system does not let it.
    pub fn watch() -> io::Result<Self> {
        let (mut interrupts, mut terms) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let is_wanted = !is_ignored(SignalKind::hangup());
        let mut hangups = is_wanted.then(|| signal(SignalKind::hangup())).transpose()?;
        let token = CancellationToken::new();
        let mut watcher = JoinSet::new();
        let told = token.clone();
        watcher.spawn(async move {
            tokio::select! {
                () = next(&mut interrupts, &mut terms) => {}
                () = hung_up(hangups.as_mut()) => {}
            }
            told.cancel();
            // Not another SIGHUP: for one terminal both its shell and the kernel send one.
            next(&mut interrupts, &mut terms).await;
            print::end(Exit::Interrupted);
        });
        Ok(Self { token, _watcher: watcher })
    }

    /// Resolves at the first signal.
    pub async fn asked(&self) {
        self.token.cancelled().await;
    }

    /// Does something that the first signal simply ends.
    ///
    /// # Errors
    /// As `done` does.
    pub async fn ends(
        &self,
        done: impl Future<Output = anyhow::Result<Exit>>,
    ) -> anyhow::Result<Exit> {
        tokio::select! {
            done = done => done,
            () = self.asked() => Ok(Exit::Interrupted),
        }
    }

    /// True after the first signal.
    pub fn is_asked(&self) -> bool {
        self.token.is_cancelled()
    }
}

async fn next(interrupts: &mut Signal, terms: &mut Signal) {
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terms.recv() => {}
    }
}

async fn hung_up(hangups: Option<&mut Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

fn is_ignored(signal: SignalKind) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action this writes the present one to `action`, and nothing else.
    let asked = unsafe { libc::sigaction(signal.as_raw_value(), ptr::null(), action.as_mut_ptr()) };
    // SAFETY: it was written where the call succeeded.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}
