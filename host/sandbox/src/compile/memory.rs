//! What has been prepared lately, by digest: each module is compiled once however many ask for it
//! at the same time, and a refusal is remembered, so that it costs once too.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;
use wasmgrid_proto::Digest;

use super::code::Prepared;
use crate::Refusal;

/// Modules remembered: each holds an open file, of which a process has 1,024 by default.
const MAX_MODULES: usize = 128;

/// Compiled code held in memory: about ten large language runtimes.
const MAX_CODE_BYTES: u64 = 512 << 20;

/// The place of one module's result; whoever comes while it is made waits for it.
pub(super) type Cell = Arc<OnceCell<Result<Prepared, Refusal>>>;

/// Modules by digest, the ones used last.
#[derive(Debug, Default)]
pub(super) struct MemoryCache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    cells: HashMap<Digest, Entry>,
    /// Counts uses, to tell which was longest ago.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    cell: Cell,
    used: u64,
}

impl MemoryCache {
    /// The module's cell, made where there is none; older ones are dropped to make room.
    pub(super) fn cell(&self, digest: Digest) -> Cell {
        self.with(|entries| {
            entries.clock += 1;
            let used = entries.clock;
            let entry = entries
                .cells
                .entry(digest)
                .or_insert_with(|| Entry { cell: Cell::default(), used });
            entry.used = used;
            let cell = Arc::clone(&entry.cell);
            entries.make_room(digest);
            cell
        })
    }

    /// Whether the module is compiled and at hand.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.with(|entries| {
            entries.cells.get(&digest).is_some_and(|entry| matches!(entry.cell.get(), Some(Ok(_))))
        })
    }

    fn with<T>(&self, action: impl FnOnce(&mut Entries) -> T) -> T {
        // Nothing that runs under the lock can leave the map half changed.
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entries {
    /// Drops the cells used longest ago, except `keep` and those in the making, until the rest is
    /// within its bounds. Code in use lives on with its users.
    fn make_room(&mut self, keep: Digest) {
        while self.cells.len() > MAX_MODULES || self.code_bytes() > MAX_CODE_BYTES {
            let oldest = self
                .cells
                .iter()
                .filter(|(digest, entry)| **digest != keep && entry.is_idle())
                .min_by_key(|(_, entry)| entry.used)
                .map(|(digest, _)| *digest);
            let Some(oldest) = oldest else { return };
            self.cells.remove(&oldest);
        }
    }

    fn code_bytes(&self) -> u64 {
        self.cells
            .values()
            .filter_map(|entry| entry.cell.get()?.as_ref().ok())
            .map(Prepared::code_bytes)
            .sum()
    }
}

impl Entry {
    /// Whether nobody is making it: it is made, or whoever wanted to has given up.
    fn is_idle(&self) -> bool {
        self.cell.initialized() || Arc::strong_count(&self.cell) == 1
    }
}
