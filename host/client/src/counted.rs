//! What a scheduler counts: of all, of jobs and of workers, and what tenants have used.

use wasmgrid_proto::{
    JobFilter, JobId, JobRow, JobSummary, Metrics, Overview, TenantUsage, WorkerFilter, WorkerId,
    WorkerRow,
    wire::{More, Reply, Request},
};

use crate::{Client, ClientError, client::unexpected};

impl Client {
    /// What the scheduler counts of its work; for operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the role does not allow it; [`ClientError::Unsupported`], if the
    /// scheduler is too old to be asked.
    pub async fn metrics(&self) -> Result<Metrics, ClientError> {
        match self.ask(Request::Metrics).await? {
            Reply::Metrics(metrics) => Ok(*metrics),
            _ => Err(unexpected()),
        }
    }

    /// What the tasks of each tenant have used since the grid's first job, by name; for a client those
    /// of its own tenant. All of them, also if one answer does not hold them.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`], if the scheduler is too old to be asked.
    pub async fn usage(&self) -> Result<Vec<TenantUsage>, ClientError> {
        let mut all: Vec<TenantUsage> = Vec::new();
        loop {
            let after = all.last().map(|last| last.name.clone());
            match self.ask(Request::Usage { after }).await? {
                Reply::Usage { tenants, more } => {
                    let is_last = more == 0 || tenants.is_empty();
                    all.extend(tenants);
                    if is_last {
                        return Ok(all);
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// One job with what the scheduler counted of it: its failures in groups, its rate, how long its
    /// tasks took and the most that they used of each limit.
    ///
    /// # Errors
    /// [`ClientError::Api`], if there is no such job; [`ClientError::Unsupported`], if the scheduler is
    /// too old to be asked.
    pub async fn job_summary(&self, job: JobId) -> Result<JobSummary, ClientError> {
        match self.ask(Request::JobSummary { job }).await? {
            Reply::JobSummary(summary) => Ok(*summary),
            _ => Err(unexpected()),
        }
    }

    /// How the grid is; of a client its own tenant's part.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`], if the scheduler is too old to be asked.
    pub async fn overview(&self) -> Result<Overview, ClientError> {
        match self.ask(Request::Overview).await? {
            Reply::Overview(overview) => Ok(*overview),
            _ => Err(unexpected()),
        }
    }

    /// One page of the jobs that meet the filter, the newest first: those submitted before `before`,
    /// from the newest on without one. A page may have fewer jobs than `limit`, or none; the second
    /// value is the `before` of the next page, and `None` if there is none.
    ///
    /// # Errors
    /// [`ClientError::Api`], if another tenant's are asked for and the role does not allow it, or a
    /// text of the filter is too long; [`ClientError::Unsupported`], if the scheduler is too old to be
    /// asked.
    pub async fn job_rows(
        &self,
        before: Option<JobId>,
        limit: u32,
        filter: &JobFilter,
    ) -> Result<(Vec<JobRow>, Option<JobId>, More), ClientError> {
        filter.check().map_err(ClientError::Api)?;
        let filter = filter.clone();
        match self.ask(Request::JobRows { before, limit, filter }).await? {
            Reply::JobRows { jobs, next, more } => Ok((jobs, next, more)),
            _ => Err(unexpected()),
        }
    }

    /// One page of the workers that meet the filter, by number: those behind `after`, from the first on
    /// without one. A page may have fewer workers than `limit`, or none; the second value is the
    /// `after` of the next page, and `None` if there is none.
    ///
    /// # Errors
    /// [`ClientError::Api`], if a text of the filter is too long; [`ClientError::Unsupported`], if the
    /// scheduler is too old to be asked.
    pub async fn worker_rows(
        &self,
        after: Option<WorkerId>,
        limit: u32,
        filter: &WorkerFilter,
    ) -> Result<(Vec<WorkerRow>, Option<WorkerId>), ClientError> {
        filter.check().map_err(ClientError::Api)?;
        let filter = filter.clone();
        match self.ask(Request::WorkerRows { after, limit, filter }).await? {
            Reply::WorkerRows { workers, next } => Ok((workers, next)),
            _ => Err(unexpected()),
        }
    }
}
