//! What the core says becomes effects: records for the journal, messages for links, and what must
//! wait for a commit.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use wasmgrid_core::{LostTask, Output, RequestId, SegmentToken};
use wasmgrid_failpoints::{Place as Failpoint, reach};
use wasmgrid_proto::{
    Extensions, Failing, JobId, LeaseId, Limit, LogRef, Outcome, Record, ResultBlock, ResultMeta,
    Usage,
    wire::{Cancel, Drain, Overrun, Revoke, ToWorker},
};

use super::{
    Driver, Effect, LinkId, Observer, Waiter,
    batch::Item,
    cache::{Cached, Inputs, Results},
    gate::Gated,
    outbox::{Closing, Ending, Freed, IdentityLinks},
    planted::DriverBug,
};
use crate::error::ServerError;

impl<O: Observer> Driver<O> {
    /// Takes all the core has to say.
    pub(super) fn take_outputs(&mut self) {
        while let Some(output) = self.grid.poll_output() {
            self.observer.output(&self.grid, &output);
            match output {
                Output::Persist(record) => {
                    if let Record::JobForgotten { job } = &record {
                        self.state.summaries.forget(*job);
                    }
                    self.persist(Item::Record(record));
                }
                Output::PersistInputs { request, record } => self.persist_inputs(request, record),
                Output::PersistResults { token, block, keep, record } => {
                    self.persist_results(token, block, keep, record);
                }
                Output::PersistLost { lost, record } => self.persist_lost(lost, record),
                Output::Explain { token, block, position, reason } => {
                    self.retell(token, block, position, reason);
                }
                Output::OverQuota { token, block, quota } => self.empty(token, block, quota),
                Output::Late { token, block, positions } => self.late(token, block, &positions),
                Output::Reply { request, reply } => self.take_reply(request, reply),
                Output::Audit(record) => self.persist_audit(*record),
                Output::Joined { link, worker } => {
                    self.worker_known(LinkId(link), worker);
                    self.hold(Gated::Joined { link: LinkId(link), worker });
                }
                Output::Contest { worker, rival, address } => self.contest(worker, rival, address),
                Output::Refuse { link, address, linked_for } => {
                    self.refuse(LinkId(link), &address, linked_for);
                }
                Output::Acknowledge { worker, batch } => {
                    self.hold(Gated::Acknowledge { worker, batch });
                }
                Output::JobChanged { job } => {
                    self.forget_late(job);
                    self.forget_spec(job);
                    *self.state.unsettled.entry(job).or_default() += 1;
                    self.hold(Gated::JobChanged { job });
                }
                Output::Release { token } => _ = self.state.held.remove(&token),
                Output::Assign { worker, job, grants } => self.assign(worker, job, grants),
                Output::Cancel { worker, job, by } => {
                    self.tell_worker(worker, ToWorker::Cancel(Cancel { job, by }));
                }
                Output::Revoke { worker, job, lease, tasks } => {
                    self.tell_worker(worker, ToWorker::Revoke(Revoke { job, lease, tasks }));
                }
                Output::Overrun { worker, job, lease, reason } => {
                    self.tell_worker(worker, ToWorker::Overrun(Overrun { job, lease, reason }));
                }
                Output::Drain { worker } => {
                    self.tell_worker(worker, ToWorker::Drain(Drain { leave: false }));
                }
                Output::Failing { name, failing, .. } => log_failing(&name, failing.as_ref()),
                Output::Disconnect { worker, reason } => {
                    if let Some(link) = self.state.by_worker.get(&worker).copied() {
                        self.close(link, &reason);
                    }
                }
            }
        }
    }

