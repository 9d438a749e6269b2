//! A grid with its driver and its workers played by the test: a virtual clock, a journal, and for
//! each worker the tasks in its hands. Some invariants are checked at every step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use wasmgrid_core::{
    ClientRequest, CompletedBlock, Completion, Grid, GridConfig, Input, InputBytes, LeaseKey,
    Ledger, NewLease, Output, RESULT_BYTES, RequestId, SegmentToken,
};
use wasmgrid_proto::{
    AuditRecord, ByteCount, Caller, Cost, Digest, JobId, JobSpec, JobState, JobStatus, LeaseId,
    LeaseProof, Micros, ModuleKind, OutcomeClass, Record, TaskRange, TaskSpec, WorkerCapacity,
    WorkerId,
    wire::{ApiError, Heartbeat, HeldLease, Reply, Role},
};

/// Tasks in a worker's hands under one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hand {
    pub job: JobId,
    pub lease: LeaseId,
    pub attempt: u32,
    pub tasks: TaskRange,
}

pub struct World {
    pub grid: Grid,
    pub config: GridConfig,
    pub now: Micros,
    pub journal: Vec<Record>,
    pub hands: BTreeMap<WorkerId, Vec<Hand>>,
    pub links: BTreeMap<WorkerId, u64>,
    /// When each worker's process started.
    started: BTreeMap<String, Micros>,
    /// What the last step output, in order.
    pub last: Vec<Output>,
    /// All outputs that tell of lost tasks.
    told: Vec<Output>,
    committed: BTreeMap<JobId, BTreeSet<u64>>,
    cancelled: BTreeSet<JobId>,
    leases: BTreeSet<LeaseId>,
    /// What proves that they were given.
    pub proofs: BTreeMap<LeaseId, LeaseProof>,
    /// The newest lease before the last step.
    newest: Option<LeaseId>,
    replies: BTreeMap<RequestId, Result<Reply, ApiError>>,
    /// What was entered into the audit log.
    pub audits: Vec<AuditRecord>,
    counter: u64,
    /// What each input and each result takes in the store, and how much fuel each task takes.
    pub input_bytes: u64,
    pub result_bytes: u64,
    pub fuel: u64,
}

impl World {
    pub fn new() -> Self {
        Self::with(GridConfig::default())
    }

    pub fn with(config: GridConfig) -> Self {
        let mut world = Self {
            grid: Grid::new(config.clone()),
            config,
            now: Micros(1_000_000),
            journal: Vec::new(),
            hands: BTreeMap::new(),
            links: BTreeMap::new(),
            started: BTreeMap::new(),
            last: Vec::new(),
            told: Vec::new(),
            committed: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            leases: BTreeSet::new(),
            proofs: BTreeMap::new(),
            newest: None,
            replies: BTreeMap::new(),
            audits: Vec::new(),
            counter: 0,
            input_bytes: 0,
            result_bytes: 0,
            fuel: 0,
        };
        world.drive(start(Micros(1_000_000)));
        world
    }

    /// Hands the grid an input and files what it outputs.
    pub fn drive(&mut self, input: Input) {
        self.grid.handle(self.now, input);
        self.last.clear();
        self.newest = self.leases.last().copied();
        while let Some(output) = self.grid.poll_output() {
            if let Some(record) = output.record() {
                self.check_record(record);
                self.journal.push(record.clone());
            }
            match &output {
                Output::Assign { worker, job, grants } => self.assign(*worker, *job, grants),
                Output::Reply { request, reply } => {
                    self.replies.insert(*request, (**reply).clone());
                }
                Output::Audit(record) => self.audits.push((**record).clone()),
                Output::Joined { link, worker } => {
                    self.links.insert(*worker, *link);
                }
                Output::PersistLost { .. } | Output::Explain { .. } => {
                    self.told.push(output.clone());
                }
                Output::Disconnect { worker, .. } => {
                    self.links.remove(worker);
                }
                _ => {}
            }
            self.last.push(output);
        }
        for status in self.grid.jobs(usize::MAX) {
            let counts = status.counts;
            let sum = counts.queued + counts.running + counts.ended();
            assert_eq!(sum, counts.total, "the parts of {status:?} sum to the whole");
        }
    }

