//! Inputs of tasks whose results are shown, fetched some at a time.

use wasmgrid_client::{Client, StoredInputs};
use wasmgrid_proto::{JobId, TaskRange};
use wasmgrid_views::Data;

use crate::{extract::ask, problem::Problem};

/// Tasks whose inputs are asked for at once: results of neighbours mostly come together.
const AHEAD: u64 = 4_096;

/// The inputs of a job that were fetched last.
pub struct Stored {
    job: JobId,
    /// Of these tasks it is known which input each has, or that it is deleted.
    known: Option<(TaskRange, StoredInputs)>,
}

impl Stored {
    /// Of a job.
    pub const fn new(job: JobId) -> Self {
        Self { job, known: None }
    }

    /// Fetches what is needed to know a task's input.
    ///
    /// # Errors
    /// If the scheduler has no answer.
    pub async fn fetch(&mut self, client: &Client, index: u64) -> Result<(), Problem> {
        if self.known.as_ref().is_some_and(|(tasks, _)| tasks.contains(index)) {
            return Ok(());
        }
        let wanted = TaskRange { first: index, count: AHEAD };
        let found = ask(client.inputs(self.job, wanted)).await?;
        let tasks = match found.tasks() {
            none if none.count == 0 => wanted,
            found => TaskRange::between(index, found.end()),
        };
        self.known = Some((tasks, found));
        Ok(())
    }

    /// The input of a task that was fetched; `None` if it was deleted.
    pub fn input(&self, index: u64) -> Option<bytes::Bytes> {
        self.known.as_ref()?.1.input(index)
    }
}

/// An input as results show it.
pub fn shown(input: Option<&bytes::Bytes>) -> Option<Data<'_>> {
    input.map(|bytes| Data::from(&bytes[..]))
}
