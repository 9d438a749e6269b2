//! Inputs of tasks whose results are shown, fetched some at a time.

use wasmgrid_client::{Client, StoredInputs};
use wasmgrid_proto::{JobId, TaskRange};

use crate::{
    answer::STALL_TIME,
    bounds::shares::{Room, Share},
    counted::{self, Beside},
    problem::Problem,
};

/// Tasks whose inputs are asked for at once: results of neighbours mostly come together.
const AHEAD: u64 = 4_096;

/// The inputs of a job that were fetched last.
pub struct Stored {
    job: JobId,
    share: Share,
    /// Of these tasks it is known which input each has, or that it is deleted.
    known: Option<Known>,
}

struct Known {
    tasks: TaskRange,
    inputs: StoredInputs,
    room: Room,
}

impl Stored {
    /// Of a job, for somebody with a share of what is held.
    pub const fn new(job: JobId, share: Share) -> Self {
        Self { job, share, known: None }
    }

    /// Fetches what is needed to know a task's input.
    ///
    /// # Errors
    /// If the scheduler has no answer, or there is no room for it.
    pub async fn fetch(&mut self, client: &Client, index: u64) -> Result<(), Problem> {
        if self.known.as_ref().is_some_and(|known| known.tasks.contains(index)) {
            return Ok(());
        }
        // It needs no room any more.
        self.known = None;
        let wanted = TaskRange { first: index, count: AHEAD };
        // It is seldom: streams that wait do not have its state with them.
        let found = Box::pin(counted::inputs(
            client,
            &self.share,
            self.job,
            wanted,
            (Beside::AResult, STALL_TIME),
        ));
        let (inputs, room) = found.await?;
        let tasks = match inputs.tasks() {
            none if none.count == 0 => wanted,
            found => TaskRange::between(index, found.end()),
        };
        self.known = Some(Known { tasks, inputs, room });
        Ok(())
    }

    /// Lets go of what others of the tenant wait for, once its result was written.
    pub fn rest(&mut self) {
        self.known.take_if(|known| known.room.is_beyond());
    }

    /// The input of a task that was fetched; `None` if it was deleted.
    pub fn input(&self, index: u64) -> Option<bytes::Bytes> {
        self.known.as_ref()?.inputs.input(index)
    }
}
