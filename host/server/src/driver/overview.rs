//! What pages and lists show beyond how a job or a worker stands: the summary of a job, rows of lists,
//! and how the grid is as a whole. Of other tenants a client is told numbers of slots alone.

use std::collections::BTreeMap;

use wasmgrid_proto::{
    Attention, ByteCount, Extensions, FailureCount, Histogram, JobFilter, JobId, JobRow,
    JobSummary, Metrics, Micros, Overview, Pace, Peaks, Rates, SlotsOverTime, WorkerFilter,
    WorkerId, WorkerReport, WorkerRow, WorkerState, WorkerStatus, Workers,
    wire::{Reply, Role},
};

use super::{
    Driver, Effect, LinkId, Observer,
    clients::no_job,
    counted::Counted,
    sizes::{LIST_BYTES, job_row_bytes, worker_row_bytes},
};

/// Rows in one answer: as many as fit a frame with room to spare.
const ROWS_MAX: u32 = 1_000;

impl<O: Observer> Driver<O> {
    /// Looks from time to time how busy the slots are.
    pub(super) fn sample_slots(&mut self) {
        let now = self.state.now;
        if self.state.summaries.busy.is_due(now) {
            let (slots, running) = (self.grid.linked_slots(), self.grid.running_jobs());
            self.state.summaries.busy.sample(now, slots, running);
        }
    }

    pub(super) fn summary_request(&mut self, link: LinkId, id: u64, job: JobId) {
        let summary = self.summary(job).map(|summary| Reply::JobSummary(Box::new(summary)));
        self.answer(link, id, summary.ok_or_else(|| no_job(job)));
    }

    fn summary(&self, job: JobId) -> Option<JobSummary> {
        let status = self.status(job)?;
        let (now, summaries) = (self.state.now, &self.state.summaries);
        let running = self.grid.running(job);
        let since = self.date_of(summaries.since);
        let mut told = JobSummary {
            status,
            running,
            since,
            pace: Pace::default(),
            rates: Rates::default(),
            wall_us: Histogram::default(),
            peaks: Peaks::default(),
            failures: Vec::new(),
            other_failures: FailureCount::default(),
            extensions: Extensions::NONE,
        };
        let Some(summary) = summaries.of_job(job) else { return Some(told) };
        let names: BTreeMap<WorkerId, String> =
            self.grid.names_of(&summary.failures.workers()).into_iter().collect();
        let name = |worker: WorkerId| {
            names.get(&worker).cloned().unwrap_or_else(|| format!("worker {worker}"))
        };
        told.failures = summary.failures.groups(name);
        for group in &mut told.failures {
            group.tasks = self.dated(group.tasks);
        }
        told.other_failures = self.dated(summary.failures.others());
        told.pace = summary.pace(now);
        told.rates = Rates {
            from: self.date_of(summary.rates.from()),
            width: summary.rates.width(),
            buckets: summary.rates.buckets().to_vec(),
        };
        (told.wall_us, told.peaks) = (summary.wall_us, summary.peaks);
        told.since = self.date_of(summary.since);
        Some(told)
    }

    /// The wanted of the jobs that the asker may know of: its tenant's, and all for an operator.
    pub(super) fn job_rows(
        &mut self,
        link: LinkId,
        id: u64,
        (before, limit): (Option<JobId>, u32),
        mut filter: JobFilter,
    ) {
        let Some(asker) = self.state.clients.get(&link) else { return };
        if asker.caller.role != Role::Operator {
            filter.tenant = Some(asker.tenant.clone());
        }
        let (limit, mut jobs, mut room) = (limit.min(ROWS_MAX) as usize, Vec::new(), LIST_BYTES);
        let (now, summaries) = (self.state.now, &self.state.summaries);
        let (next, more) = self.grid.list_jobs(before, &filter, |status| {
            let (job, running) = (status.job, self.grid.running(status.job));
            let (pace, extensions) = (summaries.pace_of_job(job, now), Extensions::NONE);
            let row = JobRow { status: self.settled(status), running, pace, extensions };
            let left = room.checked_sub(job_row_bytes(&row)).filter(|_| jobs.len() < limit);
            let Some(left) = left else { return false };
            room = left;
            jobs.push(row);
            true
        });
        self.answer(link, id, Ok(Reply::JobRows { jobs, next, more }));
    }

    pub(super) fn worker_rows(
        &mut self,
        link: LinkId,
        id: u64,
        (after, limit): (Option<WorkerId>, u32),
        filter: &WorkerFilter,
    ) {
        if let Err(error) = filter.check() {
            return self.answer(link, id, Err(error));
        }
        let limit = limit.min(ROWS_MAX) as usize;
        let (mut workers, mut room) = (Vec::new(), LIST_BYTES);
        let next = self.grid.list_workers(after, filter, |status| {
            let row = self.worker_row(status);
            let left = room.checked_sub(worker_row_bytes(&row)).filter(|_| workers.len() < limit);
            let Some(left) = left else { return false };
            room = left;
            workers.push(row);
            true
        });
        self.answer(link, id, Ok(Reply::WorkerRows { workers, next }));
    }

