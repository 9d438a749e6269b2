//! Many workers on one scheduler: the real agent and the real links over QUIC, each worker with a
//! certificate and a socket of its own, but slots that only wait. The scheduler is the real binary
//! with its durable store; all workers share the process of the benchmark.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{task::JoinSet, time::timeout};
use wasmgrid_client::{Client, JobEvent, SubmitRequest};
use wasmgrid_net::{Authority, Endpoint, Role};
use wasmgrid_proto::{ByteCount, Digest, InputBlock, JobId, ModuleKind, Outcome, WorkerCapacity};
use wasmgrid_tests::Grid;
use wasmgrid_worker::{
    Dial, LinkState, Worker, WorkerConfig,
    sandbox::{
        Sandbox,
        simulated::{Model, Run, Task},
    },
};

use crate::{
    Bench, calls,
    report::Row,
    throughput::count,
    times::Times,
    usage::{self, mib},
};

/// Workers; fewer where this process may not have as many sockets.
const WORKERS: u64 = 5_000;

/// Slots of each.
const SLOTS: u32 = 4;

/// Files this process has beside the workers' sockets.
const OTHER_FILES: u64 = 200;

/// Workers that join at a time: fewer than the scheduler takes handshakes at once.
const AT_ONCE: usize = 60;

/// How long all may take to join, and the tasks to end.
const PATIENCE: Duration = Duration::from_secs(200);

/// How long the grid is watched at rest.
const REST: Duration = Duration::from_secs(5);

/// How long a task waits at most.
const TASK_MOST: Duration = Duration::from_secs(1);

/// Tasks of each slot in the run of all, of a second each.
const TASKS_A_SLOT: u64 = 4;

/// The least that is a WASI preview 1 command: nobody runs it, but each worker is sent it.
const MODULE: &str = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";

/// Starts the workers, and uses them.
pub fn run(bench: &mut Bench) {
    let wanted = bench.options.scaled(WORKERS);
    let workers = wanted.min(sockets().saturating_sub(OTHER_FILES));
    if workers < wanted {
        let why = format!("of {wanted} workers only {workers} may have a socket (`ulimit -n`)");
        bench.report.skip("fleet.rest", why);
    }
    let grid = Grid::start(0, 0);
    let scheduler = grid.scheduler.pid();
    let before = usage::proportional(scheduler);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let starts = Starts::default();
    let members = members(&grid.state_dir().join("ca"), grid.address(), workers);
    let begun = Instant::now();
    let fleet = runtime.block_on(async { timeout(PATIENCE, join(members, &starts)).await });
    let fleet = fleet.expect("all workers join in time");
    let joined = begun.elapsed();
    let cpu = usage::cpu(&[scheduler]).as_secs_f64();
    let grown = usage::proportional(scheduler).saturating_sub(before);
    bench.report.push(
        Row::new("fleet.join", "workers that join one scheduler", count(workers), "workers")
            .beside("s", joined.as_secs_f64())
            .beside("ms_cpu_each_of_the_scheduler", cpu * 1e3 / count(workers)),
    );
    let each = mib(grown) * 1_024.0 / count(workers);
    let what = "a scheduler's memory for each worker that is linked";
    let row = Row::new("fleet.memory", what, each, "KiB");
    bench.report.push(row.beside("MiB_in_all", mib(usage::proportional(scheduler))));

    let cpu = usage::cpu(&[scheduler]);
    std::thread::sleep(REST);
    let cpu = usage::cpu(&[scheduler]).saturating_sub(cpu);
    let share = 100.0 * cpu.as_secs_f64() / REST.as_secs_f64();
    let what = "a scheduler at rest: heartbeats alone";
    bench.report.push(Row::new("fleet.rest", what, share, "% of a core"));
    let worked = async { timeout(PATIENCE, work(bench, &grid, &starts, workers)).await };
    runtime.block_on(worked).expect("the tasks end in time");
    drop(fleet);
    runtime.shutdown_background();
}

