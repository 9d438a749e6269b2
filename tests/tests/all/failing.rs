//! Workers whose runners do not start any more: they eat no job, say so, and are tried again.

use std::io;

use serde_json::Value;

use wasmgrid_tests::{Grid, Home, Worker, children_as, guest, kill, wait_until};

/// An address space in which an agent lives and no runner can make its engine, in bytes.
const TOO_LITTLE: u64 = 4_000_000_000;

/// Bounds the address space of a process, and of those that it starts from now on.
fn bound_memory(pid: u32, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    let pid = i32::try_from(pid).expect("a process id");
    // SAFETY: the limit is a value that outlives the call, and no old one is asked for.
    let done = unsafe { libc::prlimit(pid, libc::RLIMIT_AS, &limit, std::ptr::null_mut()) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// From now on no runner of a worker starts; those that are there end.
fn break_runners(worker: &Worker) {
    let pid = worker.process.pid();
    bound_memory(pid, TOO_LITTLE);
    for runner in children_as(pid, "runner") {
        kill(runner);
    }
}

fn listed(grid: &Grid, name: &str) -> Value {
    let listed = grid.run(&["worker", "list", "--output", "json"]);
    let workers: Vec<Value> = serde_json::from_str(listed.ok()).expect("JSON");
    workers.into_iter().find(|worker| worker["name"] == name).expect("it is listed")
}

#[test]
fn a_worker_whose_runners_do_not_start_any_more_eats_no_job_and_is_listed_as_failing() {
    let grid = Grid::start(2, 1);
    let spin = guest("spin");
    let args = ["run", &spin, "--range", "400000..400200"];
    let expected = Home::new().run(args).ok().to_owned();
    assert_eq!(grid.run(&args).ok(), expected);
    break_runners(&grid.workers[0]);
    assert_eq!(grid.run(&args).ok(), expected, "the other worker runs it all");
    wait_until("the worker to be listed as failing", || {
        grid.run(&args).ok();
        listed(&grid, "w1")["state"] == "failing"
    });
    let failing = listed(&grid, "w1");
    assert!(failing["failing"]["reason"].as_str().is_some_and(|why| !why.is_empty()), "{failing}");
    assert_eq!(listed(&grid, "w2")["state"], "ready");
    bound_memory(grid.workers[0].process.pid(), libc::RLIM_INFINITY);
    wait_until("the worker to be tried again", || {
        grid.run(&args).ok();
        listed(&grid, "w1")["state"] == "ready"
    });
}
