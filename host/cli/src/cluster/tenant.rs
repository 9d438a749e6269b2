//! `wasmgrid tenant list|show|set`: what tenants have of a grid, and what they may have.

use wasmgrid_proto::{Resource, TenantStatus, Use};
use wasmgrid_views::TenantView;

use super::with;
use crate::{
    args::{AskArgs, Format, QuotaSetting, TenantCommand},
    exit::{Exit, usage},
    table,
};

/// Does what was asked of tenants.
///
/// # Errors
/// Where the cluster cannot be reached, has no such tenant, or the role does not allow it.
pub async fn tenant(command: TenantCommand) -> anyhow::Result<Exit> {
    match command {
        TenantCommand::List { ask: AskArgs { grid, output } } => {
            let tenants = with(&grid, async |client| Ok(client.tenants().await?)).await?;
            list(&tenants, output)?;
        }
        TenantCommand::Show { name, ask: AskArgs { grid, output } } => {
            let tenants = with(&grid, async |client| Ok(client.tenants().await?)).await?;
            let tenant = tenants.iter().find(|tenant| tenant.name == name).ok_or_else(|| {
                usage(format!("there is no tenant {name:?} here; see `wasmgrid tenant list`"))
            })?;
            show(tenant, output)?;
        }
        TenantCommand::Set { name, quotas, grid } => {
            if let Some(resource) = repeated(&quotas) {
                let resource = resource.name();
                return Err(usage(format!(
                    "{resource} is given twice; expected each resource once"
                )));
            }
            with(&grid, async |client| {
                for quota in &quotas {
                    client.set_quota(&name, quota.resource, quota.allowed).await?;
                }
                Ok(())
            })
            .await?;
        }
    }
    Ok(Exit::Ok)
}

/// The resource that is set a second time, if one is.
fn repeated(quotas: &[QuotaSetting]) -> Option<Resource> {
    let mut rest = quotas;
    while let [first, others @ ..] = rest {
        if others.iter().any(|other| other.resource == first.resource) {
            return Some(first.resource);
        }
        rest = others;
    }
    None
}

/// What a list has a column for; `tenant show` has the others.
const COLUMNS: [Resource; 5] = [
    Resource::Bytes,
    Resource::Jobs,
    Resource::OpenJobs,
    Resource::WaitingTasks,
    Resource::RunningTasks,
];

fn list(tenants: &[TenantStatus], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&tenants.iter().map(TenantView::from).collect::<Vec<_>>());
    }
    let row = |tenant: &TenantStatus| {
        let cell = |resource| {
            let found = tenant.uses.iter().find(|one| one.resource == resource);
            found.map(of_allowed).unwrap_or_default()
        };
        let [bytes, jobs, open, waiting, running] = COLUMNS.map(cell);
        [tenant.name.clone(), bytes, jobs, open, waiting, running]
    };
    let heading = ["TENANT", "BYTES", "JOBS", "OPEN JOBS", "WAITING TASKS", "RUNNING TASKS"];
    Ok(table::rows(heading, tenants.iter().map(row))?)
}

fn show(tenant: &TenantStatus, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&TenantView::from(tenant));
    }
    let row = |one: &Use| {
        let Use { resource, used, allowed, own } = *one;
        let allowed = allowed.map_or_else(|| "no bound".into(), |most| resource.amount(most));
        let set = if own { "set for it" } else { "default" };
        [resource.name().into(), resource.amount(used), allowed, set.into()]
    };
    Ok(table::rows(["RESOURCE", "USED", "ALLOWED", ""], tenant.uses.iter().map(row))?)
}

fn of_allowed(one: &Use) -> String {
    let used = one.resource.amount(one.used);
    one.allowed.map_or(used.clone(), |most| format!("{used} of {}", one.resource.amount(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_that_is_set_twice_is_found() {
        let all = |texts: &[&str]| -> Vec<QuotaSetting> {
            texts.iter().map(|text| text.parse().expect("a quota")).collect()
        };
        assert_eq!(repeated(&all(&["jobs=1", "bytes=1GiB", "jobs=2"])), Some(Resource::Jobs));
        assert_eq!(repeated(&all(&["jobs=1", "open-jobs=1"])), None);
    }
}
