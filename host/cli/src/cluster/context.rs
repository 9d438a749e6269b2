//! `wasmgrid context`: the clusters this user knows.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use wasmgrid_net::{Endpoint, JoinToken, Role, Validity, enroll, enroll_again};
use wasmgrid_views::CertificateView;

use super::{member::unreached, token, view};
use crate::{
    args::{ContextCommand, Format, HostPort},
    config::Standing,
    context::{Contexts, Description, LOCAL},
    exit::{Exit, WithExit as _, refused, usage},
    parts,
    paths::Paths,
    print::{data, message},
    table,
};

/// What is printed with `--output json`: a public interface.
#[derive(Serialize)]
struct ContextView {
    name: String,
    grid: String,
    addresses: Vec<String>,
    selected: bool,
    /// `null` where it cannot be read.
    certificate: Option<CertificateView>,
}

/// Does what was asked of contexts.
///
/// # Errors
/// Where there is no such context, or a grid does not take the token.
pub async fn context(command: ContextCommand) -> anyhow::Result<Exit> {
    let contexts = Contexts::new(&Paths::find()?);
    match command {
        ContextCommand::List { output } => list(&contexts, output)?,
        ContextCommand::Use { name } => contexts.select(&name)?,
        ContextCommand::Remove { name, force } => remove(&contexts, &name, force)?,
        ContextCommand::Show { name, output } => show(&contexts, name, output)?,
        ContextCommand::Set { name, server } => set(&contexts, &name, &server).await?,
        ContextCommand::Add { name, token } => {
            add(&contexts, &name, || token::given(&token)).await?
        }
    }
    Ok(Exit::Ok)
}

fn list(contexts: &Contexts, output: Format) -> anyhow::Result<()> {
    let selected = contexts.selected()?;
    let all = contexts.all()?;
    let validity = |name: &str| Some(contexts.open(name).ok()?.1.validity());
    let validities: Vec<Option<Validity>> = all.iter().map(|(name, _)| validity(name)).collect();
    let view = |((name, Description { grid, addresses, .. }), validity): (_, &Option<Validity>)| {
        let selected = selected.as_ref() == Some(&name);
        let certificate = validity.as_ref().map(view::certificate);
        ContextView { name, grid, addresses, selected, certificate }
    };
    let views: Vec<_> = all.into_iter().zip(&validities).map(view).collect();
    if output == Format::Json {
        return table::json(&views);
    }
    let mark = |selected: bool| if selected { "*".to_owned() } else { String::new() };
    let empty = String::new;
    let here = [mark(selected.is_none()), LOCAL.into(), empty(), "this machine".into(), empty()];
    let row = |(view, validity): (ContextView, &Option<Validity>)| {
        let left = validity.as_ref().map_or_else(|| "unreadable".into(), table::left);
        [mark(view.selected), view.name, view.grid, view.addresses.join(" "), left]
    };
    let rows = std::iter::once(here).chain(views.into_iter().zip(&validities).map(row));
    table::rows(["", "NAME", "GRID", "ADDRESSES", "CERTIFICATE"], rows)?;
    Ok(())
}

fn remove(contexts: &Contexts, name: &str, force: bool) -> anyhow::Result<()> {
    let removed = contexts.remove(name, force)?;
    let whose = match &removed.identity {
        Some(identity) => {
            let (role, name) = (identity.role(), identity.name());
            let role = if role == Role::Client { String::new() } else { format!(" --role {role}") };
            format!(
                "grid {} still knows this machine's identity; an operator can remove it with \
                 `wasmgrid client remove {name}{role}`",
                removed.grid
            )
        }
        None => format!("its identity in grid {} could not be read", removed.grid),
    };
    message!("removed context {name}; {whose}");
    if removed.was_selected {
        message!("no context is selected now; `wasmgrid context use NAME` selects one");
    }
    Ok(())
}

/// What is printed of one with `--output json`: a public interface.
#[derive(Serialize)]
struct ShownView {
    name: String,
    grid: String,
    addresses: Vec<String>,
    selected: bool,
    role: Role,
    /// As whom it is asked.
    user: String,
    certificate: CertificateView,
    /// Where the grid's state is, if its scheduler is on this machine.
    state_dir: Option<PathBuf>,
    /// The file that `--config` named.
    config: Option<PathBuf>,
    /// What flags of earlier starts and that file set, by the file's keys.
    settings: toml::Table,
}

