//! The workers that this machine is, each in the grid that it has joined: a folder with its identity,
//! where its grid is, and what it was told.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use wasmgrid_net::{CertificateProblem, Credentials, Endpoint, JoinToken, NetError};
use wasmgrid_worker::Addresses;

use super::folder::remember;
use crate::{
    args::{Format, HostPort},
    config::Standing,
    exit::{Exit, WithExit as _, usage},
    paths::Paths,
    print::data,
    private, table,
};

const DESCRIPTION: &str = "worker.toml";

/// Where a grid was is tried too, after where it is said to be; so many addresses in all.
const ADDRESSES_MAX: usize = 16;

/// Where a worker's grid is, as it stands in a file beside its credentials.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Description {
    grid: String,
    addresses: Vec<String>,
    /// The name it asked for, where that was another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wanted: Option<String>,
}

/// Whether a worker has joined a certain grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// It has.
    Yes,
    /// The grid has the same name, and does not trust the authority of the worker's certificate: it is
    /// another one, or that authority was replaced and retired.
    Perhaps,
    /// It has not.
    No,
}

/// A worker of a grid that this machine is.
pub struct Membership {
    folder: PathBuf,
    description: Description,
    credentials: Credentials,
}

impl Membership {
    /// The one in a folder.
    ///
    /// # Errors
    /// A usage error where there is none, or it cannot be read.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let description = description(folder)?;
        let credentials = Credentials::load(folder).with_context(|| {
            format!("failed to read the worker's identity in {}", folder.display())
        })?;
        Ok(Self { folder: folder.to_owned(), description, credentials })
    }

    /// The one that is meant: in a folder, by its name, or the only one of this machine.
    ///
    /// # Errors
    /// A usage error where there is none, or it is not clear which.
    pub fn find(paths: &Paths, folder: Option<&Path>, name: Option<&str>) -> anyhow::Result<Self> {
        if let Some(folder) = folder {
            return Self::load(folder);
        }
        let workers = paths.workers();
        let known = known(&workers)?;
        let meant = known.iter().filter(|folder| name.is_none_or(|name| is_called(folder, name)));
        match meant.collect::<Vec<_>>().as_slice() {
            [] => Err(not_joined(&name.map_or(workers.clone(), |name| workers.join(name)))),
            [one] => Self::load(one),
            several => Err(several_joined(several)),
        }
    }

    /// The one that has joined a token's grid, by its name if one is wanted; or the only one that may
    /// have.
    ///
    /// # Errors
    /// A usage error if it is not clear which.
    pub async fn of_grid(
        paths: &Paths,
        token: &JoinToken,
        name: Option<&str>,
    ) -> anyhow::Result<Option<(Self, Belongs)>> {
        // What cannot be read is of no grid.
        let known = known(&paths.workers())?.into_iter().filter_map(|at| Self::load(&at).ok());
        let (mut of_grid, mut perhaps) = (Vec::new(), Vec::new());
        for one in known.filter(|one| name.is_none_or(|name| one.is_called(name))) {
            match one.belongs(token).await {
                Belongs::Yes => of_grid.push(one),
                Belongs::Perhaps => perhaps.push(one),
                Belongs::No => {}
            }
        }
        if of_grid.len() > 1 {
            let folders: Vec<_> = of_grid.iter().map(|one| &one.folder).collect();
            return Err(several_joined(&folders));
        }
        let certain = of_grid.pop().map(|one| (one, Belongs::Yes));
        let only = perhaps.pop().filter(|_| perhaps.is_empty());
        Ok(certain.or_else(|| only.map(|one| (one, Belongs::Perhaps))))
    }

    /// A worker that has just joined. Without a folder of its own it is where this machine's workers
    /// are, beside those of other grids.
    pub fn new(
        paths: &Paths,
        folder: Option<&Path>,
        wanted: &str,
        token: &JoinToken,
        credentials: Credentials,
    ) -> Self {
        let name = credentials.identity().name();
        let workers = paths.workers();
        let beside = (1..).map(|number| match number {
            1 => workers.join(name),
            2 => workers.join(format!("{name}.{}", token.grid)),
            number => workers.join(format!("{name}.{}.{number}", token.grid)),
        });
        let free = || beside.into_iter().find(|folder| folder.symlink_metadata().is_err());
        let folder = folder.map(Path::to_owned).or_else(free).unwrap_or(workers);
        let description = Description {
            grid: token.grid.clone(),
            addresses: token.addresses.clone(),
            wanted: (wanted != name).then(|| wanted.to_owned()),
        };
        Self { folder, description, credentials }
    }

    /// Whether it has joined a token's grid: its authority is the token's, or one that was replaced by
    /// that, as the scheduler there shows.
    pub async fn belongs(&self, token: &JoinToken) -> Belongs {
        if self.credentials.ca_hash() == token.ca_hash {
            return Belongs::Yes;
        }
        if self.description.grid != token.grid {
            return Belongs::No;
        }
        let endpoint = Endpoint::new(&self.credentials);
        let belongs = match endpoint.connect_worker(&token.addresses).await {
            Ok(link) => {
                link.sender.close("its grid is known");
                Belongs::Yes
            }
            Err(error) => match error.telling() {
                NetError::BadCertificate { problem, .. } | NetError::Refused { problem, .. }
                    if *problem == CertificateProblem::WrongAuthority =>
                {
                    Belongs::Perhaps
                }
                _ => Belongs::No,
            },
        };
        endpoint.close().await;
        belongs
    }

    /// The same worker, whose grid is where the token says, or where it was.
    pub fn moved(mut self, token: &JoinToken) -> Self {
        let mut addresses = token.addresses.clone();
        let before = self.description.addresses.iter();
        addresses.extend(before.filter(|address| !token.addresses.contains(address)).cloned());
        addresses.truncate(ADDRESSES_MAX);
        self.description.addresses = addresses;
        self
    }

    /// The same worker with another certificate.
    pub fn certified(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }

    /// Keeps it, and has later starts find it where it is elsewhere.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn save(&self, paths: &Paths) -> anyhow::Result<()> {
        let save = || -> anyhow::Result<()> {
            private::folder(&self.folder)?;
            self.credentials.save(&self.folder)?;
            self.save_description()?;
            let workers = paths.workers();
            if self.folder.starts_with(&workers) {
                return Ok(());
            }
            remember(&workers.join(self.name()), &self.folder)
        };
        save().with_context(|| {
            format!("failed to keep the worker's identity in {}", self.folder.display())
        })
    }

    fn save_description(&self) -> anyhow::Result<()> {
        let path = self.folder.join(DESCRIPTION);
        private::write(&path, &toml::to_string(&self.description)?)
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its name in its grid.
    pub fn name(&self) -> &str {
        self.credentials.identity().name()
    }

    /// Its grid.
    pub fn grid(&self) -> &str {
        &self.description.grid
    }

    /// Who it is there.
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Where its grid is, as its folder says each time.
    pub fn addresses(&self) -> Addresses {
        let (folder, last) = (self.folder.clone(), self.description.addresses.clone());
        // What cannot be read for a moment does not take away what was known.
        Arc::new(move || description(&folder).map_or_else(|_| last.clone(), |read| read.addresses))
    }

    fn is_called(&self, name: &str) -> bool {
        self.name() == name || is_called(&self.folder, name)
    }
}

