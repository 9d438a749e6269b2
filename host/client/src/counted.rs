//! What a scheduler counts, and what tenants have used.

use wasmgrid_proto::{
    Metrics, TenantUsage,
    wire::{Reply, Request},
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
}
