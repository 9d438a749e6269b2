//! What operators do with a worker, and what is shown beside it.

use std::collections::BTreeMap;

use axum::Json;
use wasmgrid_client::{Client, ClientError, Validity};
use wasmgrid_proto::{Contest, Micros, Reason, WorkerStatus, wire::Role};
use wasmgrid_views::{CertificateView, Vouched, WorkerView};

use crate::{
    access::Access,
    clock::now,
    extract::{At, ask},
    problem::Problem,
};

/// What else is known of workers.
pub struct Around {
    contests: Vec<Contest>,
    vouched: Vouched,
    certificates: BTreeMap<String, Validity>,
}

impl Around {
    /// Asks for it.
    ///
    /// # Errors
    /// If the scheduler has no answer.
    pub async fn of(client: &Client) -> Result<Self, Problem> {
        let contests = ask(client.contests()).await?;
        let (keys, workers) = ask(client.vouched()).await?;
        let certificates = ask(async {
            match client.authority().await {
                // A grid in one process has none.
                Err(ClientError::Api(error)) if *error.reason == Reason::NoAuthority => {
                    Ok(Vec::new())
                }
                status => Ok(status?.certificates),
            }
        });
        let of_workers = certificates.await?.into_iter().filter(|one| one.role == Role::Worker);
        let certificates = of_workers
            .map(|one| (one.name, Validity { issued: one.issued, ends: one.ends }))
            .collect();
        Ok(Self { contests, vouched: Vouched { keys, workers }, certificates })
    }

    /// When a worker's certificate ends; `None` if it has none.
    pub fn certificate_of(&self, name: &str) -> Option<Micros> {
        self.certificates.get(name).map(|validity| validity.ends)
    }

    /// A worker with it.
    pub fn view(&self, worker: &WorkerStatus) -> WorkerView {
        let contest = self.contests.iter().find(|contest| contest.name == worker.name);
        let certificate = self.certificates.get(&worker.name).map(|validity| CertificateView {
            ends_at_us: validity.ends.0,
            ends_soon: validity.warn_at() <= now(),
        });
        WorkerView::new(worker, contest, &self.vouched, certificate)
    }
}

/// One worker; for operators.
#[utoipa::path(
    get,
    path = "/v1/workers/{name}",
    tag = "workers",
    params(("name" = String, Path, description = "Its name")),
    responses(
        (status = 200, body = WorkerView),
        (status = 404, description = "There is no such worker", body = crate::schemas::ProblemView, content_type = "application/problem+json"),
    ),
)]
pub async fn worker(access: Access, At(name): At<String>) -> Result<Json<WorkerView>, Problem> {
    access.operator()?;
    let worker = ask(access.client.worker(&name)).await?;
    let around = Around::of(&access.client).await?;
    Ok(Json(around.view(&worker)))
}

/// Give a worker no new tasks; it keeps what it has.
#[utoipa::path(
    post,
    path = "/v1/workers/{name}/cordon",
    tag = "workers",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The worker", body = WorkerView)),
)]
pub async fn cordon(access: Access, At(name): At<String>) -> Result<Json<WorkerView>, Problem> {
    ask(access.client.cordon(&name, true)).await?;
    worker(access, At(name)).await
}

/// Give a worker tasks again, after a cordon or a drain.
#[utoipa::path(
    post,
    path = "/v1/workers/{name}/uncordon",
    tag = "workers",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The worker", body = WorkerView)),
)]
pub async fn uncordon(access: Access, At(name): At<String>) -> Result<Json<WorkerView>, Problem> {
    ask(access.client.cordon(&name, false)).await?;
    worker(access, At(name)).await
}

/// Give a worker no new tasks; it finishes what it has begun and gives back the rest.
#[utoipa::path(
    post,
    path = "/v1/workers/{name}/drain",
    tag = "workers",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The worker", body = WorkerView)),
)]
pub async fn drain(access: Access, At(name): At<String>) -> Result<Json<WorkerView>, Problem> {
    ask(access.client.drain(&name)).await?;
    worker(access, At(name)).await
}
