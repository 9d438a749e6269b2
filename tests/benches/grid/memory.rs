//! Resident memory of processes and their children, read from `/proc` while they run.

use std::{fs, thread, time::Duration};

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
            peak = peak.max(descendants(roots).into_iter().map(size).sum());
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    peak
}

/// `roots` and their children's children.
fn descendants(roots: &[u32]) -> Vec<u32> {
    let mut all = roots.to_vec();
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let listed = children.unwrap_or_default();
        all.extend(listed.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        next += 1;
    }
    all
}

fn size(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
