//! How many completions a second the scheduler alone handles on one core: jobs of growing size on
//! a few workers that end everything at once. The time a task takes should not grow with the job.
//!
//! `cargo run --release -p wasmgrid-core --example completions`

use std::{
    collections::VecDeque,
    process::ExitCode,
    time::{Duration, Instant},
};

use wasmgrid_core::{
    CompletedBlock, Completion, Grid, GridConfig, Input, Output, RequestId, SegmentToken,
};
use wasmgrid_proto::{
    ByteCount, Digest, JobId, JobSpec, JobState, LeaseId, Limits, Micros, ModuleKind, OutcomeClass,
    TaskRange, TaskSpec, WorkerCapacity, WorkerId,
};

const WORKERS: u64 = 8;
const SLOTS: u32 = 4;

fn main() -> ExitCode {
    println!("{:>10} {:>6} {:>12} {:>10}", "tasks", "block", "tasks/s", "ns/task");
    for (tasks, block) in
        [(10_000, 64), (100_000, 64), (1_000_000, 64), (1_000_000, 1), (10_000_000, 512)]
    {
        let Some(took) = run(tasks, block) else {
            eprintln!("the job of {tasks} tasks did not end");
            return ExitCode::FAILURE;
        };
        let seconds = took.as_secs_f64();
        let (rate, each) = (tasks as f64 / seconds, seconds * 1e9 / tasks as f64);
        println!("{tasks:>10} {block:>6} {rate:>12.0} {each:>10.0}");
    }
    ExitCode::SUCCESS
}

/// Runs one job whose results come `block` at a time; how long that took, if it ended.
fn run(tasks: u64, block: u64) -> Option<Duration> {
    let mut grid = Grid::new(GridConfig::default());
    let mut waiting = VecDeque::new();
    step(&mut grid, Input::Start, &mut waiting);
    for link in 1..=WORKERS {
        step(&mut grid, joined(link), &mut waiting);
    }
    let started = Instant::now();
    let submit = Input::Submit {
        request: RequestId(0),
        spec: spec(),
        idempotency_key: None,
        inputs: tasks,
        closed: true,
        digest: Digest::of(b"inputs"),
    };
    step(&mut grid, submit, &mut waiting);
    let mut batch = 0;
    while let Some(mut held) = waiting.pop_front() {
        batch += 1;
        let part = TaskRange { count: held.tasks.count.min(block), ..held.tasks };
        held.tasks = TaskRange { first: part.end(), count: held.tasks.count - part.count };
        let input = completed(&held, part, batch);
        if held.tasks.count > 0 {
            waiting.push_back(held);
        }
        step(&mut grid, input, &mut waiting);
    }
    let took = started.elapsed();
    (grid.job(JobId(1))?.state == JobState::Ok).then_some(took)
}

struct Held {
    worker: WorkerId,
    job: JobId,
    lease: LeaseId,
    attempt: u32,
    tasks: TaskRange,
}

fn step(grid: &mut Grid, input: Input, waiting: &mut VecDeque<Held>) {
    grid.handle(Micros(0), input);
    while let Some(output) = grid.poll_output() {
        let Output::Assign { worker, job, grants } = output else { continue };
        waiting.extend(grants.into_iter().map(|grant| Held {
            worker,
            job,
            lease: grant.lease,
            attempt: grant.attempt,
            tasks: grant.tasks,
        }));
    }
}

fn completed(held: &Held, part: TaskRange, batch: u64) -> Input {
    let class = OutcomeClass::Ok;
    let results =
        (part.first..part.end()).map(|index| Completion { index, class, reason: None }).collect();
    let block = CompletedBlock {
        job: held.job,
        lease: held.lease,
        attempt: held.attempt,
        wall_us: 5 * part.count,
        results,
    };
    Input::Completed { worker: held.worker, batch, blocks: vec![block], token: SegmentToken(batch) }
}

fn joined(link: u64) -> Input {
    Input::WorkerJoined {
        link,
        name: format!("worker-{link}"),
        address: String::from("in process"),
        started: Micros(link),
        capacity: WorkerCapacity {
            slots: SLOTS,
            memory: ByteCount(1 << 30),
            labels: Vec::new(),
            engine: String::from("none"),
        },
        held: Vec::new(),
    }
}

fn spec() -> JobSpec {
    JobSpec {
        name: String::from("completions"),
        task: TaskSpec {
            module: Digest([0; 32]),
            kind: ModuleKind::Task,
            args: Vec::new(),
            limits: Limits::default(),
            seed: 0,
            grants: Vec::new(),
            tenant: String::from("default"),
        },
        priority: 0,
        retries: 0,
        max_failures: None,
        deadline: None,
    }
}
