//! What the kernel tells of processes: their children, and the memory they hold.

use std::{fs, path::Path};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

/// Sends a signal, by its number.
pub fn signal(pid: u32, signal: i32) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let signal = Signal::from_named_raw(signal).expect("a signal");
    kill_process(process, signal).unwrap_or_else(|error| panic!("cannot signal {pid}: {error}"));
}

/// Kills a process, which may have ended by itself.
pub fn kill(pid: u32) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    match kill_process(process, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => panic!("cannot kill {pid}: {error}"),
    }
}

/// The children of a process that were started with this word, `runner` or `compiler`, and whatever
/// they have started themselves.
pub fn children_as(parent: u32, word: &str) -> Vec<u32> {
    let has_word = |pid: &u32| command_line(*pid).split('\0').any(|argument| argument == word);
    let mut found: Vec<u32> = children(parent).into_iter().filter(has_word).collect();
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// The processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc is there").filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// `None` where it has ended.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may have blanks and brackets of its own.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// The processor time, in ticks, that children of this process took that have ended.
pub fn ticks_of_ended_children(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    // The name before them may have blanks and brackets of its own.
    let fields = stat.rsplit_once(')').expect("a name").1;
    let number = |field: usize| fields.split_whitespace().nth(field - 3)?.parse::<u64>().ok();
    let (user, system) = (number(16), number(17));
    user.expect("cutime") + system.expect("cstime")
}

/// Whether the process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists() && !command_line(pid).is_empty()
}

/// The memory that is the process's own, in bytes: what it has written, and its share of what it
/// shares; not the files it has mapped. 0 where it has ended.
pub fn memory_bytes(pid: u32) -> u64 {
    let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return 0 };
    let kilobytes = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        value.unwrap_or_else(|| panic!("the kernel does not tell {name} of process {pid}"))
    };
    (kilobytes("Pss_Anon:") + kilobytes("Pss_Shmem:")) << 10
}