    /// Does what waited for commits that are through.
    pub(super) fn release(&mut self) {
        let early = self.settings.breaks(DriverBug::AckBeforeSync);
        while let Some(gated) = self.gate.release(early) {
            self.observer.released();
            match gated {
                Gated::Reply { request, reply } => {
                    reach(Failpoint::ServerBeforeReply);
                    self.reply(request, *reply);
                    reach(Failpoint::ServerAfterReply);
                }
                Gated::Joined { link, worker } => self.worker_open(link, worker),
                Gated::Acknowledge { worker, batch } => {
                    reach(Failpoint::ServerBeforeAcknowledge);
                    self.acknowledge(worker, batch);
                    reach(Failpoint::ServerAfterAcknowledge);
                }
                Gated::JobChanged { job } => self.job_changed(job),
                Gated::Visible { job, end } => self.results_visible(job, end),
                Gated::Load { place } => self.effects.push(Effect::Read(place)),
                Gated::Inputs { link } => self.read_inputs(link),
                Gated::LogScan { number } => self.start_walk(number),
                Gated::Measure => self.begin_measure(),
            }
        }
    }

    /// A link has room again, or all of its identity.
    pub(super) fn has_room(&mut self, link: LinkId, freed: Freed) {
        self.state.touched.insert(link);
        if freed == Freed::Link {
            return;
        }
        let client = self.state.clients.get(&link).map(|client| client.outbox.kin());
        let worker = || self.state.workers.get(&link).map(|worker| worker.outbox.kin());
        if let Some(kin) = client.or_else(worker).cloned() {
            self.touch_kin(&kin);
        }
    }

    /// Something may be said on all links of one identity.
    pub(super) fn touch_kin(&mut self, kin: &Arc<IdentityLinks>) {
        let clients = self.state.clients.iter().filter(|(_, client)| client.outbox.is_of(kin));
        let workers = self.state.workers.iter().filter(|(_, worker)| worker.outbox.is_of(kin));
        let links = clients.map(|(link, _)| *link).chain(workers.map(|(link, _)| *link));
        self.state.touched.extend(links);
    }

    /// Says to every link that was touched what can be said.
    pub(super) fn pump(&mut self) {
        for link in std::mem::take(&mut self.state.touched) {
            self.pump_worker(link);
            self.pump_client(link);
        }
    }

    /// Reads the segment at `place` for `waiter`, together with others who want it.
    pub(super) fn load(&mut self, place: LogRef, waiter: Waiter) {
        let waiters = self.state.loading.entry(place).or_default();
        waiters.insert(waiter);
        if waiters.len() == 1 {
            self.hold(Gated::Load { place });
            self.release();
        }
    }

    pub(super) fn loaded(&mut self, place: LogRef, found: Result<Cached, ServerError>) {
        let waiters = self.state.loading.remove(&place).unwrap_or_default();
        match found {
            Ok(segment) => self.cache.insert(place.job, segment),
            // It was dropped meanwhile: who waits sees that.
            Err(ServerError::Missing { .. }) if !self.grid.holds(place) => {}
            Err(error) => return self.fail(error),
        }
        let links: BTreeSet<_> = waiters
            .into_iter()
            .map(|waiter| match waiter {
                Waiter::Worker(link) => link,
                Waiter::Watch(link, watch) => {
                    self.watch_loaded(link, watch);
                    link
                }
            })
            .collect();
        // At once: another segment could push this one out of the cache.
        for link in links {
            self.pump_worker(link);
            self.pump_client(link);
        }
    }

    /// Ends a link; the core hears of it at once.
    pub(super) fn close(&mut self, link: LinkId, reason: &str) {
        if self.end_link(link, reason) {
            self.close_as(link, reason.into(), Ending::InOrder);
        }
    }

    /// A link has ended.
    pub(super) fn unlinked(&mut self, link: LinkId, reason: &str) {
        self.end_link(link, reason);
    }

    /// Ends the link of a worker that is not understood.
    pub(super) fn misunderstand(&mut self, link: LinkId, reason: &str) {
        self.state.counted.links_refused += 1;
        if self.end_link(link, reason) {
            self.close_as(link, reason.into(), Ending::Misunderstood);
        }
    }

