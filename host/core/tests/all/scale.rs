//! Promises about size: what a large grid costs in memory, counted at the allocator.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use wasmgrid_core::{Grid, GridConfig, Input, RequestId};
use wasmgrid_proto::{CommittedRun, JobId, JobState, Micros, OutcomeClass, Record, TaskRange};

use crate::world::{capacity, content, spec_of, start};

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
        Input::Submit { request, spec, idempotency_key, inputs, bytes: 0, closed: true, digest },
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
        grid.apply(&Record::Committed { job: JobId(1), first_cursor: first / 2, runs });
    }
    let held = held_mb() - before;
    println!("5 M ranges: {held} MB");
    assert!(held < 200, "{held} MB");
    assert_eq!(grid.job(JobId(1)).expect("known").counts.ok, 5_000_000);
}
