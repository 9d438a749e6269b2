//! What is said where this machine cannot run tasks: why, and what would help.

use std::{sync::Mutex, thread};

use wasmgrid_worker::sandbox::{Inability, Layer, SandboxError};

use crate::exit::refused;

/// What would help where processes or threads cannot be started.
const MORE_PROCESSES: &str = "raise its user's limits on processes and threads (ulimit \
     -u, TasksMax= \
     of its unit, pids.max of its cgroup), free memory, or look for a seccomp filter that forbids them";

/// A refusal that says why this machine cannot run tasks, and what would help.
pub fn unable(why: &Inability) -> anyhow::Error {
    unable_to("run tasks", why)
}

/// The same of something else that it cannot do.
pub fn unable_to(what: &str, why: &Inability) -> anyhow::Error {
    let text = format!("this machine cannot {what}: {why}");
    refused(match remedy(why.error()) {
        Some(remedy) => format!("{text}; {remedy}"),
        None => text,
    })
}

/// Refuses where this process may not start so many threads: without them it would break off in the
/// middle of its work.
///
/// # Errors
/// A refusal with what would help.
pub fn check_threads(count: usize, runs_tasks: bool) -> anyhow::Result<()> {
    let held = Mutex::new(());
    thread::scope(|scope| {
        // All of them are there at the same time.
        let _until_all_are_there = held.lock();
        let start = |_| thread::Builder::new().spawn_scoped(scope, || drop(held.lock())).map(drop);
        (0..count).try_for_each(start)
    })
    .map_err(|error| {
        let what = if runs_tasks { "this machine cannot run tasks: " } else { "" };
        refused(format!("{what}no thread can be started: {error}; {MORE_PROCESSES}"))
    })
}

fn remedy(error: &SandboxError) -> Option<&'static str> {
    match error {
        SandboxError::AddressSpace { .. } => {
            Some("lift that limit (ulimit -v unlimited, or LimitAS= of its unit)")
        }
        SandboxError::Engine { .. } => Some("is its address space or its memory limited?"),
        SandboxError::NoProc(_) => Some("mount the process file system (mount -t proc proc /proc)"),
        SandboxError::Start { .. } | SandboxError::Threads { .. } => Some(MORE_PROCESSES),
        SandboxError::Child { .. } | SandboxError::Trial { .. } => {
            Some("the kernel's log may say more (dmesg)")
        }
        SandboxError::Memory(_) => Some(
            "free memory, or raise the limit on open files (ulimit \
             -n)",
        ),
        SandboxError::Jail { layer: Layer::Process, .. } => Some("that is --isolation process"),
        // They name it themselves.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use wasmgrid_proto::ByteCount;

    use super::*;
    use crate::exit::{Exit, chain, of};

    #[test]
    fn a_machine_that_cannot_run_tasks_is_refused_with_the_cause_and_what_would_help() {
        let limit = ByteCount(4_000_000 << 10);
        let why = SandboxError::AddressSpace { limit, reason: "mmap failed".into() };
        let error = unable(&why.into());
        assert_eq!(of(&error), Exit::Refused);
        let text = chain(&error);
        for part in
            ["this machine cannot run tasks: ", &limit.to_string(), "mmap failed", "ulimit -v"]
        {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    #[test]
    fn what_the_system_said_is_part_of_the_cause() {
        let why = SandboxError::NoProc(io::Error::from_raw_os_error(2));
        let text = chain(&unable(&why.into()));
        assert!(text.contains("No such file") && text.contains("mount -t proc"), "{text}");
    }
}
