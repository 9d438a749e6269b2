//! `wasmgrid client list|remove`: who asks a grid for work.

use serde::Serialize;
use wasmgrid_net::Role;
use wasmgrid_proto::MemberStatus;

use super::with;
use crate::{
    args::{ClientCommand, Format},
    exit::Exit,
    table,
};

/// A client or operator, as `--output json` has it: a public interface.
#[derive(Serialize)]
struct ClientView<'a> {
    name: &'a str,
    role: Role,
    /// Whose jobs it sees.
    tenant: &'a str,
    /// What its machine calls itself; empty where it did not join with a token.
    machine: &'a str,
    joined_at_us: u64,
    links: u64,
    /// `null` where it was not linked since the scheduler started.
    seen_at_us: Option<u64>,
}

/// Does what was asked of clients.
///
/// # Errors
/// Where the cluster cannot be reached, has no such client, or the role does not allow it.
pub async fn client(command: ClientCommand) -> anyhow::Result<Exit> {
    match command {
        ClientCommand::List { grid, output } => {
            let members = with(&grid, async |client| Ok(client.members().await?)).await?;
            list(&members, output)?;
        }
        ClientCommand::Remove { name, role, grid } => {
            with(&grid, async |client| Ok(client.remove(role.into(), &name).await?)).await?;
        }
    }
    Ok(Exit::Ok)
}

fn list(members: &[MemberStatus], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&members.iter().map(ClientView::from).collect::<Vec<_>>());
    }
    let row = |member: &MemberStatus| {
        let seen = match (member.links, member.seen_at) {
            (1.., _) => "linked".into(),
            (0, Some(at)) => table::ago(at),
            (0, None) => "-".into(),
        };
        [
            member.name.clone(),
            member.role.to_string(),
            member.tenant.clone(),
            member.machine.clone(),
            table::ago(member.joined_at),
            seen,
        ]
    };
    let heading = ["NAME", "ROLE", "TENANT", "MACHINE", "JOINED", "SEEN"];
    Ok(table::rows(heading, members.iter().map(row))?)
}

impl<'a> From<&'a MemberStatus> for ClientView<'a> {
    fn from(member: &'a MemberStatus) -> Self {
        let MemberStatus { role, name, tenant, machine, joined_at, links, seen_at } = member;
        Self {
            name,
            role: *role,
            tenant,
            machine,
            joined_at_us: joined_at.0,
            links: *links,
            seen_at_us: seen_at.map(|at| at.0),
        }
    }
}
