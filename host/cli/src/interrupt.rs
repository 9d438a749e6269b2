//! Ctrl-C: the first is told to whoever asked, the second ends the process.

use std::{io, process};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// Tells of the first Ctrl-C, or of a polite request to end (SIGTERM).
#[derive(Debug)]
pub struct Interrupt {
    token: CancellationToken,
    /// Waits for signals as long as this lives.
    _watcher: JoinSet<()>,
}

impl Interrupt {
    /// Takes over both signals. Must be called inside a runtime.
    ///
    /// # Errors
    /// Where the system does not let it.
    pub fn watch() -> io::Result<Self> {
        let (mut interrupts, mut terms) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let token = CancellationToken::new();
        let mut watcher = JoinSet::new();
        let told = token.clone();
        watcher.spawn(async move {
            next(&mut interrupts, &mut terms).await;
            told.cancel();
            next(&mut interrupts, &mut terms).await;
            process::exit(i32::from(Exit::Interrupted as u8));
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
