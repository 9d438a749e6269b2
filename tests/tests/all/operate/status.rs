//! `wasmgrid status`: what is wrong, what would help, and the exit code.

use serde_json::Value;
use wasmgrid_tests::{Grid, Home, guest, wait_until};

fn status(grid: &Grid) -> (Option<i32>, Value) {
    let said = grid.run(&["status", "--output", "json"]);
    let report = serde_json::from_str(said.text());
    (said.code, report.unwrap_or_else(|error| panic!("{error}: {said}")))
}

fn kinds(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().map(|one| one["kind"].as_str().expect("text")).collect()
}

#[test]
fn a_grid_that_is_well_ends_with_0_and_names_itself() {
    let mut grid = Grid::start(2, 1);
    let (code, report) = status(&grid);
    assert_eq!((code, &report["state"]), (Some(0), &"ok".into()), "{report}");
    assert_eq!(report["addresses"][0], grid.address());
    assert_eq!(report["workers"]["ready"], 2);
    let release = report["release"].as_str().expect("the scheduler's");
    assert!(release.starts_with(concat!("wasmgrid ", env!("CARGO_PKG_VERSION"))), "{release}");
    let said = grid.run(&["status"]);
    assert!(said.ok().contains("all is well") && said.ok().contains("2 ready"), "{said}");
    // A cordon is meant so.
    grid.run(&["worker", "cordon", "w1"]).ok();
    let (code, report) = status(&grid);
    assert_eq!((code, kinds(&report)), (Some(0), vec!["worker-not-taking"]), "{report}");
    assert!(grid.run(&["status"]).ok().contains("wasmgrid worker uncordon w1"));
    grid.workers[1].process.interrupt();
    grid.wait_for_worker("w2", "gone");
    let (code, report) = status(&grid);
    assert_eq!((code, &report["state"]), (Some(1), &"degraded".into()), "{report}");
    assert_eq!(kinds(&report), ["no-worker", "worker-gone", "worker-not-taking"], "{report}");
}

#[test]
fn a_job_that_nothing_there_can_run_is_named_with_what_would_help() {
    let grid = Grid::start(1, 1);
    let job = grid.run(&["submit", &guest("noop"), "--range", "0..3", "--require", "zone=b"]);
    let job = job.ok().trim().to_owned();
    wait_until("the job to be stuck", || status(&grid).0 == Some(1));
    let (_, report) = status(&grid);
    assert_eq!(kinds(&report), ["job-stuck"], "{report}");
    let finding = &report["findings"][0];
    assert_eq!(finding["subject"], job.as_str(), "{report}");
    assert!(finding["help"].as_str().expect("text").contains("--label"), "{report}");
    assert_eq!(report["jobs"]["waiting"], 3, "{report}");
    let said = grid.run(&["status"]);
    said.fails_with(1, &[]);
    assert!(said.text().contains("1 problem"), "{said}");
    // Others that wait for the same are told of with it.
    let more = grid.run(&["submit", &guest("noop"), "--range", "0..4", "--require", "zone=b"]);
    let more = more.ok().trim().to_owned();
    wait_until("both to be stuck", || kinds(&status(&grid).1) == ["jobs-stuck"]);
    let (_, report) = status(&grid);
    let text = report["findings"][0]["text"].as_str().expect("text");
    assert!(text.contains("7 tasks of 2 jobs of tenant"), "{report}");
    assert!(text.contains(&format!("(jobs {more}, {job})")), "{report}");
    for job in [job, more] {
        grid.run(&["job", "cancel", &job]).ok();
    }
    assert_eq!(status(&grid).0, Some(0));
}

#[test]
fn a_grid_that_cannot_be_reached_is_an_answer_with_4() {
    let mut grid = Grid::start(0, 1);
    grid.kill_scheduler();
    let (code, report) = status(&grid);
    assert_eq!((code, &report["state"]), (Some(4), &"unreachable".into()), "{report}");
    assert_eq!(kinds(&report), ["unreachable"]);
    assert!(report["error"].as_str().expect("text").contains("cannot reach"), "{report}");
    let said = grid.run(&["status"]);
    said.fails_with(4, &[]);
    assert!(said.text().contains("unreachable") && said.text().contains(grid.address()), "{said}");
    Home::new().run(["status"]).fails_with(2, &["no context is selected"]);
}
