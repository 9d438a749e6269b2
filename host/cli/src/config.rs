//! Settings of `server` and `worker`: flags over `WASMGRID_*` over a TOML file over defaults. The
//! first two come from [`args`](crate::args); this reads the file and puts them together.

use std::{
    env, fmt, fs,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::CommandFactory as _;
use serde::{Deserialize, Deserializer, de, de::DeserializeOwned};
use wasmgrid_proto::{ByteCount, Millis};
use wasmgrid_worker::sandbox::CapSetting;

use crate::{
    args::{
        CapArgs, CertificateLife, Cli, Isolation, KeepArgs, Label, Maximum, SandboxArgs,
        ServerArgs, TenantWeight, WorkerArgs,
    },
    exit::usage,
    paths,
};

/// Where a grid listens unless told otherwise: this machine alone reaches it there.
pub const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7433);

/// How many slots a worker may have, by flag or file: each is a process.
const SLOTS: RangeInclusive<u32> = 1..=4096;

/// The variables that other commands read.
const OTHER_VARIABLES: &[&str] =
    &[paths::HOME, crate::log::VARIABLE, crate::context::VARIABLE, crate::cluster::TOKEN_VARIABLE];

/// The keys of a server's file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServerFile {
    name: Option<String>,
    listen: Option<SocketAddr>,
    advertise: Vec<String>,
    state_dir: Option<PathBuf>,
    #[serde(deserialize_with = "list")]
    tenant_weights: Vec<TenantWeight>,
    #[serde(deserialize_with = "optional")]
    producer_grace: Option<Millis>,
    #[serde(deserialize_with = "optional")]
    certificate_life: Option<CertificateLife>,
    #[serde(deserialize_with = "list")]
    caps: Vec<CapSetting>,
    require_jail: Option<bool>,
    #[serde(deserialize_with = "optional")]
    keep_results: Option<Millis>,
    #[serde(deserialize_with = "optional")]
    keep_jobs: Option<Millis>,
    #[serde(deserialize_with = "optional")]
    keep_bytes: Option<ByteCount>,
    #[serde(deserialize_with = "optional")]
    keep_open_bytes: Option<ByteCount>,
}

/// The keys of a worker's file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WorkerFile {
    name: Option<String>,
    slots: Option<u32>,
    #[serde(deserialize_with = "optional")]
    memory: Option<ByteCount>,
    #[serde(deserialize_with = "list")]
    labels: Vec<Label>,
    isolation: Option<Isolation>,
    allow_dirs: Vec<PathBuf>,
    #[serde(deserialize_with = "list")]
    max: Vec<Maximum>,
    require_jail: Option<bool>,
    #[serde(deserialize_with = "optional")]
    compile_time: Option<Millis>,
    #[serde(deserialize_with = "optional")]
    compile_memory: Option<ByteCount>,
    pagemap_scan: Option<bool>,
    state_dir: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    #[serde(deserialize_with = "list")]
    caps: Vec<CapSetting>,
}

/// A server's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSettings {
    /// The grid's name.
    pub name: Option<String>,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// Where others reach it.
    pub advertise: Vec<String>,
    /// Where it keeps its state.
    pub state_dir: Option<PathBuf>,
    /// What tenants get beside others, where that is not 1.
    pub tenant_weights: Vec<TenantWeight>,
    /// How long jobs wait for a submitter that is gone, where that is not the default.
    pub producer_grace: Option<Millis>,
    /// How long certificates are good for, where that is not the default.
    pub certificate_life: Option<CertificateLife>,
    /// What modules may look like, where that is not the default.
    pub caps: Vec<CapSetting>,
    /// Whether modules are looked at only where each layer of the jail is there.
    pub require_jail: bool,
    /// What stays of jobs, where that is not the default.
    pub keep: KeepArgs,
}

/// Puts a server's settings together.
///
/// # Errors
/// Usage errors: a file that is not there, a key or variable that is not known.
pub fn server(args: &ServerArgs) -> anyhow::Result<ServerSettings> {
    check_variables()?;
    let file: ServerFile = read(args.config.as_deref())?;
    Ok(ServerSettings {
        name: args.name.clone().or(file.name),
        listen: args.listen.or(file.listen),
        advertise: or_list(&args.advertise, file.advertise),
        state_dir: args.state_dir.clone().or(file.state_dir),
        tenant_weights: or_list(&args.tenant_weights, file.tenant_weights),
        producer_grace: args.producer_grace.or(file.producer_grace),
        certificate_life: args.certificate_life.or(file.certificate_life),
        caps: or_list(&args.caps.caps, file.caps),
        require_jail: args.require_jail.or(file.require_jail).unwrap_or_default(),
        keep: KeepArgs {
            keep_results: args.keep.keep_results.or(file.keep_results),
            keep_jobs: args.keep.keep_jobs.or(file.keep_jobs),
            keep_bytes: args.keep.keep_bytes.or(file.keep_bytes),
            keep_open_bytes: args.keep.keep_open_bytes.or(file.keep_open_bytes),
        },
    })
}

