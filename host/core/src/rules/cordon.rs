//! Cordons: workers that an operator wants to get nothing new, while they keep what they have.

use wasmgrid_proto::{Reason, Record};

use super::grid::Grid;
use crate::io::RequestId;

impl Grid {
    /// A cordon holds for the worker's name, linked or not, until it is taken back; that also
    /// takes back a drain that the worker did not ask for itself.
    pub(super) fn cordon_worker(&mut self, request: RequestId, name: &str, cordoned: bool) {
        let Some(id) = self.ledger.worker(name) else {
            return self.reply(request, Err(Reason::NoWorker { name: name.into() }.into()));
        };
        if self.ledger.is_cordoned(id) != cordoned {
            self.persist(Record::WorkerCordoned { worker: id, cordoned });
        }
        if !cordoned && self.ledger.drained(id).is_some() {
            self.persist(Record::WorkerDrained { worker: id, process: None });
        }
        self.placement.change_worker(id, |worker| worker.set_cordoned(cordoned));
        self.reply(request, Ok(()));
    }
}