    fn worker_row(&self, status: WorkerStatus) -> WorkerRow {
        let worker = status.worker;
        let is_gone = status.state == WorkerState::Gone;
        let report = self.report_of(worker).filter(|_| !is_gone).cloned();
        WorkerRow {
            status: self.told(status),
            pace: self.state.summaries.pace_of_worker(worker, self.state.now),
            memory_taken: ByteCount(self.grid.memory_taken_on(worker)),
            report,
            extensions: Extensions::NONE,
        }
    }

    /// What a linked worker says of itself.
    fn report_of(&self, worker: WorkerId) -> Option<&WorkerReport> {
        let link = self.state.by_worker.get(&worker)?;
        self.state.workers.get(link)?.report.as_ref()
    }

    pub(super) fn overview_request(&mut self, link: LinkId, id: u64) {
        let Some(asker) = self.state.clients.get(&link) else { return };
        let tenant = asker.tenant.clone();
        if asker.caller.role != Role::Operator {
            let overview = Box::new(self.overview(Some(tenant)));
            return self.answer(link, id, Ok(Reply::Overview(overview)));
        }
        let overview = Overview {
            metrics: Some(self.metrics()),
            disk: Some(self.grid.disk_use()),
            attention: self.attention(),
            ..self.overview(None)
        };
        // What only the shell knows is added on the way.
        let counted = Counted::Overview(Box::new(overview));
        self.effects.push(Effect::Count { link, id, counted });
    }

    /// How the grid is, of a tenant or of all.
    fn overview(&self, tenant: Option<String>) -> Overview {
        let (now, summaries) = (self.state.now, &self.state.summaries);
        let own = tenant.as_deref();
        let named = |job| own.is_none_or(|own| self.grid.tenant(job) == Some(own));
        let busy = summaries.busy.told(now, named);
        let busy = SlotsOverTime { from: self.date_of(busy.from), ..busy };
        let (jobs, tasks) = match own {
            Some(own) => (self.grid.job_metrics_of(own), self.grid.task_metrics_of(own)),
            None => {
                let Metrics { jobs, tasks, .. } = self.grid.metrics();
                (jobs, tasks)
            }
        };
        let activity = summaries.activity(own);
        let rates = activity.map(|activity| {
            let (from, buckets) = activity.rates().seen(now);
            let (from, width) = (self.date_of(from), activity.rates().width());
            Rates { from, width, buckets: buckets.copied().collect() }
        });
        Overview {
            since: self.date_of(summaries.since),
            slots: self.grid.slots(),
            jobs,
            tasks,
            pace: activity.map(|activity| activity.pace(now)).unwrap_or_default(),
            rates: rates.unwrap_or_default(),
            last_hour: activity.map(|activity| activity.last_hour(now)).unwrap_or_default(),
            busy,
            metrics: None,
            disk: None,
            attention: Vec::new(),
            tenant,
            extensions: Extensions::NONE,
        }
    }

    /// What somebody should look at: as the core knows it, and what only the driver knows.
    fn attention(&self) -> Vec<Attention> {
        let mut found: Vec<Attention> = Vec::new();
        found.extend(self.refuses_work().map(|error| Attention::Refuses { error }));
        let mut contested = Workers::default();
        self.grid.contests().iter().for_each(|contest| contested.add(&contest.name));
        if contested.count > 0 {
            found.push(Attention::Contested(contested));
        }
        let (mut workers, mut layers) = (Workers::default(), Vec::new());
        for worker in self.state.workers.values() {
            let lacks = worker.report.as_ref().map(|report| &report.jail_lacks);
            let Some(lacks) = lacks.filter(|lacks| !lacks.is_empty()) else { continue };
            workers.add(worker.peer.identity.name());
            if workers.count <= Workers::NAMED_MAX as u64 {
                layers.extend(lacks.iter().cloned());
            }
        }
        layers.sort_unstable();
        layers.dedup();
        if workers.count > 0 {
            found.push(Attention::JailLacks { workers, layers });
        }
        found.extend(self.grid.attention());
        // Those of one gravity keep their order.
        found.sort_by_key(Attention::gravity);
        found
    }

    /// The date of a moment of this term.
    fn date_of(&self, at: Micros) -> Micros {
        let ago = self.state.now.0.saturating_sub(at.0);
        Micros(self.state.date.0.saturating_sub(ago))
    }

    /// The same with dates, if there are any.
    fn dated(&self, tasks: FailureCount) -> FailureCount {
        if tasks.count == 0 {
            return tasks;
        }
        let (first, last) = (self.date_of(tasks.first), self.date_of(tasks.last));
        FailureCount { first, last, ..tasks }
    }
}
