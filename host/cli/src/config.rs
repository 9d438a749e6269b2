//! Where the settings of `up`, `server`, `join` and `worker` come from: flags over `WASMGRID_*` over what
//! flags of earlier starts set over a TOML file over defaults. A file that is named goes before earlier
//! flags: what it sets, they set no more. What flags set, and where the file is, is kept beside the state.

use std::{
    env, fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf, absolute},
};

use anyhow::Context as _;
use clap::CommandFactory as _;
use toml::{Table, Value};

use crate::{
    args::{Cli, Command, SourceArgs},
    exit::{Exit, WithExit as _, usage},
    paths, private,
    settings::Settings,
};

/// How many slots a worker may have, by flag or file: each is a process.
const SLOTS: RangeInclusive<u32> = 1..=4096;

/// The file that has what earlier starts were told.
pub const KEPT: &str = "settings.toml";

/// Its key that says where the file with settings is.
const CONFIG: &str = "config";

/// Where the state is, and of what: found out before anything is read there.
const OF_THE_PLACE: &[&str] = &["name", "state_dir"];

/// What schedulers and workers can be told.
const OF_BOTH: &[&str] = &["require_jail", "caps"];

/// What schedulers alone can be told.
const OF_SCHEDULERS: &[&str] = &[
    "listen",
    "advertise",
    "tenant_weights",
    "producer_grace",
    "certificate_life",
    "keep_results",
    "keep_jobs",
    "keep_bytes",
    "keep_open_bytes",
    "disk_reserve",
];

/// What workers alone can be told.
const OF_WORKERS: &[&str] = &[
    "slots",
    "memory",
    "labels",
    "isolation",
    "allow_dirs",
    "max",
    "compile_time",
    "compile_memory",
    "pagemap_scan",
    "cache_dir",
];

/// What a machine with both can be told.
const OF_UP: &[&str] = &["no_worker"];

/// The variables that other commands read.
const OTHER_VARIABLES: &[&str] =
    &[paths::HOME, crate::log::VARIABLE, crate::context::VARIABLE, crate::cluster::TOKEN_VARIABLE];

/// What a command that serves was told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// By its flags.
    flags: Settings,
    /// By its flags and the environment.
    all: Settings,
    /// The file that it was told of.
    config: Option<PathBuf>,
    /// The same where a flag told it.
    config_by_flag: Option<PathBuf>,
    /// Whether what earlier starts were told is forgotten.
    forgets: bool,
    /// What a file may have for this command.
    keys: Vec<&'static str>,
}

/// What later starts are to know.
#[derive(Clone, Debug)]
pub struct Memory {
    /// What is kept already, where that was read.
    was: Option<Table>,
    is: Table,
}

/// What a start is told that is told nothing.
#[derive(Debug, Default)]
pub struct Standing {
    /// The file that is read.
    pub config: Option<PathBuf>,
    /// What flags of earlier starts set.
    pub set: Table,
    /// What the file has beside that.
    pub of_file: Table,
}

