//! The clusters this user knows: each a folder with its addresses and the user's credentials, and
//! a file that says which one is selected.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use wasmgrid_net::{Credentials, Identity};

use crate::{
    args::GridArgs,
    exit::{Exit, WithExit as _, usage},
    paths::Paths,
    private,
};

/// Names the context to use, unless a flag does.
pub const VARIABLE: &str = "WASMGRID_CONTEXT";

/// The name that stands for no context at all.
pub const LOCAL: &str = "local";

const SELECTED: &str = "config.toml";
const CONTEXTS: &str = "contexts";
const DESCRIPTION: &str = "context.toml";

/// Which context is selected, as it stands in a file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Selected {
    context: Option<String>,
}

/// How to reach a cluster, as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The grid's name.
    pub grid: String,
    /// Where its scheduler is, `HOST:PORT` each.
    pub addresses: Vec<String>,
    /// Where its state is, if its scheduler is on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
}

/// A context that was removed.
#[derive(Debug)]
pub struct Removed {
    /// Its grid's name.
    pub grid: String,
    /// Who this machine was there, where that could be read.
    pub identity: Option<Identity>,
    /// It was the selected one; none is now.
    pub was_selected: bool,
}

/// The contexts of this user.
pub struct Contexts {
    folder: PathBuf,
}

impl Contexts {
    /// Those under the user's folders.
    pub fn new(paths: &Paths) -> Self {
        Self { folder: paths.config.clone() }
    }

    /// Those in a folder.
    #[cfg(test)]
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The file that says which one is selected.
    pub fn settings(&self) -> PathBuf {
        self.folder.join(SELECTED)
    }

    /// The folder that has all of them.
    pub fn known(&self) -> PathBuf {
        self.folder.join(CONTEXTS)
    }

