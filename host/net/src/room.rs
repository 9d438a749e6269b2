//! Room for bytes, and what has taken some of it.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// A number of bytes that may be held at once.
#[derive(Clone)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    total: usize,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = bytes.min(u32::MAX as usize);
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    /// Waits for so many bytes; more than there are in all count as all, so that a message larger
    /// than the room travels alone instead of never. First come, first served.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.free).acquire_many_owned(self.permits(bytes)).await
    }

    /// The same at once, or not at all.
    pub(crate) fn try_reserve(
        &self,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.free).try_acquire_many_owned(self.permits(bytes))
    }

    /// From now on nothing is reserved; who waits is told.
    pub(crate) fn close(&self) {
        self.free.close();
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.total)).unwrap_or(u32::MAX)
    }
}

/// The room that a received message takes until it has been handled: free again when this is
/// dropped.
#[derive(Debug)]
pub struct Reservation {
    _own: OwnedSemaphorePermit,
    _shared: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    pub(crate) const fn new(
        own: OwnedSemaphorePermit,
        shared: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { _own: own, _shared: shared }
    }
}

impl From<OwnedSemaphorePermit> for Reservation {
    /// Room in a budget of the caller's own: for messages inside one process.
    fn from(own: OwnedSemaphorePermit) -> Self {
        Self::new(own, None)
    }
}
