//! The driver's side of what clients send for their jobs: modules and blobs.

use bytes::Bytes;
use wasmgrid_net::Reservation;
use wasmgrid_proto::{
    Digest,
    reason::Upload,
    wire::{ApiError, Reply},
};

use super::{
    Driver, Effect, LinkId, Observer,
    modules::{Found, Put},
};

impl<O: Observer> Driver<O> {
    pub(super) fn have(&mut self, link: LinkId, id: u64, (sort, digest): (Upload, Digest)) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let tenant = client.tenant.clone();
        let reply = self.is_here(&tenant, sort, digest);
        self.answer(link, id, reply.map(|present| Reply::Module { present }));
    }

    /// Whether a tenant may name this: what it has sent, and any module that is here, which then
    /// counts among what the tenant has.
    fn is_here(&mut self, tenant: &str, sort: Upload, digest: Digest) -> Result<bool, ApiError> {
        match sort {
            Upload::Module => self.use_module(tenant, digest),
            Upload::Blob => Ok(self.modules.has_blob(tenant, digest, self.state.now)),
        }
    }

    /// Has a module that is here count among what a tenant has; false if it is not here.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`](wasmgrid_proto::wire::ErrorCode::Refused), if the tenant may have no
    /// more.
    pub(super) fn use_module(&mut self, tenant: &str, digest: Digest) -> Result<bool, ApiError> {
        let now = self.state.now;
        match self.modules.find(tenant, digest, now) {
            Found::Absent => return Ok(false),
            Found::Own => return Ok(true),
            Found::Others(bytes) => {
                self.modules.check_count(tenant)?;
                self.grid.check_bytes(tenant, bytes)?;
            }
        }
        self.modules.add_user(tenant, digest, now);
        self.count_modules(tenant.to_owned());
        Ok(true)
    }

    /// What is put counts by the bytes that came, whatever the client says.
    pub(super) fn put(
        &mut self,
        link: LinkId,
        id: u64,
        (sort, digest, bytes): (Upload, Digest, Bytes),
        room: Option<Reservation>,
    ) {
        // What waits of each tenant is bounded of itself: the room is for what comes next.
        drop(room);
        let now = self.state.now;
        let Some(client) = self.state.clients.get(&link) else { return };
        let tenant = client.tenant.clone();
        match self.is_here(&tenant, sort, digest) {
            Ok(false) => {}
            Ok(true) => return self.answer(link, id, Ok(Reply::Done)),
            Err(error) => return self.answer(link, id, Err(error)),
        }
        if let Some(error) = self.refuses_work() {
            return self.answer(link, id, Err(error));
        }
        let has_room = self.grid.check_bytes(&tenant, bytes.len() as u64);
        let put =
            Put { tenant: tenant.clone(), sort, link, id, digest, bytes, date: self.state.date };
        match has_room.and_then(|()| self.modules.put(put, now)) {
            // It counts from now on, or what is sent meanwhile would have the same room.
            Ok(()) => self.count_modules(tenant),
            Err(error) => self.answer(link, id, Err(error)),
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
