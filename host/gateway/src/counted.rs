//! What is read from the grid for an answer, counted as the asker's from when it has come.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use wasmgrid_client::{Client, ClientError, JobEvent, JobStream, Room, StoredInputs, Taken};
use wasmgrid_proto::{JobId, JobStatus, TaskRange};

use crate::{
    answer::{PIECE, no_room},
    bounds::shares::{self, Share},
    extract::ask,
    problem::Problem,
};

/// Room for the results of one stream.
struct OfStream {
    share: Share,
    /// What was waited for.
    taken: Mutex<Option<shares::Room>>,
}

impl OfStream {
    fn set(&self, room: Option<shares::Room>) -> Option<shares::Room> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut taken, room)
    }
}

impl Room for OfStream {
    fn take(&self, bytes: u64) -> Option<Taken> {
        let waited = self.set(None);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Some(Arc::new(Mutex::new(self.share.fit(waited, bytes).ok()?)))
    }
}

/// A job's results. Where there is no room for what comes, it is let go of, and asked for again once
/// there is.
pub struct Results {
    client: Client,
    job: JobId,
    /// Behind the last result that was brought.
    position: u64,
    room: Arc<OfStream>,
    stream: JobStream,
    /// There was no room for so many bytes.
    wanted: Option<usize>,
    patience: Duration,
}

impl Results {
    /// From a position of the log on; room is waited for so long.
    ///
    /// # Errors
    /// As the scheduler says.
    pub async fn watch(
        client: &Client,
        share: &Share,
        job: JobId,
        cursor: u64,
        patience: Duration,
    ) -> Result<(JobStatus, Self), ClientError> {
        let room = Arc::new(OfStream { share: share.clone(), taken: Mutex::default() });
        let (status, stream) = watch(client, job, cursor, &room).await?;
        let client = client.clone();
        Ok((status, Self { client, job, position: cursor, room, stream, wanted: None, patience }))
    }

    /// True if it waits for room.
    pub const fn waits(&self) -> bool {
        self.wanted.is_some()
    }

    /// What comes next. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<JobEvent, ClientError>> {
        loop {
            if let Some(bytes) = self.wanted
                // It is seldom: streams that wait do not have its state with them.
                && let Err(error) = Box::pin(self.again(bytes)).await
            {
                return Some(Err(error));
            }
            match self.stream.next().await {
                Some(Err(ClientError::NoRoom { bytes })) => {
                    self.wanted = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
                }
                Some(Ok(JobEvent::Results { first_cursor, block, payload })) => {
                    self.position = first_cursor + block.results.len() as u64;
                    return Some(Ok(JobEvent::Results { first_cursor, block, payload }));
                }
                other => return other,
            }
        }
    }

    /// Goes on once there is room.
    async fn again(&mut self, bytes: usize) -> Result<(), ClientError> {
        // What an earlier try has waited for is not held meanwhile.
        self.room.set(None);
        let room = self.room.share.take(bytes, self.patience).await;
        self.room.set(Some(room.ok_or(ClientError::NoRoom { bytes: bytes as u64 })?));
        (_, self.stream) = watch(&self.client, self.job, self.position, &self.room).await?;
        self.wanted = None;
        Ok(())
    }
}

async fn watch(
    client: &Client,
    job: JobId,
    cursor: u64,
    room: &Arc<OfStream>,
) -> Result<(JobStatus, JobStream), ClientError> {
    client.watch_in(job, cursor, Arc::clone(room) as Arc<dyn Room>).await
}

/// What is held while room for inputs is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// A result, which is written with its input.
    AResult,
}

/// Stored inputs of a job, and the room that they take.
///
/// # Errors
/// If the scheduler has no answer, or there is no room for it.
pub async fn inputs(
    client: &Client,
    share: &Share,
    job: JobId,
    tasks: TaskRange,
    (beside, patience): (Beside, Duration),
) -> Result<(StoredInputs, shares::Room), Problem> {
    let mut room = None;
    loop {
        let found = ask(client.inputs(job, tasks)).await?;
        match share.fit(room.take(), found.bytes()) {
            Ok(room) => return Ok((found, room)),
            // It is let go of, and asked for again.
            Err(bytes) => {
                drop(found);
                // So is what was waited for, before there is more.
                let taken = match beside {
                    Beside::Nothing => share.take(bytes, patience).await,
                    Beside::AResult => share.take_beyond(bytes, patience).await,
                };
                room = Some(taken.ok_or_else(no_room)?);
            }
        }
    }
}

/// The input of one task, as long as the grid keeps it. It owns its room.
///
/// # Errors
/// As [`inputs`].
pub async fn input(
    client: &Client,
    share: &Share,
    job: JobId,
    index: u64,
    patience: Duration,
) -> Result<Option<Bytes>, Problem> {
    let (found, room) =
        inputs(client, share, job, TaskRange::one(index), (Beside::Nothing, patience)).await?;
    Ok(found.input(index).map(|input| room.keep(input)))
}

/// The part of a message that is answered with. A small one does not hold the message with it.
pub fn part(bytes: Bytes) -> Bytes {
    if bytes.len() > PIECE { bytes } else { Bytes::copy_from_slice(&bytes) }
}
