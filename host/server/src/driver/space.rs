//! Whether the store takes new work: not while nothing can be committed, nor while what is left of the
//! disk is kept for work that was taken before.

use wasmgrid_core::Input;
use wasmgrid_proto::{ByteCount, Reason, wire::ApiError};

use super::{Driver, Observer};

/// Why nothing can be committed for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The disk is full.
    Full,
    /// It is not known whether the last commit is durable, and the store does not answer.
    InDoubt,
}

impl Halt {
    const fn reason(self) -> Reason {
        match self {
            Self::Full => Reason::DiskFull,
            Self::InDoubt => Reason::StoreInDoubt,
        }
    }
}

/// The disk has less space left than is kept for work that was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is left.
    pub free: ByteCount,
    /// What is kept.
    pub reserve: ByteCount,
}

impl Shortage {
    const fn reason(self) -> Reason {
        Reason::DiskReserved { free: self.free, reserve: self.reserve }
    }
}

impl<O: Observer> Driver<O> {
    pub(super) fn store_halted(&mut self, halt: Option<Halt>) {
        self.state.halt = halt;
        match halt {
            Some(Halt::Full) => tracing::error!("disk full: rejecting new work until space is freed"),
            Some(Halt::InDoubt) => tracing::error!("the store does not say whether the last commit \
                 is durable: rejecting new work until it does"),
            None => tracing::info!("the store commits again: accepting new work"),
        }
        self.tell_intake();
    }

    pub(super) fn short_of_space(&mut self, shortage: Option<Shortage>) {
        let before = std::mem::replace(&mut self.state.shortage, shortage);
        match (before, shortage) {
            (None, Some(Shortage { free, reserve })) => {
                tracing::error!(%free, %reserve, "disk nearly full: rejecting new work, and giving \
                     out no waiting tasks, until space is freed");
            }
            (Some(_), None) => {
                tracing::info!("the disk has enough space again: accepting new work");
            }
            _ => {}
        }
        self.tell_intake();
    }

    /// Tells the core whether it takes new work.
    fn tell_intake(&mut self) {
        let refusal = self.refusal();
        self.grid.handle(self.state.now, Input::Intake { refusal });
    }

    /// Why no new work is taken, from anybody.
    pub(super) fn refuses_work(&self) -> Option<ApiError> {
        self.refusal().map(ApiError::from)
    }

    fn refusal(&self) -> Option<Reason> {
        let halt = self.state.halt.map(Halt::reason);
        halt.or_else(|| self.state.shortage.map(Shortage::reason))
    }
}
