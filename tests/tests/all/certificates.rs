//! Certificates end, and the grid goes on: members renew theirs, the scheduler its own, and the
//! authority is replaced.

use std::fs;

use serde_json::Value;

use wasmgrid_tests::{Daemon, Grid, Home, free_address, guest, wait_until};

/// Long enough that a machine with much to do renews in the last third of it.
const LIFE: &str = "20s";

/// Said by a worker at each renewal.
const RENEWED: &str = "this worker's certificate is renewed";

/// Said by a scheduler at each join.
const JOINED: &str = "worker joined";

fn json(home: &Home, args: &[&str]) -> Value {
    let finished = home.run([args, &["--output", "json"]].concat());
    serde_json::from_str(finished.ok()).expect("JSON")
}

fn count(said: &str, what: &str) -> usize {
    said.lines().filter(|line| line.contains(what)).count()
}

/// What the grid lists of the one worker.
fn worker(home: &Home) -> Value {
    let listed = json(home, &["worker", "list"]);
    let all = listed.as_array().expect("a list");
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

/// A home with a context of a client that has joined.
fn client(grid: &Grid, name: &str) -> Home {
    let home = Home::new();
    let token = grid.run(&["token", "create", "--role", "client"]).ok().trim().to_owned();
    home.run(["context", "add", name, &token]).ok();
    home
}

/// A grid whose certificates live so long.
fn short_lived(life: &str) -> Grid {
    let (home, address) = (Home::new(), free_address());
    let mut grid = Grid::start_at(home, address);
    grid.kill_scheduler();
    grid.restart_scheduler_with(|command| {
        command.args(["--certificate-life", life]);
    });
    grid
}

#[test]
fn a_grid_outlives_its_certificates_and_loses_no_link() {
    let noop = guest("noop");
    let mut grid = short_lived(LIFE);
    grid.add_worker(1);
    let ada = client(&grid, "there");
    let before = worker(&ada);
    // The client renews with one of its commands; the operator's context is kept by `up`.
    wait_until("three lives of certificates", || {
        ada.run(["run", &noop, "--range", "0..3"]).ok();
        count(&grid.workers[0].process.said(), RENEWED) >= 3
    });
    let after = worker(&grid.home);
    for field in ["id", "name", "address"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert_eq!(count(&grid.scheduler.said(), JOINED), 1, "{}", grid.scheduler.said());
    // Between the time for a renewal and the next command a client's certificate may be due.
    wait_until("certificates that do not end soon", || {
        ada.run(["run", &noop, "--range", "0..3"]).ok();
        let shown = json(&ada, &["context", "list"]);
        let ends_soon = |one: &Value| one["certificate"]["ends_soon"] == true;
        !ends_soon(&shown[0]) && !ends_soon(&worker(&grid.home))
    });
    // What was renewed is what they come back with.
    grid.kill_scheduler();
    grid.workers[0].process.kill();
    grid.restart_scheduler_with(|command| {
        command.args(["--certificate-life", LIFE]);
    });
    grid.restart_worker(0, 1, |_| {});
    assert_eq!(worker(&ada)["id"], before["id"]);
    ada.run(["run", &noop, "--range", "0..3"]).ok();
}

#[test]
fn who_was_away_for_too_long_joins_again_and_is_who_it_was() {
    let noop = guest("noop");
    let mut grid = short_lived("10s");
    grid.add_worker(1);
    let ada = client(&grid, "there");
    let submitted = ada.run(["submit", &noop, "--range", "0..3"]);
    let job = submitted.ok().trim().to_owned();
    assert_eq!(grid.workers[0].process.interrupt().code(), Some(0));
    // A certificate is good through the second in which it ends.
    let ended = |one: &Value| {
        one["certificate"]["ends_at_us"].as_u64().expect("a date") + 2_000_000 < now_us()
    };
    wait_until("the end of both certificates", || {
        let contexts = json(&ada, &["context", "list"]);
        ended(&contexts[0]) && ended(&worker(&grid.home))
    });
    let listed = ada.run(["context", "list"]);
    assert!(listed.ok().contains("ended"), "{}", listed.ok());
    ada.run(["job", "list"]).fails_with(4, &["it has expired", "join again", "context add"]);
    let home = &grid.workers[0].home;
    let mut away = Daemon::start(home.command(["worker"]));
    away.hear("what helps", |line| line.contains("join again with a new token").then_some(()));
    away.kill();
    let token = grid.run(&["token", "create"]).ok().trim().to_owned();
    let mut again = Daemon::start(home.command(["join", &token, "--name", "w1"]));
    again.hear("the worker to join again", |line| line.contains("worker=").then_some(()));
    grid.wait_for_worker("w1", "ready");
    assert_eq!(worker(&grid.home)["name"], "w1");
    let token = grid.run(&["token", "create", "--role", "client"]).ok().trim().to_owned();
    ada.run(["context", "add", "there", &token]).ok();
    // The same user: its jobs are its own.
    ada.run(["job", "results", &job]).ok();
}

fn now_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_micros()).expect("a date")
}