    /// All contexts by name.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn all(&self) -> anyhow::Result<Vec<(String, Description)>> {
        let folder = self.known();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries,
        };
        let entries = entries.with_context(|| format!("failed to read {}", folder.display()))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut all = Vec::new();
        for name in names {
            let description = self.description(&name)?;
            all.push((name, description));
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(all)
    }

    /// The selected one's name, if any.
    ///
    /// # Errors
    /// Where the file that says so cannot be read.
    pub fn selected(&self) -> anyhow::Result<Option<String>> {
        let path = self.settings();
        match fs::read_to_string(&path) {
            Err(error) if is_absent(&error) => Ok(None),
            text => text
                .map_err(anyhow::Error::from)
                .and_then(|text| Ok(toml::from_str::<Selected>(&text)?.context))
                .with_context(|| format!("failed to read {}", path.display()))
                .exit(Exit::Usage),
        }
    }

    /// The one to use: by flag, by variable, or the selected one. `None` is this machine.
    ///
    /// # Errors
    /// As [`selected`](Self::selected).
    pub fn choose(&self, args: &GridArgs) -> anyhow::Result<Option<String>> {
        let chosen = named(args).map_or_else(|| self.selected(), |name| Ok(Some(name)))?;
        Ok(chosen.filter(|name| name != LOCAL))
    }

    /// Selects a context; `local` selects none.
    ///
    /// # Errors
    /// A usage error where there is no such context.
    pub fn select(&self, name: &str) -> anyhow::Result<()> {
        let context = if name == LOCAL {
            None
        } else {
            self.description(name)?;
            Some(name.to_owned())
        };
        let path = self.settings();
        let text = toml::to_string(&Selected { context })?;
        private::folder(&self.folder)
            .and_then(|()| private::write(&path, &text))
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// How to reach a context's cluster, and as whom.
    ///
    /// # Errors
    /// A usage error where there is no such context or it cannot be read.
    pub fn open(&self, name: &str) -> anyhow::Result<(Description, Credentials)> {
        let description = self.description(name)?;
        let credentials = Credentials::load(&self.path(name)?)
            .with_context(|| format!("failed to read the credentials of context {name:?}"))
            .exit(Exit::Unreachable)?;
        Ok((description, credentials))
    }

    /// Keeps a context, in place of one of the same name.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn save(
        &self,
        name: &str,
        description: &Description,
        credentials: &Credentials,
    ) -> anyhow::Result<()> {
        let folder = self.path(name)?;
        let text = toml::to_string(description)?;
        let write = || -> anyhow::Result<()> {
            private::folder(&folder)?;
            credentials.save(&folder)?;
            Ok(private::write(&folder.join(DESCRIPTION), &text)?)
        };
        write().with_context(|| format!("failed to write {}", folder.display()))
    }

    /// Keeps other credentials of a context that is there.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn renew(&self, name: &str, credentials: &Credentials) -> anyhow::Result<()> {
        let folder = self.folder_of(name)?;
        credentials.save(&folder).with_context(|| format!("failed to write {}", folder.display()))
    }

    /// The folder of a context.
    ///
    /// # Errors
    /// A usage error where none can be called so.
    pub fn folder_of(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.path(name)
    }

    /// Forgets a context and the identity in it, with `force` also the selected one.
    ///
    /// # Errors
    /// A usage error where there is no such context, or it is the selected one; else where its files
    /// cannot be removed.
    pub fn remove(&self, name: &str, force: bool) -> anyhow::Result<Removed> {
        let folder = self.path(name)?;
        if !folder.is_dir() {
            return Err(no_context(name));
        }
        let was_selected = self.selected()?.as_deref() == Some(name);
        if was_selected && !force {
            return Err(usage(format!(
                "context {name:?} is selected; select another one first with `wasmgrid context use \
                 NAME` (`{LOCAL}` for none), or use --force"
            )));
        }
        // What is damaged can be removed too.
        let grid = self.description(name).map(|description| description.grid);
        let identity = Credentials::load(&folder).map(|found| found.identity().clone()).ok();
        if was_selected {
            self.select(LOCAL)?;
        }
        fs::remove_dir_all(&folder)
            .with_context(|| format!("failed to remove {}", folder.display()))?;
        Ok(Removed { grid: grid.unwrap_or_else(|_| "unknown".into()), identity, was_selected })
    }

    /// Whether a grid of this machine may have the context of its name: there is none, or one of this
    /// grid, or of one whose state is gone.
    pub fn is_free_for(&self, grid: &str, state_dir: &Path, ca_hash: &[u8; 32]) -> bool {
        let Ok((description, credentials)) = self.open(grid) else { return true };
        let is_gone = |dir: &PathBuf| dir == state_dir || !dir.exists();
        credentials.ca_hash() == *ca_hash || description.state_dir.as_ref().is_some_and(is_gone)
    }

    /// Has a context name other addresses of its cluster.
    ///
    /// # Errors
    /// Where there is none, or it cannot be written.
    pub fn set_addresses(&self, name: &str, addresses: Vec<String>) -> anyhow::Result<()> {
        let path = self.path(name)?.join(DESCRIPTION);
        let text = toml::to_string(&Description { addresses, ..self.description(name)? })?;
        private::write(&path, &text).with_context(|| format!("failed to write {}", path.display()))
    }

    /// Takes a context away that was made for nothing, and selects what was selected before.
    pub fn unmake(&self, name: &str, selected: Option<&str>) {
        // What is wrong already is what is said.
        if let Ok(folder) = self.path(name) {
            drop(fs::remove_dir_all(folder));
        }
        if self.selected().is_ok_and(|now| now.as_deref() == Some(name)) {
            drop(selected.map_or(Ok(()), |before| self.select(before)));
        }
        if self.selected().is_ok_and(|now| now.as_deref() == Some(name)) {
            drop(self.select(LOCAL));
        }
    }

    /// Checks that a context may be called so.
    ///
    /// # Errors
    /// A usage error where it may not.
    pub fn check_name(&self, name: &str) -> anyhow::Result<()> {
        self.path(name).map(|_| ())
    }

    /// How to reach a context's cluster.
    ///
    /// # Errors
    /// A usage error where there is no such context or it cannot be read.
    pub fn description(&self, name: &str) -> anyhow::Result<Description> {
        let path = self.path(name)?.join(DESCRIPTION);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => no_context(name),
            _ => usage(format!("failed to read {}: {error}", path.display())),
        })?;
        toml::from_str(&text)
            .with_context(|| format!("failed to read {}", path.display()))
            .exit(Exit::Usage)
    }

    fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        if name == LOCAL || !is_name(name) {
            return Err(usage(format!(
                "invalid context name {name:?}: expected letters, digits, `.`, `_` and `-`, \
                 starting with a letter or digit; `{LOCAL}` means no context"
            )));
        }
        Ok(self.known().join(name))
    }
}

