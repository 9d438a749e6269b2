//! Those who have jobs run meanwhile, and hold what comes back against what they know.

use std::{
    fmt,
    io::Write as _,
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use fastrand::Rng;
use serde_json::Value;
use wasmgrid_tests::{Daemon, Home, guest, kill, wait_for};

use crate::known::{Job, Known};

/// How a client uses the grid.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `run` of a file of inputs.
    Run,
    /// `run -`, whose inputs come while it runs.
    Open,
    /// `submit`, and much later `job results`.
    Detached,
}

/// Those that work side by side.
pub const KINDS: [Kind; 3] = [Kind::Run, Kind::Open, Kind::Detached];

/// What became of all jobs.
#[derive(Default)]
pub struct Tally {
    jobs: AtomicU64,
    tasks: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
    wrong: AtomicU64,
    problems: Mutex<Vec<String>>,
    /// Clients that may be killed.
    running: Mutex<Vec<u32>>,
}

/// Works until the chaos is over.
pub fn work(
    kind: Kind,
    number: usize,
    home: &Home,
    known: &Known,
    tally: &Tally,
    over: &AtomicBool,
    mut random: Rng,
) {
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        round += 1;
        let name = format!("{kind:?}-{number}-{round}").to_lowercase();
        let job = known.job(random.usize(500..3_000), &mut random);
        match kind {
            Kind::Run => run(&name, home, &job, tally),
            Kind::Open => open(&name, home, &job, tally, &mut random),
            Kind::Detached => detached(&name, home, &job, tally, &mut random),
        }
    }
}

fn run(name: &str, home: &Home, job: &Job, tally: &Tally) {
    let inputs = home.write(&format!("{name}.in"), job.inputs.join("\n") + "\n");
    let output = format!("{name}.out");
    let task = guest("spin");
    let mut command = home.command(["run", &task, "--name", name, "-o", &output, "--lines"]);
    command.arg(inputs);
    let mut process = Daemon::start(command);
    tally.watch(process.pid());
    let status = process.wait();
    tally.forget(process.pid());
    match status.code() {
        Some(0) => tally.check(name, job, &home.read(&output)),
        None => adopt(name, home, job, tally),
        Some(code) => tally.problem(format!("{name} ended with {code}: {}", process.said())),
    }
}

/// The job of a client that was killed: whoever asks later gets all of it.
fn adopt(name: &str, home: &Home, job: &Job, tally: &Tally) {
    let Some(found) = find(name, home) else {
        // It died before the grid had heard of the job.
        tally.refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let number = found["id"].to_string();
    if found["closed"] != true {
        // It died before all inputs were there, and nobody knows the rest of them.
        tally.refused.fetch_add(1, Ordering::Relaxed);
        home.run(["job", "cancel", &number]);
        return;
    }
    read_later(name, &number, home, job, tally);
}

fn open(name: &str, home: &Home, job: &Job, tally: &Tally, random: &mut Rng) {
    let output = format!("{name}.out");
    let task = guest("spin");
    let mut command = home.command(["run", &task, "--name", name, "-o", &output, "--lines", "-"]);
    command.stdin(Stdio::piped());
    let mut process = Daemon::start(command);
    let mut stdin = process.stdin().expect("it is piped");
    for lines in job.inputs.chunks(random.usize(20..200)) {
        if stdin.write_all((lines.join("\n") + "\n").as_bytes()).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(random.u64(50..1_500)));
    }
    drop(stdin);
    let status = process.wait();
    if status.success() {
        tally.check(name, job, &home.read(&output));
    } else {
        tally.problem(format!("{name} ended with {status}: {}", process.said()));
    }
}

fn detached(name: &str, home: &Home, job: &Job, tally: &Tally, random: &mut Rng) {
    let inputs = home.write(&format!("{name}.in"), job.inputs.join("\n") + "\n");
    let task = guest("spin");
    let inputs = inputs.display().to_string();
    let submitted = home.run(["submit", &task, "--name", name, "--lines", &inputs]);
    if submitted.code != Some(0) {
        tally.problem(format!("{name} was not submitted: {submitted}"));
        return;
    }
    let number = submitted.text().trim().to_owned();
    thread::sleep(Duration::from_millis(random.u64(0..20_000)));
    read_later(name, &number, home, job, tally);
}

fn read_later(name: &str, number: &str, home: &Home, job: &Job, tally: &Tally) {
    let results = wait_for("a job to be read", || {
        // The scheduler may be away.
        let done = home.run(["job", "wait", number]).code == Some(0);
        let read = done.then(|| home.run(["job", "results", number]))?;
        (read.code == Some(0)).then(|| read.text().to_owned())
    });
    tally.check(name, job, &results);
}

fn find(name: &str, home: &Home) -> Option<Value> {
    let jobs: Vec<Value> = wait_for("the list of jobs", || {
        let listed = home.run(["job", "list", "--output", "json"]);
        serde_json::from_slice(&listed.stdout).ok()
    });
    jobs.into_iter().find(|job| job["name"] == name)
}

impl Tally {
    /// Jobs whose results were compared.
    pub fn jobs(&self) -> u64 {
        self.jobs.load(Ordering::Relaxed)
    }

    /// True where nothing was lost, doubled, wrong or failed.
    pub fn is_clean(&self) -> bool {
        let counts = [&self.lost, &self.doubled, &self.wrong];
        counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
            && self.problems.lock().expect("no holder panics").is_empty()
    }

    /// Ends a client that may be killed, if one runs.
    pub fn kill_one(&self) {
        let running = self.running.lock().expect("no holder panics");
        if let Some(pid) = running.first() {
            kill(*pid);
        }
    }

    fn watch(&self, pid: u32) {
        self.running.lock().expect("no holder panics").push(pid);
    }

    fn forget(&self, pid: u32) {
        self.running.lock().expect("no holder panics").retain(|running| *running != pid);
    }

    fn problem(&self, problem: String) {
        eprintln!("{problem}");
        self.problems.lock().expect("no holder panics").push(problem);
    }

    fn check(&self, name: &str, job: &Job, results: &str) {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        self.tasks.fetch_add(job.inputs.len() as u64, Ordering::Relaxed);
        let (expected, found) = (job.inputs.len() as u64, results.lines().count() as u64);
        self.lost.fetch_add(expected.saturating_sub(found), Ordering::Relaxed);
        self.doubled.fetch_add(found.saturating_sub(expected), Ordering::Relaxed);
        let differ = job.expected.lines().zip(results.lines()).filter(|(a, b)| a != b).count();
        self.wrong.fetch_add(differ as u64, Ordering::Relaxed);
        eprintln!("{name}: {found} of {expected} results, {differ} differ");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        writeln!(
            f,
            "jobs: {} ({} more had died with their client)",
            self.jobs(),
            count(&self.refused)
        )?;
        writeln!(f, "tasks: {}", count(&self.tasks))?;
        writeln!(f, "tasks lost: {}", count(&self.lost))?;
        writeln!(f, "tasks committed twice: {}", count(&self.doubled))?;
        writeln!(f, "results that differ: {}", count(&self.wrong))?;
        let problems = self.problems.lock().expect("no holder panics");
        writeln!(f, "commands that failed: {}", problems.len())
    }
}