/// `wasmgrid worker set`: has a worker of this machine look for its scheduler elsewhere, once its own
/// scheduler has answered there.
///
/// # Errors
/// Where another answers, or none.
pub async fn set(
    folder: Option<&Path>,
    name: Option<&str>,
    servers: &[HostPort],
) -> anyhow::Result<()> {
    let mut found = Membership::find(&Paths::find()?, folder, name)?;
    let endpoint = Endpoint::new(&found.credentials);
    let mut addresses = Vec::new();
    for server in servers {
        let address = server.to_string();
        let link = endpoint.connect_worker(std::slice::from_ref(&address)).await;
        let link = link.with_context(|| {
            format!("worker {:?} of grid {:?} is unchanged", found.name(), found.grid())
        })?;
        link.sender.close("its address is known");
        addresses.push(address);
    }
    endpoint.close().await;
    found.description.addresses = addresses;
    found.save_description()
}

/// What is printed with `--output json`: a public interface.
#[derive(Serialize)]
struct MembershipView {
    name: String,
    grid: String,
    addresses: Vec<String>,
    folder: String,
    /// The file that `--config` named.
    config: Option<String>,
    /// What flags of earlier starts and that file set, by the file's keys.
    settings: toml::Table,
}

/// `wasmgrid worker show` without a name: the workers that this machine is, and what the next start of
/// each is told.
///
/// # Errors
/// A usage error where it is none, or one cannot be read.
pub fn show(output: Format) -> anyhow::Result<()> {
    let workers = Paths::find()?.workers();
    let known = known(&workers)?;
    if known.is_empty() {
        return Err(not_joined(&workers));
    }
    let all: Vec<_> = known
        .iter()
        .map(|folder| Ok((Membership::load(folder)?, Standing::of(folder)?)))
        .collect::<anyhow::Result<_>>()?;
    if output == Format::Json {
        let view = |(one, standing): (Membership, Standing)| MembershipView {
            name: one.name().to_owned(),
            grid: one.description.grid.clone(),
            addresses: one.description.addresses.clone(),
            folder: one.folder.display().to_string(),
            config: standing.config.as_ref().map(|path| path.display().to_string()),
            settings: standing.all(),
        };
        return table::json(&all.into_iter().map(view).collect::<Vec<_>>());
    }
    for (at, (one, standing)) in all.iter().enumerate() {
        if at > 0 {
            data!("")?;
        }
        let mut fields = vec![
            ("name".to_owned(), one.name().to_owned()),
            ("grid".into(), one.description.grid.clone()),
            ("server".into(), one.description.addresses.join(" ")),
            ("folder".into(), one.folder.display().to_string()),
        ];
        fields.extend(standing.rows());
        table::fields(fields.iter().map(|(name, value)| (name.as_str(), value.clone())))?;
    }
    Ok(())
}

