//! A grid on loopback: a scheduler and workers, each a process with a home of its own.

use std::{
    fs,
    net::UdpSocket,
    path::PathBuf,
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use walkdir::WalkDir;

use crate::{Daemon, Finished, Home, wait_until};

/// A scheduler, its workers and the home of an operator who uses it.
pub struct Grid {
    /// The operator's home, where `wasmgrid up` ran and the context is.
    pub home: Arc<Home>,
    /// The scheduler.
    pub scheduler: Daemon,
    /// The workers in the order in which they were added.
    pub workers: Vec<Worker>,
    listen: String,
    token: String,
}

/// A worker machine.
pub struct Worker {
    /// Its home, with its identity.
    pub home: Home,
    /// Its process.
    pub process: Daemon,
    /// Its name.
    pub name: String,
}

impl Grid {
    /// A grid whose scheduler has no worker of its own, with `workers` others of `slots` each.
    pub fn start(workers: usize, slots: u32) -> Self {
        let mut grid = Self::start_at(Home::new(), free_address());
        for _ in 0..workers {
            grid.add_worker(slots);
        }
        grid
    }

    /// A grid without workers: its scheduler listens at `listen`, and its operator is at home there.
    pub fn start_at(home: Home, listen: String) -> Self {
        let mut scheduler = up(&home, &listen, |_| {});
        let token = scheduler.hear("a join token", |line| {
            line.split_whitespace().find(|word| word.starts_with("wgt1.")).map(Into::into)
        });
        Self { home: Arc::new(home), scheduler, workers: Vec::new(), listen, token }
    }

    /// Where the scheduler listens.
    pub fn address(&self) -> &str {
        &self.listen
    }

    /// The token it printed when it started first.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where the scheduler keeps its state.
    pub fn state_dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Joins one more worker and waits until the grid lists it as ready.
    pub fn add_worker(&mut self, slots: u32) {
        self.add_worker_with(slots, &[]);
    }

    /// The same with more flags.
    pub fn add_worker_with(&mut self, slots: u32, flags: &[&str]) {
        self.add_worker_at(Home::new(), slots, flags);
    }

    /// The same on a machine of its own.
    pub fn add_worker_at(&mut self, home: Home, slots: u32, flags: &[&str]) {
        let name = format!("w{}", self.workers.len() + 1);
        let slots = slots.to_string();
        let mut args = vec!["join", &self.token, "--name", &name, "--slots", &slots];
        args.extend(flags);
        let process = Daemon::start(home.command(args));
        self.workers.push(Worker { home, process, name: name.clone() });
        self.wait_for_worker(&name, "ready");
    }

    /// Waits until the grid lists this worker in this state.
    pub fn wait_for_worker(&self, name: &str, state: &str) {
        wait_until(&format!("worker {name} to be {state}"), || {
            let listed = self.home.run(["worker", "list", "--output", "json"]);
            let Ok(workers) = serde_json::from_slice::<serde_json::Value>(&listed.stdout) else {
                return false;
            };
            workers
                .as_array()
                .is_some_and(|all| all.iter().any(|w| w["name"] == name && w["state"] == state))
        });
    }

    /// Does something while the operator's context names another address of the scheduler.
    pub fn through<T>(&self, address: &str, what: impl FnOnce() -> T) -> T {
        let found = WalkDir::new(self.home.path()).into_iter().filter_map(Result::ok);
        let mut found = found.filter(|entry| entry.file_name() == "context.toml");
        let path = found.next().expect("the operator has a context").into_path();
        let text = fs::read_to_string(&path).expect("it is readable");
        fs::write(&path, text.replace(&self.listen, address)).expect("it is writable");
        let done = what();
        fs::write(&path, text).expect("it is writable");
        done
    }

    /// Stops the scheduler without warning.
    pub fn kill_scheduler(&mut self) {
        self.scheduler.kill();
    }

    /// Starts the scheduler again on the same state and address.
    pub fn restart_scheduler(&mut self) {
        self.restart_scheduler_with(|_| {});
    }

    /// The same with a change to the command.
    pub fn restart_scheduler_with(&mut self, change: impl FnOnce(&mut Command)) {
        self.scheduler = up(&self.home, &self.listen, change);
        self.scheduler.hear("the scheduler to listen", |line| line.contains("wgt1.").then_some(()));
    }

    /// Starts a worker that has ended again, on the state it has, with a change to the command.
    pub fn restart_worker(&mut self, number: usize, slots: u32, change: impl FnOnce(&mut Command)) {
        let worker = self.start_worker(number, slots, change);
        // Until then the grid may still list the process before it as ready.
        let joined = |line: &str| line.contains("joined the grid").then_some(());
        worker.process.hear("the worker to join again", joined);
        let name = worker.name.clone();
        self.wait_for_worker(&name, "ready");
    }

    /// The same of a worker whose log the change leads elsewhere: the grid has to see first that
    /// the process before has ended.
    pub fn restart_unheard_worker(
        &mut self,
        number: usize,
        slots: u32,
        change: impl FnOnce(&mut Command),
    ) {
        let name = self.workers[number].name.clone();
        self.wait_for_worker(&name, "gone");
        self.start_worker(number, slots, change);
        self.wait_for_worker(&name, "ready");
    }

    fn start_worker(
        &mut self,
        number: usize,
        slots: u32,
        change: impl FnOnce(&mut Command),
    ) -> &mut Worker {
        let worker = self.workers.get_mut(number).expect("there are so many workers");
        let mut command = worker.home.command(["worker", "--slots", &slots.to_string()]);
        change(&mut command);
        worker.process = Daemon::start(command);
        worker
    }

    /// A command of the operator, run to its end.
    pub fn run(&self, args: &[&str]) -> Finished {
        self.home.run(args)
    }

    /// What `job show` tells, as JSON.
    pub fn job(&self, job: &str) -> serde_json::Value {
        let shown = self.run(&["job", "show", job, "--output", "json"]);
        serde_json::from_str(shown.ok()).expect("JSON")
    }
}

fn up(home: &Home, listen: &str, change: impl FnOnce(&mut Command)) -> Daemon {
    let mut command =
        home.command(["up", "--no-worker", "--listen", listen, "--state-dir", "state"]);
    // One token for all the workers that a test adds.
    command.args(["--token-uses", "16"]);
    change(&mut command);
    Daemon::start(command)
}

/// An address on loopback that nobody listens on, and that nobody gets by chance while a scheduler
/// is away: it is below the ports from which the kernel takes one for who names none.
pub fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = FIRST_PORT..ephemeral_ports();
    let count = u32::from(ports.end.checked_sub(ports.start).expect("ports that can be chosen"));
    // Test binaries that run at once begin at different places.
    let begin = process::id().wrapping_mul(61);
    let free = |_| {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = ports.start + u16::try_from(offset).expect("fewer than all ports");
        let socket = UdpSocket::bind(("127.0.0.1", port)).ok()?;
        Some(socket.local_addr().expect("it is bound").to_string())
    };
    (0..count).find_map(free).expect("a free port on loopback")
}

/// Below it are those of well-known services.
const FIRST_PORT: u16 = 10_000;

/// The first port that the kernel chooses by itself; Linux's default where it does not say.
fn ephemeral_ports() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}