    fn assign(&mut self, worker: WorkerId, job: JobId, grants: &[NewLease]) {
        for grant in grants {
            assert!(self.leases.insert(grant.lease), "{grant:?} is given once");
            assert!(self.newest < Some(grant.lease), "leases only grow");
            let NewLease { lease, attempt, tasks, proof } = *grant;
            self.proofs.insert(lease, proof);
            self.hands.entry(worker).or_default().push(Hand { job, lease, attempt, tasks });
        }
    }

    fn check_record(&mut self, record: &Record) {
        match record {
            Record::CancelRequested { job, .. } => {
                self.cancelled.insert(*job);
            }
            Record::Committed { job, runs, .. } => {
                assert!(!self.cancelled.contains(job), "nothing commits after a cancel");
                let done = self.committed.entry(*job).or_default();
                for index in runs.iter().flat_map(|run| run.tasks.first..run.tasks.end()) {
                    assert!(done.insert(index), "task {job}/{index} is committed once");
                }
            }
            _ => {}
        }
    }

    /// Lets time pass; timers fire when they are due.
    pub fn pass(&mut self, ms: u64) {
        let until = Micros(self.now.0 + ms * 1_000);
        while let Some(next) = self.grid.poll_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.drive(Input::Tick);
        }
        self.now = until;
    }

    pub fn request(&mut self) -> RequestId {
        RequestId(self.next())
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn reply(&self, request: RequestId) -> Result<Reply, ApiError> {
        self.replies.get(&request).cloned().expect("every request is answered at once")
    }

    /// Submits a closed job of so many tasks.
    pub fn submit(&mut self, spec: JobSpec, inputs: u64) -> JobId {
        self.submit_as(spec, None, inputs, true)
    }

    pub fn submit_as(
        &mut self,
        spec: JobSpec,
        key: Option<&str>,
        inputs: u64,
        closed: bool,
    ) -> JobId {
        let request = self.request();
        let idempotency_key = key.map(String::from);
        let digest = content(0, inputs, closed);
        let (spec, bytes) = (Box::new(spec), bytes_of(inputs * self.input_bytes));
        let submit = Input::Submit {
            request: by_alice(request),
            spec,
            idempotency_key,
            inputs,
            bytes,
            closed,
            digest,
        };
        self.drive(submit);
        match self.reply(request) {
            Ok(Reply::Job(status)) => status.job,
            other => panic!("a submit is answered with its job, not {other:?}"),
        }
    }

    pub fn append(&mut self, job: JobId, first: u64, count: u64) -> Result<Reply, ApiError> {
        self.append_as(job, first, count, content(first, count, false))
    }

    pub fn append_as(
        &mut self,
        job: JobId,
        first: u64,
        count: u64,
        digest: Digest,
    ) -> Result<Reply, ApiError> {
        let request = self.request();
        let bytes = bytes_of(count.saturating_mul(self.input_bytes));
        self.drive(Input::AppendAt {
            request: by_alice(request),
            job,
            first,
            count,
            bytes,
            digest,
        });
        self.reply(request)
    }

    pub fn skip(&mut self, job: JobId, first: u64, count: u64) -> Result<Reply, ApiError> {
        let (request, digest) = (self.request(), content(first, count, true));
        self.drive(Input::Skip { request: by_alice(request), job, first, count, digest });
        self.reply(request)
    }

    pub fn close(&mut self, job: JobId) -> Result<Reply, ApiError> {
        let request = self.request();
        self.drive(Input::Close { request: by_alice(request), job });
        self.reply(request)
    }

    pub fn cancel(&mut self, job: JobId) -> Result<Reply, ApiError> {
        let request = self.request();
        self.drive(Input::Cancel { request: by_alice(request), job });
        self.reply(request)
    }

    pub fn drain(&mut self, name: &str) -> Result<Reply, ApiError> {
        let request = self.request();
        self.drive(Input::DrainWorker { request: by_alice(request), name: name.into() });
        self.reply(request)
    }

    pub fn cordon(&mut self, name: &str, cordoned: bool) -> Result<Reply, ApiError> {
        let request = self.request();
        self.drive(Input::CordonWorker { request: by_alice(request), name: name.into(), cordoned });
        self.reply(request)
    }

    pub fn remove(&mut self, name: &str) -> Result<Reply, ApiError> {
        let request = self.request();
        self.drive(Input::RemoveWorker { request: by_alice(request), name: name.into() });
        self.reply(request)
    }

    /// A worker that offers this joins as a new process.
    pub fn join_with(&mut self, name: &str, capacity: WorkerCapacity) -> WorkerId {
        let started = Micros(self.next());
        self.started.insert(name.into(), started);
        self.join_offering(name, capacity, &[])
    }

    /// A worker joins as a new process, with nothing in its hands.
    pub fn join(&mut self, name: &str, slots: u32) -> WorkerId {
        let started = Micros(self.next());
        self.started.insert(name.into(), started);
        self.join_holding(name, slots, &[])
    }

    /// The same process joins again, with what it says it has in its hands.
    pub fn join_holding(&mut self, name: &str, slots: u32, hands: &[Hand]) -> WorkerId {
        self.join_offering(name, capacity(slots), hands)
    }

    /// A worker whose certificate has labels joins as a new process.
    pub fn join_vouched(
        &mut self,
        name: &str,
        capacity: WorkerCapacity,
        vouched: &[(&str, &str)],
    ) -> WorkerId {
        let (link, started) = (self.next(), Micros(self.next()));
        self.ask_to_join(link, name, started, capacity, Vec::new(), vouched);
        self.worker_of(name).expect("it has a number now")
    }

    /// The same process joins again, offering this, with what it says it has in its hands.
    pub fn join_again(&mut self, name: &str, capacity: WorkerCapacity, hands: &[Hand]) -> WorkerId {
        self.join_offering(name, capacity, hands)
    }

    fn join_offering(&mut self, name: &str, capacity: WorkerCapacity, hands: &[Hand]) -> WorkerId {
        let link = self.next();
        let held = hands
            .iter()
            .map(|hand| HeldLease {
                job: hand.job,
                lease: hand.lease,
                attempt: hand.attempt,
                tasks: vec![hand.tasks],
            })
            .collect();
        let known = self.worker_of(name);
        if let Some(worker) = known {
            self.hands.insert(worker, hands.to_vec());
        }
        let started = self.started.get(name).copied().unwrap_or_default();
        self.ask_to_join(link, name, started, capacity, held, &[]);
        if self.last.iter().any(|output| matches!(output, Output::Contest { .. })) {
            // The one that has the place is not there any more, or it would not be this one's.
            self.pass(self.config.contest_timeout.0);
        }
        let worker = self.worker_of(name).expect("it has a number now");
        assert_eq!(self.links.get(&worker), Some(&link), "a join is answered");
        worker
    }

    /// A worker says that it joins; the link it does that on.
    pub fn rival(&mut self, name: &str) -> u64 {
        let (link, started) = (self.next(), Micros(self.next()));
        self.ask_to_join(link, name, started, capacity(1), Vec::new(), &[]);
        link
    }

    fn ask_to_join(
        &mut self,
        link: u64,
        name: &str,
        started: Micros,
        capacity: WorkerCapacity,
        held: Vec<HeldLease>,
        vouched: &[(&str, &str)],
    ) {
        let (name, address) = (name.into(), format!("machine-{link}"));
        let proof = |held: &HeldLease| self.proofs.get(&held.lease).copied();
        let proofs = held.iter().filter_map(proof).collect();
        let vouched = pairs(vouched);
        self.drive(Input::WorkerJoined {
            link,
            name,
            address,
            started,
            capacity,
            vouched,
            held,
            proofs,
        });
    }

    fn worker_of(&self, name: &str) -> Option<WorkerId> {
        self.journal.iter().rev().find_map(|record| match record {
            Record::WorkerKnown { worker, name: known } if known == name => Some(*worker),
            _ => None,
        })
    }

    /// A worker's link breaks; its hands stay full.
    pub fn cut(&mut self, worker: WorkerId) {
        if let Some(link) = self.links.remove(&worker) {
            self.drive(Input::WorkerLeft { worker, link, graceful: false });
        }
    }

    /// A worker's host dies with what it had, and is given up after the grace.
    pub fn kill(&mut self, worker: WorkerId) {
        self.cut(worker);
        self.hands.remove(&worker);
        self.pass(self.config.rejoin_grace.0);
    }

    /// A worker says that it will not run these tasks.
    pub fn returned(
        &mut self,
        worker: WorkerId,
        job: JobId,
        lease: LeaseId,
        tasks: Vec<TaskRange>,
    ) {
        self.drive(Input::Returned { worker, job, lease, tasks, reason: "no".into() });
    }

    pub fn beat(&mut self, worker: WorkerId) {
        self.drive(Input::Heartbeat { worker, heartbeat: Heartbeat::default() });
    }

    pub fn hands(&self, worker: WorkerId) -> Vec<Hand> {
        self.hands.get(&worker).cloned().unwrap_or_default()
    }

    /// How many tasks a worker has in its hands.
    pub fn load(&self, worker: WorkerId) -> u64 {
        self.hands(worker).iter().map(|hand| hand.tasks.count).sum()
    }

    /// A worker ends all of one lease in one way, each task after `wall_us`.
    pub fn end(&mut self, worker: WorkerId, hand: Hand, class: OutcomeClass, wall_us: u64) {
        if let Some(hands) = self.hands.get_mut(&worker) {
            hands.retain(|other| *other != hand);
        }
        self.send(worker, hand, class, wall_us);
    }

    /// Sends results whatever the worker has in its hands.
    pub fn send(&mut self, worker: WorkerId, hand: Hand, class: OutcomeClass, wall_us: u64) {
        let bytes = self.result_bytes.saturating_sub(RESULT_BYTES);
        let cost = Cost { fuel: self.fuel, wall_us, bytes };
        let results = (hand.tasks.first..hand.tasks.end())
            .map(|index| Completion { index, class, reason: Some("because".into()), cost })
            .collect();
        let block =
            CompletedBlock { job: hand.job, lease: hand.lease, attempt: hand.attempt, results };
        self.send_blocks(worker, vec![block]);
    }

    /// Sends a batch, and sees that it is acknowledged behind what it commits.
    pub fn send_blocks(&mut self, worker: WorkerId, blocks: Vec<CompletedBlock>) {
        let batch = self.next();
        let token = SegmentToken(batch);
        self.drive(Input::Completed { worker, batch, blocks, token });
        let place = |wanted: &Output| self.last.iter().position(|output| output == wanted);
        let acknowledged = place(&Output::Acknowledge { worker, batch }).expect("acknowledged");
        let released = place(&Output::Release { token }).expect("released");
        for (position, output) in self.last.iter().enumerate() {
            if matches!(output, Output::PersistResults { .. }) {
                assert!(position < released && position < acknowledged);
            }
        }
    }

    /// A worker ends everything in its hands.
    pub fn end_all(&mut self, worker: WorkerId, class: OutcomeClass, wall_us: u64) {
        for hand in self.hands(worker) {
            self.end(worker, hand, class, wall_us);
        }
    }

    /// All workers end everything, again and again, until nothing is left.
    pub fn run(&mut self, wall_us: u64) {
        while let Some((worker, hand)) = self.first_hand() {
            self.end(worker, hand, OutcomeClass::Ok, wall_us);
        }
    }

    fn first_hand(&self) -> Option<(WorkerId, Hand)> {
        let linked = self.hands.iter().filter(|(worker, _)| self.links.contains_key(worker));
        linked.flat_map(|(worker, hands)| hands.first().map(|hand| (*worker, *hand))).next()
    }

    /// A worker answers the revokes of the last step: it gives back what is in its hands.
    pub fn answer_revokes(&mut self) {
        for output in self.last.clone() {
            let Output::Revoke { worker, job, lease, tasks } = output else { continue };
            let mut given = Vec::new();
            for hand in self.hands.get_mut(&worker).into_iter().flatten() {
                for tasks in tasks.iter().filter(|_| hand.lease == lease) {
                    if tasks.end() == hand.tasks.end() && tasks.first >= hand.tasks.first {
                        hand.tasks.count -= tasks.count;
                        given.push(*tasks);
                    }
                }
            }
            if let Some(hands) = self.hands.get_mut(&worker) {
                hands.retain(|hand| hand.tasks.count > 0);
            }
            self.drive(Input::Returned { worker, job, lease, tasks: given, reason: "no".into() });
        }
    }

    /// The scheduler dies and another replays the journal; all links are gone.
    pub fn restart(&mut self) {
        self.restart_on(self.now);
    }

    /// As [`Self::restart`], on a machine whose clock says this.
    pub fn restart_on(&mut self, date: Micros) {
        self.grid = self.replayed();
        self.links.clear();
        self.drive(start(date));
    }

    /// All outputs so far that tell of lost tasks.
    pub fn lost_outputs(&self) -> impl Iterator<Item = &Output> {
        self.told.iter()
    }

    pub fn replayed(&self) -> Grid {
        let mut grid = Grid::new(self.config.clone());
        self.journal.iter().for_each(|record| grid.apply(record));
        grid
    }

    pub fn check_replay(&self) {
        assert_eq!(self.replayed().ledger(), self.grid.ledger(), "a replay gives the live state");
        let (covered, tail) = self.journal.split_at(self.journal.len() / 2);
        for (covered, tail) in [(covered, tail), (&self.journal[..], &[][..])] {
            let ledger = self.by_snapshot(covered, tail);
            assert_eq!(&ledger, self.grid.ledger(), "a snapshot and what follows it as well");
        }
    }

    /// What a journal gives whose first part is a snapshot.
    pub fn by_snapshot(&self, covered: &[Record], tail: &[Record]) -> Ledger {
        let (mut before, mut after) = (Ledger::default(), Ledger::default());
        covered.iter().for_each(|record| before.apply(record));
        before.snapshot(&mut |item| after.restore(item));
        assert_eq!(after, before, "a snapshot is whole");
        tail.iter().for_each(|record| after.apply(record));
        after
    }

    pub fn job(&self, job: JobId) -> JobStatus {
        self.grid.job(job).expect("the job is known")
    }

    pub fn state(&self, job: JobId) -> JobState {
        self.job(job).state
    }

    /// The indices a worker has in its hands of a job.
    pub fn indices(&self, worker: WorkerId, job: JobId) -> Vec<u64> {
        let hands = self.hands(worker);
        let of_job = hands.iter().filter(|hand| hand.job == job);
        of_job.flat_map(|hand| hand.tasks.first..hand.tasks.end()).collect()
    }
}

