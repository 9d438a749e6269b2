//! Whether a gateway says that it is ready.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use wasmgrid_proto::{Epoch, Seq};
use wasmgrid_store::{Commit, EachRecord, MemoryStore, Reader, Store, StoreError};

use crate::lab::{ADA, Lab, MODULE, NEVER};

/// A store whose disk may be full.
struct Filling {
    store: MemoryStore,
    is_full: Arc<AtomicBool>,
}

impl Store for Filling {
    fn fence(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.store.fence(epoch)
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(StoreError::Full("no room".into()));
        }
        self.store.commit(epoch, commit)
    }

    fn resolve(&mut self) -> Result<Seq, StoreError> {
        self.store.resolve()
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        self.store.replay(each)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.store.reader()
    }
}

/// Waits until the gateway says so.
async fn until(lab: &Lab, status: u16) {
    let answered = async {
        while lab.get("/readyz", "").await.status != status {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, answered).await.expect("in time");
}

#[tokio::test]
async fn a_gateway_whose_grid_can_store_nothing_is_not_ready() {
    let is_full = Arc::new(AtomicBool::new(false));
    let store = Filling { store: MemoryStore::default(), is_full: Arc::clone(&is_full) };
    let lab = Lab::start_on(Box::new(store)).await;
    until(&lab, 200).await;
    is_full.store(true, Ordering::SeqCst);
    assert_ne!(lab.put_module(ADA, MODULE).await.status, 200, "it is not stored");
    until(&lab, 503).await;
    assert_eq!(lab.get("/healthz", "").await.status, 200, "it lives");
    is_full.store(false, Ordering::SeqCst);
    until(&lab, 200).await;
}
