//! A machine as a gateway of a grid: it joins with a token, and keeps its identity and where the grid is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use wasmgrid_net::{Credentials, JoinToken, Role, enroll, enroll_again};

use crate::{
    cluster::member::unreached,
    exit::{Exit, usage},
    parts,
    paths::Paths,
    print::message,
    private,
};

/// The file that says where the grid is.
const DESCRIPTION: &str = "gateway.toml";

/// Where a gateway's grid is.
#[derive(Deserialize, Serialize)]
struct Description {
    grid: String,
    addresses: Vec<String>,
}

/// A gateway of this machine.
pub struct Joined {
    /// Who it is.
    pub credentials: Credentials,
    /// Where its identity is kept.
    pub folder: PathBuf,
    /// Where its grid is.
    pub addresses: Vec<String>,
}

impl Joined {
    /// That of a folder or a name; without either the only one.
    ///
    /// # Errors
    /// If there is none, or several are there and none is named, or it cannot be read.
    pub fn find(paths: &Paths, name: Option<&str>, folder: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match (folder, name) {
            (Some(folder), _) => folder.to_owned(),
            (None, Some(name)) => paths.gateways().join(name),
            (None, None) => only(&paths.gateways())?,
        };
        let path = folder.join(DESCRIPTION);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(usage(format!("{} has no gateway; {HOW_TO_JOIN}", folder.display())));
            }
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", path.display()));
            }
        };
        let unreadable = || format!("failed to read {}", path.display());
        let Description { addresses, .. } = toml::from_str(&text).with_context(unreadable)?;
        let credentials = Credentials::load(&folder)?;
        Ok(Self { credentials, folder, addresses })
    }
}

/// What a machine without a gateway is told.
const HOW_TO_JOIN: &str = "create a token with `wasmgrid token create --role gateway` and join with it \
                           first: `wasmgrid join TOKEN`";

/// The folder of the only gateway of this machine.
fn only(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut found: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("failed to read {}", folder.display()));
        }
    };
    found.retain(|path| path.join(DESCRIPTION).exists());
    found.sort_unstable();
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(usage(format!("this machine is no gateway; {HOW_TO_JOIN}"))),
        (Some(_), false) => {
            Err(usage(format!("{} has several gateways; choose one with --name", folder.display())))
        }
    }
}

/// Joins a grid as a gateway. A machine that is one already, in the same folder, stays who it is.
///
/// # Errors
/// If the grid cannot be reached or does not take the token, or the identity cannot be kept.
pub async fn join(
    paths: &Paths,
    token: &JoinToken,
    (folder, name): (Option<PathBuf>, Option<String>),
) -> anyhow::Result<Exit> {
    let wanted = name.unwrap_or_else(parts::machine_name);
    let at = folder.clone().unwrap_or_else(|| paths.gateways().join(&wanted));
    let credentials = match before(&at)? {
        Some(before) if is_of(&before, token) => enroll_again(token, &before).await,
        Some(before) => return Err(of_another(&at, &before)),
        None => enroll(token, &wanted).await,
    };
    let credentials = credentials.map_err(unreached)?;
    let name = credentials.identity().name();
    let at = folder.unwrap_or_else(|| paths.gateways().join(name));
    save(&at, token, &credentials)
        .with_context(|| format!("failed to keep the gateway's identity in {}", at.display()))?;
    message!(
        "joined the grid {} as gateway {name}; its identity is in {}",
        token.grid,
        at.display()
    );
    Ok(Exit::Ok)
}

/// The identity that is there.
fn before(folder: &Path) -> anyhow::Result<Option<Credentials>> {
    if !folder.join(DESCRIPTION).exists() {
        return Ok(None);
    }
    Ok(Some(Credentials::load(folder)?))
}

fn is_of(before: &Credentials, token: &JoinToken) -> bool {
    let identity = before.identity();
    identity.grid() == token.grid && identity.role() == Role::Gateway
}

fn of_another(folder: &Path, found: &Credentials) -> anyhow::Error {
    usage(format!(
        "{} has the identity of {} {:?} of grid {:?}; choose another --name or --state-dir",
        folder.display(),
        found.identity().role(),
        found.identity().name(),
        found.identity().grid()
    ))
}

fn save(folder: &Path, token: &JoinToken, credentials: &Credentials) -> anyhow::Result<()> {
    private::folder(folder)?;
    credentials.save(folder)?;
    let (grid, addresses) = (token.grid.clone(), token.addresses.clone());
    let description = Description { grid, addresses };
    private::write(&folder.join(DESCRIPTION), &toml::to_string(&description)?)?;
    Ok(())
}
