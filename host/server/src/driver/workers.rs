//! The driver's side of workers' links: what they say goes to the core, what the core says goes
//! to them in order, with the inputs put in.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use wasmgrid_core::{CompletedBlock, Completion, Input, NewLease, SegmentToken, claimed_key};
use wasmgrid_net::Peer;
use wasmgrid_proto::{
    Cost, Digest, JobId, LogRef, Micros, OutcomeClass, Reason, ResultBlock, ResultMeta, TaskRange,
    TaskSpec, Usage, WorkerCapacity, WorkerId, WorkerReport,
    frame::{Envelope, META_MAX},
    pace::COMMITTED_AFTER,
    text::{REASON_MAX, shortened},
    wire::{
        Assign, Committed, FromWorker, Join, Joined, LIST_MAX, LeaseGrant, Preparing, Proofs, Role,
        ToWorker, Unable, WorkerResults,
    },
};

use super::{Driver, Effect, LinkId, Observer, Waiter, cache::Cached, outbox::Outbox};
use crate::error::ServerError;

/// What may wait for one worker. The core's credit keeps assignments far below it; a worker that
/// reads so slowly that this fills is better linked anew.
const WAITING_MAX: usize = 16_384;

/// No more acknowledgements than this wait for something else to be said to the worker.
const COMMITTED_MAX: usize = 64;

/// Acknowledgements in one message: 40 KiB of its meta.
const COMMITTED_SAID: usize = 4_096;

/// Input bytes of one assignment, unless a single input is larger: small enough that the first
/// tasks start while the rest is on its way.
const ASSIGN_BYTES: usize = 1 << 20;

/// Proofs of leases in one message, which so travels with the link's small ones.
const PROOFS_MAX: usize = 1_024;

/// Jobs whose specs are kept for their next assignments, beside those in the core: as many as are
/// under way at once on most grids.
const SPECS_MAX: usize = 256;

/// Pieces of leases in one assignment.
const ASSIGN_LEASES: usize = 256;

/// Bytes of what an assignment says of its leases and their inputs, at most: half of a meta, beside
/// which a spec has room.
const ASSIGN_META: usize = META_MAX / 2;

/// What of that each lease takes at most, and each input's length.
const LEASE_META: usize = 64;
const INPUT_META: usize = 5;

/// A linked worker.
pub(super) struct Worker {
    pub peer: Peer,
    pub outbox: Outbox,
    /// Its number, once the core has given it.
    pub id: Option<WorkerId>,
    /// True once its join is durable: nothing is said to it before.
    pub open: bool,
    joining: bool,
    /// The worker whose identity it has too, while that is asked whether it lives.
    pub contests: Option<WorkerId>,
    /// When the log last said that another one has its identity.
    pub warned_at: Option<Micros>,
    leaving: bool,
    /// What it says of itself beside what it offers.
    pub report: Option<WorkerReport>,
    /// Its next certificate is being made.
    pub renewing: bool,
    waiting: VecDeque<Waiting>,
    /// Batches that it may forget, and was not told of.
    committed: Vec<u64>,
    /// Modules it asked for, and the one that is being read: one at a time, and only while its
    /// outbox has room, since each takes megabytes.
    pub wanted: BTreeSet<Digest>,
    pub reading: Option<Digest>,
}

enum Waiting {
    Message(Box<ToWorker>),
    Assign { job: JobId, grants: VecDeque<NewLease> },
}

/// What the next assignment needs before it can be made.
enum Assembled {
    Ready(Box<Envelope<ToWorker>>),
    Missing(LogRef),
    /// Its tasks have ended meanwhile.
    Nothing,
    /// Its inputs cannot be cut.
    Broken(ServerError),
}

impl<O: Observer> Driver<O> {
    pub(super) fn worker_linked(&mut self, link: LinkId, peer: Peer, outbox: Outbox) {
        if !self.lets_in(link, &peer, &[Role::Worker], "worker") {
            return;
        }
        let worker = Worker {
            peer,
            outbox,
            id: None,
            open: false,
            joining: false,
            contests: None,
            warned_at: None,
            leaving: false,
            report: None,
            renewing: false,
            waiting: VecDeque::new(),
            committed: Vec::new(),
            wanted: BTreeSet::new(),
            reading: None,
        };
        self.state.workers.insert(link, worker);
    }

