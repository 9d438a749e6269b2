//! The zoo through the binary: on a grid of a scheduler and a worker that lives through all of it,
//! and on the grid of one command.

use serde_json::Value;
use wasmgrid_tests::{Grid, Home, children_as, is_alive, memory_bytes, zoo};

use super::{assert_none, beside_others, check_memory, command};

/// More modules than an agent remembers, or a runner keeps ready: with as many behind them, neither
/// grows by further ones.
const FILLERS: u32 = 130;

#[test]
fn every_attack_ends_as_its_row_says_on_a_grid_and_leaves_its_worker_as_it_was() {
    let_loose("process");
}

#[test]
fn every_attack_ends_as_its_row_says_on_a_grid_with_a_process_for_each_task() {
    let_loose("task");
}

fn let_loose(isolation: &str) {
    let _others = beside_others();
    let mut grid = Grid::start(0, 1);
    grid.add_worker_with(1, &["--isolation", isolation]);
    let agent = grid.workers[0].process.pid();
    let runners = || children_as(agent, "runner");
    grid.home.write("good.wasm", zoo::echo());
    for number in 0..FILLERS {
        let file = grid.home.write("filler.wasm", zoo::filler(number));
        grid.run(&["run", &file.display().to_string()]).ok();
    }
    let mut of_agent = memory_bytes(agent);
    let mut of_runners: u64 = runners().into_iter().map(memory_bytes).sum();
    let mut faults = Vec::new();
    for attack in zoo::attacks() {
        if let Some(fault) = command::run(&grid.home, &attack, &[]) {
            faults.push((attack.name.to_owned(), fault));
        }
        assert_next_is_right(&grid, attack.name);
        let left = [
            check_memory(&mut of_agent, || vec![agent])
                .map(|fault| format!("of the agent: {fault}")),
            check_memory(&mut of_runners, runners).map(|fault| format!("of runners: {fault}")),
        ];
        faults.extend(left.into_iter().flatten().map(|fault| (attack.name.to_owned(), fault)));
    }
    assert_none(&faults);
    assert!(is_alive(agent), "the worker is the one that it was");
    assert_eq!(state(&grid), "ready");
}

#[test]
fn every_attack_ends_as_its_row_says_on_the_grid_of_one_command() {
    let _others = beside_others();
    let home = Home::new();
    let mut faults = Vec::new();
    for attack in zoo::attacks() {
        if let Some(fault) = command::run(&home, &attack, &["--local", "--slots", "1"]) {
            faults.push((attack.name.to_owned(), fault));
        }
    }
    assert_none(&faults);
}

#[track_caller]
fn assert_next_is_right(grid: &Grid, after: &str) {
    let input = format!("after {after}");
    let finished = grid.home.run_with_stdin(["run", "good.wasm"], input.as_bytes());
    assert_eq!(finished.ok(), input);
}

/// What the grid says of its one worker.
fn state(grid: &Grid) -> String {
    let listed = grid.run(&["worker", "list", "--output", "json"]);
    let workers: Vec<Value> = serde_json::from_str(listed.ok()).expect("JSON");
    workers[0]["state"].as_str().expect("a state").to_owned()
}