/// Calls one at a time, then a task of a second for each slot, a few times over.
async fn work(bench: &mut Bench, grid: &Grid, starts: &Starts, workers: u64) {
    let ca = grid.state_dir().join("ca");
    let client = calls::connect(&ca, grid.address(), Role::Client, "caller").await;
    let bytes = Bytes::from(wat::parse_str(MODULE).expect("it is a module"));
    let module = client.put_module(bytes).await.expect("it is a command");
    let (mut dispatched, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.scaled(1_000) {
        let begun = Instant::now();
        let job = calls::one(&client, calls::job(module, ModuleKind::Preview1), b"0").await;
        whole.push(begun.elapsed());
        dispatched.extend(starts.of(job).map(|start| start - begun));
    }
    let (dispatched, whole) = (dispatched.into_iter().collect(), whole.into_iter().collect());
    push_times(bench, "fleet.dispatch", "from a submit to its task's start", &dispatched);
    push_times(bench, "fleet.call", "from a submit to its result", &whole);

    let tasks = workers * u64::from(SLOTS) * TASKS_A_SLOT;
    let scheduler = usage::cpu(&[grid.scheduler.pid()]);
    let begun = Instant::now();
    all_at_once(&client, module, tasks).await;
    let seconds = begun.elapsed().as_secs_f64();
    let scheduler = usage::cpu(&[grid.scheduler.pid()]).saturating_sub(scheduler);
    let what = format!("tasks of 1 s on all slots, {TASKS_A_SLOT} each");
    bench.report.push(
        Row::new("fleet.all", what, count(tasks) / seconds, "tasks/s")
            .of("ideal", count(workers * u64::from(SLOTS)))
            .beside("us_cpu_a_task_of_the_scheduler", scheduler.as_secs_f64() * 1e6 / count(tasks))
            .beside("MiB_of_the_scheduler", mib(usage::proportional(grid.scheduler.pid()))),
    );
    client.shutdown().await;
}

fn push_times(bench: &mut Bench, name: &str, what: &str, times: &Times) {
    let row = Row::new(format!("{name}.p99"), format!("{what}: p99"), times.p99(), "ms");
    bench.report.push(row.beside("ms_p50", times.p50()));
}

async fn all_at_once(client: &Client, module: Digest, tasks: u64) {
    // Lengths of so many inputs do not fit one message; of numbers there are any number.
    let inputs = InputBlock::Numbers { start: 1_000, step: 1, count: tasks };
    let request = SubmitRequest {
        spec: calls::job(module, ModuleKind::Preview1),
        key: None,
        inputs,
        payload: Bytes::new(),
        closed: true,
        watch: true,
    };
    let (_, stream) = client.submit(request).await.expect("it is taken");
    let mut stream = stream.expect("a watch was asked for");
    while let Some(event) = stream.next().await {
        if let JobEvent::Ended(status) = event.expect("the grid answers") {
            assert_eq!(status.counts.ok, tasks, "all end well");
        }
    }
}

/// How each worker reaches the scheduler.
fn members(ca: &Path, address: &str, workers: u64) -> Vec<Dial> {
    let authority = Authority::load(ca).expect("the grid's authority");
    let member = |number| {
        let validity = Authority::MEMBER_VALIDITY;
        let issued = authority.issue(Role::Worker, &format!("fleet-{number}"), validity);
        let endpoint = Endpoint::new(&issued.expect("a certificate"));
        Dial::quic(endpoint, vec![address.to_owned()])
    };
    (0..workers).map(member).collect()
}

/// Starts them, so many at a time, and waits until all have joined.
async fn join(members: Vec<Dial>, starts: &Starts) -> Vec<Worker> {
    let (mut joining, mut joined) = (JoinSet::new(), Vec::new());
    for dial in members {
        if joining.len() >= AT_ONCE {
            joined.extend(joining.join_next().await.map(|worker| worker.expect("it joins")));
        }
        let (sandbox, slots) = Sandbox::simulated(SLOTS, Arc::new(starts.clone()));
        let capacity = WorkerCapacity {
            slots: SLOTS,
            memory: ByteCount(4 << 30),
            labels: Vec::new(),
            engine: "simulated".into(),
        };
        joining.spawn(async move {
            let worker = Worker::start(WorkerConfig::new(capacity), sandbox, slots, dial);
            let mut status = worker.status();
            let is_joined = |state: &LinkState| matches!(state, LinkState::Joined { .. });
            status.wait_for(is_joined).await.expect("it goes on");
            worker
        });
    }
    while let Some(worker) = joining.join_next().await {
        joined.push(worker.expect("it joins"));
    }
    joined
}

/// Sockets that this process may open.
fn sockets() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(1_024)
}

/// Tasks that wait for as many milliseconds as their inputs say, a second at most; and when the first task of each
/// job began.
#[derive(Clone, Debug, Default)]
struct Starts {
    first: Arc<Mutex<HashMap<JobId, Instant>>>,
}

impl Starts {
    fn of(&self, job: JobId) -> Option<Instant> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get(&job).copied()
    }
}

impl Model for Starts {
    fn prepares(&self, _: Digest) -> Duration {
        Duration::ZERO
    }

    fn runs(&self, task: &Task<'_>) -> Run {
        if task.index == 0 {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.entry(task.job).or_insert_with(Instant::now);
        }
        let millis = str::from_utf8(task.input).ok().and_then(|text| text.parse().ok());
        let time = Duration::from_millis(millis.unwrap_or(0)).min(TASK_MOST);
        Run { time, outcome: Outcome::Ok, output: Bytes::copy_from_slice(task.input) }
    }
}
