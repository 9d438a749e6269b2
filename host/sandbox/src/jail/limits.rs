//! Resource limits of the process. They bound what a confused child can take; memory of runners
//! is bounded by their cgroup, since they reserve far more address space than they use.

use std::{fs, io};

use rustix::{
    param::page_size,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::inmate::Inmate;

/// A runner keeps a memory file for each core module with data, of up to 64 components with up to
/// 64 of them each.
const RUNNER_DESCRIPTORS: u64 = 4_096;

/// Streams, socket, code file.
const COMPILER_DESCRIPTORS: u64 = 16;

pub(super) fn set(inmate: Inmate) -> io::Result<()> {
    lower(Resource::Core, 0)?;
    match inmate {
        Inmate::Runner { .. } => lower(Resource::Nofile, RUNNER_DESCRIPTORS),
        Inmate::Compiler { limits, stacks } => {
            lower(Resource::Nofile, COMPILER_DESCRIPTORS)?;
            // At the soft limit it is ended by SIGXCPU, which says why; the hard one, a second
            // later, is for a process that has learnt to ignore that.
            let seconds = limits.cpu_seconds();
            let cpu = Rlimit { current: Some(seconds), maximum: Some(seconds + 1) };
            setrlimit(Resource::Cpu, capped(cpu, getrlimit(Resource::Cpu)))?;
            let memory = limits.memory.0.saturating_add(stacks.0);
            lower(Resource::As, address_space()?.saturating_add(memory))
        }
    }
}

/// No process or thread more. The limit counts all that the user has, so that it can be no other
/// number than 0.
pub(super) fn forbid_processes() -> io::Result<()> {
    lower(Resource::Nproc, 0)
}

fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let wanted = Rlimit { current: Some(to), maximum: Some(to) };
    Ok(setrlimit(resource, capped(wanted, getrlimit(resource)))?)
}

/// A hard limit that is lower already stays.
fn capped(wanted: Rlimit, now: Rlimit) -> Rlimit {
    let least = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Rlimit {
        current: least(wanted.current, now.maximum),
        maximum: least(wanted.maximum, now.maximum),
    }
}

/// What this process has of its address space, in bytes.
fn address_space() -> io::Result<u64> {
    let sizes = fs::read_to_string("/proc/self/statm")?;
    let pages = sizes.split_whitespace().next().and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm has no size"))?;
    Ok(pages.saturating_mul(page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_raised() {
        let wanted = Rlimit { current: Some(10), maximum: Some(11) };
        let none = Rlimit { current: None, maximum: None };
        assert_eq!(capped(wanted, none).maximum, Some(11));
        let lower = Rlimit { current: Some(3), maximum: Some(5) };
        let capped = capped(wanted, lower);
        assert_eq!((capped.current, capped.maximum), (Some(5), Some(5)));
    }
}
