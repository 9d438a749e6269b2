//! Workers that run tasks in virtual time, one a slot, each as long as its job says: what a grid
//! does over minutes, in milliseconds. What runs is checked against labels and memory.

use std::collections::{BTreeMap, VecDeque};

use wasmgrid_core::{
    CompletedBlock, Completion, Grid, GridConfig, Input, InputBytes, Output, RequestId,
    SegmentToken,
};
use wasmgrid_proto::{
    ByteCount, Cost, JobId, JobSpec, JobState, LeaseId, Micros, OutcomeClass, WorkerCapacity,
    WorkerId, wire::Reply,
};

use crate::world::{by_alice, content, start};

#[derive(Clone, Copy, Debug)]
struct Task {
    job: JobId,
    lease: LeaseId,
    attempt: u32,
    index: u64,
}

#[derive(Debug)]
struct Machine {
    capacity: WorkerCapacity,
    running: u32,
    memory: u64,
    waiting: VecDeque<Task>,
}

#[derive(Debug)]
pub struct Clockwork {
    pub grid: Grid,
    pub now: Micros,
    machines: BTreeMap<WorkerId, Machine>,
    /// What ends when, and how long it took.
    ends: BTreeMap<(Micros, u64), (WorkerId, Task, u64)>,
    specs: BTreeMap<JobId, (JobSpec, u64)>,
    /// The slots' time that each job's ended tasks took, in microseconds.
    pub had_us: BTreeMap<JobId, u64>,
    /// The most memory that the running tasks of one worker ever had.
    pub peak_memory: u64,
    counter: u64,
    last_job: JobId,
    joining: Option<WorkerCapacity>,
}

impl Clockwork {
    pub fn new(config: GridConfig) -> Self {
        let mut clockwork = Self {
            grid: Grid::new(config),
            now: Micros(1_000_000_000),
            machines: BTreeMap::new(),
            ends: BTreeMap::new(),
            specs: BTreeMap::new(),
            had_us: BTreeMap::new(),
            peak_memory: 0,
            counter: 0,
            last_job: JobId(0),
            joining: None,
        };
        clockwork.drive(start(Micros(0)));
        clockwork
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn join(&mut self, slots: u32, memory_mib: u64, labels: &[(&str, &str)]) -> WorkerId {
        let link = self.next();
        let mut labels: Vec<_> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        labels.sort();
        let memory = ByteCount(memory_mib << 20);
        let capacity = WorkerCapacity { slots, memory, labels, engine: "none".into() };
        self.joining = Some(capacity.clone());
        self.drive(Input::WorkerJoined {
            link,
            name: format!("worker-{link}"),
            address: "nowhere".into(),
            started: Micros(link),
            capacity,
            vouched: Vec::new(),
            held: Vec::new(),
            proofs: Vec::new(),
        });
        *self.machines.keys().last().expect("it joined")
    }

    /// Submits a job whose tasks each take so long.
    pub fn submit(&mut self, spec: JobSpec, inputs: u64, task_us: u64) -> JobId {
        let request = RequestId(self.next());
        // Its tasks may be given out with the answer.
        self.specs.insert(JobId(self.last_job.0 + 1), (spec.clone(), task_us));
        let idempotency_key = None;
        let digest = content(0, inputs, true);
        self.drive(Input::Submit {
            request: by_alice(request),
            spec: Box::new(spec),
            idempotency_key,
            inputs,
            bytes: InputBytes::default(),
            closed: true,
            digest,
        });
        self.last_job
    }

    fn drive(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.grid.handle(self.now, input);
            while let Some(output) = self.grid.poll_output() {
                inputs.extend(self.take(output));
            }
        }
        let idle: Vec<WorkerId> = self.machines.keys().copied().collect();
        idle.into_iter().for_each(|worker| self.begin(worker));
    }