    pub(super) fn worker_says(&mut self, link: LinkId, envelope: Envelope<FromWorker>) {
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        let message = match (envelope.message, worker.id) {
            (FromWorker::Join(join), None) if !worker.joining => {
                worker.joining = true;
                return self.join(link, join);
            }
            (FromWorker::Join(_), _) => {
                return self.misunderstand(link, "joined twice on one link");
            }
            (FromWorker::Renew(renew), _) => return self.renew_worker(link, renew),
            (_, None) => return self.misunderstand(link, "spoke before it joined"),
            (message, Some(id)) => (message, id),
        };
        let now = self.state.now;
        match message {
            (FromWorker::Join(_) | FromWorker::Renew(_), _) => {}
            (FromWorker::Heartbeat(heartbeat), worker) => {
                self.grid.handle(now, Input::Heartbeat { worker, heartbeat });
            }
            (FromWorker::Results(results), id) => {
                let mut checked = results.blocks.iter().map(|block| block.check_extensions());
                if let Some(unknown) = checked.find_map(Result::err) {
                    return self.misunderstand(link, &unknown.to_string());
                }
                self.results(id, results, &envelope.payload);
            }
            (FromWorker::Alive(alive), worker) => self.alive(worker, alive.rival),
            (FromWorker::NeedModule(need), _) => self.want_module(link, need.digest),
            (FromWorker::Returned(returned), worker) => {
                let (job, lease, tasks) = (returned.job, returned.lease, returned.tasks);
                let reason = shortened(returned.reason, REASON_MAX);
                tracing::debug!(%worker, %lease, why = reason, "returned");
                self.grid.handle(now, Input::Returned { worker, job, lease, tasks, reason });
            }
            (FromWorker::Health(health), worker) => {
                let unable = health.unable.map(|unable| Unable {
                    reason: shortened(unable.reason, REASON_MAX),
                    ..unable
                });
                self.grid.handle(now, Input::Health { worker, unable });
            }
            (FromWorker::Preparing(Preparing { jobs, compiled }), worker) => {
                self.grid.handle(now, Input::Preparing { worker, jobs, compiled });
            }
            (FromWorker::Report(report), _) => {
                if report.text_bytes() > WorkerReport::TEXTS_MAX {
                    return self.misunderstand(link, "it says too much of itself");
                }
                worker.report = Some(report);
            }
            (FromWorker::Leaving(message), id) => {
                let why = shortened(message.reason, REASON_MAX);
                tracing::info!(worker = worker.peer.identity.name(), why, "leaving");
                worker.leaving = true;
                self.state.touched.insert(link);
                self.grid.handle(now, Input::WorkerLeaving { worker: id });
            }
        }
    }

    /// A link's own data is being written, before what it says next is read.
    pub(super) fn staging(&mut self, link: LinkId) {
        if let Some(worker) = self.state.workers.get(&link).and_then(|worker| worker.id) {
            self.grid.handle(self.state.now, Input::Heard { worker });
        }
    }

    fn join(&mut self, link: LinkId, join: Join) {
        let Some(worker) = self.state.workers.get(&link) else { return };
        let (name, address) = (worker.peer.identity.name().to_owned(), worker.peer.address.clone());
        tracing::debug!(name, address, slots = join.capacity.slots, "worker joins");
        let vouched = worker.peer.labels.clone();
        let Join { started, capacity, held, proofs } = join;
        let (found, allowed) = (capacity.text_bytes(), WorkerCapacity::TEXTS_MAX);
        if found > allowed {
            let (bytes, allowed) = (found as u64, allowed as u64);
            return self.refuse_worker(link, Reason::WorkerTexts { bytes, allowed });
        }
        if let Some(key) = claimed_key(&capacity.labels, &vouched) {
            return self.refuse_worker(link, Reason::LabelVouched { key: key.into() });
        }
        let (link_number, now) = (link.0, self.state.now);
        self.grid.handle(
            now,
            Input::WorkerJoined {
                link: link_number,
                name,
                address,
                started,
                capacity,
                vouched,
                held,
                proofs,
            },
        );
        // What the worker says next needs the number that the core gives it.
        self.take_outputs();
        let waits = |worker: &Worker| worker.id.is_some() || worker.contests.is_some();
        if self.state.workers.get(&link).is_some_and(|worker| !waits(worker)) {
            self.close(link, "the worker has already joined on a later link");
        }
    }