/// Puts a worker's settings together.
///
/// # Errors
/// As [`server`].
pub fn worker(args: &WorkerArgs, config: Option<&Path>) -> anyhow::Result<WorkerArgs> {
    check_variables()?;
    let file: WorkerFile = read(config)?;
    if let Some(slots) = file.slots.filter(|slots| !SLOTS.contains(slots)) {
        let (least, most) = (SLOTS.start(), SLOTS.end());
        return Err(usage(format!(
            "slots = {slots}: a worker has at least {least} and at most {most}"
        )));
    }
    Ok(WorkerArgs {
        name: args.name.clone().or(file.name),
        slots: args.slots.or(file.slots),
        memory: args.memory.or(file.memory),
        labels: or_list(&args.labels, file.labels),
        isolation: args.isolation.or(file.isolation),
        allow_dirs: or_list(&args.allow_dirs, file.allow_dirs),
        max: or_list(&args.max, file.max),
        sandbox: SandboxArgs {
            require_jail: args.sandbox.require_jail.or(file.require_jail),
            compile_time: args.sandbox.compile_time.or(file.compile_time),
            compile_memory: args.sandbox.compile_memory.or(file.compile_memory),
            pagemap_scan: args.sandbox.pagemap_scan.or(file.pagemap_scan),
        },
        state_dir: args.state_dir.clone().or(file.state_dir),
        cache_dir: args.cache_dir.clone().or(file.cache_dir),
        caps: CapArgs { caps: or_list(&args.caps.caps, file.caps) },
    })
}

fn or_list<T: Clone>(first: &[T], second: Vec<T>) -> Vec<T> {
    if first.is_empty() { second } else { first.to_vec() }
}

fn read<T: DeserializeOwned + Default>(path: Option<&Path>) -> anyhow::Result<T> {
    let Some(path) = path else { return Ok(T::default()) };
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| usage(format!("failed to read {name}: {error}")))?;
    toml::from_str(&text)
        .map_err(|error| usage(format!("{name}: {}", error.to_string().trim_end())))
}

/// A variable that nothing reads is a mistyped one.
fn check_variables() -> anyhow::Result<()> {
    let known = variables();
    let set = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in set.filter(|name| name.starts_with("WASMGRID_")) {
        if !known.contains(&name) {
            return Err(usage(format!(
                "the environment has {name}, which nothing reads; there are: {}",
                known.join(", ")
            )));
        }
    }
    Ok(())
}

