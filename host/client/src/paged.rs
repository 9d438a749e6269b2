//! What a program asks that keeps nothing between its own requests: lists page by page, and appends
//! that another process may repeat.

use bytes::Bytes;
use wasmgrid_proto::{
    Digest, InputBlock, JobFilter, JobId, JobStatus, ModuleStatus, WorkerId, WorkerStatus,
    wire::{More, Reply, Request},
};

use crate::{Client, ClientError, client::unexpected};

impl Client {
    /// Appends inputs behind whatever a job has, as the producer of this number; gives the index that
    /// the first of them got. `number` counts the producer's requests from 1: one that repeats the last
    /// is done once, also if another process asks for it.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the job takes no more, or the number does not follow the last one.
    pub async fn append_as(
        &self,
        job: JobId,
        (producer, number): (u64, u64),
        inputs: InputBlock,
        payload: Bytes,
    ) -> Result<u64, ClientError> {
        let request = Request::Append { job, producer, number, inputs };
        match self.begin(request, payload, None).await?.await? {
            Reply::Appended { first } => Ok(first),
            _ => Err(unexpected()),
        }
    }

    /// One page of the jobs that meet the filter, the newest first, of those before `before`; at most
    /// `limit`. It may be empty, as the scheduler looks at a bounded number of jobs for it. Beside it
    /// the `before` of the next page, if there is one, and how many jobs there are from there on.
    ///
    /// # Errors
    /// As [`Client::jobs`].
    pub async fn job_page(
        &self,
        before: Option<JobId>,
        limit: u32,
        filter: &JobFilter,
    ) -> Result<(Vec<JobStatus>, Option<JobId>, More), ClientError> {
        filter.check().map_err(ClientError::Api)?;
        let request = Request::JobPage { before, limit, filter: filter.clone() };
        match self.ask(request).await? {
            Reply::JobPage { jobs, next, more } => Ok((jobs, next, more)),
            _ => Err(unexpected()),
        }
    }

    /// One page of the stored modules behind `after`, by digest, at most `limit`: those of this tenant, or
    /// of all that the client may know of. It may be empty, as the scheduler looks at a bounded number of
    /// modules for it. Beside it the `after` of the next page, if there is one.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the tenant is another's and the client no operator;
    /// [`ClientError::Unsupported`], if the scheduler is too old to be asked.
    pub async fn module_page(
        &self,
        after: Option<Digest>,
        limit: u32,
        tenant: Option<&str>,
    ) -> Result<(Vec<ModuleStatus>, Option<Digest>), ClientError> {
        let tenant = tenant.map(String::from);
        match self.ask(Request::Modules { after, limit, tenant }).await? {
            Reply::Modules { modules, next } => Ok((modules, next)),
            _ => Err(unexpected()),
        }
    }

    /// One page of the workers behind `after`, by number, as [`Client::list_workers`]; and how many
    /// there are behind the last of them.
    ///
    /// # Errors
    /// [`ClientError`], as for every question.
    pub async fn worker_page(
        &self,
        after: Option<WorkerId>,
        all: bool,
    ) -> Result<(Vec<WorkerStatus>, u64), ClientError> {
        match self.ask(Request::WorkerPage { after, all }).await? {
            Reply::WorkerPage { workers, more, .. } => Ok((workers, more)),
            _ => Err(unexpected()),
        }
    }
}
