//! What `up`, `server`, `join` and `worker` can be told, under the names that it has in a file. Where
//! it comes from is the matter of [`config`](crate::config).

use std::{
    fmt,
    path::{Path, PathBuf, absolute},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wasmgrid_proto::{ByteCount, Millis};
use wasmgrid_worker::sandbox::{CapSetting, Caps};

use crate::args::{
    CertificateLife, Command, HostPort, Isolation, KeepArgs, Label, Listen, MachineArgs, Maximum,
    SandboxArgs, SchedulerArgs, TenantWeight, WorkerArgs,
};

/// Settings, as they stand in a file; what is not there is as by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The grid's or the worker's name.
    pub name: Option<String>,
    /// Where its state is.
    pub state_dir: Option<PathBuf>,
    /// Where a scheduler listens.
    #[serde(with = "text")]
    pub listen: Option<Listen>,
    /// Where others reach it.
    #[serde(with = "list", skip_serializing_if = "Vec::is_empty")]
    pub advertise: Vec<HostPort>,
    /// What tenants get beside others, where that is not 1.
    #[serde(with = "list", skip_serializing_if = "Vec::is_empty")]
    pub tenant_weights: Vec<TenantWeight>,
    /// How long jobs wait for a submitter that is gone.
    #[serde(with = "text")]
    pub producer_grace: Option<Millis>,
    /// How long certificates are good for.
    #[serde(with = "text")]
    pub certificate_life: Option<CertificateLife>,
    /// How long results are kept.
    #[serde(with = "text")]
    pub keep_results: Option<Millis>,
    /// How long jobs are kept.
    #[serde(with = "text")]
    pub keep_jobs: Option<Millis>,
    /// How many bytes of results are kept.
    #[serde(with = "bytes")]
    pub keep_bytes: Option<ByteCount>,
    /// How many of a job with open inputs.
    #[serde(with = "bytes")]
    pub keep_open_bytes: Option<ByteCount>,
    /// Bytes of the disk that are not for new work.
    #[serde(with = "bytes")]
    pub disk_reserve: Option<ByteCount>,
    /// Whether a grid has no worker on its scheduler's machine.
    pub no_worker: Option<bool>,
    /// Tasks at a time.
    pub slots: Option<u32>,
    /// Memory for all tasks together.
    #[serde(with = "bytes")]
    pub memory: Option<ByteCount>,
    /// What a worker says of itself.
    #[serde(with = "list", skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// What separates tasks from the worker.
    pub isolation: Option<Isolation>,
    /// Directories that jobs may be granted to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_dirs: Vec<PathBuf>,
    /// What jobs may ask for at most.
    #[serde(with = "list", skip_serializing_if = "Vec::is_empty")]
    pub max: Vec<Maximum>,
    /// Whether nothing runs without each layer of the jail.
    pub require_jail: Option<bool>,
    /// Time for compiling a module.
    #[serde(with = "text")]
    pub compile_time: Option<Millis>,
    /// Memory for that.
    #[serde(with = "bytes")]
    pub compile_memory: Option<ByteCount>,
    /// Whether the kernel is asked which pages a task wrote.
    pub pagemap_scan: Option<bool>,
    /// Where compiled modules are.
    pub cache_dir: Option<PathBuf>,
    /// What modules may look like.
    #[serde(with = "list", skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<CapSetting>,
}

impl Settings {
    /// What a command that serves was told on its command line.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Up(args) => {
                let mut settings = Self { no_worker: args.no_worker, ..Self::default() };
                settings.take_machine(&args.machine);
                settings.take_scheduler(&args.scheduler);
                settings
            }
            Command::Server(args) => {
                let mut settings = Self { require_jail: args.require_jail, ..Self::default() };
                settings.take_scheduler(&args.scheduler);
                settings
            }
            Command::Join(args) => Self::of_worker(&args.worker),
            Command::Worker(args) => Self::of_worker(&args.run),
            _ => Self::default(),
        }
    }

    fn of_worker(args: &WorkerArgs) -> Self {
        let mut settings = Self {
            name: args.name.clone(),
            state_dir: args.state_dir.as_deref().map(whole),
            caps: args.caps.caps.clone(),
            ..Self::default()
        };
        settings.take_machine(&args.machine);
        settings
    }

    fn take_scheduler(&mut self, args: &SchedulerArgs) {
        let args = args.clone();
        self.name = args.name;
        self.state_dir = args.state_dir.as_deref().map(whole);
        self.listen = args.listen;
        self.advertise = args.advertise;
        self.tenant_weights = args.tenant_weights;
        self.producer_grace = args.producer_grace;
        self.certificate_life = args.certificate_life;
        self.disk_reserve = args.disk_reserve;
        self.caps = args.caps.caps;
        let KeepArgs { keep_results, keep_jobs, keep_bytes, keep_open_bytes } = args.keep;
        (self.keep_results, self.keep_jobs) = (keep_results, keep_jobs);
        (self.keep_bytes, self.keep_open_bytes) = (keep_bytes, keep_open_bytes);
    }

    fn take_machine(&mut self, args: &MachineArgs) {
        let args = args.clone();
        (self.slots, self.memory, self.labels) = (args.slots, args.memory, args.labels);
        (self.isolation, self.max) = (args.isolation, args.max);
        self.allow_dirs = args.allow_dirs.iter().map(|dir| whole(dir)).collect();
        self.cache_dir = args.cache_dir.as_deref().map(whole);
        let SandboxArgs { require_jail, compile_time, compile_memory, pagemap_scan } = args.sandbox;
        (self.require_jail, self.pagemap_scan) = (require_jail, pagemap_scan);
        (self.compile_time, self.compile_memory) = (compile_time, compile_memory);
    }

    /// The sandbox of a worker.
    pub fn sandbox(&self) -> SandboxArgs {
        let &Self { require_jail, compile_time, compile_memory, pagemap_scan, .. } = self;
        SandboxArgs { require_jail, compile_time, compile_memory, pagemap_scan }
    }

    /// What modules may look like.
    pub fn caps(&self) -> Caps {
        Caps::with(&self.caps)
    }
}

/// A path that means the same in any folder, as a later start may have another one.
fn whole(path: &Path) -> PathBuf {
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads a text as people write it on the command line.
struct Written<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A quantity as its text.
mod text {
    use super::*;

    pub fn serialize<S, T>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        T: fmt::Display,
    {
        value.as_ref().map(T::to_string).serialize(serializer)
    }

    pub fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: fmt::Display>,
    {
        Written::deserialize(deserializer).map(|written| Some(written.0))
    }
}

/// Several, each as its text.
mod list {
    use super::*;

    pub fn serialize<S, T>(values: &[T], serializer: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        T: fmt::Display,
    {
        serializer.collect_seq(values.iter().map(T::to_string))
    }

    pub fn deserialize<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: fmt::Display>,
    {
        let list = Vec::<Written<T>>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|written| written.0).collect())
    }
}

/// An amount of bytes as its text, exactly.
mod bytes {
    use super::*;

    pub use super::text::deserialize;

    pub fn serialize<S: Serializer>(
        value: &Option<ByteCount>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(exactly).serialize(serializer)
    }
}

/// An amount of bytes that reads back the same.
pub fn exactly(bytes: ByteCount) -> String {
    let short = bytes.to_string();
    if short.parse() == Ok(bytes) { short } else { format!("{}B", bytes.0) }
}
