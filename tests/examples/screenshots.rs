//! `screenshots FOLDER`: the pictures of the README, of a run on a grid of two workers that it starts.
//! The binary has to be built in the same profile.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "it ends with what went wrong")]

use std::{env, fs, path::PathBuf, process::ExitCode};

use wasmgrid_tests::{Daemon, Home, Scheme, Site, wait_until};

/// So many tasks have ended when the pictures are taken: the charts have something to show.
const ENDED: u64 = 2_400;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: screenshots FOLDER");
        return ExitCode::from(2);
    };
    let Some(site) = Site::logged_in() else { return ExitCode::FAILURE };
    let machine = Home::new();
    let token = site.run(&["token", "create"]);
    let join = ["join", token.trim(), "--name", "box2", "--slots", "2"];
    let _worker = Daemon::start(machine.command(join));
    wait_until("two workers", || {
        site.workers().iter().filter(|w| w["state"] == "ready").count() == 2
    });
    let done = site.submit("noop", &["--range", "0..5000", "--name", "warm-up"]);
    let job = submit_with_failures(&site);
    site.submit("noop", &["--range", "0..64", "--memory", "900GiB", "--name", "train/large"]);
    wait_until("tasks", || site.job(&job)["results"].as_u64() >= Some(ENDED));
    wait_until("the end of a job", || site.job(&done)["state"] == "ok");
    fs::create_dir_all(&folder).expect("a folder for pictures");
    take(&site, "/", Scheme::Light, &folder.join("overview.png"));
    take(&site, &format!("/jobs/{job}"), Scheme::Dark, &folder.join("job.png"));
    ExitCode::SUCCESS
}

/// A long job of which some tasks are not numbers, and some need more than they may have.
fn submit_with_failures(site: &Site) -> String {
    let line = |task: u64| match task {
        _ if task % 97 == 13 => format!("{}k\n", task % 7),
        _ if task % 211 == 40 => "40000000\n".into(),
        _ => format!("{}\n", 2_000_000 + task * 7_919 % 6_000_000),
    };
    let lines: String = (0..20_000).map(line).collect();
    site.submit_lines("spin", &lines, &["--name", "sweep/rounds", "--fuel", "200M"])
}

fn take(site: &Site, path: &str, scheme: Scheme, file: &std::path::Path) {
    site.browser.prefer(scheme);
    site.browser.resize(1280, 960);
    site.open(path);
    site.browser.wait_for_text("#live", "live");
    site.browser.save_picture(file, false);
}