impl Told {
    /// What a command was told.
    ///
    /// # Errors
    /// A usage error where the environment has a variable that nothing reads.
    pub fn new(command: &Command) -> anyhow::Result<Self> {
        check_variables()?;
        let by_flags = Command::by_flags();
        let config_by_flag = by_flags.as_ref().and_then(|command| source(command)?.config.clone());
        let of_command: &[&[&'static str]] = match command {
            Command::Up(_) => &[OF_SCHEDULERS, OF_WORKERS, OF_UP],
            Command::Server(_) => &[OF_SCHEDULERS],
            _ => &[OF_WORKERS],
        };
        let keys = [OF_PLACE_AND_BOTH, of_command].concat().concat();
        Ok(Self {
            flags: by_flags.as_ref().map(Settings::of).unwrap_or_default(),
            all: Settings::of(command),
            config: source(command).and_then(|source| source.config.clone()),
            config_by_flag,
            forgets: source(command).is_some_and(|source| source.defaults),
            keys,
        })
    }

    /// What is said of where the state is, and of what: its folder and its name.
    ///
    /// # Errors
    /// A usage error where the file cannot be read.
    pub fn place(&self) -> anyhow::Result<(Option<PathBuf>, Option<String>)> {
        let file = match &self.config {
            Some(path) => settings(self.read(path)?)?,
            None => Settings::default(),
        };
        let Settings { state_dir, name, .. } = self.all.clone();
        Ok((state_dir.or(file.state_dir), name.or(file.name)))
    }

    /// All settings of a start on a folder, if there is one yet, and what is to be kept of them there.
    ///
    /// # Errors
    /// A usage error where a file cannot be read or has what this command knows nothing of.
    pub fn settle(&self, folder: Option<&Path>) -> anyhow::Result<(Settings, Memory)> {
        let was = match folder.filter(|_| !self.forgets) {
            Some(folder) => Some(kept(&folder.join(KEPT))?),
            None => None,
        };
        let mut is = was.clone().unwrap_or_default();
        if let Some(config) = &self.config_by_flag {
            is.insert(CONFIG.into(), written(&absolute(config).unwrap_or(config.clone())));
        }
        let file = match (&self.config, config_of(&is)) {
            (Some(path), _) => self.read(path)?,
            (None, Some(path)) => self.read(&path).with_context(|| EARLIER).exit(Exit::Usage)?,
            (None, None) => Table::new(),
        };
        if self.config.is_some() {
            is.retain(|key, _| !file.contains_key(key));
        }
        let earlier = is.iter().filter(|(key, _)| key.as_str() != CONFIG);
        let mut all = file;
        all.extend(earlier.map(|(key, value)| (key.clone(), value.clone())));
        all.extend(Table::try_from(&self.all).exit(Exit::Usage)?);
        is.extend(Table::try_from(&self.flags).exit(Exit::Usage)?);
        is.retain(|key, _| !OF_THE_PLACE.contains(&key));
        Ok((settings(all)?, Memory { was, is }))
    }

    /// The flag that sets something of a worker, if any does.
    pub fn of_worker(&self) -> Option<&'static str> {
        let set = Table::try_from(&self.flags).unwrap_or_default();
        OF_WORKERS.iter().copied().find(|key| set.contains_key(*key))
    }

    /// What a file has, once it is known to have nothing else than this command can be told.
    fn read(&self, path: &Path) -> anyhow::Result<Table> {
        let table = read(path)?;
        match table.keys().find(|key| !self.keys.contains(&key.as_str())) {
            None => Ok(table),
            Some(key) => Err(usage(format!(
                "{}: {key} is not a setting of this command; expected one of: {}",
                path.display(),
                self.keys.join(", ")
            ))),
        }
    }
}

/// What any of these commands can be told.
const OF_PLACE_AND_BOTH: &[&[&str]] = &[OF_THE_PLACE, OF_BOTH];

/// Said of a file that nobody has named now.
const EARLIER: &str = "an earlier start was given this file; choose another with --config FILE, or \
                       none with --defaults";

impl Memory {
    /// Keeps it in a folder for later starts there.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn keep(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(KEPT);
        let is_kept = self.was.as_ref() == Some(&self.is);
        if is_kept || (self.is.is_empty() && !path.exists()) {
            return Ok(());
        }
        let text = format!("# What `wasmgrid` was told here at earlier starts.\n{}", self.is);
        private::write(&path, &text).with_context(|| format!("failed to write {}", path.display()))
    }
}

