//! `wasmgrid key create|list|revoke`: keys with which programs use a cluster over HTTP.

use anyhow::Context as _;
use serde::Serialize;
use wasmgrid_client::Client;
use wasmgrid_net::Role;
use wasmgrid_proto::{KeyStatus, Micros, Millis};
use wasmgrid_views::KeyView;

use super::with;
use crate::{
    args::{AskArgs, Format, KeyArgs, KeyCommand},
    exit::{Exit, WithExit as _},
    print::data,
    table,
};

/// Does what was asked of keys.
///
/// # Errors
/// If the cluster cannot be reached, has no such key, or the role does not allow it.
pub async fn key(command: KeyCommand) -> anyhow::Result<Exit> {
    match command {
        KeyCommand::Create(args) => create(args).await?,
        KeyCommand::List { ask: AskArgs { grid, output } } => {
            let keys = with(&grid, async |client| Ok(client.keys().await?)).await?;
            list(&keys, output)?;
        }
        KeyCommand::Revoke { key, grid } => {
            with(&grid, async |client| Ok(client.revoke_key(key.0).await?)).await?;
        }
    }
    Ok(Exit::Ok)
}

/// A key that was made, as `--output json` has it: a public interface.
#[derive(Serialize)]
struct MadeView<'a> {
    /// The key itself.
    key: String,
    #[serde(flatten)]
    status: KeyView<'a>,
}

/// Makes a key and prints it.
async fn create(args: KeyArgs) -> anyhow::Result<()> {
    let KeyArgs { tenant, role, ttl, name, ask: AskArgs { grid, output } } = args;
    let (role, name) = (Role::from(role), name.as_deref());
    let create = async |client: &Client| Ok(client.create_key(&tenant, role, name, ttl).await?);
    let (status, key) = with(&grid, create).await?;
    let printed = match output {
        Format::Text => data!("{}", key.text()).map_err(Into::into),
        Format::Json => {
            let (key, status) = (key.text(), KeyView::from(&status));
            table::json(&MadeView { key, status })
        }
    };
    printed
        .with_context(|| {
            let id = status.id;
            format!("a key was made that nobody has; revoke it with `wasmgrid key revoke {id}`")
        })
        .exit(Exit::Failed)
}

fn list(keys: &[KeyStatus], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&keys.iter().map(KeyView::from).collect::<Vec<_>>());
    }
    let row = |key: &KeyStatus| {
        [
            key.id.to_string(),
            key.tenant.to_string(),
            key.role.to_string(),
            key.name.to_string(),
            key.kind.to_string(),
            table::ago(key.created),
            ends(key),
            used(key.last_used()),
        ]
    };
    let heading = ["ID", "TENANT", "ROLE", "NAME", "KIND", "CREATED", "EXPIRES", "LAST USED"];
    Ok(table::rows(heading, keys.iter().map(row))?)
}

/// Until when a key is good, or why it is not.
fn ends(key: &KeyStatus) -> String {
    match key.expires.map(|at| at.since(table::now())) {
        _ if key.revoked => "revoked".into(),
        None => "never".into(),
        Some(Millis(0)) => "over".into(),
        Some(left) => format!("in {}", table::seconds(left)),
    }
}

/// The day of a date, as much as is known of the last use.
fn used(day: Option<Micros>) -> String {
    day.map_or_else(|| "-".into(), |day| day.to_string().chars().take(DATE_LENGTH).collect())
}

/// Characters of a date without its time: `2026-12-01`.
const DATE_LENGTH: usize = 10;

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{KeyId, KeyKind};

    use super::*;

    #[test]
    fn a_key_is_listed_with_how_long_it_is_good_and_the_day_of_its_last_use() {
        let key = KeyStatus {
            id: KeyId(7),
            tenant: "ada".into(),
            role: Role::Client,
            name: "ci".into(),
            created: Micros(0),
            expires: None,
            last_used_day: Some(20_788),
            kind: KeyKind::Key,
            revoked: false,
        };
        assert_eq!(ends(&key), "never");
        assert_eq!(ends(&KeyStatus { expires: Some(Micros(1)), ..key.clone() }), "over");
        let soon = Some(table::now().after(Millis(90_500)));
        let shown = ends(&KeyStatus { expires: soon, ..key.clone() });
        assert!(["in 1m30s", "in 1m29s"].contains(&&*shown), "{shown}");
        assert_eq!(ends(&KeyStatus { revoked: true, ..key.clone() }), "revoked");
        assert_eq!(used(key.last_used()), "2026-12-01");
        assert_eq!(used(None), "-");
    }
}