    fn results(&mut self, worker: WorkerId, results: WorkerResults, payload: &Bytes) {
        let mut rest = payload.clone();
        let mut held = Vec::with_capacity(results.blocks.len());
        let mut blocks = Vec::with_capacity(results.blocks.len());
        for block in results.blocks {
            // A worker in this process keeps it, until it is acknowledged.
            let mut block = Arc::unwrap_or_clone(block);
            // The frame was checked: its payload is as long as its blocks say.
            let length = usize::try_from(block.payload_len()).unwrap_or(usize::MAX);
            let bytes = rest.split_to(length.min(rest.len()));
            // What is taken here can be sent to whoever reads it.
            let bytes = block.fit(bytes);
            block.worker = worker;
            block.set_received(self.state.date);
            let walls = block.results.iter().map(|meta| meta.usage.wall_us);
            walls.for_each(|wall_us| self.state.counted.task_us.count(wall_us));
            blocks.push(completed(&block));
            held.push((block, bytes));
        }
        self.state.next_token += 1;
        let token = SegmentToken(self.state.next_token);
        self.state.held.insert(token, held);
        let batch = results.batch;
        self.grid.handle(self.state.now, Input::Completed { worker, batch, blocks, token });
    }

    /// Says something to a worker, before all that waits for room on its link.
    pub(super) fn say_to_worker(&mut self, link: LinkId, envelope: impl Into<Envelope<ToWorker>>) {
        let Some(worker) = self.state.workers.get(&link) else { return };
        match worker.outbox.push(envelope) {
            Ok(queued) => self.effects.push(Effect::ToWorker(link, queued)),
            Err(_) => self.close(link, "it does not read its messages"),
        }
    }

    /// The core knows the worker of this link; an older link of it is closed.
    pub(super) fn worker_known(&mut self, link: LinkId, id: WorkerId) {
        if let Some(worker) = self.state.workers.get_mut(&link) {
            let (name, address) = (worker.peer.identity.name(), &worker.peer.address);
            tracing::info!(name, address, "worker joined");
            worker.id = Some(id);
            worker.contests = None;
            if let Some(old) = self.state.by_worker.insert(id, link)
                && old != link
            {
                self.close(old, "the worker joined again on another link");
            }
        }
    }

    /// The worker's join is durable.
    pub(super) fn worker_open(&mut self, link: LinkId, id: WorkerId) {
        let (epoch, heartbeat) = (self.grid.epoch(), self.settings.heartbeat);
        if let Some(worker) = self.state.workers.get_mut(&link) {
            worker.open = true;
            let joined = Joined { worker: id, epoch, heartbeat };
            worker.waiting.push_front(Waiting::Message(Box::new(ToWorker::Joined(joined))));
            self.state.touched.insert(link);
        }
    }

    pub(super) fn assign(&mut self, id: WorkerId, job: JobId, grants: Vec<NewLease>) {
        self.queue(id, |waiting| {
            for some in grants.chunks(PROOFS_MAX) {
                let proofs = some.iter().map(|grant| grant.proof).collect();
                waiting.push_back(Waiting::Message(Box::new(ToWorker::Proofs(Proofs { proofs }))));
            }
            waiting.push_back(Waiting::Assign { job, grants: grants.into() });
        });
    }