impl Standing {
    /// What a start on a folder is told that is told nothing.
    ///
    /// # Errors
    /// A usage error where a file cannot be read.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        let mut set = kept(&folder.join(KEPT))?;
        let config = config_of(&set);
        let mut of_file = config.as_deref().map(read).transpose()?.unwrap_or_default();
        set.remove(CONFIG);
        of_file.retain(|key, _| !set.contains_key(key));
        Ok(Self { config, set, of_file })
    }

    /// All of it.
    pub fn all(&self) -> Table {
        let mut all = self.of_file.clone();
        all.extend(self.set.clone());
        all
    }

    /// Each setting with its value and where it comes from, for people.
    pub fn rows(&self) -> Vec<(String, String)> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(all) => all
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(" "),
            other => other.to_string(),
        };
        let file = self.config.as_deref().unwrap_or(Path::new("")).display().to_string();
        let set = self.set.iter().map(|(key, value)| (key.clone(), text(value)));
        let of_file = self.of_file.iter();
        let of_file =
            of_file.map(|(key, value)| (key.clone(), format!("{} ({file})", text(value))));
        set.chain(of_file).collect()
    }
}

/// Where a command's settings come from beside its flags.
const fn source(command: &Command) -> Option<&SourceArgs> {
    match command {
        Command::Up(args) => Some(&args.scheduler.source),
        Command::Server(args) => Some(&args.scheduler.source),
        Command::Join(args) => Some(&args.worker.source),
        Command::Worker(args) => Some(&args.run.source),
        _ => None,
    }
}

fn settings(table: Table) -> anyhow::Result<Settings> {
    let settings: Settings = table.try_into().exit(Exit::Usage)?;
    match settings.slots.filter(|slots| !SLOTS.contains(slots)) {
        None => Ok(settings),
        Some(slots) => {
            let (least, most) = (SLOTS.start(), SLOTS.end());
            Err(usage(format!("slots = {slots}: expected {least} to {most}")))
        }
    }
}

/// What is kept in a folder of earlier starts; nothing where there was none.
fn kept(path: &Path) -> anyhow::Result<Table> {
    let text = match fs::read_to_string(path) {
        Err(error) if is_nowhere(&error) => return Ok(Table::new()),
        text => {
            text.with_context(|| format!("failed to read {}", path.display())).exit(Exit::Usage)?
        }
    };
    let read = || -> anyhow::Result<Table> {
        let table: Table = text.parse()?;
        let mut of_settings = table.clone();
        of_settings.remove(CONFIG);
        settings(of_settings)?;
        Ok(table)
    };
    read()
        .with_context(|| format!("failed to read {}; --defaults forgets it", path.display()))
        .exit(Exit::Usage)
}

/// That a folder is none says who takes it.
fn is_nowhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn config_of(kept: &Table) -> Option<PathBuf> {
    kept.get(CONFIG).and_then(Value::as_str).map(PathBuf::from)
}

/// What a file of settings has. Paths in it begin at its folder.
fn read(path: &Path) -> anyhow::Result<Table> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| usage(format!("failed to read {name}: {error}")))?;
    let wrong = |error: toml::de::Error| usage(format!("{name}: {}", error.to_string().trim_end()));
    toml::from_str::<Settings>(&text).map_err(wrong)?;
    let mut table: Table = text.parse().map_err(wrong)?;
    let folder = path.parent().map(|folder| absolute(folder).unwrap_or(folder.to_owned()));
    let from_folder = |value: &mut Value| {
        if let (Some(folder), Some(text)) = (&folder, value.as_str()) {
            *value = written(&folder.join(text));
        }
    };
    for key in ["state_dir", "cache_dir", "allow_dirs"] {
        match table.get_mut(key) {
            Some(Value::Array(all)) => all.iter_mut().for_each(from_folder),
            Some(value) => from_folder(value),
            None => {}
        }
    }
    settings(table.clone()).with_context(|| name.to_string()).exit(Exit::Usage)?;
    Ok(table)
}

/// A path in a file of settings, which has UTF-8 alone.
fn written(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

/// A variable that nothing reads is a mistyped one.
fn check_variables() -> anyhow::Result<()> {
    let known = variables();
    let set = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in set.filter(|name| name.starts_with("WASMGRID_")) {
        if !known.contains(&name) {
            return Err(usage(format!(
                "unknown variable {name} in the environment; expected one of: {}",
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

#[cfg(test)]
mod tests;
