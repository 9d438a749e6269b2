//! What has been prepared lately, by digest: each module is compiled once however many ask for it
//! at the same time, and a refusal is remembered for a while, so that it costs once too.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;
use wasmgrid_proto::Digest;

use super::code::Prepared;
use crate::Refusal;

/// Modules remembered: each holds an open file, of which a process has 1,024 by default.
const MAX_MODULES: usize = 128;

/// Compiled code held in memory: about ten large language runtimes.
const MAX_CODE_BYTES: u64 = 512 << 20;

/// Refusals remembered: each has a text of a few hundred bytes, and whoever submits makes them.
const MAX_REFUSALS: usize = 4_096;

/// The place of one module's code; whoever comes while it is made waits for it.
pub(super) type Cell = Arc<OnceCell<Prepared>>;

/// Modules by digest, the ones used last.
#[derive(Debug, Default)]
pub(super) struct MemoryCache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    cells: HashMap<Digest, Entry>,
    /// Until when they hold.
    refusals: HashMap<Digest, (Refusal, Instant)>,
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
            entries.cells.get(&digest).is_some_and(|entry| entry.cell.initialized())
        })
    }

    /// Why the module was refused, if it was so lately.
    pub(super) fn refusal(&self, digest: Digest) -> Option<Refusal> {
        self.with(|entries| {
            let (refusal, until) = entries.refusals.get(&digest)?;
            if *until > Instant::now() {
                return Some(refusal.clone());
            }
            entries.refusals.remove(&digest);
            None
        })
    }

    /// Remembers a refusal for so long; the one that holds shortest makes room.
    pub(super) fn refuse(&self, digest: Digest, refusal: Refusal, span: Duration) {
        self.with(|entries| {
            let refusals = &mut entries.refusals;
            if refusals.len() >= MAX_REFUSALS
                && let Some((digest, _)) = refusals.iter().min_by_key(|(_, (_, until))| *until)
            {
                let digest = *digest;
                refusals.remove(&digest);
            }
            refusals.insert(digest, (refusal, Instant::now() + span));
        });
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
        self.cells.values().filter_map(|entry| entry.cell.get()).map(Prepared::code_bytes).sum()
    }
}

impl Entry {
    /// Whether nobody is making it: it is made, or whoever wanted to has given up.
    fn is_idle(&self) -> bool {
        self.cell.initialized() || Arc::strong_count(&self.cell) == 1
    }
}
