//! The machine that is measured on, and how fast its disk syncs.

use std::{
    fs::{self, File},
    io::Write as _,
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    report::{Report, Row},
    times::Times,
};

/// How a runner clears what a task wrote: what the operator may choose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// All that is kept is cleared; the default.
    Safe,
    /// The kernel says what was written (`--pagemap-scan`).
    Pagemap,
}

impl Reset {
    /// As names of figures end.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Pagemap => "pagemap",
        }
    }

    /// The flags of a worker.
    pub const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Safe => &[],
            Self::Pagemap => &["--pagemap-scan"],
        }
    }

    /// Why this machine does not have it; `None` where it does.
    pub fn missing(self) -> Option<&'static str> {
        if self == Self::Safe {
            return None;
        }
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        if swaps.lines().count() > 1 {
            return Some("the machine has swap, and --pagemap-scan is refused there");
        }
        let kernel = kernel();
        let mut numbers = kernel.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        (version < (6, 7)).then_some("the kernel is older than Linux 6.7")
    }
}

/// What figures depend on.
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_kib: u64,
    kernel: String,
    load: String,
}

impl Machine {
    /// This one, now.
    pub fn this() -> Self {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        Self {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: cores(),
            memory_kib: memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0),
            kernel: kernel(),
            load: fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned(),
        }
    }

    /// In one line.
    pub fn print(&self) {
        let Self { cpu, cores, memory_kib, kernel, load } = self;
        println!(
            "{cores} cores ({cpu}), {} GiB, Linux {kernel}, load before {load}\n",
            memory_kib >> 20
        );
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let Self { cpu, cores, memory_kib, kernel, load } = self;
        json!({
            "cpu": cpu, "cores": cores, "memory_kib": memory_kib, "kernel": kernel,
            "load_before": load, "system": std::env::consts::OS, "arch": std::env::consts::ARCH,
        })
    }
}

/// Cores there are.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What one synced write of 4 KiB takes in the folder that the schedulers' state is in; gives the
/// median in milliseconds.
pub fn sync(report: &mut Report, writes: u64) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = File::create(folder.path().join("file")).expect("a file");
    let times: Times = (0..writes)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[7; 4_096]).expect("room");
            file.sync_data().expect("a disk that works");
            start.elapsed()
        })
        .collect();
    let what = "one synced write of 4 KiB";
    report.push(Row::new("latency.sync", what, times.p50(), "ms").beside("ms_p99", times.p99()));
    times.p50()
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}
