//! What a service manager is told, by a socket in its place.

use std::{os::unix::net::UnixDatagram, process::Command, time::Duration};

use wasmgrid_tests::{Daemon, Grid, Home, PATIENCE, free_address};

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    home: Home,
}

impl Manager {
    fn new() -> Self {
        let home = Home::new();
        let socket = UnixDatagram::bind(home.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time above zero");
        Self { socket, home }
    }

    /// Has a command tell it how it stands, often that it lives.
    fn manages(&self, command: &mut Command) {
        let watchdog = Duration::from_millis(200).as_micros().to_string();
        command.env("NOTIFY_SOCKET", self.home.path().join("notify"));
        command.env("WATCHDOG_USEC", watchdog);
    }

    /// The next message that fits; those before it.
    fn hear(&self, what: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let mut bytes = [0; 4_096];
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| {
                panic!("{what:?} was not told: {error}; but {heard:?}");
            });
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let fits = message.lines().any(|line| line.starts_with(what));
            heard.push(message);
            if fits {
                return heard;
            }
        }
    }
}

fn serves(command: &str, home: &Home) {
    let manager = Manager::new();
    let address = free_address();
    let mut start = home.command([command, "--listen", &address]);
    if command == "up" {
        start.arg("--no-worker");
    }
    manager.manages(&mut start);
    let mut daemon = Daemon::start(start);
    let told = manager.hear("READY=1");
    let ready = told.last().expect("it was told");
    assert!(ready.contains("STATUS=grid ") && ready.contains(&address), "{ready}");
    manager.hear("WATCHDOG=1");
    manager.hear("WATCHDOG=1");
    daemon.signal(15);
    manager.hear("STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_scheduler_is_ready_once_it_listens_and_says_that_it_lives_and_stops() {
    let home = Home::new();
    serves("server", &home);
    serves("up", &home);
}

#[test]
fn a_worker_is_ready_once_it_has_joined() {
    let mut grid = Grid::start(0, 1);
    let (manager, home) = (Manager::new(), Home::new());
    let mut join = home.command(["join", grid.token(), "--name", "w1", "--slots", "1"]);
    manager.manages(&mut join);
    let mut worker = Daemon::start(join);
    manager.hear("READY=1");
    grid.wait_for_worker("w1", "ready");
    worker.signal(15);
    manager.hear("STOPPING=1");
    assert_eq!(worker.wait().code(), Some(0));
    // Without a scheduler it lives, and is not ready.
    grid.kill_scheduler();
    let mut back = home.command(["worker", "--slots", "1"]);
    manager.manages(&mut back);
    let mut worker = Daemon::start(back);
    let heard = manager.hear("STATUS=no link to grid");
    assert!(!heard.iter().any(|message| message.contains("READY=1")), "{heard:?}");
    manager.hear("WATCHDOG=1");
    grid.restart_scheduler();
    manager.hear("READY=1");
    grid.wait_for_worker("w1", "ready");
    assert_eq!(worker.interrupt().code(), Some(0));
}

#[test]
fn a_service_manager_that_is_away_keeps_nobody_from_serving() {
    let (manager, home) = (Manager::new(), Home::new());
    let mut start = home.command(["server", "--listen", &free_address()]);
    manager.manages(&mut start);
    drop(manager);
    let mut daemon = Daemon::start(start);
    let told = |line: &str| line.contains("failed to notify the service manager").then_some(());
    daemon.hear("what is wrong with it", told);
    assert_eq!(daemon.interrupt().code(), Some(0));
}
