//! How much a gateway does and holds at the same time: open answers and uploads of each key, and bytes
//! of bodies.

pub mod shares;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::shares::{Share, Shares};
use crate::{answer::ANSWERS, problem::Problem};

/// Open streams of one key: results, events and uploads. A link to the scheduler has no more watches.
const STREAMS_MAX: usize = 1_000;

/// Pages of one key that are open: each asks the scheduler several things a second.
const PAGES_MAX: usize = 64;

/// Bytes of bodies that are held at once: modules, and inputs on their way.
const HELD_BYTES: usize = 256 << 20;

/// What is held is counted in so many bytes.
const UNIT: usize = 4 << 10;

/// What is open and held.
pub struct Bounds {
    streams: Mutex<BTreeMap<String, usize>>,
    room: Arc<Semaphore>,
    answers: Arc<Shares>,
}

impl Default for Bounds {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(HELD_BYTES / UNIT));
        Self { streams: Mutex::default(), room, answers: Shares::new(ANSWERS) }
    }
}

/// A stream that is open.
pub struct OpenStream {
    bounds: Arc<Bounds>,
    key: String,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.bounds.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                streams.remove(&self.key);
            }
        }
    }
}

impl Bounds {
    /// Counts one more stream of a key.
    ///
    /// # Errors
    /// If it has as many as it may.
    pub fn open(self: &Arc<Self>, key: &str) -> Result<OpenStream, Problem> {
        self.open_of(key.to_owned(), (STREAMS_MAX, "streams"))
    }

    /// Counts one more page of a key that goes on by itself.
    ///
    /// # Errors
    /// If it has as many as it may.
    pub fn open_page(self: &Arc<Self>, key: &str) -> Result<OpenStream, Problem> {
        // No key is called so.
        self.open_of(format!("pages of {key}"), (PAGES_MAX, "pages"))
    }

    fn open_of(
        self: &Arc<Self>,
        key: String,
        (most, what): (usize, &str),
    ) -> Result<OpenStream, Problem> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let count = streams.entry(key.clone()).or_default();
        if *count >= most {
            let detail = format!("{most} {what} of this key are open; end one first");
            return Err(Problem::busy("too_many_streams", detail));
        }
        *count += 1;
        Ok(OpenStream { bounds: Arc::clone(self), key })
    }

    /// What a tenant may hold of answers that are on their way.
    pub fn answers(&self, tenant: &str) -> Share {
        self.answers.of(tenant)
    }

    /// Room for bytes, of which there are none yet.
    pub fn held(&self) -> Held {
        Held { room: Arc::clone(&self.room), permit: None, bytes: 0 }
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

/// Bytes that are held for one request.
pub struct Held {
    room: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Held {
    /// The same bytes; the room is taken as long as any part of them is there, also once their request
    /// is over.
    pub fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept { bytes, _held: self })
    }

    /// Gives away the room of so many bytes, and has that of the others.
    pub fn part(&mut self, bytes: usize) -> Option<Self> {
        let bytes = bytes.min(self.bytes);
        let units = (self.bytes.div_ceil(UNIT) - (self.bytes - bytes).div_ceil(UNIT)) * UNIT;
        let permit = self.permit.as_mut()?.split(units / UNIT)?;
        self.bytes -= bytes;
        Some(Self { room: Arc::clone(&self.room), permit: Some(permit), bytes: units })
    }

    /// Has the room of another one, too.
    pub fn merge(&mut self, other: Self) {
        self.bytes += other.bytes;
        match (&mut self.permit, other.permit) {
            (Some(permit), Some(other)) => permit.merge(other),
            (permit, other) => *permit = permit.take().or(other),
        }
    }

    /// Says how many bytes are held now.
    ///
    /// # Errors
    /// If all requests together would hold too many.
    pub fn set(&mut self, bytes: usize) -> Result<(), Problem> {
        let (before, now) = (self.bytes.div_ceil(UNIT), bytes.div_ceil(UNIT));
        self.bytes = bytes;
        if now > before {
            let more = u32::try_from(now - before).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.room);
            let Ok(permit) = room.try_acquire_many_owned(more) else {
                self.bytes = before * UNIT;
                let detail = "the bodies of other requests take all memory for bodies; try again";
                return Err(Problem::busy("bodies_wait", detail));
            };
            match &mut self.permit {
                Some(held) => held.merge(permit),
                None => self.permit = Some(permit),
            }
        } else if let Some(held) = &mut self.permit {
            drop(held.split(before - now));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let bounds = Bounds::default();
        let mut one = bounds.held();
        one.set(HELD_BYTES - UNIT).expect("room");
        let mut other = bounds.held();
        assert!(other.set(2 * UNIT).is_err());
        other.set(1).expect("one unit is left");
        one.set(10).expect("less");
        other.set(HELD_BYTES - 2 * UNIT).expect("given back");
        drop(other);
        one.set(HELD_BYTES).expect("all of it");
        assert_eq!(bounds.room.available_permits(), 0);
        drop(one);
        assert_eq!(bounds.room.available_permits(), HELD_BYTES / UNIT);
    }

    #[test]
    fn bytes_keep_their_room_when_their_request_is_over() {
        let bounds = Bounds::default();
        let free = || bounds.room.available_permits();
        let mut held = bounds.held();
        held.set(5 * UNIT / 2).expect("room");
        let sent = held.part(2 * UNIT).expect("it has").keep(vec![7; 2 * UNIT].into());
        assert_eq!(free(), HELD_BYTES / UNIT - 3);
        drop(held);
        assert_eq!(free(), HELD_BYTES / UNIT - 2);
        let part = sent.slice(1..2);
        drop(sent);
        assert_eq!((free(), part[0]), (HELD_BYTES / UNIT - 2, 7));
        drop(part);
        assert_eq!(free(), HELD_BYTES / UNIT);
    }

    #[test]
    fn a_key_has_so_many_streams_and_no_more() {
        let bounds = Arc::new(Bounds::default());
        let open: Vec<_> = (0..STREAMS_MAX).map(|_| bounds.open("a").expect("few")).collect();
        assert!(bounds.open("a").is_err());
        assert!(bounds.open("b").is_ok());
        let pages: Vec<_> = (0..PAGES_MAX).map(|_| bounds.open_page("a").expect("few")).collect();
        assert!(bounds.open_page("a").is_err());
        drop((open, pages));
        assert!(bounds.open("a").is_ok());
        assert!(bounds.streams.lock().expect("no panic").is_empty());
    }
}
