//! Where the settings of `up`, `server`, `join` and `worker` come from: flags over `WASMGRID_*` over what
//! flags of earlier starts set over a TOML file over defaults. A file that is named goes before earlier
//! flags: what it sets, they set no more. What flags set, and where the file is, is kept beside the state.

use std::{
    env, fs, io,
    path::{Path, PathBuf, absolute},
};

use anyhow::Context as _;
use clap::CommandFactory as _;
use toml::{Table, Value};

use crate::{
    args::{Cli, Command, SourceArgs},
    exit::{Exit, WithExit as _, usage},
    paths, private,
    settings::{self, Commands, SERVER, Settings, UP, WORKER},
};

/// The file that has what earlier starts were told.
pub const KEPT: &str = "settings.toml";

/// Its key that says where the file with settings is.
const CONFIG: &str = "config";

/// Where the state is, and of what: found out before anything is read there.
const OF_THE_PLACE: &[&str] = &["name", "state_dir"];

/// The variables that other commands read.
const OTHER_VARIABLES: &[&str] =
    &[paths::HOME, crate::log::VARIABLE, crate::context::VARIABLE, crate::cluster::TOKEN_VARIABLE];

/// What a command that serves was told.
#[derive(Clone, Debug, Default)]
pub struct GivenSettings {
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
    /// The command, whose settings a file may have.
    command: Commands,
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

impl GivenSettings {
    /// What a command was told.
    ///
    /// # Errors
    /// A usage error where the environment has a variable that nothing reads.
    pub fn new(command: &Command) -> anyhow::Result<Self> {
        check_variables()?;
        let by_flags = Command::by_flags();
        let config_by_flag = by_flags.as_ref().and_then(|command| source(command)?.config.clone());
        Ok(Self {
            flags: by_flags.as_ref().and_then(given).cloned().unwrap_or_default(),
            all: given(command).cloned().unwrap_or_default(),
            config: source(command).and_then(|source| source.config.clone()),
            config_by_flag,
            forgets: source(command).is_some_and(|source| source.defaults),
            command: match command {
                Command::Up(_) => UP,
                Command::Server(_) => SERVER,
                _ => WORKER,
            },
        })
    }

    /// What is said of where the state is, and of what: its folder and its name.
    ///
    /// # Errors
    /// A usage error where the file cannot be read.
    pub fn place(&self) -> anyhow::Result<(Option<PathBuf>, Option<String>)> {
        let file = match &self.config {
            Some(path) => Settings::from_table(&read(path, self.command)?).exit(Exit::Usage)?,
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
            (Some(path), _) => read(path, self.command)?,
            (None, Some(path)) => {
                read(&path, self.command).with_context(|| EARLIER).exit(Exit::Usage)?
            }
            (None, None) => Table::new(),
        };
        if self.config.is_some() {
            is.retain(|key, _| !file.contains_key(key));
        }
        let earlier = is.iter().filter(|(key, _)| key.as_str() != CONFIG);
        let mut all = file;
        all.extend(earlier.map(|(key, value)| (key.clone(), value.clone())));
        all.extend(self.all.table());
        is.extend(self.flags.table());
        is.retain(|key, _| !OF_THE_PLACE.contains(&key));
        let settings = Settings::from_table(&all).exit(Exit::Usage)?;
        Ok((settings, Memory { was, is }))
    }

    /// The flag that sets something of a worker, without its dashes, if any does.
    pub fn of_worker(&self) -> Option<&'static str> {
        let set = self.flags.table();
        let mut of_workers = settings::of_workers_alone();
        of_workers.find(|setting| set.contains_key(setting.key)).map(|setting| setting.flag)
    }
}

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
        let of_file = config.as_deref().map(|path| read(path, UP | SERVER | WORKER));
        let mut of_file = of_file.transpose()?.unwrap_or_default();
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
        Command::Up(args) => Some(&args.source),
        Command::Server(args) => Some(&args.source),
        Command::Join(args) => Some(&args.worker.source),
        Command::Worker(args) => Some(&args.run.source),
        _ => None,
    }
}

/// What a command's flags, and the variables in their place, set.
fn given(command: &Command) -> Option<&Settings> {
    match command {
        Command::Up(args) => Some(&args.settings),
        Command::Server(args) => Some(&args.settings),
        Command::Join(args) => Some(&args.worker.settings),
        Command::Worker(args) => Some(&args.run.settings),
        _ => None,
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
        Settings::from_table(&of_settings)?;
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

/// What a file sets for one of these commands. Relative paths in it begin at its folder.
fn read(path: &Path, commands: Commands) -> anyhow::Result<Table> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| usage(format!("failed to read {name}: {error}")))?;
    let whole = absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = whole.parent().unwrap_or(Path::new("/"));
    settings::read(&text, folder, commands).map_err(|error| usage(format!("{name}: {error}")))
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
pub fn variables() -> Vec<String> {
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
