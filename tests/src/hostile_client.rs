//! Clients that keep to the protocol's letter and take what others need: a crowd of their links in
//! a process of its own (`host/net/examples/crowd.rs`), beside a real scheduler.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{Daemon, Grid, binary, memory_bytes};

/// A crowd at a grid's port; gone when this is dropped.
pub struct HostileClient(Daemon);

impl HostileClient {
    /// Links of one client that send large messages and end none.
    pub fn half_sent(grid: &Grid, folder: &Path, links: usize, messages: usize) -> Self {
        let (links, messages) = (links.to_string(), messages.to_string());
        Self::start(&["half-sent", grid.address(), text(folder), &links, &messages])
    }

    /// Links of one client that ask for long lists and read none.
    pub fn unread(grid: &Grid, folder: &Path, links: usize, questions: usize) -> Self {
        let (links, questions) = (links.to_string(), questions.to_string());
        Self::start(&["unread", grid.address(), text(folder), &links, &questions])
    }

    /// Handshakes that are begun and never finished.
    pub fn unfinished(grid: &Grid, count: usize) -> Self {
        Self::start(&["unfinished", grid.address(), &count.to_string()])
    }

    /// Connections without a certificate that want to join and say no more.
    pub fn silent(grid: &Grid, count: usize) -> Self {
        Self::start(&["silent", grid.address(), &count.to_string()])
    }

    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary().with_file_name("examples").join("crowd"));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut crowd = Daemon::start(command);
        crowd.hear("the crowd to be in place", |line| (line == "in place").then_some(()));
        Self(crowd)
    }

    /// Waits until the scheduler takes no more of it: of what it says, the last few are alike.
    pub fn is_held_up(&self) {
        const ALIKE: usize = 5;
        let daemon = &self.0;
        crate::wait_until("the scheduler to take no more of the crowd", || {
            let said = daemon.said();
            let last: Vec<&str> =
                said.lines().filter(|line| line.starts_with("taken ")).rev().take(ALIKE).collect();
            last.len() == ALIKE && last.iter().all(|line| *line == last[0])
        });
    }
}

/// What a process holds more than it did `before`, in MiB.
pub fn grown_mib(pid: u32, before: u64) -> u64 {
    memory_bytes(pid).saturating_sub(before) >> 20
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test")
}
