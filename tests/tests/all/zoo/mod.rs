//! The zoo of attacks, let loose: each must end exactly as its row says, and leave the worker as it
//! was. Once through the sandbox's own interface, once through the binary on a grid of processes,
//! once on the grid of one command.

mod after;
mod cage;
mod command;
mod compile;
mod grid;
mod sandbox;

use std::{
    collections::BTreeSet,
    mem,
    sync::{PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use wasmgrid_tests::memory_bytes;

/// By how much a process may have grown after an attack.
const GROWTH_BYTES: u64 = 8 << 20;

/// What one attack did that it should not have, by its name.
type Fault = (String, String);

/// A compile bomb takes every core there is for its whole limit; deadlines are held to 100 ms.
static CORES: RwLock<()> = RwLock::new(());

/// For what may run beside others of its sort.
fn beside_others() -> impl Drop {
    CORES.read().unwrap_or_else(PoisonError::into_inner)
}

/// For what takes every core.
fn alone() -> impl Drop {
    CORES.write().unwrap_or_else(PoisonError::into_inner)
}

/// Fails with all that was wrong, so that one run tells of every attack.
#[test]
fn every_attack_can_be_made_and_has_a_name_of_its_own() {
    let attacks = wasmgrid_tests::zoo::attacks();
    let names: BTreeSet<&str> = attacks.iter().map(|attack| attack.name).collect();
    assert_eq!(names.len(), attacks.len());
    for attack in attacks {
        (attack.module)();
    }
}

#[track_caller]
fn assert_none(faults: &[Fault]) {
    let list: Vec<String> = faults.iter().map(|(name, fault)| format!("{name}: {fault}")).collect();
    assert!(list.is_empty(), "{} attacks did harm:\n{}", list.len(), list.join("\n"));
}

/// Says what is wrong where these processes together hold more than `baseline` and what is allowed
/// beside, also after a while. The next attack is then judged by what this one left.
fn check_memory(baseline: &mut u64, pids: impl Fn() -> Vec<u32>) -> Option<String> {
    let began = Instant::now();
    loop {
        let now = pids().into_iter().map(memory_bytes).sum::<u64>();
        if now <= *baseline + GROWTH_BYTES {
            return None;
        }
        if began.elapsed() > SETTLE {
            let before = mem::replace(baseline, now);
            return Some(format!("it left {now} bytes of memory where {before} were"));
        }
        thread::yield_now();
    }
}

/// For a process to give back what it no longer uses.
const SETTLE: Duration = Duration::from_secs(60);
