//! The driver's side of what clients send for their jobs: modules and blobs.

use bytes::Bytes;
use wasmgrid_net::Held;
use wasmgrid_proto::{Digest, wire::Reply};

use super::{
    Driver, Effect, LinkId, Observer,
    modules::{Put, Sort},
};

impl<O: Observer> Driver<O> {
    pub(super) fn have(&mut self, link: LinkId, id: u64, (sort, digest): (Sort, Digest)) {
        let now = self.state.now;
        let Some(client) = self.state.clients.get(&link) else { return };
        let present = match sort {
            Sort::Module => self.modules.has(digest, now),
            Sort::Blob => self.modules.has_blob(&client.tenant, digest, now),
        };
        self.answer(link, id, Ok(Reply::Module { present }));
    }

    /// What is put counts by the bytes that came, whatever the client says.
    pub(super) fn put(
        &mut self,
        link: LinkId,
        id: u64,
        (sort, digest, bytes): (Sort, Digest, Bytes),
        room: Option<Held>,
    ) {
        // What waits of each tenant is bounded of itself: the room is for what comes next.
        drop(room);
        let now = self.state.now;
        let Some(client) = self.state.clients.get(&link) else { return };
        let tenant = client.tenant.clone();
        let is_here = match sort {
            Sort::Module => self.modules.has(digest, now),
            Sort::Blob => self.modules.has_blob(&tenant, digest, now),
        };
        if is_here {
            return self.answer(link, id, Ok(Reply::Done));
        }
        let has_room = self.grid.check_bytes(&tenant, bytes.len() as u64);
        let put = Put { tenant, sort, link, id, digest, bytes };
        if let Err(error) = has_room.and_then(|()| self.modules.put(put, now)) {
            self.answer(link, id, Err(error));
        }
        self.admit_next();
    }

    /// Has looked at what modules and blobs may be looked at now.
    pub(super) fn admit_next(&mut self) {
        while let Some(put) = self.modules.next() {
            self.effects.push(Effect::Admit(put));
        }
    }
}
