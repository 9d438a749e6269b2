//! The attacks that take more than one call: an input nobody reads, one that is too long, and an
//! output after the end.

use serde_json::json;
use wasmgrid_tests::{Grid, Home, children_as, memory_bytes, wait_until, zoo};

use super::check_memory;

#[test]
fn what_a_task_puts_out_after_its_cancellation_is_discarded() {
    let grid = Grid::start(1, 1);
    grid.home.write("late.wasm", zoo::late());
    let job = grid.run(&["submit", "late.wasm"]).ok().trim().to_owned();
    wait_until("the task to run", || grid.job(&job)["counts"]["running"] == json!(1));
    grid.run(&["job", "cancel", &job]).ok();
    grid.run(&["job", "wait", &job]).fails_with(6, &[]);
    let shown = grid.job(&job);
    assert_eq!(shown["counts"]["cancelled"], json!(1));
    assert_eq!(shown["results"], json!(0));
    assert_eq!(grid.run(&["job", "results", &job]).stdout, b"");
    grid.home.write("good.wasm", zoo::echo());
    assert_eq!(grid.home.run_with_stdin(["run", "good.wasm"], b"good").ok(), "good");
}

#[test]
fn an_input_that_is_never_read_is_held_by_nobody() {
    let grid = Grid::start(1, 1);
    let agent = grid.workers[0].process.pid();
    grid.home.write("deaf.wasm", zoo::deaf());
    let all = || {
        let mut pids = children_as(agent, "runner");
        pids.push(agent);
        pids
    };
    let run = |bytes: usize| {
        let input = vec![b'x'; bytes];
        assert_eq!(grid.home.run_with_stdin(["run", "deaf.wasm"], &input).ok(), "");
    };
    run(1);
    let mut baseline = all().into_iter().map(memory_bytes).sum();
    run(32 << 20);
    assert_eq!(check_memory(&mut baseline, all), None);
}

#[test]
fn an_input_over_the_limit_is_refused() {
    let home = Home::new();
    home.write("deaf.wasm", zoo::deaf());
    let input = vec![b'x'; (64 << 20) + 1];
    home.run_with_stdin(["run", "deaf.wasm"], &input).fails_with(2, &["longer than 64 MiB"]);
}
