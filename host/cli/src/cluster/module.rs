//! `wasmgrid module list`.

use wasmgrid_proto::ModuleStatus;
use wasmgrid_views::StoredModuleView;

use super::with;
use crate::{
    args::{AskArgs, Format, ModuleCommand},
    exit::Exit,
    table,
};

/// Modules of one answer.
const PAGE: u32 = 1_000;

/// Does what was asked of modules.
///
/// # Errors
/// If the cluster cannot be reached, or the role does not allow it.
pub async fn module(command: ModuleCommand) -> anyhow::Result<Exit> {
    let ModuleCommand::List { tenant, ask: AskArgs { grid, output } } = command;
    let all = with(&grid, async |client| {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = client.module_page(after, PAGE, tenant.as_deref()).await?;
            all.extend(page);
            if next.is_none() {
                return Ok(all);
            }
            after = next;
        }
    });
    let all = all.await?;
    if output == Format::Json {
        table::json(&all.iter().map(StoredModuleView::from).collect::<Vec<_>>())?;
    } else {
        let heading = ["MODULE", "KIND", "SIZE", "STORED", "JOBS", "FUNCTIONS", "TENANTS"];
        table::rows(heading, all.iter().map(row))?;
    }
    Ok(Exit::Ok)
}

fn row(one: &ModuleStatus) -> [String; 7] {
    let more = one.tenant_count.saturating_sub(one.tenants.len() as u64);
    let mut tenants = one.tenants.join(", ");
    if more > 0 {
        tenants.push_str(&format!(" and {more} more"));
    }
    [
        one.digest.to_string(),
        wasmgrid_views::kind(one.kind).into(),
        one.size.to_string(),
        one.stored.map_or_else(|| "-".into(), table::ago),
        one.jobs.to_string(),
        one.functions.to_string(),
        tenants,
    ]
}
