//! The commands of README.md, typed word for word: each machine is a network namespace.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use wasmgrid_tests::{
    Daemon, Home, binary, guest,
    network::{HERE, Network, THERE},
    repository, wait_until,
};

/// The commands of the section on clusters, as they stand there, without what is said of them.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).expect("it is there");
    let (_, section) =
        readme.split_once("\n## A cluster in three commands\n").expect("its section");
    let (_, block) = section.split_once("```console\n").expect("its commands");
    let (block, _) = block.split_once("```").expect("their end");
    let lines = block.lines().filter_map(|line| line.strip_prefix("$ "));
    let commands = lines.map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned());
    commands.collect()
}

/// A machine on whose path the program is, at a user's home of its own.
struct Machine {
    home: Home,
}

impl Machine {
    fn new(namespace: &str) -> Self {
        let home = Home::in_namespace(namespace);
        fs::create_dir(home.path().join("bin")).expect("made");
        symlink(binary(), home.path().join("bin/wasmgrid")).expect("made");
        Self { home }
    }

    /// A line typed in a shell.
    fn typed(&self, line: &str) -> Command {
        let mut command =
            self.home.command_of(Path::new("/bin/sh"), ["-c", &format!("exec {line}")]);
        let paths = std::env::var("PATH").expect("a path");
        command
            .env("PATH", format!("{}:{paths}", self.home.path().join("bin").display()))
            .env_remove("WASMGRID_HOME")
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CACHE_HOME");
        // What builds the task is at home elsewhere.
        let elsewhere = std::env::var("HOME").unwrap_or_default();
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let there = std::env::var(name).unwrap_or_else(|_| format!("{elsewhere}/{folder}"));
            command.env(name, there);
        }
        command
    }

    fn workers(&self) -> Vec<(String, String, u64)> {
        let listed = Home::finish(self.typed("wasmgrid worker list --output json"), b"");
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        let one = |worker: &serde_json::Value| {
            let text = |key: &str| worker[key].as_str().unwrap_or_default().to_owned();
            (text("name"), text("state"), worker["committed"].as_u64().unwrap_or_default())
        };
        listed.as_array().map(|all| all.iter().map(one).collect()).unwrap_or_default()
    }

    fn wait_for_two(&self) {
        wait_until("two workers to be ready", || {
            let ready = self.workers().into_iter().filter(|(_, state, _)| state == "ready");
            ready.count() == 2
        });
    }
}

#[test]
fn the_commands_of_the_readme_give_a_cluster_of_two_that_one_command_each_brings_back() {
    let network = match Network::new() {
        Ok(network) => network,
        Err(error) => {
            println!(
                "skipped: no network namespace can be made here, which takes root and iproute2 ({error})"
            );
            return;
        }
    };
    let commands = commands();
    let [up, join, run] = commands.as_slice() else { panic!("three commands: {commands:?}") };
    let (one, other) = (Machine::new(network.here()), Machine::new(network.there()));
    let mut scheduler = Daemon::start(one.typed(up));
    let token = scheduler.hear("a join token", |line| {
        line.split_whitespace().find(|word| word.starts_with("wgt1.")).map(str::to_owned)
    });
    let said = scheduler.said();
    assert!(said.contains(HERE) && !said.contains("only this machine can reach it"), "{said}");
    assert!(
        said.contains(join.as_str()),
        "the command that is printed is that of the README: {said}"
    );
    let mut command = other.typed(join);
    command.stdin(Stdio::piped());
    let mut worker = Daemon::start(command);
    let mut stdin = worker.stdin().expect("piped");
    std::io::Write::write_all(&mut stdin, format!("{token}\n").as_bytes()).expect("it reads");
    one.wait_for_two();

    // A folder with a task, as `wasmgrid new` makes one; this one is built already.
    guest("noop");
    let runs = |machine: &Machine, range: std::ops::Range<u64>| {
        let mut command = machine.typed(run);
        command.current_dir(repository().join("tests/guests/noop"));
        let expected: String = range.map(|n| format!("{n}\n")).collect();
        let finished = Home::finish(command, b"");
        assert!(finished.ok() == expected, "{}", finished.stderr);
    };
    runs(&one, 0..100_000);
    let idle =
        |(name, _, committed): &(String, String, u64)| (*committed == 0).then(|| name.clone());
    let idle: Vec<_> = one.workers().iter().filter_map(idle).collect();
    assert!(idle.is_empty(), "idle: {idle:?}");
    let names = |machine: &Machine| -> Vec<String> {
        let mut names: Vec<_> = machine.workers().into_iter().map(|(name, ..)| name).collect();
        names.sort_unstable();
        names
    };
    let before = names(&one);

    scheduler.kill();
    worker.kill();
    let mut scheduler = Daemon::start(one.typed("wasmgrid up"));
    let worker = Daemon::start(other.typed("wasmgrid worker"));
    scheduler.hear("where it is", |line| line.contains(HERE).then_some(()));
    one.wait_for_two();
    assert_eq!(names(&one), before);
    runs(&one, 0..100_000);
    let worker_said = worker.said();
    assert!(!worker_said.contains(THERE) || !worker_said.contains("refused"), "{worker_said}");
}
