//! Bytes of bodies that are held: modules, specs, and inputs on their way. Each tenant has its part of them,
//! so that what one sends slowly never stops another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::problem::Problem;

/// Bytes of all bodies.
const ALL: usize = 256 << 20;

/// Bytes of one tenant's.
const TENANT: usize = 128 << 20;

/// Bytes of one tenant's that are held in any case: a spec, or some batches of inputs.
const OWN: usize = 8 << 20;

/// What is held, by tenant.
#[derive(Default)]
pub struct Bodies(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    tenants: BTreeMap<Arc<str>, usize>,
}

impl Bodies {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for bytes of a tenant, of which there are none yet.
    pub fn held(self: &Arc<Self>, tenant: &str) -> Held {
        Held { bodies: Arc::clone(self), tenant: tenant.into(), bytes: 0 }
    }
}

impl Counts {
    fn take(&mut self, tenant: &Arc<str>, bytes: usize) -> bool {
        let own = self.tenants.get(tenant).map_or(0, |own| *own) + bytes;
        let fits = own <= OWN || (own <= TENANT && self.all + bytes <= ALL);
        if fits {
            self.all += bytes;
            self.tenants.insert(Arc::clone(tenant), own);
        }
        fits
    }

    fn give_back(&mut self, tenant: &Arc<str>, bytes: usize) {
        self.all = self.all.saturating_sub(bytes);
        if let Some(own) = self.tenants.get_mut(tenant) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                self.tenants.remove(tenant);
            }
        }
    }
}

/// Bytes that are held for one request.
pub struct Held {
    bodies: Arc<Bodies>,
    tenant: Arc<str>,
    bytes: usize,
}

impl Held {
    /// The same bytes; the room is taken as long as any part of them is there, also once their request
    /// is over.
    pub fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept { bytes, _held: self })
    }

    /// Gives away the room of so many bytes, and has that of the others.
    pub fn part(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { bodies: Arc::clone(&self.bodies), tenant: Arc::clone(&self.tenant), bytes }
    }

    /// Has the room of another one of the same tenant, too.
    pub fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Says how many bytes are held now.
    ///
    /// # Errors
    /// If the tenant's requests, or those of all, would hold too many.
    pub fn set(&mut self, bytes: usize) -> Result<(), Problem> {
        let mut counts = self.bodies.lock();
        if bytes > self.bytes {
            if !counts.take(&self.tenant, bytes - self.bytes) {
                let detail = "the bodies of other requests take all memory for bodies; try again";
                return Err(Problem::busy("bodies_wait", detail));
            }
        } else {
            counts.give_back(&self.tenant, self.bytes - bytes);
        }
        drop(counts);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bodies.lock().give_back(&self.tenant, self.bytes);
    }
}

/// Bytes that were read of a request, and the room that they take.
struct Kept {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bodies: &Bodies) -> usize {
        bodies.lock().all
    }

    #[test]
    fn what_is_held_is_bounded_by_tenant_and_in_all_and_given_back() {
        let bodies = Arc::new(Bodies::default());
        let (mut ada, mut ben) = (bodies.held("ada"), bodies.held("ben"));
        ada.set(TENANT).expect("its part");
        assert!(bodies.held("ada").set(1).is_err());
        ben.set(TENANT).expect("another has its own");
        let mut eve = bodies.held("eve");
        eve.set(OWN).expect("each has some in any case");
        assert!(eve.set(OWN + 1).is_err(), "all together hold too much");
        ada.set(10).expect("less");
        eve.set(OWN + 1).expect("given back");
        drop((ada, ben, eve));
        assert_eq!(all(&bodies), 0);
        assert!(bodies.lock().tenants.is_empty());
    }

    #[test]
    fn bytes_keep_their_room_when_their_request_is_over() {
        let bodies = Arc::new(Bodies::default());
        let mut held = bodies.held("ada");
        held.set(50).expect("room");
        let sent = held.part(40).keep(vec![7; 40].into());
        assert_eq!(all(&bodies), 50);
        drop(held);
        assert_eq!(all(&bodies), 40);
        let part = sent.slice(1..2);
        drop(sent);
        assert_eq!((all(&bodies), part[0]), (40, 7));
        drop(part);
        assert_eq!(all(&bodies), 0);
    }
}
