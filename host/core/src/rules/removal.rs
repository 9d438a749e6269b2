//! Workers that an operator takes away. What they have goes elsewhere at once, and whoever gets
//! their name next is another worker; that nobody comes back by an old certificate, whoever takes
//! links sees to.

use alloc::{string::String, vec::Vec};

use wasmgrid_proto::{Reason, Record, WorkerId};

use super::grid::Grid;
use crate::{
    io::{Output, RequestId},
    placement::Worker,
};

/// Why the link of a worker ends that was taken away.
const REMOVED: &str = "an operator removed this worker from the grid";

impl Grid {
    pub(super) fn remove_worker(&mut self, request: RequestId, name: &str) {
        let Some(id) = self.ledger.worker(name) else {
            return self.reply(request, Err(Reason::NoWorker { name: name.into() }.into()));
        };
        self.persist(Record::WorkerRemoved { worker: id });
        self.let_go(id);
        self.reply(request, Ok(()));
    }

    /// Forgets all that a worker is and has now.
    fn let_go(&mut self, id: WorkerId) {
        let now = self.now;
        if self.placement.worker(id).is_some_and(Worker::is_linked) {
            self.placement.unlink(id, now);
            self.output(Output::Disconnect { worker: id, reason: REMOVED.into() });
        }
        if let Some(rival) = self.rivals.remove(&id) {
            self.refuse(id, &rival);
        }
        self.forget_preparing(id);
        // Nobody's fault: the attempts are not counted.
        self.release_all(id);
        self.placement.remove(id);
        self.distrust.forget_worker(id);
        if self.awaited.remove(&id) && self.awaited.is_empty() {
            self.recover();
        }
    }

    /// Whether a worker of this name is known.
    #[must_use]
    pub fn knows_worker(&self, name: &str) -> bool {
        self.ledger.worker(name).is_some()
    }

    /// The names of all workers that are known.
    pub fn worker_names(&self) -> impl Iterator<Item = &String> {
        self.ledger.workers().map(|(name, _)| name)
    }

    /// The names of those of these workers that are or were known.
    #[must_use]
    pub fn names_of(&self, workers: &[WorkerId]) -> Vec<(WorkerId, String)> {
        self.ledger.names_of(workers)
    }
}
