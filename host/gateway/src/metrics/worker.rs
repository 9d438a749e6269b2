//! A worker's metrics. What the scheduler counts of all workers has other names, so that a sum over both
//! counts nothing twice.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use wasmgrid_proto::WorkerCounts;

use super::encode::{build, counters, gauges, histogram};

/// What a worker answered.
#[derive(Debug)]
pub(super) struct WorkerScrape(pub(super) WorkerCounts);

impl Collector for WorkerScrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        build(&mut encoder)?;
        self.state(&mut encoder)?;
        self.tasks(&mut encoder)?;
        self.sandbox(&mut encoder)
    }
}

impl WorkerScrape {
    fn state(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = &self.0;
        let help = "Whether the worker is in its grid: 1, or 0 while it dials";
        gauges(out, "wasmgrid_worker_linked", help, "", &[("", counts.is_linked.into())])?;
        let free = counts.slots.saturating_sub(counts.busy_slots);
        let slots = [("busy", counts.busy_slots), ("free", free)];
        gauges(out, "wasmgrid_worker_slots", "Slots of this worker", "state", &slots)?;
        let help = "Memory that this worker has for all its tasks together";
        gauges(out, "wasmgrid_worker_memory_bytes", help, "", &[("", counts.memory_bytes)])
    }

    fn tasks(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = &self.0;
        let ended = [
            ("ok", counts.ended.ok),
            ("failed", counts.ended.failed),
            ("lost", counts.ended.lost),
            ("cancelled", counts.ended.cancelled),
        ];
        let help = "Attempts that ended on this worker, by how they did";
        counters(out, "wasmgrid_worker_tasks", help, "outcome", &ended)?;
        let help = "Wall time of the attempts that ended on this worker";
        histogram(out, "wasmgrid_worker_task_seconds", help, &counts.task_us)?;
        let help = "Fuel of the attempts that ended on this worker";
        counters(out, "wasmgrid_worker_fuel", help, "", &[("", counts.fuel)])
    }

    fn sandbox(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = &self.0;
        let help = "Time that modules took to compile on this worker";
        histogram(out, "wasmgrid_module_compile_seconds", help, &counts.compile_us)?;
        let ends = &counts.runner_ends;
        let ends = [
            ("died", ends.died),
            ("overdue", ends.overdue),
            ("stuck", ends.stuck),
            ("unready", ends.unready),
            ("served", ends.served),
        ];
        let help = "Runners that were replaced, by why";
        counters(out, "wasmgrid_runner_restarts", help, "why", &ends)?;
        let help = "Layers of the jail that this machine does not have";
        let missing = counts.jail_lacks.len() as u64;
        gauges(out, "wasmgrid_jail_layers_missing", help, "", &[("", missing)])
    }
}
