//! The functions of a tenant.

use wasmgrid_pages::{
    Guest, Spark,
    functions::{FunctionRow, Functions},
};
use wasmgrid_proto::FunctionStatus;
use wasmgrid_views::quantile;

use super::{each_second, per_second};
use crate::{access::Access, app::App, clock::now, extract::ask, problem::Problem};

/// Functions of a page: what each shows is asked for apart.
const PAGE: usize = 50;

/// The page.
pub async fn functions(app: &App, access: &Access, cursor: &str) -> Result<Functions, Problem> {
    let all = ask(access.client.functions()).await?;
    let mut behind = all.into_iter().filter(|one| one.name.as_str() > cursor);
    let page: Vec<FunctionStatus> = behind.by_ref().take(PAGE).collect();
    let next = behind.next().and(page.last()).map(|last| last.name.clone());
    let mut rows = Vec::with_capacity(page.len());
    for function in &page {
        rows.push(row(access, function).await?);
    }
    let (cursor, base) = (cursor.to_owned(), app.site.base.clone());
    Ok(Functions { now: now(), rows, cursor, next, base })
}

/// A function, and what was counted of the job that takes its calls.
async fn row(access: &Access, function: &FunctionStatus) -> Result<FunctionRow, Problem> {
    let counted = ask(access.client.job_summary(function.job)).await?;
    let grants = counted.status.spec.task.grants.iter();
    Ok(FunctionRow {
        name: function.name.as_str().into(),
        rate: per_second(counted.pace),
        hour: Spark {
            label: "Calls that ended each second".into(),
            values: each_second(&counted.rates, |one| one.ok.saturating_add(one.failed)),
        },
        p50_us: quantile(&counted.wall_us, 50),
        p99_us: quantile(&counted.wall_us, 99),
        failed: counted.status.counts.failed,
        module: function.module,
        grants: grants.map(|grant| Guest::new(grant.to_string())).collect(),
        deployed_at: function.deployed,
    })
}
