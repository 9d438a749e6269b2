//! Lists that clients ask for: as many as fit one answer, and how many there are behind those.

use wasmgrid_proto::{
    Contest, JobFilter, JobId, Micros, Reason, VouchedLabels, WorkerId, WorkerState, WorkerStatus,
    wire::{ApiError, AuthorityRequest, Reply, Request, Role},
};

use super::{
    Driver, LinkId, Observer,
    clients::Client,
    sizes::{
        LIST_BYTES, contest_bytes, fitting, job_bytes, name_bytes, shown, tenant_bytes,
        usage_bytes, vouched_bytes, worker_bytes,
    },
};

/// Jobs in one answer: as many as fit a frame with room to spare.
const JOBS_MAX: u32 = 1_000;

impl<O: Observer> Driver<O> {
    /// The wanted of the jobs that the asker may know of: its tenant's, and all for an operator.
    pub(super) fn job_page(
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
        let (limit, mut jobs, mut room) = (limit.min(JOBS_MAX) as usize, Vec::new(), LIST_BYTES);
        let (next, more) = self.grid.list_jobs(before, &filter, |status| {
            let left = room.checked_sub(job_bytes(&status)).filter(|_| jobs.len() < limit);
            let Some(left) = left else { return false };
            room = left;
            jobs.push(self.settled(status));
            true
        });
        self.answer(link, id, Ok(Reply::JobPage { jobs, next, more }));
    }

    /// A worker as it is told of now.
    pub(super) fn told(&self, worker: WorkerStatus) -> WorkerStatus {
        let mut worker = shown(worker);
        // One that was never heard has no date.
        if worker.heard_at > Micros(0) {
            worker.heard_at = self.by_clock(worker.heard_at);
        }
        if let WorkerState::Failing(failing) = &mut worker.state {
            failing.until = failing.until.map(|until| self.by_clock(until));
        }
        worker
    }

    /// A date of this term by this machine's clock as it is set now: whoever compares it with theirs
    /// learns how much time has passed. Other dates stay as they were, so that jobs keep their order.
    fn by_clock(&self, date: Micros) -> Micros {
        let (is, was) = (self.state.date, self.grid.date_of(self.state.now));
        Micros(date.0.saturating_add(is.0).saturating_sub(was.0))
    }

    pub(super) fn contests_request(&mut self, link: LinkId, id: u64) {
        let contests = self.grid.contests().into_iter();
        let contests = contests.map(|one| Contest { at: self.by_clock(one.at), ..one });
        let contests = fitting(contests, contest_bytes);
        self.answer(link, id, Ok(Reply::Contests(contests)));
    }

    /// Those behind `after`; of a client itself alone.
    pub(super) fn tenants_request(&mut self, link: LinkId, id: u64, after: Option<&str>) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let mut left = match client.caller.role {
            Role::Operator => self.grid.tenants(),
            _ => vec![self.grid.tenant_status(&client.tenant)],
        };
        left.retain(|status| after.is_none_or(|after| status.name.as_str() > after));
        let all = left.len() as u64;
        let tenants = fitting(left.into_iter(), tenant_bytes);
        let more = all - tenants.len() as u64;
        self.answer(link, id, Ok(Reply::Tenants { tenants, more }));
    }

    /// What tenants have used: those behind `after`; of a client itself alone.
    pub(super) fn usage_request(&mut self, link: LinkId, id: u64, after: Option<&str>) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let mut left = match client.caller.role {
            Role::Operator => self.grid.usage(),
            _ => vec![self.grid.tenant_usage(&client.tenant)],
        };
        left.retain(|usage| after.is_none_or(|after| usage.name.as_str() > after));
        let all = left.len() as u64;
        let tenants = fitting(left.into_iter(), usage_bytes);
        let more = all - tenants.len() as u64;
        self.answer(link, id, Ok(Reply::Usage { tenants, more }));
    }

    pub(super) fn worker_request(&mut self, link: LinkId, id: u64, name: &str) {
        let worker = self.grid.worker(name).map(|worker| Reply::Worker(self.told(worker)));
        let unknown = || Reason::NoWorker { name: name.into() }.into();
        self.answer(link, id, worker.ok_or_else(unknown));
    }

    pub(super) fn names_request(&mut self, link: LinkId, id: u64, workers: &[WorkerId]) {
        let names = fitting(self.grid.names_of(workers).into_iter(), name_bytes);
        self.answer(link, id, Ok(Reply::WorkerNames(names)));
    }

    pub(super) fn worker_page(
        &mut self,
        link: LinkId,
        id: u64,
        after: Option<WorkerId>,
        all: bool,
    ) {
        let (mut left, hidden) = self.grid.listed_workers(all);
        left.retain(|worker| after.is_none_or(|after| worker.worker > after));
        let count = left.len() as u64;
        let workers = fitting(left.into_iter().map(|one| self.told(one)), worker_bytes);
        let more = count - workers.len() as u64;
        self.answer(link, id, Ok(Reply::WorkerPage { workers, more, hidden }));
    }

    pub(super) fn vouched_page(&mut self, link: LinkId, id: u64, after: Option<WorkerId>) {
        let keys = self.grid.vouched_keys().map(String::from).collect();
        let behind = |one: &VouchedLabels| after.is_none_or(|after| one.worker > after);
        let left: Vec<VouchedLabels> = self.grid.vouched().filter(behind).collect();
        let all = left.len() as u64;
        let workers = fitting(left.into_iter(), vouched_bytes);
        let more = all - workers.len() as u64;
        self.answer(link, id, Ok(Reply::VouchedPage { keys, workers, more }));
    }
}

/// Why a client may not list jobs: they are another tenant's.
pub(super) fn others_jobs(asker: &Client, filter: &JobFilter) -> Option<ApiError> {
    if let Err(error) = filter.check() {
        return Some(error);
    }
    let others = filter.tenant.as_ref().filter(|tenant| **tenant != asker.tenant)?;
    (asker.caller.role != Role::Operator).then(|| {
        let (own, wanted) = (asker.tenant.as_str().into(), others.as_str().into());
        Reason::OthersJobs { own, wanted }.into()
    })
}

/// Why a client is not given another long list now: so many bytes of answers wait for it.
pub(super) fn unread(client: &Client, request: &Request) -> Option<ApiError> {
    let is_long = matches!(
        request,
        Request::JobPage { .. }
            | Request::WorkerPage { .. }
            | Request::Contests
            | Request::Tenants { .. }
            | Request::Usage { .. }
            | Request::Tokens { .. }
            | Request::Keys { .. }
            | Request::Members { .. }
            | Request::WorkerNames { .. }
            | Request::Authority(AuthorityRequest::Certificates { .. })
            | Request::Audit { .. }
            | Request::Functions { .. }
            | Request::Modules { .. }
            | Request::Task { .. }
            | Request::Divergences { .. }
            | Request::Explain { .. }
            | Request::JobSummary { .. }
            | Request::Overview
            | Request::JobRows { .. }
            | Request::WorkerRows { .. }
    );
    let (waiting, allowed) = client.outbox.unread().filter(|_| is_long)?;
    let (bytes, allowed) = (waiting as u64, allowed as u64);
    Some(Reason::UnreadAnswers { bytes, allowed }.into())
}
