//! Reading a directory. Its entries are numbered in the order of their names, behind `.` and `..`;
//! the last that a buffer has room for may be cut off, which tells the program to ask again.

use super::{
    descriptors::Listing,
    errno::{Answer, Errno},
    guest::{Guest, Span, slice_mut},
    record::{FileType, directory_entry, inode},
};
use crate::host::{
    CALL_FUEL, HostState,
    open::{Open, Unlisted},
};

pub(super) fn read(guest: &mut Guest<'_>, fd: u32, buffer: Span, cookie: u64, out: u32) -> Answer {
    let (memory, state) = guest.parts();
    let buffer = slice_mut(memory, buffer)?;
    let mut cost = list(state, fd, cookie)?;
    let descriptors = state.descriptors()?;
    let directory = &descriptors.directory(fd)?.open;
    let own = inode(&directory.stat()?);
    // The directory above it is none of the program's business.
    let heads = [".", ".."].map(|name| (name, Some(own), FileType::DIRECTORY));
    let skipped = usize::try_from(cookie).map_err(|_| Errno::OVERFLOW)?;
    let listed = descriptors.listing.as_ref().map_or(&[][..], |listing| &listing.entries);
    let left = behind(listed, skipped.saturating_sub(heads.len()));
    let found = left.iter().map(|entry| (entry.name.as_str(), None, entry.type_.into()));
    let entries = heads.into_iter().skip(skipped).chain(found);
    let mut filling = Filling { buffer, used: 0 };
    for ((name, known, kind), next) in entries.zip(cookie.saturating_add(1)..) {
        if filling.is_full() {
            break;
        }
        let inode = known.unwrap_or_else(|| inode_of(directory, name));
        filling.put(directory_entry(next, inode, name, kind).bytes());
        filling.put(name.as_bytes());
        cost = cost.saturating_add(CALL_FUEL);
    }
    let used = filling.used;
    guest.charge(cost.saturating_add(used as u64))?;
    guest.write_u32(out, u32::try_from(used).unwrap_or(u32::MAX))
}

/// What is left behind so many entries, without a look at each of them: a program may read a long
/// directory by one entry a call.
fn behind<T>(entries: &[T], skipped: usize) -> &[T] {
    entries.get(skipped..).unwrap_or_default()
}

/// Reads the directory, where that has not been done or it is read from its start; gives what that
/// costs.
fn list(state: &mut HostState, fd: u32, cookie: u64) -> Answer<u64> {
    let room = state.listing_room(0);
    let descriptors = state.descriptors()?;
    let is_listed = descriptors.listing.as_ref().is_some_and(|listing| listing.fd == fd);
    if is_listed && cookie > 0 {
        return Ok(0);
    }
    // What it takes the place of goes first.
    descriptors.listing = None;
    let mut entries = match descriptors.directory(fd)?.open.list(room) {
        Ok(listed) => listed.entries,
        Err(Unlisted::Errno(error)) => return Err(error.into()),
        Err(Unlisted::Over { bytes }) => return Err(state.listing_over(0, bytes).into()),
    };
    entries.reverse();
    let cost = entries.iter().map(|entry| entry.name.len() as u64).sum();
    descriptors.listing = Some(Listing { fd, entries });
    Ok(cost)
}

/// 0 for what is gone by now.
fn inode_of(directory: &Open, name: &str) -> u64 {
    directory.stat_at(name, false).map_or(0, |stat| inode(&stat))
}

/// A buffer that is filled from its start, as far as it goes.
struct Filling<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl Filling<'_> {
    fn is_full(&self) -> bool {
        self.used == self.buffer.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = self.buffer.get_mut(self.used..).unwrap_or_default();
        let moved = bytes.len().min(room.len());
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.used += moved;
    }
}
