//! Memory and CPU time of processes and their children, read from `/proc` while they run.

use std::{fs, thread, time::Duration};

/// The kernel tells CPU time to programs in such steps, whatever its own are.
const TICK: Duration = Duration::from_millis(10);

/// Samples the memory of `roots` and all their descendants until `ended`; gives the largest sum,
/// in bytes. Memory that is shared is counted once a process (proportional set size).
pub fn watch(roots: &[u32], mut ended: impl FnMut() -> bool) -> u64 {
    let mut peak = 0;
    // Reading the sizes costs the kernel a walk, so it is done seldom.
    for round in 0u64.. {
        if ended() {
            break;
        }
        if round % 50 == 0 {
            peak = peak.max(tree(roots).into_iter().map(proportional).sum());
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    peak
}

/// CPU time of `roots` and all their descendants, with those that have ended.
pub fn cpu(roots: &[u32]) -> Duration {
    tree(roots).into_iter().map(|pid| ticks(&format!("/proc/{pid}/stat"), 0..4)).sum()
}

/// CPU time of all children of this process that have ended, with their own.
pub fn cpu_of_ended() -> Duration {
    ticks("/proc/self/stat", 2..4)
}

/// What all processes of the machine have had of its cores; and of that this one and its children
/// that have ended.
pub fn cpu_of_all() -> (Duration, Duration) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let times: Vec<u32> =
        line.split_whitespace().skip(1).filter_map(|time| time.parse().ok()).collect();
    // Idle and waiting for a disk are the fourth and the fifth; guests are in the first.
    let busy = times.iter().take(8).sum::<u32>() - times.iter().skip(3).take(2).sum::<u32>();
    (TICK * busy, ticks("/proc/self/stat", 0..4))
}

/// A process's share of the memory it is in, in bytes.
pub fn proportional(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    kib(&rollup, "Pss:") << 10
}

/// The memory that a process is in, whoever else is, in bytes.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kib(&status, "VmRSS:") << 10
}

/// In MiB.
#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// `roots` and their children's children.
fn tree(roots: &[u32]) -> Vec<u32> {
    let mut all = roots.to_vec();
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        // Each thread has the children it started.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let listed = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(listed.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    all
}

/// Of user, system, ended children's user and ended children's system time, those that are asked
/// for, together.
fn ticks(file: &str, which: std::ops::Range<usize>) -> Duration {
    let stat = fs::read_to_string(file).unwrap_or_default();
    // The name before it may have blanks and brackets of its own.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times: Vec<u32> =
        rest.split_whitespace().skip(11).take(4).filter_map(|time| time.parse().ok()).collect();
    times.get(which).map_or(Duration::ZERO, |some| TICK * some.iter().sum::<u32>())
}

fn kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
