//! What belongs to one run of one task, and what of it is within the task's limits.

use std::sync::Arc;

use bytes::Bytes;
use wasmgrid_proto::{Grant, Limit, Limits, TaskSpec};
use wasmtime_wasi::{ResourceTable, WasiCtx};

use super::{clock::Clock, log::Log, preview1::Preview1, random::Random, table::Table};
use crate::{
    run::{Blobs, Control, Meter},
    stop::Stop,
};

/// The most that a task may emit and output together, whatever its limit says: results travel
/// in one frame each.
const OUTPUT_CEILING: u64 = 64 << 20;

/// The most records of one task: their lengths travel in one list.
const RECORDS_MAX: usize = wasmgrid_proto::wire::LIST_MAX;

/// The most of a task's log that is kept, whatever its limit says.
pub(super) const LOG_CEILING: u64 = 4 << 20;

/// All that belongs to one run of one task, and is dropped with it.
pub(crate) struct HostState {
    pub(crate) index: u64,
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) control: Arc<Control>,
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    pub(super) blobs: Option<Arc<Blobs>>,
    pub(crate) stdin: Bytes,
    pub(crate) stdout: Vec<u8>,
    pub(crate) records: Vec<u8>,
    pub(crate) record_lens: Vec<u32>,
    pub(super) clock: Clock,
    pub(super) random: Option<Box<Random>>,
    pub(super) table: Table,
    pub(super) preview1: Preview1,
    pub(super) denied: Option<Box<(WasiCtx, ResourceTable)>>,
    /// Fuel of calls that could not reach the store; taken with the next that can.
    pub(crate) owed_fuel: u64,
}

impl HostState {
    pub(crate) fn new(
        index: u64,
        spec: Arc<TaskSpec>,
        blobs: Option<Arc<Blobs>>,
        stdin: Bytes,
        control: Arc<Control>,
    ) -> Self {
        let limits = spec.limits;
        Self {
            index,
            meter: Meter::new(limits.memory.0, limits.table_elements, Arc::clone(&control)),
            log: Log::new(limits.log.0.min(LOG_CEILING)),
            blobs,
            stdin,
            stdout: Vec::new(),
            records: Vec::new(),
            record_lens: Vec::new(),
            clock: Clock::new(spec.grants.contains(&Grant::Clock), limits.deadline),
            random: None,
            table: Table::default(),
            preview1: Preview1::default(),
            denied: None,
            owed_fuel: 0,
            spec,
            control,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.spec.limits
    }

    /// Fails where output and records together would pass the limit with `more` bytes.
    pub(crate) fn check_output(&self, more: usize) -> Result<(), Stop> {
        let used = (self.stdout.len() + self.records.len()).saturating_add(more) as u64;
        let allowed = self.limits().output.0.min(OUTPUT_CEILING);
        if used > allowed {
            return Err(Stop::Limit { limit: Limit::Output, used, allowed });
        }
        Ok(())
    }

    /// What a task may have the host hold of directories' entries, of what it `held` before: as much
    /// as it may have of memory.
    pub(super) fn listing_room(&self, held: u64) -> u64 {
        self.limits().memory.0.saturating_sub(held)
    }

    /// The end of a task that would have more held.
    pub(super) fn listing_over(&self, held: u64, more: u64) -> Stop {
        let (used, allowed) = (held.saturating_add(more), self.limits().memory.0);
        Stop::Limit { limit: Limit::Memory, used, allowed }
    }

    /// Fails where a record of `length` bytes would pass a limit.
    pub(super) fn check_record(&self, length: usize) -> Result<(), Stop> {
        let (used, allowed) = (length as u64, self.limits().record.0);
        if used > allowed {
            return Err(Stop::Limit { limit: Limit::Record, used, allowed });
        }
        if self.record_lens.len() >= RECORDS_MAX {
            return Err(Stop::resources(RECORDS_MAX as u64 + 1, RECORDS_MAX as u64));
        }
        self.check_output(length)
    }

    pub(super) fn random(&mut self) -> &mut Random {
        let Self { random, spec, index, .. } = self;
        random.get_or_insert_with(|| {
            Box::new(Random::new(spec.seed, *index, spec.grants.contains(&Grant::Random)))
        })
    }

    /// The monotonic clock in nanoseconds, without moving it.
    pub(super) fn now_ns(&self) -> u64 {
        self.clock.peek_ns()
    }

    /// Waits until the monotonic clock shows `until_ns`.
    ///
    /// # Errors
    /// `limit(deadline)` or the cancellation, whichever comes first.
    pub(super) fn wait_until(&mut self, until_ns: u64) -> Result<(), Stop> {
        match self.clock {
            Clock::Real => self.control.sleep_until(until_ns.div_ceil(1_000)),
            Clock::Virtual { .. } => self.clock.advance(until_ns),
        }
    }
}
