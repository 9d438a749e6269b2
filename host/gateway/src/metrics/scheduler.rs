//! The scheduler's metrics, as it answered with them.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use wasmgrid_proto::{Metrics, TenantUsage};

use super::encode::{build, counters, gauges, histogram, seconds};

/// Tenants that are named; what the others have used is counted together.
const TENANTS_MAX: usize = 100;

/// The value of the label `tenant` for all further ones. No tenant can be called so.
const OTHERS: &str = "*";

/// What the scheduler answered.
#[derive(Debug)]
pub(super) struct Scrape {
    metrics: Metrics,
    tenants: Vec<TenantUsage>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        build(&mut encoder)?;
        self.tasks(&mut encoder)?;
        self.tenants(&mut encoder)?;
        self.state(&mut encoder)?;
        self.server(&mut encoder)
    }
}

impl Scrape {
    /// Of tenants by name.
    pub(super) const fn new(metrics: Metrics, tenants: Vec<TenantUsage>) -> Self {
        Self { metrics, tenants }
    }

    fn tasks(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Metrics { usage, attempts, leases, tasks, .. } = &self.metrics;
        let ended = &usage.ended;
        counters(
            out,
            "wasmgrid_tasks",
            "Tasks that have ended, by how they did",
            "outcome",
            &[
                ("ok", ended.ok),
                ("failed", ended.failed),
                ("lost", ended.lost),
                ("cancelled", ended.cancelled),
                ("expired", ended.expired),
                ("skipped", ended.skipped),
            ],
        )?;
        counters(
            out,
            "wasmgrid_attempts",
            "Attempts that were given to workers",
            "",
            &[("", attempts.given)],
        )?;
        counters(
            out,
            "wasmgrid_retries",
            "Attempts after which a task was run again",
            "why",
            &[
                ("app", attempts.app_retries),
                ("host-loss", attempts.host_loss_retries),
                ("infra", attempts.infra_retries),
            ],
        )?;
        let help = "Late results, which were discarded, and those of them that differ";
        counters(
            out,
            "wasmgrid_late_results",
            help,
            "kind",
            &[("late", attempts.late), ("diverged", attempts.diverged)],
        )?;
        counters(
            out,
            "wasmgrid_leases",
            "Leases by what happened to them",
            "event",
            &[
                ("granted", leases.granted),
                ("returned", leases.returned),
                ("lost", leases.lost),
                ("expired", leases.expired),
            ],
        )?;
        gauges(out, "wasmgrid_leases_held", "Leases that workers hold", "", &[("", leases.held)])?;
        let help = "Tasks that are not given to a worker";
        gauges(out, "wasmgrid_queue_tasks", help, "", &[("", tasks.queued)])?;
        let help = "Tasks that workers have, running or waiting for a slot there";
        gauges(out, "wasmgrid_assigned_tasks", help, "", &[("", tasks.assigned)])?;
        let help = "Wall time of attempts whose results came";
        histogram(out, "wasmgrid_task_seconds", help, &self.metrics.server.task_us)
    }

    fn tenants(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (named, others) = self.tenants.split_at(self.tenants.len().min(TENANTS_MAX));
        let of = |value: fn(&TenantUsage) -> u64| {
            let mut all: Vec<(&str, u64)> =
                named.iter().map(|one| (one.name.as_str(), value(one))).collect();
            if !others.is_empty() {
                all.push((OTHERS, others.iter().map(value).fold(0, u64::saturating_add)));
            }
            all
        };
        let fuel = of(|one| one.usage.cost.fuel);
        counters(out, "wasmgrid_fuel", "Fuel of committed results", "tenant", &fuel)?;
        let wall = of(|one| one.usage.cost.wall_us);
        let help = "Wall time of committed results on workers";
        seconds(out, "wasmgrid_wall_seconds", help, "tenant", &wall)
    }

    fn state(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Metrics { jobs, workers, store, .. } = &self.metrics;
        let help = "Jobs that were submitted";
        counters(out, "wasmgrid_jobs_submitted", help, "", &[("", jobs.submitted)])?;
        gauges(
            out,
            "wasmgrid_jobs",
            "Jobs that are known, by state",
            "state",
            &[
                ("active", jobs.active),
                ("ok", jobs.ok),
                ("failed", jobs.failed),
                ("cancelled", jobs.cancelled),
                ("expired", jobs.expired),
            ],
        )?;
        gauges(
            out,
            "wasmgrid_workers",
            "Workers by state",
            "state",
            &[
                ("ready", workers.ready),
                ("draining", workers.draining),
                ("drained", workers.drained),
                ("cordoned", workers.cordoned),
                ("failing", workers.failing),
                ("gone", workers.gone),
            ],
        )?;
        gauges(
            out,
            "wasmgrid_slots",
            "Slots of workers that take tasks",
            "state",
            &[
                ("busy", workers.slots.saturating_sub(workers.free_slots)),
                ("free", workers.free_slots),
            ],
        )?;
        gauges(
            out,
            "wasmgrid_stored_bytes",
            "Bytes that are stored, by kind",
            "kind",
            &[
                ("logs", store.log_bytes),
                ("modules", store.module_bytes),
                ("snapshot", store.snapshot_bytes),
            ],
        )?;
        let help = "Bytes of the journal's records after its snapshot";
        gauges(out, "wasmgrid_journal_bytes", help, "", &[("", store.journal_bytes)])
    }

    fn server(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let server = &self.metrics.server;
        let help = "Time until a batch of records and segments was durable";
        histogram(out, "wasmgrid_commit_seconds", help, &server.commit_us)?;
        let help = "Bytes that were made durable";
        counters(out, "wasmgrid_committed_bytes", help, "", &[("", server.committed_bytes)])?;
        let help = "Bytes that are not durable yet";
        gauges(out, "wasmgrid_uncommitted_bytes", help, "", &[("", server.uncommitted_bytes)])?;
        let help = "Messages that wait for the scheduler";
        gauges(out, "wasmgrid_inbox_messages", help, "", &[("", server.inbox_messages)])?;
        gauges(
            out,
            "wasmgrid_links",
            "Links by the role of the other side",
            "role",
            &[("worker", server.worker_links), ("client", server.client_links)],
        )?;
        gauges(out, "wasmgrid_watches", "Readers of result logs", "", &[("", server.watches)])?;
        let help = "Requests of clients to the scheduler, by answer";
        counters(
            out,
            "wasmgrid_requests",
            help,
            "answer",
            &[
                ("done", server.requests.saturating_sub(server.requests_refused)),
                ("refused", server.requests_refused),
            ],
        )?;
        let help = "Links that ended because a message was not understood or not allowed";
        counters(out, "wasmgrid_links_refused", help, "", &[("", server.links_refused)])
    }
}