    fn take(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Reply { reply, .. } => {
                if let Reply::Job(status) = reply.expect("every request fits") {
                    self.last_job = status.job;
                }
            }
            Output::Joined { worker, .. } => {
                let capacity = self.joining.take().expect("it joins");
                let waiting = VecDeque::new();
                self.machines.insert(worker, Machine { capacity, running: 0, memory: 0, waiting });
            }
            Output::Assign { worker, job, grants } => {
                let machine = self.machines.get_mut(&worker).expect("it joined");
                let (spec, _) = self.specs.get(&job).expect("it was submitted");
                let has = |label| machine.capacity.labels.contains(label);
                assert!(spec.requires.iter().all(has), "{spec:?} on {machine:?}");
                for grant in grants {
                    let (lease, attempt) = (grant.lease, grant.attempt);
                    let indices = grant.tasks.first..grant.tasks.end();
                    let tasks = indices.map(|index| Task { job, lease, attempt, index });
                    machine.waiting.extend(tasks);
                }
            }
            Output::Revoke { worker, job, lease, tasks } => {
                let machine = self.machines.get_mut(&worker).expect("it joined");
                let asked = |task: &Task| {
                    let within = |part: &wasmgrid_proto::TaskRange| {
                        (part.first..part.end()).contains(&task.index)
                    };
                    task.lease == lease && tasks.iter().any(within)
                };
                let (back, kept) = machine.waiting.drain(..).partition(asked);
                machine.waiting = kept;
                let back: VecDeque<Task> = back;
                let one = |task: Task| wasmgrid_proto::TaskRange { first: task.index, count: 1 };
                let tasks = back.into_iter().map(one).collect();
                return Some(Input::Returned {
                    worker,
                    job,
                    lease,
                    tasks,
                    reason: "it could not".into(),
                });
            }
            _ => {}
        }
        None
    }

    fn begin(&mut self, worker: WorkerId) {
        loop {
            let machine = self.machines.get_mut(&worker).expect("it joined");
            if machine.running == machine.capacity.slots {
                return;
            }
            let Some(task) = machine.waiting.pop_front() else { return };
            let (spec, task_us) = self.specs.get(&task.job).expect("it was submitted");
            machine.running += 1;
            machine.memory += spec.task.limits.memory.0;
            assert!(machine.memory <= machine.capacity.memory.0, "{machine:?}");
            self.peak_memory = self.peak_memory.max(machine.memory);
            self.counter += 1;
            let (at, took) = (Micros(self.now.0 + task_us), *task_us);
            self.ends.insert((at, self.counter), (worker, task, took));
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, ms: u64) {
        let until = Micros(self.now.0 + ms * 1_000);
        loop {
            let end = self.ends.keys().next().map(|(at, _)| *at);
            let timer = self.grid.poll_timeout();
            let Some(next) = end.into_iter().chain(timer).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if end == Some(next) {
                let (_, (worker, task, took)) = self.ends.pop_first().expect("one ends");
                self.end(worker, task, took);
            } else {
                self.beat();
            }
        }
        self.now = until;
        self.beat();
    }

    fn beat(&mut self) {
        let workers: Vec<WorkerId> = self.machines.keys().copied().collect();
        for worker in workers {
            self.drive(Input::Heartbeat { worker, heartbeat: Default::default() });
        }
    }

    fn end(&mut self, worker: WorkerId, task: Task, took: u64) {
        let Task { job, lease, attempt, index } = task;
        *self.had_us.entry(job).or_default() += took;
        let machine = self.machines.get_mut(&worker).expect("it joined");
        machine.running -= 1;
        let (spec, _) = self.specs.get(&job).expect("it was submitted");
        machine.memory -= spec.task.limits.memory.0;
        let (class, cost) = (OutcomeClass::Ok, Cost { wall_us: took, ..Cost::default() });
        let results = vec![Completion { index, class, reason: None, cost }];
        let block = CompletedBlock { job, lease, attempt, results };
        let (batch, blocks) = (self.next(), vec![block]);
        self.drive(Input::Completed { worker, batch, blocks, token: SegmentToken(batch) });
    }

    pub fn state(&self, job: JobId) -> JobState {
        self.grid.job(job).expect("it is known").state
    }

    /// The slots' time that some jobs had together.
    pub fn had(&self, jobs: &[JobId]) -> u64 {
        jobs.iter().map(|job| self.had_us.get(job).copied().unwrap_or_default()).sum()
    }
}
