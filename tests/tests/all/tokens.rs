//! Join tokens as processes have them, and what a scheduler's folder is for others on its machine.

use std::{fs, os::unix::fs::PermissionsExt as _};

use wasmgrid_tests::{Daemon, Home, free_address};

#[test]
fn the_printed_token_adds_one_machine_and_stands_in_no_list_of_processes() {
    let home = Home::new();
    let listen = free_address();
    let args = ["up", "--no-worker", "--listen", &listen, "--state-dir", "state"];
    let mut scheduler = Daemon::start(home.command(args));
    let token = scheduler.hear("a join token", |line| {
        line.split_whitespace().find(|word| word.starts_with("wgt1.")).map(String::from)
    });
    assert!(scheduler.said().contains("join --token-file -"), "{}", scheduler.said());

    let machine = Home::new();
    machine.write("token", format!("{token}\n"));
    let join = ["join", "--token-file", "token", "--name", "w1", "--slots", "1"];
    let mut worker = Daemon::start(machine.command(join));
    worker.hear("that it joined", |line| line.contains("joined the grid").then_some(()));
    let shown = fs::read(format!("/proc/{}/cmdline", worker.pid())).expect("it runs");
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(shown.contains("--token-file") && !shown.contains("wgt1."), "{shown}");

    let other = Home::new();
    let mut command = other.command(["join", "--name", "w2", "--slots", "1"]);
    command.env("WASMGRID_TOKEN", &token);
    let mut second = Daemon::start(command);
    let status = second.wait();
    assert!(!status.success() && second.said().contains("used up"), "{}", second.said());

    let mode = |name: &str| {
        let path = home.path().join(name);
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!((mode("state"), mode("state/lock")), (0o700, 0o600));
}