fn description(folder: &Path) -> anyhow::Result<Description> {
    let path = folder.join(DESCRIPTION);
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_joined(folder),
        _ => usage(format!("failed to read {}: {error}", path.display())),
    })?;
    toml::from_str(&text)
        .with_context(|| format!("failed to read {}", path.display()))
        .exit(Exit::Usage)
}

/// The folders of all workers of this machine, sorted.
fn known(workers: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(workers) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("failed to read {}", workers.display()))?,
    };
    // Those elsewhere are links, also where their disk is not there.
    let is_one = |path: &PathBuf| path.is_dir() || path.is_symlink();
    let mut known: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_one).collect();
    known.sort_unstable();
    Ok(known)
}

/// Whether the worker of a folder is called so: by the folder, or by what it asked for.
fn is_called(folder: &Path, name: &str) -> bool {
    folder.file_name().is_some_and(|file| file == name)
        || description(folder).is_ok_and(|read| read.wanted.as_deref() == Some(name))
}

fn several_joined(folders: &[impl AsRef<Path>]) -> anyhow::Error {
    let names = folders.iter().filter_map(|path| path.as_ref().file_name()?.to_str());
    usage(format!(
        "this machine has several workers; choose one with --name: {}",
        names.collect::<Vec<_>>().join(", ")
    ))
}

fn not_joined(folder: &Path) -> anyhow::Error {
    usage(format!(
        "no worker identity in {}; join a grid with `wasmgrid join --token-file -` and a token of \
         `wasmgrid up` or `wasmgrid token create`. The worker inside `wasmgrid up` has none: \
         `wasmgrid worker list` shows it",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(home: &Path) -> Paths {
        Paths { config: home.into(), state: home.into(), cache: home.into() }
    }

    #[test]
    fn the_one_worker_of_a_machine_needs_no_name() {
        let home = tempfile::tempdir().expect("a folder");
        let paths = paths(home.path());
        let error = |name| {
            let found = Membership::find(&paths, None, name);
            found.err().expect("no identity is whole here").to_string()
        };
        assert!(error(None).contains("wasmgrid join"));
        let workers = paths.workers();
        fs::create_dir_all(workers.join("a")).expect("made");
        let text = "grid = \"home\"\naddresses = []\nwanted = \"w\"\n";
        fs::write(workers.join("a").join(DESCRIPTION), text).expect("written");
        assert!(error(None).contains("identity in"), "it is the one that is meant");
        fs::create_dir(workers.join("b")).expect("made");
        assert!(error(None).contains("a, b"));
        assert!(
            error(Some("w")).contains("failed to read the worker's identity"),
            "by what it asked for"
        );
        assert!(error(Some("c")).contains("wasmgrid join"));
    }
}