fn no_context(name: &str) -> anyhow::Error {
    usage(format!(
        "there is no context {name:?}; see `wasmgrid context list`, or create one with `wasmgrid \
         up` or `wasmgrid context add`"
    ))
}

/// True where there is no such file, nor a folder that it could be in.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The one that the flag or the variable names.
pub fn named(args: &GridArgs) -> Option<String> {
    let of_variable = || env::var(VARIABLE).ok().filter(|name| !name.is_empty());
    args.context.clone().or_else(of_variable)
}

/// True where an error says that this user may not read the contexts' folder: those of somebody else.
pub fn is_kept_from(error: &anyhow::Error) -> bool {
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(denied)
}

/// Whether a text can name a context: it becomes the name of a folder.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 63
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts(folder: &tempfile::TempDir) -> Contexts {
        Contexts::in_folder(folder.path())
    }

    #[test]
    fn without_any_context_everything_is_here() {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = contexts(&folder);
        assert_eq!(contexts.selected().expect("read"), None);
        assert!(contexts.all().expect("read").is_empty());
        let args = GridArgs { context: Some(LOCAL.into()) };
        assert_eq!(contexts.choose(&args).expect("chosen"), None);
        contexts.select(LOCAL).expect("selected");
        assert_eq!(contexts.selected().expect("read"), None);
    }

    #[test]
    fn a_context_that_is_not_there_is_a_usage_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = contexts(&folder);
        for name in ["nowhere", "../etc", "", ".hidden", "a/b"] {
            let error = contexts.select(name).expect_err(name);
            assert_eq!(crate::exit::of(&error), Exit::Usage, "{name}");
        }
    }

    #[test]
    fn a_context_that_is_used_goes_only_where_that_is_said_and_takes_its_key_along() {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = contexts(&folder);
        let authority = wasmgrid_net::Authority::create("home", &folder.path().join("ca"));
        let authority = authority.expect("an authority");
        let day = std::time::Duration::from_secs(86_400);
        let credentials = authority.issue(wasmgrid_net::Role::Client, "ada", day).expect("issued");
        let description =
            Description { grid: "home".into(), addresses: vec!["h:1".into()], state_dir: None };
        for name in ["a", "b"] {
            contexts.save(name, &description, &credentials).expect("saved");
        }
        contexts.select("a").expect("it is there");
        let error = contexts.remove("a", false).expect_err("it is used");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
        assert!(error.to_string().contains("--force"), "{error}");
        let removed = contexts.remove("b", false).expect("removed");
        assert!(!removed.was_selected && removed.identity.expect("read").name() == "ada");
        assert!(contexts.remove("a", true).expect("removed").was_selected);
        assert_eq!(contexts.selected().expect("read"), None);
        assert!(contexts.all().expect("read").is_empty());
        assert!(fs::read_dir(contexts.known()).expect("a folder").next().is_none());
        let error = contexts.remove("a", true).expect_err("it is gone");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
    }

    #[test]
    fn a_flag_names_the_context() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = GridArgs { context: Some("there".into()) };
        assert_eq!(contexts(&folder).choose(&args).expect("chosen"), Some("there".into()));
    }
}
