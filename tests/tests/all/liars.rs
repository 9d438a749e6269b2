//! A worker that is not to be trusted, as a process of its own among real ones.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Grid, binary, guest};

/// A worker that takes tasks, falls silent, and comes back with results that nobody computed.
fn start_liar(grid: &Grid, engine: &str) -> Daemon {
    let mut command = Command::new(binary().with_file_name("examples").join("liar"));
    command.args([grid.token(), "liar", engine]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Daemon::start(command)
}

fn said_exactly(expected: &str) -> impl Fn(&str) -> Option<()> + '_ {
    move |line| (line == expected).then_some(())
}

#[test]
fn a_worker_that_lies_late_is_found_out_and_changes_nothing() {
    let mut grid = Grid::start(1, 2);
    let shown = grid.run(&["worker", "show", "w1", "--output", "json"]);
    let honest: Value = serde_json::from_str(shown.ok()).expect("JSON");
    let engine = honest["engine"].as_str().expect("it has an engine");
    // All that comes is the liar's, until it has been silent for too long.
    grid.run(&["worker", "cordon", "w1"]).ok();
    let mut liar = start_liar(&grid, engine);
    grid.wait_for_worker("liar", "ready");
    grid.home.write("in", "right\n");
    for job in ["1", "2"] {
        assert_eq!(grid.run(&["submit", &guest("echo"), "--lines", "in"]).ok().trim(), job);
        let took = format!("took {job}/0");
        liar.hear("that it has the task", said_exactly(&took));
    }
    liar.signal(19);
    grid.run(&["worker", "uncordon", "w1"]).ok();
    let results = |grid: &Grid, job: &str| {
        grid.run(&["job", "results", job, "--output", "json"]).ok().to_owned()
    };
    let committed = ["1", "2"].map(|job| {
        grid.run(&["job", "wait", job]).ok();
        let results = results(&grid, job);
        let result: Value = serde_json::from_str(&results).expect("one line");
        assert_eq!((&result["attempt"], &result["worker"]), (&json!(2), &honest["id"]));
        assert_eq!(grid.run(&["job", "results", job]).ok(), "right\n");
        results
    });

    liar.signal(18);
    let mut claims = liar.stdin().expect("it is piped");
    for (claim, acknowledged) in [("1 right", "acknowledged 1"), ("2 wrong", "acknowledged 2")] {
        writeln!(claims, "{claim}").expect("it reads");
        liar.hear("that it was heard", said_exactly(acknowledged));
    }
    // Comparisons are done in order: behind this one that of the first job is done too.
    grid.scheduler.hear("the warning", |line| line.contains("divergence:").then_some(()));
    assert_divergence_of_job_2_alone(&grid);
    assert_eq!(["1", "2"].map(|job| results(&grid, job)), committed);

    // What the next scheduler knows of it is all but the count of what was discarded.
    grid.kill_scheduler();
    grid.restart_scheduler();
    assert_eq!(grid.job("2")["divergences"]["count"], json!(1));
    assert_eq!(["1", "2"].map(|job| results(&grid, job)), committed);
}

fn assert_divergence_of_job_2_alone(grid: &Grid) {
    for (job, diverged) in [("1", 0), ("2", 1)] {
        let shown = grid.job(job);
        assert_eq!(shown["counts"]["discarded"], json!(1), "{shown}");
        assert_eq!((&shown["counts"]["ok"], &shown["results"]), (&json!(1), &json!(1)), "{shown}");
        assert_eq!(shown["divergences"]["count"], json!(diverged), "{shown}");
    }
    let shown = grid.job("2");
    let found = &shown["divergences"]["list"][0];
    assert_eq!(found["task"], json!("2/0"), "{shown}");
    let witness = |which: &str| (found[which]["worker"].clone(), found[which]["attempt"].clone());
    assert_eq!(witness("committed"), (json!("w1"), json!(2)), "{shown}");
    assert_eq!(witness("late"), (json!("liar"), json!(1)), "{shown}");
    assert_ne!(found["committed"]["digest"], found["late"]["digest"], "{shown}");
    let text = grid.run(&["job", "show", "2"]);
    assert!(text.ok().contains("task 0 diverged at 20"), "{text}");
    assert!(text.ok().contains("by liar in attempt 1 was discarded"), "{text}");
}
