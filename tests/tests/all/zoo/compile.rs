//! A module that is within every cap and costs a compiler more than it may: it costs that once, and
//! others do not wait for it.

use wasmgrid_tests::{
    Daemon, Finished, Grid, Home, children_as, ticks_of_ended_children, wait_until, zoo,
};

use super::alone;

/// Good tasks that must be through while the bomb is compiled: each in a process of its own.
const MEANWHILE: usize = 5;

/// A refusal that is remembered takes no more than this part of the compilers' processor time for
/// the first.
const AT_ONCE: u64 = 10;

#[test]
fn a_compile_bomb_costs_its_limit_once_and_keeps_nobody_waiting() {
    let _alone = alone();
    let grid = Grid::start(1, 1);
    let agent = grid.workers[0].process.pid();
    grid.home.write("good.wasm", zoo::echo());
    grid.home.write("bomb.wasm", zoo::past_every_cap());
    let good = || grid.home.run_with_stdin(["run", "good.wasm"], b"good").ok() == "good";
    assert!(good());

    let before = ticks_of_ended_children(agent);
    let mut bomb = Daemon::start(grid.home.command(["run", "bomb.wasm"]));
    wait_until("a compiler to work on it", || !children_as(agent, "compiler").is_empty());
    for turn in 0..MEANWHILE {
        assert!(good());
        let compiling = !children_as(agent, "compiler").is_empty();
        assert!(compiling, "only {turn} tasks were through when the compiler ended");
    }
    let status = bomb.wait();
    let compiled = ticks_of_ended_children(agent);
    let took = compiled - before;
    let said = Finished { code: status.code(), stdout: Vec::new(), stderr: bomb.said() };
    said.fails_with(1, &["limit(compile)", "of 10s allowed"]);

    grid.run(&["run", "bomb.wasm"]).fails_with(1, &["limit(compile)", "of 10s allowed"]);
    let again = ticks_of_ended_children(agent) - compiled;
    assert!(again < took / AT_ONCE, "{took} ticks, and {again} when asked again");
    assert!(good());
}

#[test]
fn a_tenants_call_is_answered_while_anothers_bombs_are_compiled() {
    let _alone = alone();
    let grid = Grid::start(1, 1);
    let agent = grid.workers[0].process.pid();
    let token = grid.run(&["token", "create", "--role", "client", "--uses", "1"]);
    let bomber = Home::new();
    bomber.run(["context", "add", "team", token.ok().trim()]).ok();
    bomber.run(["context", "use", "team"]).ok();
    bomber.write("bomb.wasm", zoo::past_every_cap());
    grid.home.write("good.wasm", zoo::echo());
    let good = || grid.home.run_with_stdin(["run", "good.wasm"], b"good").ok() == "good";
    assert!(good());

    // More tasks than the worker has credit for.
    let bombs = bomber.run(["submit", "bomb.wasm", "--range", "0..1000"]).ok().trim().to_owned();
    wait_until("a compiler to work on it", || !children_as(agent, "compiler").is_empty());
    assert!(good());
    assert!(!children_as(agent, "compiler").is_empty(), "it waited for the other's compiler");
    assert_eq!(grid.job(&bombs)["results"], serde_json::json!(0));
    bomber.run(["job", "cancel", &bombs]).ok();
}
