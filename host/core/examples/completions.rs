//! How many completions a second the scheduler alone handles on one core: jobs of growing size on
//! few and on many workers that end everything at once, told one at a time and in blocks. The time
//! a task takes should not grow with the number of tasks, nor much with that of workers and jobs.
//!
//! `cargo run --release -p wasmgrid-core --example completions`, or with four numbers behind `--`
//! for one run: tasks, jobs, workers and how many are told at a time.
//!
//! Seen on one of two busy cores, in completions a second told one at a time: 2.9 million on 8
//! workers, 2.0 million on 5,000; of ten thousand jobs of a hundred tasks 1.3 million on 8 workers,
//! and 0.6 million on 5,000 with free slots for all of them, where each task is placed by itself, on
//! a worker of its own, whose state is cold. A block costs what one completion does.

use std::{
    collections::VecDeque,
    env, fs,
    process::ExitCode,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use wasmgrid_core::{
    ClientRequest, CompletedBlock, Completion, Grid, GridConfig, Input, InputBytes, LeaseKey,
    Output, RequestId, SegmentToken,
};
use wasmgrid_proto::{
    ByteCount, Caller, Cost, Digest, JobId, JobSpec, JobState, LeaseId, Micros, ModuleKind,
    OutcomeClass, TaskRange, TaskSpec, WorkerCapacity, WorkerId,
};

const SLOTS: u32 = 4;

/// Tenants of a run with several jobs.
const TENANTS: u64 = 10;

/// Smaller runs are repeated until they have had so many: the time is told in steps of
/// milliseconds.
const ROUND_TASKS: u64 = 1_000_000;

/// What is run: so many tasks in so many jobs on so many workers, told so many at a time.
struct Run {
    tasks: u64,
    jobs: u64,
    workers: u64,
    block: u64,
}

const fn run(tasks: u64, jobs: u64, workers: u64, block: u64) -> Run {
    Run { tasks, jobs, workers, block }
}

const RUNS: [Run; 15] = [
    run(10_000, 1, 8, 1),
    run(100_000, 1, 8, 1),
    run(1_000_000, 1, 8, 1),
    run(10_000_000, 1, 8, 1),
    run(10_000, 1, 8, 64),
    run(100_000, 1, 8, 64),
    run(1_000_000, 1, 8, 64),
    run(10_000_000, 1, 8, 64),
    run(10_000_000, 1, 8, 512),
    run(1_000_000, 1, 5_000, 1),
    run(10_000_000, 1, 5_000, 1),
    run(10_000_000, 1, 5_000, 64),
    run(1_000_000, 10_000, 8, 1),
    run(1_000_000, 10_000, 5_000, 1),
    run(1_000_000, 10_000, 5_000, 64),
];

fn main() -> ExitCode {
    println!(
        "{:>10} {:>7} {:>8} {:>6} {:>14} {:>8}",
        "tasks", "jobs", "workers", "block", "completions/s", "ns each"
    );
    let numbers: Vec<u64> = env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let wanted = match numbers.as_slice() {
        [tasks, jobs, workers, block] => vec![run(*tasks, *jobs, *workers, *block)],
        _ => RUNS.into(),
    };
    for Run { tasks, jobs, workers, block } in wanted {
        let rounds = (ROUND_TASKS / tasks).max(1);
        let took = (0..rounds).map(|_| complete(&Run { tasks, jobs, workers, block }));
        let Some(took) = took.sum::<Option<Duration>>() else {
            eprintln!("the {jobs} jobs of {tasks} tasks did not end");
            return ExitCode::FAILURE;
        };
        let (done, seconds) = ((tasks * rounds) as f64, took.as_secs_f64());
        let (rate, each) = (done / seconds, seconds * 1e9 / done);
        println!("{tasks:>10} {jobs:>7} {workers:>8} {block:>6} {rate:>14.0} {each:>8.0}");
    }
    ExitCode::SUCCESS
}

/// How long it took from the first submit to the last completion, if all jobs ended.
fn complete(run: &Run) -> Option<Duration> {
    let mut grid = Grid::new(GridConfig::default());
    let mut waiting = VecDeque::new();
    step(
        &mut grid,
        Input::Start { date: Micros(0), key: LeaseKey([7; 32]), vouched: Vec::new() },
        &mut waiting,
    );
    for link in 1..=run.workers {
        step(&mut grid, joined(link), &mut waiting);
    }
    let by = Arc::new(Caller::scheduler());
    let started = time();
    for job in 0..run.jobs {
        let submit = Input::Submit {
            request: ClientRequest { id: RequestId(job), by: by.clone() },
            spec: Box::new(spec(job % TENANTS)),
            idempotency_key: None,
            inputs: run.tasks / run.jobs,
            bytes: InputBytes::default(),
            closed: true,
            digest: Digest::of(b"inputs"),
        };
        step(&mut grid, submit, &mut waiting);
    }
    let mut batch = 0;
    while let Some(mut held) = waiting.pop_front() {
        batch += 1;
        let part = TaskRange { count: held.tasks.count.min(run.block), ..held.tasks };
        held.tasks = TaskRange { first: part.end(), count: held.tasks.count - part.count };
        let input = completed(&held, part, batch);
        if held.tasks.count > 0 {
            waiting.push_back(held);
        }
        step(&mut grid, input, &mut waiting);
    }
    let took = time().saturating_sub(started);
    let ended = (1..=run.jobs).all(|job| grid.state(JobId(job)) == Some(JobState::Ok));
    ended.then_some(took)
}

/// What this thread has had of its core, so that others on the machine do not count; elsewhere
/// than on Linux the time that has passed.
fn time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let passed = START.elapsed();
    let scheduled = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_core = scheduled.as_deref().and_then(|text| text.split(' ').next()?.parse().ok());
    on_core.map_or(passed, Duration::from_nanos)
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
    let (class, cost) = (OutcomeClass::Ok, Cost { fuel: 900, wall_us: 5, bytes: 8 });
    let completion = |index| Completion { index, class, reason: None, cost };
    let results = (part.first..part.end()).map(completion).collect();
    let Held { job, lease, attempt, .. } = *held;
    let block = CompletedBlock { job, lease, attempt, results };
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
        vouched: Vec::new(),
        held: Vec::new(),
        proofs: Vec::new(),
    }
}

fn spec(tenant: u64) -> JobSpec {
    let task = TaskSpec {
        tenant: format!("tenant-{tenant}"),
        ..TaskSpec::new(Digest([0; 32]), ModuleKind::Task)
    };
    JobSpec::new(String::from("completions"), task)
}
