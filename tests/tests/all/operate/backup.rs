//! A grid's backup is a copy of its state folder, made while its scheduler is stopped.

use std::fs;

use walkdir::WalkDir;
use wasmgrid_tests::{Grid, guest};

#[test]
fn a_copy_of_a_stopped_schedulers_folder_is_the_grid_again() {
    let mut grid = Grid::start(1, 1);
    let job = grid.run(&["submit", &guest("noop"), "--range", "0..50"]);
    let job = job.ok().trim().to_owned();
    grid.run(&["job", "wait", &job]).ok();
    let results = grid.run(&["job", "results", &job]).ok().to_owned();
    assert_eq!(grid.scheduler.interrupt().code(), Some(0));
    // The copy stands in for the folder, which is lost.
    let (state, copy) = (grid.state_dir(), grid.home.path().join("copy"));
    for entry in WalkDir::new(&state) {
        let entry = entry.expect("readable");
        let to = copy.join(entry.path().strip_prefix(&state).expect("below it"));
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).expect("made");
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
    fs::remove_dir_all(&state).expect("removed");
    fs::rename(&copy, &state).expect("put in its place");
    grid.restart_scheduler();
    grid.wait_for_worker("w1", "ready");
    assert_eq!(grid.run(&["job", "results", &job]).ok(), results);
    let next = grid.run(&["submit", &guest("noop"), "--range", "0..5"]).ok().trim().to_owned();
    assert_ne!(next, job, "a number is given once");
    grid.run(&["job", "wait", &next]).ok();
}
