//! How long a scheduler takes until it is ready, by what its store has: a million finished tasks,
//! committed one by one, behind a snapshot and without one; and ten thousand jobs that have ended,
//! with what each of them costs in memory.
//!
//! `cargo run --release -p wasmgrid-server --example start`

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmgrid_proto::{
    CommittedRun, Cost, Digest, Epoch, JobId, JobSpec, JobState, Micros, ModuleKind, OutcomeClass,
    Record, Refusal, TaskRange, TaskSpec, durable,
};
use wasmgrid_server::{Admission, Admit, Server, ServerConfig};
use wasmgrid_store::{Commit, Entry, LogKind, Segment, SqliteStore, Store};

type Failure = Box<dyn std::error::Error>;

const TASKS: u64 = 1_000_000;
const JOBS: u64 = 10_000;

/// Records of one commit: what a busy scheduler groups.
const GROUP: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let finished = folder.path().join("tasks.db");
    fill(&finished, one_job())?;
    println!("{TASKS} finished tasks, {}", size(&finished)?);
    // The first start makes the snapshot once it has nothing else to do.
    println!("  ready without a snapshot after {:?}", start(&finished, true).await?);
    println!("  ready with one after {:?}, {}", start(&finished, false).await?, size(&finished)?);
    let ended = folder.path().join("jobs.db");
    fill(&ended, many_jobs())?;
    let before = resident_kb()?;
    println!("{JOBS} ended jobs, {}", size(&ended)?);
    println!("  ready without a snapshot after {:?}", start(&ended, true).await?);
    println!("  ready with one after {:?}", start(&ended, false).await?);
    let server = server(&ended)?;
    let each = (resident_kb()?.saturating_sub(before)) * 1_024 / JOBS;
    println!("  about {each} bytes of memory each, with the server's own");
    server.shutdown().await?;
    Ok(())
}

/// What the results of a record took.
const COST: Cost = Cost { fuel: 90_000, wall_us: 500, bytes: 800 };

/// One job whose tasks were committed one by one, the even ones first.
fn one_job() -> impl Iterator<Item = Record> {
    let job = JobId(1);
    let order = (0..TASKS).step_by(2).chain((1..TASKS).step_by(2));
    let committed = (0..).zip(order).map(move |(first_cursor, first)| Record::Committed {
        job,
        first_cursor,
        runs: vec![CommittedRun { tasks: TaskRange { first, count: 1 }, class: OutcomeClass::Ok }],
        cost: COST,
    });
    begin(job, TASKS).into_iter().chain(committed).chain([end(job)])
}

fn many_jobs() -> impl Iterator<Item = Record> {
    (1..=JOBS).map(JobId).flat_map(|job| {
        let tasks = TaskRange { first: 0, count: 100 };
        let runs = vec![CommittedRun { tasks, class: OutcomeClass::Ok }];
        let committed = Record::Committed { job, first_cursor: 0, runs, cost: COST };
        begin(job, 100).into_iter().chain([committed, end(job)])
    })
}

fn begin(job: JobId, count: u64) -> [Record; 4] {
    let (tasks, digest) = (TaskRange { first: 0, count }, Digest::of(b"inputs"));
    let idempotency_key = Some(format!("auto-{:032x}", job.0));
    [
        Record::EpochStarted { epoch: Epoch(1), at: now() },
        Record::JobSubmitted { job, spec: Box::new(spec()), idempotency_key, digest, at: now() },
        Record::InputsAppended { job, tasks, bytes: 8 * count },
        Record::InputsClosed { job },
    ]
}

fn end(job: JobId) -> Record {
    Record::JobEnded { job, state: JobState::Ok, at: now() }
}

fn now() -> Micros {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Micros(now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX)))
}

fn fill(path: &Path, records: impl Iterator<Item = Record>) -> Result<(), Failure> {
    let mut store = SqliteStore::open(path)?;
    store.fence(Epoch(1))?;
    let (mut entries, mut position) = (Vec::new(), 0);
    for record in records {
        entries.push(Entry::Record(durable::encode(&record)?.into()));
        if entries.len() >= GROUP {
            let data = vec![7; GROUP * 64].into();
            let (job, log, count) = (JobId(1), LogKind::Result, GROUP as u64);
            let head = bytes::Bytes::new();
            let segment = Segment { job, log, first: position, count, head, data };
            position += count;
            entries.push(Entry::Segment(segment));
            store.commit(Epoch(1), &Commit { entries: std::mem::take(&mut entries) })?;
        }
    }
    store.commit(Epoch(1), &Commit { entries })?;
    store.idle()?;
    Ok(())
}

/// How long a start takes; with `stay` the server goes on until its journal is compacted.
async fn start(path: &Path, stay: bool) -> Result<Duration, Failure> {
    let mut reader = SqliteStore::open(path)?.reader()?;
    let begun = Instant::now();
    let server = server(path)?;
    let took = begun.elapsed();
    while stay && reader.snapshot()?.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.shutdown().await?;
    Ok(took)
}

fn server(path: &Path) -> Result<Server, Failure> {
    // Nothing is submitted here.
    let refused = |_: &[u8]| Err(Refusal::NotATask { found: "anything".into() });
    let admission =
        Admission { admit: Admit::Here(Arc::new(refused)), check_task: Arc::new(|_, _| Ok(())) };
    let store = Box::new(SqliteStore::open(path)?);
    Ok(Server::start(ServerConfig::new("example"), store, admission)?)
}

fn size(path: &Path) -> Result<String, Failure> {
    Ok(format!("a file of {} MiB", fs::metadata(path)?.len() >> 20))
}

/// Memory of this process; 0 where the system does not tell.
fn resident_kb() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next());
    Ok(kb.map_or(Ok(0), str::parse)?)
}

fn spec() -> JobSpec {
    let task = TaskSpec {
        tenant: "somebody".into(),
        ..TaskSpec::new(Digest::of(b"module"), ModuleKind::Task)
    };
    JobSpec::new("an ordinary name".into(), task)
}
