//! One client's certificate, or none: what it can make the scheduler hold, and that others go on.

use std::{path::PathBuf, time::Duration};

use tempfile::TempDir;
use wasmgrid_net::{Authority, Role};
use wasmgrid_tests::{Grid, HostileClient, grown_mib, guest, memory_bytes};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Far above what one certificate may make a scheduler hold, and far below what it could before.
const MOST_MIB: u64 = 700;

/// A command that takes arguments and does nothing.
const IDLE: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// Credentials of a client that nobody knows better.
fn client(grid: &Grid, name: &str) -> (TempDir, PathBuf) {
    let own = Authority::load(&grid.state_dir().join("ca")).expect("the grid's authority");
    let credentials = own.issue(Role::Client, name, DAY).expect("credentials");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("credentials");
    credentials.save(&path).expect("kept");
    (folder, path)
}

/// Another tenant's single call is answered.
fn assert_answers(grid: &Grid) {
    assert_eq!(grid.run(&["run", &guest("noop"), "--range", "0..1"]).ok(), "0\n");
}

#[test]
fn half_sent_messages_of_one_client_leave_the_scheduler_its_memory() {
    let grid = Grid::start(1, 1);
    assert_answers(&grid);
    let pid = grid.scheduler.pid();
    let (_folder, credentials) = client(&grid, "mallory");
    let before = memory_bytes(pid);
    let crowd = HostileClient::half_sent(&grid, &credentials, 24, 64);
    crowd.is_held_up();
    assert_answers(&grid);
    let grown = grown_mib(pid, before);
    assert!(grown < MOST_MIB, "{grown} MiB");
}

#[test]
fn answers_that_one_client_does_not_read_leave_the_scheduler_its_memory() {
    let grid = Grid::start(1, 1);
    // Jobs with long descriptions, so that a list of them is long.
    let (module, argument) = (grid.home.path().join("idle.wasm"), "x".repeat(60_000));
    std::fs::write(&module, wat::parse_str(IDLE).expect("it is a module")).expect("written");
    let module = module.to_str().expect("a path of the test");
    for _ in 0..11 {
        grid.run(&["submit", module, "--range", "0..1", "--", &argument]).ok();
    }
    let pid = grid.scheduler.pid();
    let operator = grid.home.path().join("operator");
    let own = Authority::load(&grid.state_dir().join("ca")).expect("the grid's authority");
    let credentials = own.issue(Role::Operator, "mallory", DAY).expect("credentials");
    credentials.save(&operator).expect("kept");
    let before = memory_bytes(pid);
    let _crowd = HostileClient::unread(&grid, &operator, 24, 1_000);
    // Behind this one all the questions were heard that were taken at all.
    assert_answers(&grid);
    let grown = grown_mib(pid, before);
    assert!(grown < MOST_MIB, "{grown} MiB");
}

#[test]
fn handshakes_that_never_end_keep_no_command_and_no_worker_out() {
    let mut grid = Grid::start(1, 1);
    let _crowd = HostileClient::unfinished(&grid, 300);
    assert_answers(&grid);
    let _silent = HostileClient::silent(&grid, 32);
    grid.add_worker(1);
    assert_answers(&grid);
}
