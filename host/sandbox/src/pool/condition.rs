//! Whether tasks can be run on this machine: what the keeper of spare runners has found out, and
//! what makes it look again.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

use crate::Inability;

/// Whether tasks can be run on this machine.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The first try is under way.
    Trying,
    /// A runner has run a task here, and since then nothing has shown that none could.
    Able,
    /// Runners or compilers do not start, or do nothing. The sandbox tries again by itself, and what
    /// its slots have waits for that.
    Unable {
        /// Why.
        why: Inability,
        /// In how long it tries again: 1 s at first, and 1 min at last.
        again: Duration,
    },
}

impl Condition {
    /// Whether tasks can be run.
    #[must_use]
    pub const fn is_able(&self) -> bool {
        matches!(self, Self::Able)
    }

    /// Whether it is known that none can.
    #[must_use]
    pub const fn is_unable(&self) -> bool {
        matches!(self, Self::Unable { .. })
    }
}

/// Raised by whoever sees something fail that should not: the keeper looks whether tasks can still
/// be run before it gives another runner away.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    raised: AtomicBool,
    /// It was a compiler that failed.
    of_compilers: AtomicBool,
    changed: Notify,
}

impl Doubts {
    pub(super) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(super) fn raise_of_compilers(&self) {
        self.of_compilers.store(true, Ordering::SeqCst);
        self.raise();
    }

    /// Whether there are any; they are seen to then.
    pub(super) fn take(&self) -> bool {
        self.raised.swap(false, Ordering::SeqCst)
    }

    /// The same of those about compilers.
    pub(super) fn take_of_compilers(&self) -> bool {
        self.of_compilers.swap(false, Ordering::SeqCst)
    }

    /// Waits until there are new ones. Cancel safe.
    pub(super) async fn raised(&self) {
        self.changed.notified().await;
    }
}
