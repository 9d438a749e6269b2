//! What the grid counts of its work: counters that rise with each event, and gauges of which most
//! are read from the books when they are asked for. No rule rests on any of this.

use alloc::{string::String, vec::Vec};

use wasmgrid_proto::{
    Extensions, JobMetrics, JobState, LeaseMetrics, Metrics, ServerMetrics, StoreMetrics,
    TaskMetrics, TenantUsage, UsageTotal, WorkerMetrics, WorkerState,
};

use super::grid::Grid;

impl Grid {
    /// What is counted of the grid. It walks all workers and tenants, but no jobs, tasks or leases;
    /// what the server around it counts is 0.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let open: u64 = self.ledger.holdings().all().map(|holding| holding.tasks).sum();
        let assigned = self.placement.fleet().iter().map(|(_, worker)| worker.assigned()).sum();
        Metrics {
            usage: self.ledger.usages().total(),
            attempts: self.tally.attempts,
            leases: LeaseMetrics { held: self.placement.leases_held(), ..self.tally.leases },
            tasks: TaskMetrics { queued: open.saturating_sub(assigned), assigned },
            jobs: self.job_metrics(),
            workers: self.worker_metrics(),
            store: self.store_metrics(),
            server: ServerMetrics::default(),
            extensions: Extensions::NONE,
        }
    }

    /// Jobs by state.
    #[must_use]
    pub fn job_metrics(&self) -> JobMetrics {
        let counted = count_jobs(|state| self.ledger.catalog().count(state));
        JobMetrics { submitted: self.ledger.last_job().0, ..counted }
    }

    /// A tenant's jobs by state. As submitted count those that are known.
    #[must_use]
    pub fn job_metrics_of(&self, tenant: &str) -> JobMetrics {
        let counted = count_jobs(|state| self.ledger.catalog().count_of(tenant, state));
        let JobMetrics { active, ok, failed, cancelled, expired, .. } = counted;
        JobMetrics { submitted: active + ok + failed + cancelled + expired, ..counted }
    }

    /// A tenant's tasks that have not ended.
    #[must_use]
    pub fn task_metrics_of(&self, tenant: &str) -> TaskMetrics {
        let open = self.ledger.holdings().of(tenant).tasks;
        let assigned = self.placement.shares().leased(tenant);
        TaskMetrics { queued: open.saturating_sub(assigned), assigned }
    }

    fn worker_metrics(&self) -> WorkerMetrics {
        let mut metrics = WorkerMetrics::default();
        for (id, worker) in self.placement.fleet().iter() {
            let count = match worker.state(self.distrust.of_worker(id, self.now)) {
                WorkerState::Ready => {
                    metrics.slots += worker.slots();
                    metrics.free_slots += worker.free_slots();
                    &mut metrics.ready
                }
                WorkerState::Draining => &mut metrics.draining,
                WorkerState::Drained => &mut metrics.drained,
                WorkerState::Cordoned => &mut metrics.cordoned,
                WorkerState::Failing(_) => &mut metrics.failing,
                WorkerState::Gone => &mut metrics.gone,
            };
            *count += 1;
        }
        metrics
    }

    fn store_metrics(&self) -> StoreMetrics {
        let accounts = || self.stored.accounts();
        StoreMetrics {
            log_bytes: accounts().map(|account| account.log_bytes).sum(),
            module_bytes: accounts().map(|account| account.module_bytes).sum(),
            ..StoreMetrics::default()
        }
    }

    /// What the tasks of each tenant have used, by name.
    #[must_use]
    pub fn usage(&self) -> Vec<TenantUsage> {
        self.ledger.usages().iter().map(|(name, usage)| told(name.clone(), usage)).collect()
    }

    /// What the tasks of a tenant have used.
    #[must_use]
    pub fn tenant_usage(&self, tenant: &str) -> TenantUsage {
        told(tenant.into(), self.ledger.usages().of(tenant).unwrap_or_default())
    }
}

fn count_jobs(count: impl Fn(JobState) -> u64) -> JobMetrics {
    JobMetrics {
        submitted: 0,
        active: count(JobState::Active),
        ok: count(JobState::Ok),
        failed: count(JobState::Failed),
        cancelled: count(JobState::Cancelled),
        expired: count(JobState::Expired),
    }
}

fn told(name: String, usage: UsageTotal) -> TenantUsage {
    TenantUsage { name, usage, extensions: Extensions::NONE }
}