    /// Ends a link whose peer was taken out of the grid.
    pub(super) fn expel_link(&mut self, link: LinkId, reason: String) {
        if self.end_link(link, &reason) {
            self.close_as(link, reason, Ending::Removed);
        }
    }

    fn close_as(&mut self, link: LinkId, reason: String, how: Ending) {
        self.effects.push(Effect::Close { link, closing: Closing { reason, how } });
    }

    /// Forgets a link; false if it is forgotten already.
    fn end_link(&mut self, link: LinkId, reason: &str) -> bool {
        if let Some(worker) = self.state.workers.remove(&link) {
            self.worker_unlinked(link, &worker, reason);
        } else if let Some(client) = self.state.clients.remove(&link) {
            if self.modules.unlinked(link) {
                self.count_modules(client.tenant.clone());
            }
            self.state.scans.unlinked(link);
            self.client_unlinked(link, &client);
        } else {
            return false;
        }
        true
    }

    pub(super) fn persist(&mut self, item: Item) {
        self.observer.persisted(&item);
        self.gate.persist(item);
    }

    /// Has something wait until all that was persisted so far is durable.
    pub(super) fn hold(&mut self, gated: Gated) {
        self.observer.held();
        self.gate.hold(gated);
    }

    fn persist_inputs(&mut self, request: RequestId, record: Record) {
        let inputs =
            self.state.requests.get_mut(&request).and_then(|pending| pending.inputs.take());
        let (Some((block, payload)), Record::InputsAppended { job, tasks, .. }) = (inputs, &record)
        else {
            return self.fail(ServerError::Missing { what: format!("inputs of {record:?}") });
        };
        let (job, first) = (*job, tasks.first);
        match Inputs::new(first, block.clone(), payload.clone()) {
            Ok(inputs) => self.cache.insert(job, Cached::Inputs(Arc::new(inputs))),
            Err(error) => {
                let what = format!("inputs from {first} of job {job}: {error}");
                return self.fail(ServerError::Missing { what });
            }
        }
        self.persist(Item::Inputs { job, first, block, payload });
        self.persist(Item::Record(record));
    }

    fn persist_results(
        &mut self,
        token: SegmentToken,
        block: usize,
        keep: Option<Vec<u32>>,
        record: Record,
    ) {
        let held = self.state.held.get_mut(&token).and_then(|blocks| blocks.get_mut(block));
        let (Some((block, payload)), Record::Committed { job, first_cursor, .. }) = (held, &record)
        else {
            return self.fail(ServerError::Missing { what: format!("results of {record:?}") });
        };
        let (job, first) = (*job, *first_cursor);
        let (block, payload) = match keep {
            // All of them are stored at once, and nothing looks at the block after that.
            None => (taken(block), std::mem::take(payload)),
            // Others of the same block may be stored by another record.
            Some(keep) => filter(block, payload, &keep),
        };
        self.store_results(job, Results::new(first, block, payload), record);
    }

    /// Tasks end as lost of which no worker sends a result.
    fn persist_lost(&mut self, lost: Vec<LostTask>, record: Record) {
        let (Some(task), Record::Committed { job, first_cursor, .. }) = (lost.first(), &record)
        else {
            return self.fail(ServerError::Missing { what: format!("results of {record:?}") });
        };
        let (job, first) = (*job, *first_cursor);
        let (lease, worker, attempt) = (LeaseId(0), task.worker, task.attempt);
        let result = |task: LostTask| ResultMeta {
            index: task.index,
            outcome: Outcome::Lost(task.reason),
            usage: Usage::default(),
            output_len: 0,
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        };
        let results = lost.into_iter().map(result).collect();
        let extensions = Extensions::NONE;
        let mut block = ResultBlock { job, lease, worker, attempt, results, extensions };
        block.set_received(self.state.date);
        self.store_results(job, Results::new(first, block, Bytes::new()), record);
    }

