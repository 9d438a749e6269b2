//! The limits of memories and tables, all of a task's together.

use std::sync::Arc;

use wasmgrid_proto::Limit;
use wasmtime::ResourceLimiter;

use super::Control;
use crate::stop::Stop;

/// Core instances, memories and tables of one task; a Python component has 38 core modules. The
/// engine's pool has as many.
const PARTS_MAX: usize = 64;

/// See the module.
pub(crate) struct Meter {
    memory: Gauge,
    table: Gauge,
    /// While the module is instantiated, what it asks for is what it starts with, and not having
    /// it ends the task; later a growth merely fails inside the guest.
    starting: bool,
    /// Is told of each growth, so that it is known of a task that is ended by force.
    control: Arc<Control>,
}

struct Gauge {
    limit: Limit,
    used: u64,
    peak: u64,
    allowed: u64,
}

impl Meter {
    pub(crate) fn new(memory_bytes: u64, table_elements: u64, control: Arc<Control>) -> Self {
        let gauge = |limit, allowed| Gauge { limit, used: 0, peak: 0, allowed };
        Self {
            memory: gauge(Limit::Memory, memory_bytes),
            table: gauge(Limit::TableElements, table_elements),
            starting: true,
            control,
        }
    }

    pub(crate) fn started(&mut self) {
        self.starting = false;
    }

    /// The most linear memory there was, in bytes.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        self.memory.peak
    }
}

impl Gauge {
    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        starting: bool,
    ) -> Result<bool, Stop> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let used = self.used.saturating_add(desired.saturating_sub(current) as u64);
        if used > self.allowed {
            let stop = Stop::Limit { limit: self.limit, used, allowed: self.allowed };
            return if starting && current == 0 { Err(stop) } else { Ok(false) };
        }
        self.used = used;
        self.peak = self.peak.max(used);
        Ok(true)
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let has_grown = self.memory.grow(current, desired, maximum, self.starting)?;
        self.control.memory(self.memory.peak);
        Ok(has_grown)
    }

    /// A growth within the limit that fails is the machine's fault; the guest must not see it,
    /// or its answer would depend on the machine.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Stop::Host(format!("the machine has no more memory: {error}")).into())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.table.grow(current, desired, maximum, self.starting)?)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Stop::Host(format!("the machine has no memory for a table: {error}")).into())
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::board::Board;

    const PAGE_BYTES: usize = 64 << 10;

    fn meter(memory_bytes: u64) -> Meter {
        let control = Control::new(Board::create().expect("memory"));
        Meter::new(memory_bytes, 0, Arc::new(control))
    }

    #[test]
    fn all_memories_share_one_limit() {
        let mut meter = meter(3 * PAGE_BYTES as u64);
        assert_eq!(meter.memory_growing(0, 2 * PAGE_BYTES, None).ok(), Some(true));
        let error = meter.memory_growing(0, 2 * PAGE_BYTES, None).expect_err("starts above");
        let expected = Stop::Limit {
            limit: Limit::Memory,
            used: 4 * PAGE_BYTES as u64,
            allowed: 3 * PAGE_BYTES as u64,
        };
        assert_eq!(error.downcast_ref::<Stop>(), Some(&expected));
        meter.started();
        assert_eq!(meter.memory_growing(0, 2 * PAGE_BYTES, None).ok(), Some(false));
        assert_eq!(meter.memory_growing(0, PAGE_BYTES, None).ok(), Some(true));
        assert_eq!(meter.peak_memory_bytes(), 3 * PAGE_BYTES as u64);
    }

    #[test]
    fn a_memorys_own_maximum_is_no_fault_of_the_machine() {
        let mut meter = meter(u64::MAX);
        meter.started();
        let grown = meter.memory_growing(PAGE_BYTES, 2 * PAGE_BYTES, Some(PAGE_BYTES));
        assert_eq!(grown.ok(), Some(false));
    }
}
