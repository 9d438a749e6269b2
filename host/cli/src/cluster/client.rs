//! `wasmgrid client list|remove`: who asks a grid for work.

use wasmgrid_proto::MemberStatus;
use wasmgrid_views::ClientView;

use super::with;
use crate::{
    args::{AskArgs, ClientCommand, Format},
    exit::Exit,
    table,
};

/// Does what was asked of clients.
///
/// # Errors
/// Where the cluster cannot be reached, has no such client, or the role does not allow it.
pub async fn client(command: ClientCommand) -> anyhow::Result<Exit> {
    match command {
        ClientCommand::List { ask: AskArgs { grid, output } } => {
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
