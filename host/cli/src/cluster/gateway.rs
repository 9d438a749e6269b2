//! A machine as a gateway of a grid: it joins with a token, and keeps its identity and where the grid is.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use wasmgrid_net::{Credentials, JoinToken, Role, enroll, enroll_again};

use super::member::unreached;
use crate::{
    exit::{Exit, usage},
    parts,
    paths::Paths,
    print::message,
    private,
};

/// The file that says where the grid is.
const DESCRIPTION: &str = "gateway.toml";

/// Where a gateway's grid is.
#[derive(Serialize)]
struct Description<'a> {
    grid: &'a str,
    addresses: &'a [String],
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
    let description = Description { grid: &token.grid, addresses: &token.addresses };
    private::write(&folder.join(DESCRIPTION), &toml::to_string(&description)?)?;
    Ok(())
}
