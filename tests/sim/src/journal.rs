//! The thread that writes the scheduler's disk, as `host/server` has one: whatever has come while
//! the last commit was syncing is the next.

use std::collections::VecDeque;

use crate::disk::Item;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Journal {
    queue: VecDeque<(u64, Vec<Item>)>,
    writing: Option<u64>,
}

impl Journal {
    /// Takes a batch of the driver's.
    pub fn push(&mut self, number: u64, items: Vec<Item>) {
        self.queue.push_back((number, items));
    }

    /// The next group to write, if none is being written.
    pub fn begin(&mut self) -> Option<Vec<Item>> {
        if self.writing.is_some() {
            return None;
        }
        self.writing = self.queue.back().map(|(number, _)| *number);
        self.writing?;
        Some(self.queue.drain(..).flat_map(|(_, items)| items).collect())
    }

    /// The group is durable; the number of its last batch.
    pub fn end(&mut self) -> Option<u64> {
        self.writing.take()
    }
}