    pub(super) fn tell_worker(&mut self, id: WorkerId, message: ToWorker) {
        self.queue(id, |waiting| waiting.push_back(Waiting::Message(Box::new(message))));
    }

    /// A worker may forget a batch. It waits for that only when it leaves: so it is told together
    /// with what it is told next, or with others a little later. Each message by itself wakes a worker
    /// up whose cores are busy.
    pub(super) fn acknowledge(&mut self, id: WorkerId, batch: u64) {
        let Some(link) = self.state.by_worker.get(&id).copied() else { return };
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        worker.committed.push(batch);
        if worker.leaving || worker.committed.len() >= COMMITTED_MAX {
            self.state.touched.insert(link);
        } else {
            let at = self.state.now.after(COMMITTED_AFTER);
            self.state.acknowledge_at.get_or_insert(at);
        }
    }

    /// Has workers told of all batches that they may forget.
    pub(super) fn acknowledge_all(&mut self) {
        self.state.acknowledge_at = None;
        let some = self.state.workers.iter().filter(|(_, worker)| !worker.committed.is_empty());
        self.state.touched.extend(some.map(|(link, _)| *link));
    }

    fn queue(&mut self, id: WorkerId, add: impl FnOnce(&mut VecDeque<Waiting>)) {
        let Some(link) = self.state.by_worker.get(&id).copied() else { return };
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        add(&mut worker.waiting);
        let over = worker.waiting.len() > WAITING_MAX;
        self.state.touched.insert(link);
        if over {
            self.close(link, "it does not read its messages");
        }
    }

    /// Says to a worker what waits, as far as there is room and the inputs are here.
    pub(super) fn pump_worker(&mut self, link: LinkId) {
        self.read_module(link);
        if let Some(worker) = self.state.workers.get_mut(&link)
            && !worker.committed.is_empty()
        {
            let mut batches = std::mem::take(&mut worker.committed);
            while !batches.is_empty() {
                let rest = batches.split_off(batches.len().min(COMMITTED_SAID));
                let message = ToWorker::Committed(Committed { batches });
                worker.waiting.push_back(Waiting::Message(Box::new(message)));
                batches = rest;
            }
        }
        loop {
            let Some(worker) = self.state.workers.get_mut(&link) else { return };
            if !worker.open || worker.waiting.is_empty() || !worker.outbox.has_room() {
                return;
            }
            let envelope = match worker.waiting.pop_front() {
                None => return,
                Some(Waiting::Message(message)) => Envelope::from(*message),
                Some(Waiting::Assign { job, mut grants }) => {
                    let assembled = self.assemble(job, &mut grants);
                    if !grants.is_empty()
                        && let Some(worker) = self.state.workers.get_mut(&link)
                    {
                        worker.waiting.push_front(Waiting::Assign { job, grants });
                    }
                    match assembled {
                        Assembled::Ready(envelope) => *envelope,
                        Assembled::Nothing => continue,
                        Assembled::Missing(place) => {
                            return self.load(place, Waiter::Worker(link));
                        }
                        Assembled::Broken(error) => return self.fail(error),
                    }
                }
            };
            self.say_to_worker(link, envelope);
        }
    }

    /// What the tasks of a job need, the same for all its assignments; `None` once it has ended.
    fn spec_of(&mut self, job: JobId) -> Option<Arc<TaskSpec>> {
        if let Some(spec) = self.state.specs.get(&job) {
            return Some(Arc::clone(spec));
        }
        let spec = Arc::new(self.grid.task_spec(job)?.clone());
        if self.state.specs.len() >= SPECS_MAX {
            self.state.specs.clear();
        }
        self.state.specs.insert(job, Arc::clone(&spec));
        Some(spec)
    }

    /// A job changed: one that has ended is assigned no more.
    pub(super) fn forget_spec(&mut self, job: JobId) {
        if self.state.specs.contains_key(&job) && self.grid.task_spec(job).is_none() {
            self.state.specs.remove(&job);
        }
    }

