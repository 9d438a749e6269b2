//! `wasmgrid job results`: what it says of a job beside its results, and how it exits.

use serde_json::{Value, json};

use wasmgrid_tests::{Grid, guest, wait_until};

/// A job of moods, and its id.
fn submit(grid: &Grid, inputs: &str, flags: &[&str]) -> String {
    grid.home.write("in", inputs);
    let moods = guest("moods");
    let args = [&["submit", &moods, "--lines", "in"], flags].concat();
    grid.run(&args).ok().trim().to_owned()
}

#[test]
fn reading_a_jobs_results_exits_as_the_job_ended() {
    let grid = Grid::start(1, 2);
    let failed = submit(&grid, "fine\nreject\n", &[]);
    let expired = submit(&grid, "fine\nloop\n", &["--deadline", "1s"]);
    let cancelled = submit(&grid, "fine\nloop\n", &[]);
    let refused = submit(&grid, "escape\n", &["--memory", "64KiB"]);
    let ok = submit(&grid, "fine\n", &[]);
    wait_until("the one to be cancelled to run", || {
        let counts = &grid.job(&cancelled)["counts"];
        counts["ok"] == json!(1) && counts["running"] == json!(1)
    });
    grid.run(&["job", "cancel", &cancelled]).ok();
    for (job, code, said) in [
        (&ok, 0, ""),
        (&failed, 1, "1 failed"),
        (&refused, 1, "1 failed"),
        (&expired, 5, "the job's --deadline passed"),
        (&cancelled, 6, "the job was cancelled"),
    ] {
        grid.run(&["job", "wait", job]).fails_with(code, &[]);
        for flags in [&["--from", "0"][..], &["--follow"], &["--from", "1"], &["-o", "out"]] {
            let read = grid.run(&[&["job", "results", job], flags].concat());
            read.fails_with(code, &[said]);
        }
        let whole = "fine: fine\n".repeat(usize::from(grid.job(job)["counts"]["ok"] == json!(1)));
        assert_eq!(grid.run(&["job", "results", job]).text(), whole);
        assert_eq!(grid.home.read("out"), whole);
        let read = grid.run(&["job", "results", job, "--output", "json"]);
        assert_eq!(read.code, Some(code), "{read}");
        let last: Value = serde_json::from_str(read.stderr.lines().last().expect("a line"))
            .unwrap_or_else(|error| panic!("{error}: {read}"));
        assert_eq!(last["state"], grid.job(job)["state"], "{read}");
        let quiet = grid.run(&["job", "results", job, "--quiet", "--output", "json"]);
        assert_eq!(quiet.code, Some(code), "{quiet}");
    }
}

#[test]
fn failures_that_are_not_explained_are_counted() {
    let grid = Grid::start(1, 2);
    let job = submit(&grid, &"reject\n".repeat(6), &[]);
    grid.run(&["job", "wait", &job]).fails_with(1, &[]);
    let read = grid.run(&["job", "results", &job]);
    read.fails_with(1, &["3 more tasks failed", "6 tasks: 6 failed"]);
    assert_eq!(read.stderr.matches(" failed: rejected").count(), 3, "{read}");
    let quiet = grid.run(&["job", "results", &job, "--quiet"]);
    quiet.fails_with(1, &["3 more tasks failed"]);
}

#[test]
fn reading_a_job_that_goes_on_says_so() {
    let grid = Grid::start(1, 2);
    let job = submit(&grid, "fine\n", &["--open"]);
    let rest = format!("wasmgrid job results {job} --from 1 --follow");
    wait_until("a result", || grid.job(&job)["results"] == json!(1));
    let read = grid.run(&["job", "results", &job]);
    assert_eq!(read.ok(), "fine: fine\n");
    assert!(
        read.stderr.contains("1 of its 1 tasks have ended") && read.stderr.contains(&rest),
        "{read}"
    );
    grid.home.write("more", "reject\n");
    grid.run(&["job", "append", &job, "more"]).ok();
    wait_until("another", || grid.job(&job)["results"] == json!(2));
    let read = grid.run(&["job", "results", &job]);
    read.fails_with(1, &["continues"]);
    let quiet = grid.run(&["job", "results", &job, "--quiet"]);
    assert!(!quiet.stderr.contains("continues"), "{quiet}");
}

#[test]
fn a_job_whose_results_cannot_be_written_goes_on_and_is_named() {
    let grid = Grid::start(1, 2);
    let args = ["run", &guest("noop"), "--range", "0..1000", "-o", "/dev/full"];
    let run = grid.run(&args);
    run.fails_with(1, &["failed to write /dev/full", "`wasmgrid job results 1 --follow`"]);
    let expected: String = (0..1000).map(|n| format!("{n}\n")).collect();
    assert!(grid.run(&["job", "results", "1", "--follow"]).ok() == expected);
}
