//! Copies the WAL into the file beside the writer, on a thread and a connection of its own: commits
//! go on meanwhile, each a few milliseconds longer, instead of waiting for all of it.

use std::{path::Path, thread};

use rusqlite::Connection;

use super::{errors::failed, schema};
use crate::StoreError;

/// A copy that is being made.
#[derive(Debug)]
pub struct Copier {
    thread: Option<thread::JoinHandle<Result<(), StoreError>>>,
    /// About how much the WAL had when it began.
    bytes: usize,
}

impl Copier {
    /// Begins to copy the WAL, which has about so many bytes.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn start(path: &Path, bytes: usize) -> std::io::Result<Self> {
        let path = path.to_owned();
        let copy = move || copy(&schema::open_copier(&path)?);
        let thread = thread::Builder::new().name("wal-copier".into()).spawn(copy)?;
        Ok(Self { thread: Some(thread), bytes })
    }

    /// True once [`Self::end`] does not wait.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    /// Waits for its end; about how many bytes were copied.
    ///
    /// # Errors
    /// If they could not be.
    pub fn end(mut self) -> Result<usize, StoreError> {
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Ok(copied)) => copied.map(|()| self.bytes),
            // It panicked: what was committed is in the WAL.
            Some(Err(_)) | None => Ok(0),
        }
    }
}

impl Drop for Copier {
    /// Nobody uses the store's files once its handle is gone.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Copies the WAL into the file, as far as no reader is in the way.
pub fn copy(connection: &Connection) -> Result<(), StoreError> {
    let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    result.map_err(failed("copying the WAL into the store"))
}
