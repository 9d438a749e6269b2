//! The resources a task holds open: a small table, since a task has few and starts without any.

use std::sync::Arc;

use rustix::io::Errno;

use super::open::{Listed, Open};
use crate::stop::Stop;

/// The most a task may hold open at once. Honest programs hold three streams and a few timers.
const RESOURCES_MAX: usize = 64;

/// What stands behind a guest's handle.
#[derive(Debug)]
pub(crate) enum OpenResource {
    /// The input stream of a command.
    Stdin,
    /// The output stream of a command.
    Stdout,
    /// The log as a stream.
    Log,
    /// A pollable that is always ready: all our streams are.
    Ready,
    /// A pollable that is ready once the monotonic clock shows this, in nanoseconds.
    Timer(u64),
    /// The network, which refuses everything.
    Network,
    /// A file or directory.
    Open(Arc<Open>),
    /// A file as a stream.
    Reading { file: Arc<Open>, offset: u64 },
    /// What is left to tell of a directory.
    Listing(Listed),
    /// Why a stream failed.
    Failed(Errno),
}

/// See the module. A preview 1 program has descriptors where others have resources.
#[derive(Debug)]
pub(crate) struct Table<E = OpenResource> {
    entries: Vec<Option<E>>,
}

impl<E> Default for Table<E> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<E> Table<E> {
    /// Puts it into the lowest place that is free.
    ///
    /// # Errors
    /// `limit(resource)` where the table is full.
    pub(super) fn push(&mut self, entry: E) -> Result<u32, Stop> {
        let free = self.entries.iter().position(Option::is_none);
        let place = free.unwrap_or(self.entries.len());
        if place >= RESOURCES_MAX {
            return Err(Stop::resources(RESOURCES_MAX as u64 + 1, RESOURCES_MAX as u64));
        }
        match self.entries.get_mut(place) {
            Some(slot) => *slot = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        u32::try_from(place).map_err(|_| Stop::Misuse("too many resources"))
    }

    pub(super) fn get(&self, place: u32) -> Option<&E> {
        self.entries.get(place as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut E> {
        self.entries.get_mut(place as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<E> {
        self.entries.get_mut(place as usize)?.take()
    }
}

impl Table {
    /// What listings take of the host's memory that are held.
    pub(super) fn listed_bytes(&self) -> u64 {
        let bytes = self.entries.iter().flatten().map(|entry| match entry {
            OpenResource::Listing(listed) => listed.bytes,
            _ => 0,
        });
        bytes.sum()
    }

    /// # Errors
    /// Where there is none: the engine checks handles, so that this is a fault of ours.
    pub(super) fn entry(&self, rep: u32) -> Result<&OpenResource, Stop> {
        self.get(rep).ok_or_else(|| missing(rep))
    }

    /// # Errors
    /// As [`entry`](Self::entry).
    pub(super) fn entry_mut(&mut self, rep: u32) -> Result<&mut OpenResource, Stop> {
        self.get_mut(rep).ok_or_else(|| missing(rep))
    }
}

fn missing(rep: u32) -> Stop {
    Stop::Host(format!("resource {rep} is not in the table"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_left_is_used_again_and_the_table_ends_at_its_limit() {
        let mut table = Table::default();
        for expected in 0..RESOURCES_MAX {
            assert_eq!(table.push(OpenResource::Ready), Ok(expected as u32));
        }
        assert_eq!(table.push(OpenResource::Ready), Err(Stop::resources(65, 64)));
        table.remove(7);
        assert!(table.entry(7).is_err());
        assert_eq!(table.push(OpenResource::Timer(3)), Ok(7));
        assert!(matches!(table.entry(7), Ok(OpenResource::Timer(3))));
    }
}
