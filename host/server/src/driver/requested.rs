//! Modules and blobs that workers ask for. However many workers ask for one at once, it is read once,
//! and all get the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wasmgrid_proto::{
    Digest,
    frame::Envelope,
    wire::{Module, ToWorker},
};

use super::{Driver, Effect, LinkId, Observer};
use crate::error::ServerError;

/// Modules that one worker may ask for ahead of their answers: it runs tasks of a few jobs.
const MODULES_WANTED: usize = 256;

/// The modules that are being read, and which links wait for each. Of a link at most one is read at
/// a time; links that have ended meanwhile are skipped.
pub(super) type Reading = BTreeMap<Digest, BTreeSet<LinkId>>;

impl<O: Observer> Driver<O> {
    pub(super) fn want_module(&mut self, link: LinkId, digest: Digest) {
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        if worker.reading == Some(digest) {
            return;
        }
        worker.wanted.insert(digest);
        let over = worker.wanted.len() > MODULES_WANTED;
        self.state.touched.insert(link);
        if over {
            self.close(link, "it asks for more modules than its tasks need");
        }
    }

    /// Reads the next module that the worker wants, if it has room for one.
    pub(super) fn read_module(&mut self, link: LinkId) {
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        if !worker.open || worker.reading.is_some() || worker.wanted.is_empty() {
            return;
        }
        if worker.outbox.has_room()
            && let Some(digest) = worker.wanted.pop_first()
        {
            worker.reading = Some(digest);
            let links = self.state.reading.entry(digest).or_default();
            links.insert(link);
            if links.len() == 1 {
                self.effects.push(Effect::ReadModule { digest });
            }
        }
    }

    /// A module was read: all workers that wait for it get it.
    pub(super) fn module_read(
        &mut self,
        digest: Digest,
        found: Result<Option<Bytes>, ServerError>,
    ) {
        let payload = match found {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => return self.fail(error),
        };
        let size_bytes = payload.len() as u64;
        for link in self.state.reading.remove(&digest).unwrap_or_default() {
            let Some(worker) = self.state.workers.get_mut(&link) else { continue };
            tracing::debug!(worker = worker.peer.identity.name(), %digest, size_bytes, "sent");
            worker.reading = None;
            self.state.touched.insert(link);
            let message = ToWorker::Module(Module { digest, size_bytes });
            self.say_to_worker(link, Envelope { message, payload: payload.clone() });
        }
    }
}