    /// A result that is about to be stored gets another text.
    fn retell(&mut self, token: SegmentToken, block: usize, position: u32, reason: String) {
        let held = self.state.held.get_mut(&token).and_then(|blocks| blocks.get_mut(block));
        let meta = held.and_then(|(block, _)| block.results.get_mut(position as usize));
        if let Some(meta) = meta {
            meta.outcome = Outcome::Lost(reason);
        }
    }

    /// The results of a block that are about to be stored lose what they have of bytes: the tenant
    /// would have had too much. Those that are ok, or lose an output, end as [`Limit::Quota`], so that a
    /// late result with its bytes is not taken for one that differs.
    fn empty(&mut self, token: SegmentToken, block: usize, (used, allowed): (u64, u64)) {
        let held = self.state.held.get_mut(&token).and_then(|blocks| blocks.get_mut(block));
        let Some((block, payload)) = held else { return };
        *payload = Bytes::new();
        for meta in &mut block.results {
            let has_output = meta.output_len > 0 || !meta.record_lens.is_empty();
            if meta.outcome == Outcome::Ok || has_output {
                meta.outcome = Outcome::Limit { limit: Limit::Quota, used, allowed };
            }
            meta.drop_payload();
        }
    }

    fn store_results(&mut self, job: JobId, results: Results, record: Record) {
        let (first, end, results) = (results.first, results.end(), Arc::new(results));
        self.compare_committed(job, &results);
        self.state.summaries.count(&self.grid, job, &results, self.state.now);
        self.cache.insert(job, Cached::Results(results.clone()));
        self.persist(Item::Results { job, results });
        self.persist(Item::Record(record));
        self.results_pending(job, first);
        self.hold(Gated::Visible { job, end });
    }
}

/// A block with its results, which are taken out of it.
fn taken(block: &mut ResultBlock) -> ResultBlock {
    let ResultBlock { job, lease, worker, attempt, .. } = *block;
    let (results, extensions) =
        (std::mem::take(&mut block.results), std::mem::take(&mut block.extensions));
    ResultBlock { job, lease, worker, attempt, results, extensions }
}

/// The results at the positions `keep`, with their bytes.
fn filter(block: &ResultBlock, payload: &Bytes, keep: &[u32]) -> (ResultBlock, Bytes) {
    let starts: Vec<usize> = block
        .results
        .iter()
        .scan(0, |at, meta| {
            let start = *at;
            *at += usize::try_from(ResultMeta::payload_len(meta)).unwrap_or(usize::MAX);
            Some(start)
        })
        .collect();
    let (mut results, mut pieces) = (Vec::with_capacity(keep.len()), Vec::new());
    for position in keep.iter().map(|position| *position as usize) {
        if let (Some(meta), Some(start)) = (block.results.get(position), starts.get(position)) {
            let length = usize::try_from(meta.payload_len()).unwrap_or(usize::MAX);
            let end = start.saturating_add(length).min(payload.len());
            pieces.push(payload.slice((*start).min(end)..end));
            results.push(meta.clone());
        }
    }
    let ResultBlock { job, lease, worker, attempt, .. } = *block;
    let extensions = block.extensions.clone();
    let kept = ResultBlock { job, lease, worker, attempt, results, extensions };
    (kept, super::workers::join(pieces))
}

/// What the core sees of a worker's health is for who reads the scheduler's log.
fn log_failing(name: &str, failing: Option<&Failing>) {
    match failing {
        Some(Failing { until: Some(until), reason }) => {
            tracing::warn!(worker = name, %until, reason, "a worker is failing and gets no tasks \
                 for a while");
        }
        Some(Failing { until: None, reason }) => {
            tracing::warn!(worker = name, reason, "a worker cannot run tasks");
        }
        None => tracing::info!(worker = name, "a worker can run tasks again"),
    }
}