/// Each test's journal is replayed at its end, whole and by snapshots.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_replay();
        }
    }
}

/// A term begins on this date, on a grid whose secret is always the same.
/// A request of a client who is alice, in a tenant of the same name.
pub fn by_alice(request: RequestId) -> ClientRequest {
    by(request, Role::Client, "alice")
}

/// A request of somebody of this role and name.
pub fn by(id: RequestId, role: Role, name: &str) -> ClientRequest {
    ClientRequest { id, by: Arc::new(caller(role, name)) }
}

pub fn caller(role: Role, name: &str) -> Caller {
    Caller {
        role,
        name: name.into(),
        tenant: name.into(),
        serial: Some("4a01".into()),
        gateway: None,
    }
}

pub fn start(date: Micros) -> Input {
    Input::Start { date, key: LeaseKey([7; 32]), vouched: Vec::new() }
}

pub fn pairs(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut labels: Vec<_> =
        labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    labels.sort();
    labels
}

pub fn capacity(slots: u32) -> WorkerCapacity {
    let memory = ByteCount(1 << 30);
    WorkerCapacity { slots, memory, labels: Vec::new(), engine: "test".into() }
}

pub fn spec() -> JobSpec {
    let task =
        TaskSpec { tenant: "default".into(), ..TaskSpec::new(Digest([7; 32]), ModuleKind::Task) };
    JobSpec::new("job".into(), task)
}

pub fn spec_of(tenant: &str) -> JobSpec {
    let mut spec = spec();
    spec.task.tenant = tenant.into();
    spec
}

/// Inputs that take as much of the store as they have.
pub const fn bytes_of(bytes: u64) -> InputBytes {
    InputBytes { own: bytes, stored: bytes }
}

/// Stands for the inputs of a submit or append; tests that say nothing of content repeat it.
pub fn content(first: u64, count: u64, closed: bool) -> Digest {
    Digest::of(format!("{first} {count} {closed}").as_bytes())
}