#[test]
fn an_authority_is_replaced_while_a_worker_and_a_client_are_away() {
    let mut grid = Grid::start(2, 1);
    let (ada, noop) = (client(&grid, "there"), guest("noop"));
    let old_token = grid.token().to_owned();
    assert_eq!(grid.workers[1].process.interrupt().code(), Some(0));
    let shown = grid.run(&["authority", "show"]);
    assert!(shown.ok().contains("none"), "{}", shown.ok());
    ada.run(["authority", "replace"]).fails_with(3, &["replace the grid's authority"]);
    grid.run(&["authority", "retire"]).fails_with(2, &["no former authority is trusted"]);
    let replaced = grid.run(&["authority", "replace"]);
    replaced.ok();
    assert!(replaced.stderr.contains("the former one stays trusted"), "{replaced}");
    grid.run(&["authority", "replace"]).fails_with(2, &["retire it first"]);
    // Who is linked moves at once and keeps its link; who asks moves with its command.
    let process = &mut grid.workers[0].process;
    process.hear("w1 to move", |line| line.contains(RENEWED).then_some(()));
    wait_until("two to be left", || {
        json(&grid.home, &["authority", "show"])["former"]["members"] == 2
    });
    let early = grid.run(&["authority", "retire"]);
    early.fails_with(2, &["2 in all", "worker w2", "client", "--force"]);
    assert_eq!(count(&grid.scheduler.said(), JOINED), 2, "{}", grid.scheduler.said());
    // The scheduler may be another process by then.
    grid.kill_scheduler();
    grid.restart_scheduler();
    grid.restart_worker(1, 1, |_| {});
    grid.workers[1].process.hear("w2 to move", |line| line.contains(RENEWED).then_some(()));
    ada.run(["run", &noop, "--range", "0..3"]).ok();
    wait_until("nobody to be left", || {
        json(&grid.home, &["authority", "show"])["former"]["members"] == 0
    });
    grid.run(&["authority", "retire"]).ok();
    assert_eq!(json(&grid.home, &["authority", "show"])["former"], Value::Null);
    Home::new().run(["join", &old_token]).fails_with(4, &["replaced and retired"]);
    grid.kill_scheduler();
    grid.restart_scheduler();
    for name in ["w1", "w2"] {
        grid.wait_for_worker(name, "ready");
    }
    ada.run(["run", &noop, "--range", "0..3"]).ok();
}

#[test]
fn a_life_out_of_its_bounds_is_refused_before_anything_is_made() {
    let home = Home::new();
    for command in ["up", "server"] {
        let refused = home.run([command, "--certificate-life", "1s"]);
        refused.fails_with(2, &["expected 10s to 1826d"]);
    }
    home.write("server.toml", "certificate_life = \"4000d\"\n");
    home.run(["server", "--config", "server.toml"]).fails_with(2, &["expected 10s to 1826d"]);
    let made = fs::read_dir(home.path()).expect("a folder").filter_map(Result::ok).count();
    assert_eq!(made, 1, "only what the test wrote");
}

#[test]
fn a_worker_that_was_away_while_the_authority_was_retired_joins_again_as_who_it_was() {
    let mut grid = Grid::start(1, 1);
    let before = worker(&grid.home);
    assert_eq!(grid.workers[0].process.interrupt().code(), Some(0));
    grid.run(&["authority", "replace"]).ok();
    // The operator's own certificate is renewed by a command before.
    grid.run(&["authority", "show"]).ok();
    grid.run(&["authority", "retire", "--force"]).ok();
    let home = &grid.workers[0].home;
    let mut away = Daemon::start(home.command(["worker"]));
    away.hear("what helps", |line| {
        line.contains("join again with a new token, which keeps the name").then_some(())
    });
    // As long as it runs, its identity is not changed under it.
    let token = grid.run(&["token", "create"]).ok().trim().to_owned();
    home.run(["join", &token]).fails_with(2, &["another authority", "stop the worker"]);
    away.kill();
    let mut again = Daemon::start(home.command(["join", &token]));
    again.hear("why it joins again", |line| line.contains("authority was replaced").then_some(()));
    grid.wait_for_worker("w1", "ready");
    let after = worker(&grid.home);
    assert_eq!((&before["id"], &before["name"]), (&after["id"], &after["name"]));
    again.interrupt();
    let mut again = Daemon::start(home.command(["worker"]));
    grid.wait_for_worker("w1", "ready");
    again.interrupt();
}
