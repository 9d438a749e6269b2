//! The settings of `up`, `server`, `join` and `worker`, and those that other commands share with
//! them: each is one row of one table. Flags, variables, the keys of a file and the reference in the
//! book come from it. Which source overrides which is the matter of [`config`](crate::config).

mod file;
mod flags;
mod value;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::builder::ValueParser;
use wasmgrid_proto::{ByteCount, Millis};
use wasmgrid_worker::sandbox::{CapSetting, Caps};

pub use file::read;
pub use flags::Flags;
pub use value::{AboveZero, Holds, Kind, Slots, TaskMemory, Value, exactly};

use crate::args::{
    CertificateLife, HostPort, HttpListen, Isolation, Label, Listen, Maximum, MetricsListen,
    TenantWeight,
};

/// Some of the commands that have settings, one bit each.
pub type Commands = u8;
/// `up`.
pub const UP: Commands = 1;
/// `server`.
pub const SERVER: Commands = 1 << 1;
/// `join` and `worker`.
pub const WORKER: Commands = 1 << 2;
/// `run`, for its sandbox on this machine.
pub const RUN: Commands = 1 << 3;
/// `run`, `submit` and `inspect`, which look at a module.
pub const MODULE: Commands = 1 << 4;
/// `gateway`.
pub const GATEWAY: Commands = 1 << 5;
/// Those with an HTTP interface.
const HTTP: Commands = SCHEDULERS | GATEWAY;
/// Those with a scheduler.
const SCHEDULERS: Commands = UP | SERVER;
/// Those with a worker.
const WORKERS: Commands = UP | WORKER;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its key in a file.
    pub key: &'static str,
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// What stands for its value in help.
    pub value: &'static str,
    /// Its variable in the environment.
    pub variable: &'static str,
    /// What it is if nothing sets it; empty for an empty list and for a switch that is off.
    pub default: &'static str,
    /// The heading over its flag in help, if it has one.
    pub heading: Option<&'static str>,
    /// Its help, by the commands that have it.
    pub help: &'static [(Commands, &'static str)],
    /// How a value is written in a file.
    pub kind: Kind,
    /// Whether there may be several values.
    pub is_list: bool,
    /// Reads what follows the flag.
    parser: fn() -> ValueParser,
}

impl Setting {
    /// Its help, if one of these commands has it.
    pub fn help_of(&self, commands: Commands) -> Option<&'static str> {
        let mut help = self.help.iter();
        help.find(|(has_it, _)| has_it & commands != 0).map(|(_, help)| *help)
    }

    /// The commands that have it.
    pub fn commands(&self) -> Commands {
        self.help.iter().fold(0, |all, (commands, _)| all | commands)
    }
}

/// Makes [`Settings`] and [`TABLE`]: a row is a key with the type of its field, and the rest of its
/// [`Setting`].
macro_rules! settings {
    ($($key:ident: $holds:ty { $($field:ident: $is:expr,)* })*) => {
        /// What is set; what is not is as by default.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Settings {
            $(#[doc = concat!("The setting `", stringify!($key), "`.")] pub $key: $holds,)*
        }

        /// All settings, in the order in which help and the reference have them.
        pub const TABLE: &[Setting] = &[$(Setting {
            $($field: $is,)*
            key: stringify!($key),
            kind: <<$holds as Holds>::Value as Value>::KIND,
            is_list: <$holds as Holds>::IS_LIST,
            parser: <<$holds as Holds>::Value as Value>::parser,
        }),*];

        impl Settings {
            /// What the flags of these commands, or their variables, set.
            fn given(matches: &clap::ArgMatches, commands: Commands) -> Self {
                let mut settings = Self::default();
                for setting in of(commands) {
                    match setting.key {
                        $(stringify!($key) => {
                            settings.$key = Holds::given(matches, setting.key);
                        })*
                        _ => {}
                    }
                }
                settings
            }

            /// Sets what a file has under a key; relative paths begin in `folder`.
            fn set(&mut self, key: &str, value: &toml::Value, folder: &Path) -> Result<(), String> {
                match key {
                    $(stringify!($key) => self.$key = Holds::read(value, folder)?,)*
                    _ => return Err("there is no such setting".into()),
                }
                Ok(())
            }

            /// As a file has them.
            pub fn table(&self) -> toml::Table {
                let all = [$((stringify!($key), Holds::written(&self.$key))),*];
                let set = all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
                set.collect()
            }
        }
    };
}

