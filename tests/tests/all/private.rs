//! What other users of a machine get at of what a grid keeps there.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use walkdir::WalkDir;
use wasmgrid_tests::{Daemon, Home, binary, guest};

/// A command of a user who takes no permission from anybody.
fn start_open(home: &Home, args: &[&str]) -> Daemon {
    let binary = binary().to_str().expect("a plain path");
    let lines = r#"umask 0 && exec "$0" "$@""#;
    let all = ["-c", lines, binary].into_iter().chain(args.iter().copied());
    Daemon::start(home.command_of(Path::new("/bin/sh"), all))
}

/// That nothing beneath is there for others.
fn assert_private(folder: &Path) {
    let mut files = 0;
    for entry in WalkDir::new(folder).follow_root_links(false) {
        let entry = entry.expect("a readable folder");
        if entry.path_is_symlink() {
            // It has no permissions of its own.
            continue;
        }
        let mode = entry.metadata().expect("it is there").permissions().mode() & 0o777;
        let allowed = match entry.file_type() {
            kind if kind.is_dir() => 0o700,
            // Public, in a folder that is not.
            _ if entry.path().extension().is_some_and(|kind| kind == "pem") => 0o644,
            _ => 0o600,
        };
        assert_eq!(mode & !allowed, 0, "{} has mode {mode:o}", entry.path().display());
        files += usize::from(entry.file_type().is_file());
    }
    assert!(files > 1, "{} is the folder that was meant", folder.display());
}

#[test]
fn what_a_grid_keeps_on_a_machine_is_its_users_alone_whatever_the_umask() {
    let (home, worker) = (Home::new(), Home::new());
    let up = ["up", "--no-worker", "--listen", "127.0.0.1:0", "--state-dir", "state"];
    let mut scheduler = start_open(&home, &up);
    let token = scheduler.hear("a join token", |line| {
        line.split_whitespace().find(|word| word.starts_with("wgt1.")).map(str::to_owned)
    });
    let mut joined = start_open(&worker, &["join", &token, "--slots", "1"]);
    joined.hear("the worker to join", |line| line.contains("joined the grid").then_some(()));
    home.run(["run", &guest("noop"), "--range", "0..3"]).ok();
    assert_private(&home.path().join("state"));
    assert_private(&home.path().join("home"));
    assert_private(&worker.path().join("home"));
}

#[test]
fn a_lock_that_anybody_could_hold_is_its_users_alone_from_the_next_start_on() {
    let home = Home::new();
    let lock = home.write("state/lock", "");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).expect("the test's own");
    let up = ["up", "--no-worker", "--listen", "127.0.0.1:0", "--state-dir", "state"];
    let mut scheduler = Daemon::start(home.command(up));
    scheduler.hear("a join token", |line| line.contains("wgt1.").then_some(()));
    let mode = fs::metadata(lock).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
