//! The parts of a grid as they run inside this process: a worker's sandbox and slots, and links
//! between parts that share the process.

use std::{num::NonZero, path::PathBuf, sync::Arc, thread};

use rustix::system;
use wasmgrid_client::{Client, ClientLink};
use wasmgrid_net::{Identity, Link, NetError, Role, in_process};
use wasmgrid_proto::{
    ByteCount, WorkerCapacity,
    wire::{FromWorker, ToWorker},
};
use wasmgrid_server::ServerHandle;
use wasmgrid_worker::{
    Dial, Worker, WorkerConfig,
    sandbox::{self, EngineSettings, Sandbox, SandboxConfig, SandboxError, Slot},
};

use crate::{
    args::Isolation,
    exit::usage,
    metrics::{self, Bound, Served},
    paths,
    print::message,
    private,
    settings::{AboveZero, Settings, Slots, TaskMemory},
    unable::unable,
};

/// What a worker of this machine offers, and where it keeps what it compiled.
pub struct WorkerSetup {
    /// What its slots, their sandbox and the worker offer.
    pub settings: Settings,
    /// Where compiled modules are kept.
    pub cache: Cache,
}

/// A folder of compiled modules.
pub enum Cache {
    /// It is there and can be written to, or nothing starts.
    Needed(PathBuf),
    /// Modules are kept where that can be, else compiled again each time, which is said.
    Wanted {
        /// `None` where the user has no home.
        dir: Option<PathBuf>,
        /// Nothing is said.
        quiet: bool,
    },
}

/// A worker's sandbox on this machine, which has no scheduler yet.
pub struct Machine {
    sandbox: Sandbox,
    slots: Vec<Slot>,
    capacity: WorkerCapacity,
    metrics: Option<Bound>,
}

impl Machine {
    /// Starts the sandbox. Must be called inside a runtime.
    ///
    /// # Errors
    /// Refuses a machine that can be seen to be unable to run tasks.
    pub fn start(setup: WorkerSetup) -> anyhow::Result<Self> {
        let (memory, labels) = (setup.settings.memory, setup.settings.labels.clone());
        let (cache, config) = sandbox_config(setup)?;
        let count = config.slots;
        let started = start_sandbox(cache, config);
        let (sandbox, slots) = started.map_err(|error| unable(&error.into()))?;
        let mut labels: Vec<_> = labels.into_iter().map(|label| (label.key, label.value)).collect();
        labels.sort_unstable();
        let capacity = WorkerCapacity {
            slots: count,
            memory: memory.map_or_else(machine_memory, TaskMemory::get),
            labels,
            engine: sandbox.fingerprint().to_owned(),
        };
        let (found, allowed) = (capacity.text_bytes(), WorkerCapacity::TEXTS_MAX);
        if found > allowed {
            return Err(usage(format!(
                "the worker's labels take {found} bytes, {allowed} allowed; give it fewer or \
                 shorter ones"
            )));
        }
        Ok(Self { sandbox, slots, capacity, metrics: None })
    }

    /// The same with the socket for its metrics, once a first task has shown that it can run them: before anybody is told of it, or
    /// a token is used.
    ///
    /// # Errors
    /// Refuses a machine that cannot run tasks, and an address for metrics that cannot be had.
    pub async fn start_proven(setup: WorkerSetup) -> anyhow::Result<Self> {
        let metrics = metrics::bind(setup.settings.metrics).await?;
        let machine = Self { metrics, ..Self::start(setup)? };
        proven(&machine.sandbox).await?;
        Ok(machine)
    }

    /// Its sandbox.
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Becomes a worker that dials so; also its metrics, if they are to be served.
    pub fn work(self, dial: Dial) -> (Worker, Option<Served>) {
        let Self { sandbox, slots, capacity, metrics } = self;
        let worker = Worker::start(WorkerConfig::new(capacity), sandbox, slots, dial);
        let metrics = metrics.map(|bound| bound.serve(&worker));
        (worker, metrics)
    }
}

/// Waits until it is known whether tasks can be run.
///
/// # Errors
/// Refuses a machine that cannot.
pub async fn proven(sandbox: &Sandbox) -> anyhow::Result<()> {
    sandbox.proven().await.map_err(|why| unable(&why))
}

fn start_sandbox(
    cache: Cache,
    config: SandboxConfig,
) -> Result<(Sandbox, Vec<Slot>), SandboxError> {
    let start = |dir: PathBuf| {
        private::folder(&dir)
            .map_err(|source| SandboxError::Cache { path: dir.clone(), source })?;
        Sandbox::start(SandboxConfig { cache_dir: Some(dir), ..config.clone() })
    };
    let (why, quiet) = match cache {
        Cache::Needed(dir) => return start(dir),
        Cache::Wanted { dir: None, quiet } => ("this user has no home folder".to_owned(), quiet),
        Cache::Wanted { dir: Some(dir), quiet } => match start(dir) {
            Err(SandboxError::Cache { path, source }) => {
                (format!("{}: {source}", path.display()), quiet)
            }
            started => return started,
        },
    };
    if !quiet {
        message!(
            "compiled code is not kept for the next run: {why}; set {} to a folder for it",
            paths::HOME
        );
    }
    Sandbox::start(config)
}