settings! {
    name: Option<String> {
        flag: "name", value: "NAME", variable: "WASMGRID_NAME",
        default: "this machine's name",
        heading: None,
        help: &[
            (SCHEDULERS, "The name of the grid and of its context; only at the first start"),
            (WORKER, "The worker's name when it joins; later, selects one of this machine's workers"),
        ],
    }
    listen: Option<Listen> {
        flag: "listen", value: "IP[:PORT]", variable: "WASMGRID_LISTEN",
        default: "127.0.0.1:7433, which only this machine can reach",
        heading: None,
        help: &[(
            SCHEDULERS,
            "The UDP address to listen on; `0.0.0.0` is every address of this machine, so that \
             other machines can connect; the default port is 7433",
        )],
    }
    advertise: Vec<HostPort> {
        flag: "advertise", value: "HOST:PORT", variable: "WASMGRID_ADVERTISE",
        default: "the listening addresses",
        heading: None,
        help: &[(
            SCHEDULERS,
            "The address at which others reach this machine, if it is not the listening address, \
             for example behind a router; `srv:_wasmgrid._udp.DOMAIN` is a service that DNS lists; \
             may be repeated",
        )],
    }
    producer_grace: Option<Millis> {
        flag: "producer-grace", value: "TIME", variable: "WASMGRID_PRODUCER_GRACE",
        default: "3m",
        heading: None,
        help: &[(
            SCHEDULERS,
            "Close a job this long after its submitter disconnected while sending inputs; inputs \
             already received still run",
        )],
    }
    state_dir: Option<PathBuf> {
        flag: "state-dir", value: "DIR", variable: "WASMGRID_STATE_DIR",
        default: "in the user's data folder",
        heading: None,
        help: &[
            (SCHEDULERS, "The folder of the grid's state"),
            (WORKER, "The folder of the worker's identity"),
        ],
    }
    tenant_weights: Vec<TenantWeight> {
        flag: "tenant-weight", value: "NAME=WEIGHT", variable: "WASMGRID_TENANT_WEIGHTS",
        default: "",
        heading: None,
        help: &[(
            SCHEDULERS,
            "A tenant's share of the grid relative to others with waiting tasks, as NAME=WEIGHT \
             with a weight of 1 to 1000 (1 for tenants not named); may be repeated (in a file: \
             `tenant_weights = [\"ada=3\"]`)",
        )],
    }
    certificate_life: Option<CertificateLife> {
        flag: "certificate-life", value: "TIME", variable: "WASMGRID_CERTIFICATE_LIFE",
        default: "365d",
        heading: None,
        help: &[(
            SCHEDULERS,
            "How long certificates are valid, from 10s to 1826d; members renew theirs after two \
             thirds of that",
        )],
    }
    disk_reserve: Option<ByteCount> {
        flag: "disk-reserve", value: "BYTES", variable: "WASMGRID_DISK_RESERVE",
        default: "1GiB, or a tenth of a disk that is smaller than 10GiB",
        heading: None,
        help: &[(
            SCHEDULERS,
            "While less than this is free on the disk, new jobs, inputs and modules are refused and \
             waiting tasks wait, so that what workers have can be stored",
        )],
    }
    keep_results: Option<Millis> {
        flag: "keep-results", value: "TIME", variable: "WASMGRID_KEEP_RESULTS",
        default: "7d",
        heading: Some("Retention"),
        help: &[(
            SCHEDULERS,
            "Delete a job's results, and the inputs that are kept with them, this long after its end",
        )],
    }
    keep_inputs: Option<ByteCount> {
        flag: "keep-inputs", value: "BYTES", variable: "WASMGRID_KEEP_INPUTS",
        default: "64MiB",
        heading: Some("Retention"),
        help: &[(
            SCHEDULERS,
            "Bytes of inputs that each job may have before those of tasks that ended ok are \
             deleted; `job results` shows inputs with their results. 0 deletes them at once",
        )],
    }
    keep_jobs: Option<Millis> {
        flag: "keep-jobs", value: "TIME", variable: "WASMGRID_KEEP_JOBS",
        default: "30d",
        heading: Some("Retention"),
        help: &[(
            SCHEDULERS,
            "Delete a job itself, with its number and its idempotency key, this long after its \
             end; its results are deleted with it at the latest",
        )],
    }
    keep_bytes: Option<ByteCount> {
        flag: "keep-bytes", value: "BYTES", variable: "WASMGRID_KEEP_BYTES",
        default: "no bound",
        heading: Some("Retention"),
        help: &[(
            SCHEDULERS,
            "Bytes of results that are kept of all ended jobs together; beyond that, results of \
             the job that ended first are deleted first",
        )],
    }
    keep_open_bytes: Option<ByteCount> {
        flag: "keep-open-bytes", value: "BYTES", variable: "WASMGRID_KEEP_OPEN_BYTES",
        default: "no bound",
        heading: Some("Retention"),
        help: &[(
            SCHEDULERS,
            "Bytes of results that are kept of each running job with open inputs; beyond that, the \
             oldest are deleted, whether they were read or not",
        )],
    }
    audit_retention: Option<Millis> {
        flag: "audit-retention", value: "TIME", variable: "WASMGRID_AUDIT_RETENTION",
        default: "90d",
        heading: Some("Retention"),
        help: &[(
            SCHEDULERS,
            "Delete entries of the audit log (`wasmgrid audit`) after this time; beyond 100,000 \
             entries the oldest are deleted in any case",
        )],
    }
    http: Option<HttpListen> {
        flag: "http", value: "IP[:PORT]", variable: "WASMGRID_HTTP",
        default: "127.0.0.1:7434, which only this machine can reach",
        heading: Some("HTTP"),
        help: &[(
            HTTP,
            "The TCP address on which to serve HTTP; `0.0.0.0` is every address of this machine; the \
             default port is 7434. `off` serves none",
        )],
    }
    http_cert: Option<PathBuf> {
        flag: "http-cert", value: "FILE", variable: "WASMGRID_HTTP_CERT",
        default: "signed by the grid's authority",
        heading: Some("HTTP"),
        help: &[(
            HTTP,
            "The certificate for HTTPS in PEM, with those between it and its authority; it is read \
             again when it changes",
        )],
    }
    http_key: Option<PathBuf> {
        flag: "http-key", value: "FILE", variable: "WASMGRID_HTTP_KEY",
        default: "made at the start",
        heading: Some("HTTP"),
        help: &[(HTTP, "The private key of the certificate for HTTPS, in PEM")],
    }
    http_plain: Option<bool> {
        flag: "http-plain", value: "BOOL", variable: "WASMGRID_HTTP_PLAIN",
        default: "",
        heading: Some("HTTP"),
        help: &[(
            HTTP,
            "Serve without TLS on an address that other machines can reach, behind a proxy that ends \
             TLS: keys and data are readable on the way",
        )],
    }
    http_hosts: Vec<String> {
        flag: "http-host", value: "NAME", variable: "WASMGRID_HTTP_HOSTS",
        default: "",
        heading: Some("HTTP"),
        help: &[(
            HTTP,
            "A name of a host for which HTTP requests are answered, beside the advertised ones and \
             all addresses; may be repeated (in a file: `http_hosts = [\"grid.example\"]`)",
        )],
    }
    no_worker: Option<bool> {
        flag: "no-worker", value: "BOOL", variable: "WASMGRID_NO_WORKER",
        default: "",
        heading: None,
        help: &[(UP, "Run no worker on this machine")],
    }
    slots: Option<Slots> {
        flag: "slots", value: "N", variable: "WASMGRID_SLOTS",
        default: "one per core",
        heading: None,
        help: &[(WORKERS, "Number of tasks that the worker on this machine runs at once")],
    }
    memory: Option<TaskMemory> {
        flag: "memory", value: "BYTES", variable: "WASMGRID_MEMORY",
        default: "all of the machine's",
        heading: None,
        help: &[(
            WORKERS,
            "Memory for all tasks together; only as many tasks run at once as fit by their memory limits",
        )],
    }
    labels: Vec<Label> {
        flag: "label", value: "KEY=VALUE", variable: "WASMGRID_LABELS",
        default: "",
        heading: None,
        help: &[(
            WORKERS,
            "A label KEY=VALUE that jobs may require (`--require`); may be repeated (in a file: \
             `labels = [\"zone=a\"]`). It does not count if tokens vouch for labels with this KEY \
             (`wasmgrid token create --label`)",
        )],
    }
    isolation: Option<Isolation> {
        flag: "isolation", value: "ISOLATION", variable: "WASMGRID_ISOLATION",
        default: "process",
        heading: None,
        help: &[(WORKERS, "The boundary between tasks and the worker")],
    }
    allow_dirs: Vec<PathBuf> {
        flag: "allow-dir", value: "DIR", variable: "WASMGRID_ALLOW_DIRS",
        default: "",
        heading: None,
        help: &[(
            WORKERS,
            "A directory that jobs may be allowed to read, with everything below it; may be repeated \
             (in a file: `allow_dirs = [\"/srv/data\"]`)",
        )],
    }
    max: Vec<Maximum> {
        flag: "max", value: "NAME=VALUE", variable: "WASMGRID_MAX",
        default: "no bound",
        heading: None,
        help: &[(
            WORKERS,
            "The highest limit that a job may request, as NAME=VALUE: fuel=1T, timeout=1h, \
             memory=1GiB, table=100000, output=64MiB, record=1MiB, log=1MiB; may be repeated (in a \
             file: `max = [\"memory=1GiB\"]`)",
        )],
    }
    cache_dir: Option<PathBuf> {
        flag: "cache-dir", value: "DIR", variable: "WASMGRID_CACHE_DIR",
        default: "in the user's cache folder",
        heading: None,
        help: &[(WORKERS, "The folder for compiled modules")],
    }
    metrics: Option<MetricsListen> {
        flag: "metrics", value: "IP[:PORT]", variable: "WASMGRID_METRICS",
        default: "none are served",
        heading: None,
        help: &[(
            WORKERS,
            "The TCP address on which to serve what this machine's worker counts, for Prometheus \
             (`/metrics`), to anybody who reaches it; `0.0.0.0` is every address of this machine; \
             the default port is 7435. `off` serves none",
        )],
    }
    require_jail: Option<bool> {
        flag: "require-jail", value: "BOOL", variable: "WASMGRID_REQUIRE_JAIL",
        default: "",
        heading: Some("Sandbox"),
        help: &[
            (
                SERVER,
                "Refuse to start unless every layer of the jail around admission is available",
            ),
            (
                WORKERS | RUN,
                "Run nothing on this machine unless every layer of the jail around tasks is \
                 available",
            ),
        ],
    }
    compile_time: Option<AboveZero<Millis>> {
        flag: "compile-time", value: "TIME", variable: "WASMGRID_COMPILE_TIME",
        default: "10s",
        heading: Some("Sandbox"),
        help: &[(
            WORKERS | RUN,
            "Time of a core for compiling one module here, in whole seconds",
        )],
    }
    compile_memory: Option<AboveZero<ByteCount>> {
        flag: "compile-memory", value: "BYTES", variable: "WASMGRID_COMPILE_MEMORY",
        default: "1GiB",
        heading: Some("Sandbox"),
        help: &[(WORKERS | RUN, "Memory for compiling one module here")],
    }
    pagemap_scan: Option<bool> {
        flag: "pagemap-scan", value: "BOOL", variable: "WASMGRID_PAGEMAP_SCAN",
        default: "",
        heading: Some("Sandbox"),
        help: &[(
            WORKERS | RUN,
            "Ask the kernel which pages a task has written and clear only those (Linux 6.7): tasks \
             start faster. Refused on a machine with swap, where a task could see data of another \
             one",
        )],
    }
    caps: Vec<CapSetting> {
        flag: "cap", value: "NAME=VALUE", variable: "WASMGRID_CAPS",
        default: "",
        heading: Some("Limits"),
        help: &[(
            SCHEDULERS | WORKER | MODULE,
            "Set a structural cap on modules: functions=100000, module-bytes=48MiB; may be \
             repeated. A refusal names its cap; the scheduler and each worker have caps of their \
             own",
        )],
    }
}

/// The settings of these commands.
pub fn of(commands: Commands) -> impl Iterator<Item = &'static Setting> {
    TABLE.iter().filter(move |setting| setting.commands() & commands != 0)
}

/// The settings that workers have and schedulers have not.
pub fn of_workers_alone() -> impl Iterator<Item = &'static Setting> {
    of(WORKER).filter(|setting| setting.commands() & SERVER == 0)
}

/// The lists of NAME=VALUE in which each name may stand once.
const NAMES_ONCE: &[&str] = &["tenant_weights", "max", "caps"];

/// Refuses a list in which one name has two values.
fn check_names(key: &str, list: &toml::Value) -> Result<(), String> {
    if !NAMES_ONCE.contains(&key) {
        return Ok(());
    }
    let values = list.as_array().into_iter().flatten().filter_map(toml::Value::as_str);
    let mut names = BTreeSet::new();
    for (name, _) in values.filter_map(|value| value.split_once('=')) {
        let name = name.trim();
        if !names.insert(name) {
            return Err(format!("{name} is given twice; expected each name once"));
        }
    }
    Ok(())
}

impl Settings {
    /// What modules may look like.
    pub fn caps(&self) -> Caps {
        Caps::with(&self.caps)
    }
}
