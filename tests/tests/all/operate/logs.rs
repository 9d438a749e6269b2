//! `--log json`: standard error as an object a line, whatever is said.

use std::process::Stdio;

use serde_json::Value;
use wasmgrid_tests::{Daemon, Finished, Grid, Home, free_address};

/// The objects on standard error; each has what every line of the log has.
fn objects(said: &str) -> Vec<Value> {
    let object = |line: &str| {
        let object: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}"));
        for key in ["timestamp", "level", "message", "target"] {
            assert!(object[key].is_string(), "no {key} in {line}");
        }
        object
    };
    said.lines().map(object).collect()
}

fn has(objects: &[Value], message: &str) -> bool {
    objects.iter().any(|object| object["message"].as_str().expect("text").contains(message))
}

#[test]
fn what_a_scheduler_and_a_worker_log_is_an_object_a_line() {
    let mut grid = Grid::start(0, 1);
    let home = Home::new();
    let mut join = home.command(["join", grid.token(), "--name", "w1", "--log", "json", "-v"]);
    join.stdout(Stdio::null());
    let mut worker = Daemon::start(join);
    grid.wait_for_worker("w1", "ready");
    assert_eq!(worker.interrupt().code(), Some(0));
    let logged = objects(&worker.said());
    assert!(has(&logged, "joined the grid"), "{logged:?}");
    let joined = logged.iter().find(|object| object["message"] == "joined the grid");
    assert_eq!(joined.map(|object| &object["name"]), Some(&"w1".into()), "{logged:?}");

    grid.scheduler.interrupt();
    let mut server = grid.home.command(["server", "--listen", grid.address()]);
    server.args(["--state-dir", "state"]).env("WASMGRID_LOG_FORMAT", "json");
    let mut server = Daemon::start(server.into_quiet());
    server.hear("the scheduler to listen", |line| line.contains("listens").then_some(()));
    assert_eq!(server.interrupt().code(), Some(0));
    assert!(has(&objects(&server.said()), "the scheduler listens"), "{}", server.said());
}

#[test]
fn the_error_that_a_scheduler_ends_with_is_an_object_too_and_keeps_its_code() {
    let home = Home::new();
    home.write("taken", "no folder");
    let args = ["server", "--log", "json", "--state-dir", "taken", "--listen", &free_address()];
    let ended: Finished = home.run(args);
    assert_eq!(ended.code, Some(2), "{ended}");
    let said = objects(&ended.stderr);
    let last = said.last().expect("an error");
    assert_eq!(last["level"], "ERROR", "{ended}");
    assert!(last["message"].as_str().expect("text").contains("taken"), "{ended}");
}

/// Only standard error is heard.
trait Quiet {
    fn into_quiet(self) -> std::process::Command;
}

impl Quiet for std::process::Command {
    fn into_quiet(mut self) -> std::process::Command {
        self.stdout(Stdio::null());
        self
    }
}