    /// Makes one assignment of as many grants as it holds, and takes them out of `grants`.
    fn assemble(&mut self, job: JobId, grants: &mut VecDeque<NewLease>) -> Assembled {
        let missing = |place: LogRef| ServerError::Missing { what: place.to_string() };
        let Some(spec) = self.spec_of(job) else {
            grants.clear();
            return Assembled::Nothing;
        };
        let (mut leases, mut pieces, mut bytes, mut meta) = (Vec::new(), Vec::new(), 0, 0);
        while let Some(grant) = grants.front_mut() {
            let room = inputs_room(meta);
            if bytes >= ASSIGN_BYTES || leases.len() >= ASSIGN_LEASES || room == 0 {
                break;
            }
            let place = self.grid.input_of(job, grant.tasks.first);
            if !self.grid.holds(place) {
                grants.pop_front();
                continue;
            }
            let Some(Cached::Inputs(inputs)) = self.cache.find(place) else {
                if leases.is_empty() {
                    return Assembled::Missing(place);
                }
                break;
            };
            let tasks = TaskRange { count: grant.tasks.count.min(room), ..grant.tasks };
            let Ok((block, payload)) = inputs.cut(tasks, ASSIGN_BYTES - bytes) else {
                return Assembled::Broken(missing(place));
            };
            let (first, count) = (grant.tasks.first, block.count());
            bytes += payload.len();
            meta += LEASE_META + usize::try_from(count).unwrap_or(LIST_MAX) * INPUT_META;
            let (lease, attempt) = (grant.lease, grant.attempt);
            leases.push(LeaseGrant { lease, attempt, first, inputs: block });
            pieces.push(payload);
            grant.tasks = TaskRange {
                first: first.saturating_add(count),
                count: grant.tasks.count.saturating_sub(count),
            };
            if grant.tasks.count == 0 {
                grants.pop_front();
            }
        }
        if leases.is_empty() {
            return Assembled::Nothing;
        }
        let message = ToWorker::Assign(Assign { job, spec, leases });
        Assembled::Ready(Box::new(Envelope { message, payload: join(pieces) }))
    }

    /// A worker's link has ended.
    pub(super) fn worker_unlinked(&mut self, link: LinkId, worker: &Worker, reason: &str) {
        let Some(id) = worker.id else {
            return self.grid.handle(self.state.now, Input::JoinerLeft { link: link.0 });
        };
        let name = worker.peer.identity.name();
        tracing::info!(name, reason, graceful = worker.leaving, "worker's link ended");
        if self.state.by_worker.get(&id) == Some(&link) {
            self.state.by_worker.remove(&id);
            self.state.summaries.worker_left(id);
        }
        let left = Input::WorkerLeft { worker: id, link: link.0, graceful: worker.leaving };
        self.grid.handle(self.state.now, left);
    }
}

/// Inputs that one more lease of an assignment may have, which says so much already.
fn inputs_room(meta: usize) -> u64 {
    let room = ASSIGN_META.saturating_sub(meta + LEASE_META) / INPUT_META;
    room.min(LIST_MAX) as u64
}

/// A result block as the core counts it.
fn completed(block: &ResultBlock) -> CompletedBlock {
    let completion = |meta: &ResultMeta| {
        let class = meta.outcome.class();
        let says_why = matches!(class, OutcomeClass::Retry | OutcomeClass::Lost);
        let reason = says_why.then(|| shortened(meta.outcome.to_string(), REASON_MAX));
        let Usage { fuel, wall_us, .. } = meta.usage;
        let cost = Cost { fuel, wall_us, bytes: meta.payload_len() };
        Completion { index: meta.index, class, reason, cost }
    };
    let ResultBlock { job, lease, attempt, .. } = *block;
    let results = block.results.iter().map(completion).collect();
    CompletedBlock { job, lease, attempt, results }
}

/// The pieces one behind the other; a single one is not copied.
pub(super) fn join(mut pieces: Vec<Bytes>) -> Bytes {
    pieces.retain(|piece| !piece.is_empty());
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in &pieces {
        joined.extend_from_slice(piece);
    }
    joined.freeze()
}
