//! `wasmgrid tenant list|show|set`: what tenants have of a grid, may have and have used.

use wasmgrid_client::{Client, ClientError};
use wasmgrid_proto::{ByteCount, Fuel, Millis, Resource, TenantStatus, UsageTotal, Use};
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
            list(&with(&grid, async |client| Ok(tenants(client).await?)).await?, output)?;
        }
        TenantCommand::Show { name, ask: AskArgs { grid, output } } => {
            let tenants = with(&grid, async |client| Ok(tenants(client).await?)).await?;
            let tenant =
                tenants.iter().find(|tenant| tenant.status.name == name).ok_or_else(|| {
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

/// A tenant, with what its tasks have used if the scheduler is new enough to count it.
struct Tenant {
    status: TenantStatus,
    usage: Option<UsageTotal>,
}

impl Tenant {
    fn view(&self) -> TenantView<'_> {
        TenantView::new(&self.status, self.usage)
    }
}

async fn tenants(client: &Client) -> Result<Vec<Tenant>, ClientError> {
    let all = client.tenants().await?;
    let usage = match client.usage().await {
        Ok(usage) => Some(usage),
        Err(ClientError::Unsupported { .. }) => None,
        Err(error) => return Err(error),
    };
    let of = |status: &TenantStatus| {
        let used = usage.as_ref()?.iter().find(|used| used.name == status.name);
        Some(used.map(|used| used.usage).unwrap_or_default())
    };
    Ok(all.into_iter().map(|status| Tenant { usage: of(&status), status }).collect())
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

fn list(tenants: &[Tenant], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&tenants.iter().map(Tenant::view).collect::<Vec<_>>());
    }
    let row = |Tenant { status, usage }: &Tenant| {
        let cell = |resource| {
            let found = status.uses.iter().find(|one| one.resource == resource);
            found.map(of_allowed).unwrap_or_default()
        };
        let [bytes, jobs, open, waiting, running] = COLUMNS.map(cell);
        let ended = usage.map_or_else(String::new, |usage| usage.ended.total().to_string());
        let fuel = usage.map_or_else(String::new, |usage| Fuel(usage.cost.fuel).to_string());
        [status.name.clone(), bytes, jobs, open, waiting, running, ended, fuel]
    };
    let heading = [
        "TENANT",
        "BYTES",
        "JOBS",
        "OPEN JOBS",
        "WAITING TASKS",
        "RUNNING TASKS",
        "ENDED TASKS",
        "FUEL IN ALL",
    ];
    Ok(table::rows(heading, tenants.iter().map(row))?)
}

fn show(tenant: &Tenant, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&tenant.view());
    }
    let row = |one: &Use| {
        let Use { resource, used, allowed, own } = *one;
        let allowed = allowed.map_or_else(|| "no bound".into(), |most| resource.amount(most));
        let set = if own { "set for it" } else { "default" };
        [resource.name().into(), resource.amount(used), allowed, set.into()]
    };
    let total = |(name, used)| [String::from(name), used, String::new(), SINCE.into()];
    let totals = tenant.usage.map(totals).into_iter().flatten().map(total);
    let rows = tenant.status.uses.iter().map(row).chain(totals);
    Ok(table::rows(["RESOURCE", "USED", "ALLOWED", ""], rows)?)
}

/// Of what is counted for good.
const SINCE: &str = "since its first job";

/// What a tenant's tasks have used, each with its name.
fn totals(usage: UsageTotal) -> [(&'static str, String); 5] {
    let UsageTotal { ended, cost, input_bytes } = usage;
    let ways = ended.by_name().into_iter().filter(|(_, tasks)| *tasks > 0);
    let ways: Vec<String> = ways.map(|(name, tasks)| format!("{tasks} {name}")).collect();
    let tasks = if ways.is_empty() { "none".into() } else { ways.join(", ") };
    [
        ("ended-tasks", tasks),
        ("fuel", Fuel(cost.fuel).to_string()),
        ("wall-time", Millis(cost.wall_us / 1_000).to_string()),
        ("input-bytes", ByteCount(input_bytes).to_string()),
        ("result-bytes", ByteCount(cost.bytes).to_string()),
    ]
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
