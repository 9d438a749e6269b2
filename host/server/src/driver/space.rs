//! Whether the store takes new work: not while its disk is full, nor while what is left of the disk
//! is kept for work that was taken before.

use wasmgrid_core::Input;
use wasmgrid_proto::{ByteCount, Reason, wire::ApiError};

use super::{Driver, Observer};

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
    pub(super) fn store_full(&mut self, full: bool) {
        self.state.store_full = full;
        if full {
            tracing::error!("disk full: rejecting new work until space is freed");
        } else {
            tracing::info!("the disk has space again: accepting new work");
        }
    }

    pub(super) fn short_of_space(&mut self, shortage: Option<Shortage>) {
        let before = std::mem::replace(&mut self.state.shortage, shortage);
        match (before, shortage) {
            (None, Some(Shortage { free, reserve })) => {
                tracing::error!(%free, %reserve, "disk nearly full: rejecting new work until \
                     space is freed");
            }
            (Some(_), None) => {
                tracing::info!("the disk has enough space again: accepting new work");
            }
            _ => {}
        }
        let refusal = shortage.map(Shortage::reason);
        self.grid.handle(self.state.now, Input::Intake { refusal });
    }

    /// Why no new work is taken, from anybody.
    pub(super) fn refuses_work(&self) -> Option<ApiError> {
        let full = self.state.store_full.then_some(Reason::DiskFull);
        full.or_else(|| self.state.shortage.map(Shortage::reason)).map(ApiError::from)
    }
}