fn show(contexts: &Contexts, name: Option<String>, output: Format) -> anyhow::Result<()> {
    let selected = contexts.selected()?;
    let name = name.or_else(|| selected.clone()).ok_or_else(|| {
        usage("no context is selected; `wasmgrid context list` shows all contexts")
    })?;
    let (Description { grid, addresses, state_dir }, credentials) = contexts.open(&name)?;
    let state_dir = state_dir.filter(|folder| folder.exists());
    let standing = state_dir.as_deref().map(Standing::of).transpose()?.unwrap_or_default();
    let identity = credentials.identity();
    let is_selected = selected.as_ref() == Some(&name);
    if output == Format::Json {
        return table::json(&ShownView {
            name,
            grid,
            addresses,
            selected: is_selected,
            role: identity.role(),
            user: identity.name().to_owned(),
            certificate: view::certificate(&credentials.validity()),
            state_dir,
            settings: standing.all(),
            config: standing.config,
        });
    }
    let yes_or_no = if is_selected { "yes" } else { "no" };
    let mut fields = vec![
        ("name".to_owned(), name),
        ("selected".into(), yes_or_no.into()),
        ("grid".into(), grid),
        ("server".into(), addresses.join(" ")),
        ("asked as".into(), format!("{} {}", identity.role(), identity.name())),
        ("certificate".into(), table::left(&credentials.validity())),
    ];
    fields.extend(state_dir.map(|folder| ("state".into(), folder.display().to_string())));
    fields.extend(standing.rows());
    Ok(table::fields(fields.iter().map(|(name, value)| (name.as_str(), value.clone())))?)
}

/// Has a context name another address, once the scheduler of its grid has answered there.
async fn set(contexts: &Contexts, name: &str, servers: &[HostPort]) -> anyhow::Result<()> {
    let (_, credentials) = contexts.open(name)?;
    let endpoint = Endpoint::new(&credentials);
    let mut addresses = Vec::new();
    for server in servers {
        let address = server.to_string();
        let link = endpoint.connect_client(std::slice::from_ref(&address)).await;
        let link = link.with_context(|| format!("context {name:?} is unchanged"))?;
        link.sender.close("its address is known");
        addresses.push(address);
    }
    endpoint.close().await;
    contexts.set_addresses(name, addresses)
}

async fn add(
    contexts: &Contexts,
    name: &str,
    token: impl FnOnce() -> anyhow::Result<JoinToken>,
) -> anyhow::Result<()> {
    // Before the token is used: it may be good for one use alone.
    contexts.check_name(name)?;
    let token = token()?;
    if !matches!(token.role, Role::Client | Role::Operator) {
        return Err(refused(format!(
            "the token is for a {}; a context needs one of `wasmgrid token create --role client`",
            token.role
        )));
    }
    // Who has an identity of the grid already stays who that is: a user with the same jobs.
    let before = contexts.open(name).ok().map(|(_, credentials)| credentials);
    let before = before.filter(|before| {
        before.identity().grid() == token.grid && before.identity().role() == token.role
    });
    let credentials = match before {
        Some(before) => enroll_again(&token, &before).await,
        None => enroll(&token, &parts::machine_name()).await,
    };
    let credentials = credentials.map_err(unreached)?;
    let description = Description { grid: token.grid, addresses: token.addresses, state_dir: None };
    contexts.save(name, &description, &credentials)?;
    let identity = credentials.identity();
    let who = format!("{} {}", identity.role(), identity.name());
    if contexts.selected()?.is_none() {
        contexts.select(name)?;
        data!("added context {name} as {who}, which is now used").exit(Exit::Failed)
    } else {
        data!("added context {name} as {who}; `wasmgrid context use {name}` selects it")
            .exit(Exit::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_cannot_be_is_refused_before_the_token_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = Contexts::in_folder(folder.path());
        for name in ["local", "bad/name"] {
            let error =
                add(&contexts, name, || panic!("it is not asked for")).await.expect_err("refused");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