fn sandbox_config(setup: WorkerSetup) -> anyhow::Result<(Cache, SandboxConfig)> {
    let WorkerSetup { settings, cache } = setup;
    let caps = settings.caps();
    let defaults = SandboxConfig::default();
    let mut max_limits = defaults.max_limits;
    for maximum in settings.max {
        maximum.apply(&mut max_limits);
    }
    let config = SandboxConfig {
        slots: settings.slots.map_or_else(cores, Slots::get),
        max_limits,
        isolation: match settings.isolation.unwrap_or_default() {
            Isolation::Process => sandbox::Isolation::Process,
            Isolation::Task => sandbox::Isolation::Task,
            Isolation::InProcess => sandbox::Isolation::InProcess,
        },
        allow_dirs: settings.allow_dirs,
        caps,
        require_jail: settings.require_jail.unwrap_or(defaults.require_jail),
        compile_cpu: settings.compile_time.map_or(defaults.compile_cpu, AboveZero::get),
        compile_memory: settings.compile_memory.map_or(defaults.compile_memory, AboveZero::get),
        engine: EngineSettings {
            pagemap_scan: pagemap_scan(settings.pagemap_scan, system::sysinfo().totalswap)?,
            ..defaults.engine
        },
        ..defaults
    };
    Ok((cache, config))
}

/// Whether runners may ask the kernel what a task wrote; `swap` is how much of it the machine has.
///
/// # Errors
/// A usage error where that was asked for and pages may be swapped out: an instance could then be
/// given what an earlier one wrote.
fn pagemap_scan(asked: Option<bool>, swap: impl Into<u64>) -> anyhow::Result<bool> {
    let asked = asked.unwrap_or_default();
    if asked && swap.into() > 0 {
        return Err(usage(
            "--pagemap-scan needs a machine that cannot swap, and this one has swap; turn it off \
             (`swapoff -a`), or leave the flag out",
        ));
    }
    Ok(asked)
}

/// Dials a server in the same process, as a worker of this name.
///
/// # Errors
/// Where a name cannot stand in an identity.
pub fn worker_dial(server: ServerHandle, grid: &str, name: &str) -> anyhow::Result<Dial> {
    let worker = Identity::new(grid, Role::Worker, name)?;
    let scheduler = scheduler(grid)?;
    Ok(Dial::InProcess(Arc::new(move || {
        let (ours, theirs): (Link<FromWorker, ToWorker>, _) =
            in_process(worker.clone(), scheduler.clone());
        server.worker(theirs);
        ours
    })))
}

/// A client of a server in the same process, with an operator's rights.
///
/// # Errors
/// Where the grid's name cannot stand in an identity.
pub async fn client(server: ServerHandle, grid: &str) -> anyhow::Result<Client> {
    let client = Identity::new(grid, Role::Operator, "local")?;
    let scheduler = scheduler(grid)?;
    let dial = move || {
        let (ours, theirs): (ClientLink, _) = in_process(client.clone(), scheduler.clone());
        server.client(theirs);
        async move { Ok::<_, NetError>(ours) }
    };
    Ok(Client::connect(dial).await?)
}

/// The scheduler's identity in a grid.
///
/// # Errors
/// Where the grid's name cannot stand in an identity.
pub fn scheduler(grid: &str) -> anyhow::Result<Identity> {
    Ok(Identity::new(grid, Role::Scheduler, SCHEDULER)?)
}

/// The name of a grid's one scheduler.
pub const SCHEDULER: &str = "scheduler";

/// This machine's name, as far as it can stand in an identity.
pub fn machine_name() -> String {
    let name = system::uname().nodename().to_string_lossy().into_owned();
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(fits).take(NAME_MAX).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "machine".into() } else { name.into() }
}

/// Shorter than what an identity allows, so that a number fits behind it.
const NAME_MAX: usize = 50;

fn cores() -> u32 {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(1)
}

fn machine_memory() -> ByteCount {
    let info = system::sysinfo();
    let unit = u64::from(info.mem_unit.max(1));
    ByteCount(info.totalram.saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_named_and_measured() {
        assert!(Identity::new("grid", Role::Worker, &machine_name()).is_ok());
        assert!(cores() >= 1);
        assert!(machine_memory().0 > 0);
    }

    #[test]
    fn pages_are_asked_for_only_where_none_can_be_swapped_out() {
        assert!(!pagemap_scan(None, 0_u64).expect("not asked for"));
        assert!(pagemap_scan(Some(true), 0_u64).expect("no swap"));
        assert!(!pagemap_scan(Some(false), 1_u64).expect("turned off"));
        let error = pagemap_scan(Some(true), 1_u64).expect_err("swap");
        assert_eq!(crate::exit::of(&error), crate::exit::Exit::Usage);
    }
}
