//! Lists, a page at a time. Where the next page begins is in the answer, so that any gateway has it.

use axum::Json;
use serde::{Deserialize, Serialize};
use wasmgrid_proto::{JobFilter, JobId, JobState, WorkerId, wire::More};
use wasmgrid_views::{JobView, StoredModuleView, WorkerView};

use super::{modules::digest, workers::Around};
use crate::{
    access::Access,
    extract::{Params, ask},
    problem::Problem,
};

/// Jobs, or modules, of a page, unless fewer are asked for.
const PAGE: u32 = 50;

/// Jobs, or modules, of a page at most.
const PAGE_MAX: u32 = 1_000;

/// Which jobs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobsQuery {
    cursor: Option<u64>,
    limit: Option<u32>,
    /// Separated by commas.
    state: Option<String>,
    name: Option<String>,
    tenant: Option<String>,
}

/// Some jobs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobPage {
    /// The newest first. Any page may have fewer than were asked for, or none.
    jobs: Vec<JobView>,
    /// The `cursor` of the next page; `null` if there is none.
    next: Option<u64>,
    /// How many jobs there are from there on, as far as that is known.
    more: MoreView,
}

/// How many there are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MoreView {
    /// So many; `null` if they were not counted to their end.
    count: Option<u64>,
    /// False if not all that were counted need be wanted ones.
    exact: bool,
}

impl From<More> for MoreView {
    fn from(more: More) -> Self {
        match more {
            More::Exactly(count) => Self { count: Some(count), exact: true },
            More::AtMost(count) => Self { count: Some(count), exact: false },
            More::Many => Self { count: None, exact: false },
        }
    }
}

/// Jobs, the newest first: those of the key's tenant, or of all tenants for an operator.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    tag = "jobs",
    params(
        ("cursor" = Option<u64>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "At most so many jobs, 50 if it is left out"),
        ("state" = Option<String>, Query, pattern = "^(active|ok|failed|cancelled|expired|,)*$", description = "Only jobs in these states, separated by commas: `active`, `ok`, `failed`, `cancelled`, `expired`"),
        ("name" = Option<String>, Query, description = "Only jobs of this name, in which `*` stands for any text"),
        ("tenant" = Option<String>, Query, description = "Only jobs of this tenant"),
    ),
    responses((status = 200, body = JobPage)),
)]
pub async fn jobs(
    access: Access,
    Params(query): Params<JobsQuery>,
) -> Result<Json<JobPage>, Problem> {
    let JobsQuery { cursor, limit, state, name, tenant } = query;
    let states = state.as_deref().unwrap_or_default().split(',').filter(|state| !state.is_empty());
    let states = states.map(state_of).collect::<Result<_, _>>()?;
    let filter = JobFilter { states, name, tenant };
    let limit = limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        let detail = format!("limit: expected a number from 1 to {PAGE_MAX}, found {limit}");
        return Err(Problem::invalid("query_invalid", detail));
    }
    let page = access.client.job_page(cursor.map(JobId), limit, &filter);
    let (jobs, next, more) = ask(page).await?;
    Ok(Json(JobPage {
        jobs: jobs.iter().map(JobView::from).collect(),
        next: next.map(|job| job.0),
        more: more.into(),
    }))
}

fn state_of(name: &str) -> Result<JobState, Problem> {
    let all =
        [JobState::Active, JobState::Ok, JobState::Failed, JobState::Cancelled, JobState::Expired];
    all.into_iter().find(|state| state.to_string() == name).ok_or_else(|| {
        let detail = format!("state {name:?}: expected active, ok, failed, cancelled or expired");
        Problem::invalid("query_invalid", detail)
    })
}

/// Which modules.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModulesQuery {
    cursor: Option<String>,
    limit: Option<u32>,
    tenant: Option<String>,
}

/// Some modules.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModulePage {
    /// By digest. Any page may have fewer than were asked for, or none.
    modules: Vec<StoredModuleView>,
    /// The `cursor` of the next page; `null` if there is none.
    next: Option<String>,
}

/// Modules, by digest: those of the key's tenant, or of all tenants for an operator.
#[utoipa::path(
    get,
    path = "/v1/modules",
    tag = "modules",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "At most so many modules, 50 if it is left out, 1,000 at most"),
        ("tenant" = Option<String>, Query, description = "Only modules of this tenant"),
    ),
    responses(
        (status = 200, body = ModulePage),
        (status = 403, description = "The tenant is another's", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn modules(
    access: Access,
    Params(ModulesQuery { cursor, limit, tenant }): Params<ModulesQuery>,
) -> Result<Json<ModulePage>, Problem> {
    let after = cursor.as_deref().map(digest).transpose()?;
    let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let (found, next) = ask(access.client.module_page(after, limit, tenant.as_deref())).await?;
    let modules = found.iter().map(StoredModuleView::from).collect();
    Ok(Json(ModulePage { modules, next: next.map(|next| next.to_string()) }))
}

/// Which workers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkersQuery {
    cursor: Option<u64>,
    all: bool,
}

/// Some workers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WorkerPage {
    /// By number.
    workers: Vec<WorkerView>,
    /// The `cursor` of the next page; `null` if there is none.
    next: Option<u64>,
    /// How many there are from there on.
    more: u64,
}

/// Workers, by number; for operators.
#[utoipa::path(
    get,
    path = "/v1/workers",
    tag = "workers",
    params(
        ("cursor" = Option<u64>, Query, description = "The `next` of the page before"),
        ("all" = Option<bool>, Query, description = "True to have those too that have been gone for long"),
    ),
    responses(
        (status = 200, body = WorkerPage),
        (status = 403, description = "The key is not an operator's", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn workers(
    access: Access,
    Params(WorkersQuery { cursor, all }): Params<WorkersQuery>,
) -> Result<Json<WorkerPage>, Problem> {
    access.operator()?;
    let after = cursor.map(WorkerId);
    let (found, more) = ask(access.client.worker_page(after, all)).await?;
    let around = Around::of(&access.client).await?;
    let next = found.last().filter(|_| more > 0).map(|last| last.worker.0);
    let workers = found.iter().map(|worker| around.view(worker)).collect();
    Ok(Json(WorkerPage { workers, next, more }))
}