/// All variables that some command reads, sorted.
fn variables() -> Vec<String> {
    let cli = Cli::command();
    let of_flags = cli.get_subcommands().flat_map(|command| command.get_arguments());
    let of_flags = of_flags.filter_map(|arg| arg.get_env()?.to_str());
    let mut names: Vec<String> =
        of_flags.chain(OTHER_VARIABLES.iter().copied()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Reads a text as people write it on the command line.
struct Written<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    Written::deserialize(deserializer).map(|written| Some(written.0))
}

fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let list = Vec::<Written<T>>::deserialize(deserializer)?;
    Ok(list.into_iter().map(|written| written.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::args::LogArgs;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("made");
        fs::write(file.path(), text).expect("written");
        file
    }

    fn worker_of(args: &WorkerArgs, text: &str) -> Result<WorkerArgs, String> {
        let file = file(text);
        worker(args, Some(file.path())).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_win_over_the_file() {
        let args = WorkerArgs { slots: Some(3), ..WorkerArgs::default() };
        let text = "slots = 8\nmemory = \"2GiB\"\nlabels = [\"zone=a\"]\nisolation = \"in-process\"\nmax = [\"log=1\"]";
        let settings = worker_of(&args, text).expect("fits");
        assert_eq!(settings.slots, Some(3));
        assert_eq!(settings.memory, Some(ByteCount(2 << 30)));
        assert_eq!(settings.labels, ["zone=a".parse().expect("a label")]);
        assert_eq!(settings.isolation, Some(Isolation::InProcess));
        assert_eq!(settings.max, ["log=1".parse().expect("a maximum")]);
    }

    #[test]
    fn the_file_may_require_the_jail_and_a_flag_take_it_back() {
        let text = "require_jail = true\ncompile_time = \"20s\"\ncompile_memory = \"2GiB\"\npagemap_scan = true";
        let settings = worker_of(&WorkerArgs::default(), text).expect("fits").sandbox;
        assert_eq!(settings.pagemap_scan, Some(true));
        assert_eq!(settings.require_jail, Some(true));
        assert_eq!(settings.compile_time, Some(Millis(20_000)));
        assert_eq!(settings.compile_memory, Some(ByteCount(2 << 30)));
        let mut args = WorkerArgs::default();
        args.sandbox.require_jail = Some(false);
        assert_eq!(worker_of(&args, text).expect("fits").sandbox.require_jail, Some(false));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = worker_of(&WorkerArgs::default(), "slots = 1\nslotz = 2").expect_err("unknown");
        assert!(error.contains("slotz"), "{error}");
        let error = worker_of(&WorkerArgs::default(), "memory = \"lots\"").expect_err("nonsense");
        assert!(error.contains("64MiB"), "{error}");
        let text = "caps = [\"functions=7\", \"function=7\"]";
        let error = worker_of(&WorkerArgs::default(), text).expect_err("no such cap");
        assert!(error.contains("functions, body-bytes"), "{error}");
        for slots in ["slots = 0", "slots = 4097"] {
            let error = worker_of(&WorkerArgs::default(), slots).expect_err(slots);
            assert!(error.contains("4096"), "{error}");
        }
    }

    #[test]
    fn a_servers_file_may_say_all_its_flags() {
        let text = "name = \"home\"\nlisten = \"0.0.0.0:1\"\nadvertise = [\"a:1\"]\nstate_dir = \"/s\"\ntenant_weights = [\"ada=3\", \"bob=2\"]\nproducer_grace = \"10m\"\ncertificate_life = \"30d\"\ncaps = [\"functions=7\"]\nrequire_jail = true\nkeep_results = \"1d\"\nkeep_jobs = \"2d\"\nkeep_bytes = \"1GiB\"\nkeep_open_bytes = \"1MiB\"";
        let file = file(text);
        let args = ServerArgs {
            config: Some(file.path().to_owned()),
            name: None,
            listen: None,
            advertise: Vec::new(),
            state_dir: None,
            tenant_weights: Vec::new(),
            producer_grace: None,
            certificate_life: None,
            caps: CapArgs::default(),
            require_jail: None,
            log: LogArgs::default(),
            keep: KeepArgs { keep_jobs: Some(Millis(7)), ..KeepArgs::default() },
        };
        let settings = server(&args).expect("fits");
        assert_eq!(settings.producer_grace, Some(Millis(600_000)));
        assert_eq!(settings.certificate_life, Some("30d".parse().expect("a life")));
        assert_eq!(settings.caps, ["functions=7".parse().expect("a cap")]);
        assert!(settings.require_jail);
        let weights = ["ada=3", "bob=2"].map(|text| text.parse().expect("a weight"));
        assert_eq!(settings.tenant_weights, weights);
        assert_eq!(settings.listen, Some("0.0.0.0:1".parse().expect("an address")));
        assert_eq!(settings.advertise, ["a:1"]);
        let keep = KeepArgs {
            keep_results: Some(Millis(86_400_000)),
            keep_jobs: Some(Millis(7)),
            keep_bytes: Some(ByteCount(1 << 30)),
            keep_open_bytes: Some(ByteCount(1 << 20)),
        };
        assert_eq!(settings.keep, keep, "a flag wins over the file");
    }

    #[test]
    fn a_weight_is_a_name_and_a_number_within_its_bounds() {
        for text in ["ada", "=3", "ada=", "ada=0", "ada=1001", "ada=-1", "ada=1.5"] {
            let error = text.parse::<TenantWeight>().expect_err(text).to_string();
            assert!(error.contains("NAME=WEIGHT") && error.contains("1000"), "{error}");
        }
    }

    #[test]
    fn every_flag_of_server_and_worker_has_its_variable() {
        let known = variables();
        for name in
            ["SLOTS", "MEMORY", "LABELS", "LISTEN", "ADVERTISE", "STATE_DIR", "CAPS", "HOME", "LOG"]
        {
            assert!(known.contains(&format!("WASMGRID_{name}")), "{name}");
        }
    }
}
