//! Promises about size: what a large grid costs in memory, counted at the allocator.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::BTreeMap,
    time::Instant,
};

use wasmgrid_core::{Grid, GridConfig, Input, Ledger, Output, RequestId};
use wasmgrid_proto::{
    CommittedRun, Cost, Digest, Epoch, JobId, JobState, Micros, OutcomeClass, Reason, Record,
    Resource, TaskRange,
    wire::{ApiError, Reply},
};

use crate::world::{by_alice, bytes_of, capacity, content, spec_of, start};

/// Counts what the thread that asks has allocated and not freed: each test has its own thread.
struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: i64) {
    // A thread that ends frees its last things without its counter.
    let _ = HELD.try_with(|held| held.set(held.get() + sign * bytes as i64));
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> i64 {
    HELD.with(Cell::get)
}

fn held_mb() -> i64 {
    held() / 1_000_000
}

fn drive(grid: &mut Grid, input: Input) -> usize {
    grid.handle(Micros(1_000_000), input);
    std::iter::from_fn(|| grid.poll_output()).count()
}

fn submit(grid: &mut Grid, number: u64, inputs: u64) {
    let request = RequestId(number);
    let spec = Box::new(spec_of(&format!("tenant-{}", number % 100)));
    let idempotency_key = Some(format!("key-{number}"));
    let digest = content(0, inputs, true);
    drive(
        grid,
        Input::Submit {
            request: by_alice(request),
            spec,
            idempotency_key,
            inputs,
            bytes: bytes_of(0),
            closed: true,
            digest,
        },
    );
}

fn join(grid: &mut Grid, link: u64) {
    let capacity = capacity(8);
    let (name, address) = (format!("worker-{link}"), "127.0.0.1:7433".into());
    let (started, vouched, held, proofs) = (Micros(link), Vec::new(), Vec::new(), Vec::new());
    drive(
        grid,
        Input::WorkerJoined { link, name, address, started, capacity, vouched, held, proofs },
    );
}

#[test]
fn ten_million_tasks_ten_thousand_jobs_and_five_thousand_workers_stay_under_200_mb() {
    let before = held_mb();
    let mut grid = Grid::new(GridConfig::default());
    drive(&mut grid, start(Micros(0)));
    submit(&mut grid, 0, 10_000_000);
    let large = held_mb() - before;
    for number in 1..=10_000 {
        submit(&mut grid, number, 1_000);
    }
    let jobs = held_mb() - before;
    (1..=5_000).for_each(|link| join(&mut grid, link));
    let all = held_mb() - before;
    println!("10 M tasks: {large} MB; and 10,000 jobs: {jobs} MB; and 5,000 workers: {all} MB");
    let began = Instant::now();
    let (metrics, usage) = (grid.metrics(), grid.usage());
    println!("a scrape of its metrics: {} us", began.elapsed().as_micros());
    assert_eq!((metrics.jobs.active, metrics.workers.ready), (10_001, 5_000));
    assert!(usage.len() <= 10_001, "{}", usage.len());
    assert!(large < 1 && all < 200, "{large} {jobs} {all} MB");
    assert_eq!(grid.state(JobId(10_001)), Some(JobState::Active));
}

#[test]
fn a_job_costs_the_same_memory_with_ten_thousand_tasks_as_with_ten_million() {
    let costs = [10_000, 100_000, 1_000_000, 10_000_000].map(|tasks| {
        let before = held();
        let mut grid = Grid::new(GridConfig::default());
        drive(&mut grid, start(Micros(0)));
        (1..=8).for_each(|link| join(&mut grid, link));
        submit(&mut grid, 0, tasks);
        let cost = held() - before;
        assert_eq!(grid.job(JobId(1)).expect("known").counts.total, tasks);
        cost
    });
    println!("bytes with 10 k, 100 k, 1 M and 10 M tasks: {costs:?}");
    assert!(costs.iter().all(|cost| (cost - costs[0]).abs() < 1_024), "{costs:?}");
}

#[test]
fn a_job_of_which_every_second_task_has_ended_stays_within_the_bound() {
    let before = held_mb();
    let mut grid = Grid::new(GridConfig::default());
    drive(&mut grid, start(Micros(0)));
    submit(&mut grid, 0, 10_000_000);
    let class = OutcomeClass::Ok;
    // As a journal says it that many workers wrote.
    for first in (0..10_000_000).step_by(2) {
        let tasks = TaskRange { first, count: 1 };
        let runs = vec![CommittedRun { tasks, class }];
        let (job, first_cursor, cost) = (JobId(1), first / 2, Cost::default());
        grid.apply(&Record::Committed { job, first_cursor, runs, cost });
    }
    let held = held_mb() - before;
    println!("5 M ranges: {held} MB");
    assert!(held < 200, "{held} MB");
    assert_eq!(grid.job(JobId(1)).expect("known").counts.ok, 5_000_000);
}

/// A grid on which a tenant may have so many bytes of descriptions.
fn grid_with(record_bytes: u64, ledger: Ledger) -> Grid {
    let quotas = BTreeMap::from([(Resource::RecordBytes, record_bytes)]);
    let mut grid = Grid::with_ledger(GridConfig { quotas, ..GridConfig::default() }, ledger);
    drive(&mut grid, start(Micros(1_000_000)));
    grid
}

fn record_bytes(grid: &Grid, tenant: &str) -> u64 {
    let status = grid.tenant_status(tenant);
    let used = status.uses.iter().find(|one| one.resource == Resource::RecordBytes);
    used.expect("all are told").used
}

/// What a request is answered.
fn ask(grid: &mut Grid, input: Input) -> Result<Reply, ApiError> {
    grid.handle(Micros(1_000_000), input);
    let mut answer = None;
    while let Some(output) = grid.poll_output() {
        if let Output::Reply { reply, .. } = output {
            answer = Some(*reply);
        }
    }
    answer.expect("each request is answered")
}

fn assert_over(refused: ApiError) {
    let Reason::OverQuota { excess, .. } = *refused.reason else { panic!("{refused}") };
    assert_eq!(excess.resource, Resource::RecordBytes);
}

/// A job of which every other task failed.
fn in_pieces(pieces: u64) -> Ledger {
    let (job, at, mut ledger) = (JobId(1), Micros(0), Ledger::default());
    let every_other =
        |from: u64| (0..pieces).map(|piece| TaskRange::one(piece * 2 + from)).collect::<Vec<_>>();
    let ended = |tasks, class| Record::Ended { job, tasks, class };
    let (spec, idempotency_key, digest) = (Box::new(spec_of("ann")), None, Digest::of(b""));
    for record in [
        Record::EpochStarted { epoch: Epoch(1), at },
        Record::JobSubmitted { job, spec, idempotency_key, digest, at },
        Record::InputsAppended { job, tasks: TaskRange { first: 0, count: pieces * 2 }, bytes: 0 },
        Record::InputsClosed { job },
        ended(every_other(0), OutcomeClass::Failed),
        ended(every_other(1), OutcomeClass::Ok),
        Record::JobEnded { job, state: JobState::Failed, at },
    ] {
        ledger.apply(&record);
    }
    ledger
}

#[test]
fn retries_of_tasks_in_pieces_take_about_what_is_counted_and_end_at_the_quota() {
    const PIECES: u64 = 20_000;
    let allowed = 16 << 20;
    let mut grid = grid_with(allowed, in_pieces(PIECES));
    let (held_before, counted_before) = (held(), record_bytes(&grid, "ann"));
    assert!(counted_before > PIECES * 32, "{counted_before}: the pieces of the first count too");
    let mut retries = 0;
    let refused = loop {
        let (request, job) = (RequestId(0), JobId(1));
        let retry =
            Input::Retry { request: by_alice(request), job, limits: None, idempotency_key: None };
        match ask(&mut grid, retry) {
            Ok(Reply::Job(status)) => {
                let cancel = Input::Cancel { request: by_alice(request), job: status.job };
                assert_eq!(ask(&mut grid, cancel), Ok(Reply::Done));
            }
            Ok(other) => panic!("a retry is answered with {other:?}"),
            Err(refused) => break refused,
        }
        retries += 1;
        assert!(retries < 100, "nothing counts them");
    };
    assert_over(refused);
    assert!(retries >= 3, "{retries}");
    let counted = record_bytes(&grid, "ann");
    assert!(counted <= allowed, "{counted}");
    let (grown, counted) = (held() - held_before, (counted - counted_before) as i64);
    assert!(grown <= counted * 3 / 2, "{grown} bytes, {counted} counted");
}

#[test]
fn appends_of_one_input_take_about_what_is_counted_and_end_at_the_quota() {
    let allowed = 1 << 20;
    let request = RequestId(0);
    let append = |job, first| {
        let (count, bytes, digest) = (1, bytes_of(0), content(first, 1, false));
        Input::AppendAt { request: by_alice(request), job, first, count, bytes, digest }
    };
    let extend = |job, first| {
        let (producer, number, count, bytes) = (7, first + 1, 1, bytes_of(0));
        Input::Append { request: by_alice(request), job, producer, number, count, bytes }
    };
    let skip_or_append = |job, first| {
        let (count, digest) = (1, content(first, 1, true));
        if first % 2 == 0 {
            Input::Skip { request: by_alice(request), job, first, count, digest }
        } else {
            append(job, first)
        }
    };
    let kinds: [&dyn Fn(JobId, u64) -> Input; 3] = [&append, &extend, &skip_or_append];
    for kind in kinds {
        let mut grid = grid_with(allowed, Ledger::default());
        let (spec, digest) = (Box::new(spec_of("ann")), content(0, 0, false));
        let (inputs, bytes, closed, idempotency_key) = (0, bytes_of(0), false, None);
        let submit = Input::Submit {
            request: by_alice(request),
            spec,
            idempotency_key,
            inputs,
            bytes,
            closed,
            digest,
        };
        assert!(matches!(ask(&mut grid, submit), Ok(Reply::Job(_))));
        let (held_before, counted_before) = (held(), record_bytes(&grid, "ann"));
        let job = JobId(1);
        let refused = (0..100_000).find_map(|first| ask(&mut grid, kind(job, first)).err());
        assert_over(refused.expect("it ends at the quota"));
        let counted = record_bytes(&grid, "ann") - counted_before;
        assert!(counted > allowed - (32 << 10) && counted <= allowed, "{counted}");
        assert!(held() - held_before <= counted as i64, "{} bytes", held() - held_before);
        // Once nothing waits any more there is room again.
        assert_eq!(
            ask(&mut grid, Input::Cancel { request: by_alice(request), job }),
            Ok(Reply::Done)
        );
        assert!(record_bytes(&grid, "ann") < allowed / 2);
    }
}
