//! A job's blobs in a runner: mapped where they lie, once for all tasks.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use wasmgrid_proto::{Digest, Outcome, TaskSpec};

use super::outcome;
use crate::sealed::Mapped;

/// Blobs kept mapped: what is mapped takes no memory of the runner's, but is not given back while it
/// is.
const KEPT_MAX: usize = 8;

/// The blobs that the tasks of one job can read.
pub(crate) struct Blobs(Vec<(String, Arc<Mapped>)>);

impl Blobs {
    /// The one of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, blob)| &blob[..])
    }
}

/// Blobs of the last jobs; those used last stand last.
#[derive(Default)]
pub(super) struct MappedBlobs(Vec<(Digest, Arc<Mapped>)>);

impl MappedBlobs {
    /// The spec's blobs, whose files these are; `None` where it has none.
    ///
    /// # Errors
    /// The outcome of all its tasks, where the system does not give a place for them.
    pub(super) fn ready(
        &mut self,
        spec: &TaskSpec,
        files: &[OwnedFd],
    ) -> Result<Option<Arc<Blobs>>, Outcome> {
        if spec.blobs.is_empty() {
            return Ok(None);
        }
        let mut blobs = Vec::with_capacity(files.len());
        for (blob, file) in spec.blobs.iter().zip(files) {
            blobs.push((blob.name.clone(), self.mapped(blob.digest, file)?));
        }
        let too_many = self.0.len().saturating_sub(KEPT_MAX);
        self.0.drain(..too_many);
        Ok(Some(Arc::new(Blobs(blobs))))
    }

    fn mapped(&mut self, digest: Digest, file: &OwnedFd) -> Result<Arc<Mapped>, Outcome> {
        let place = self.0.iter().position(|(kept, _)| *kept == digest);
        let mapped = match place.map(|place| self.0.remove(place)) {
            Some((_, mapped)) => mapped,
            None => Arc::new(Mapped::new(file.as_fd()).map_err(|error| {
                Outcome::Lost(outcome::bounded(format!("a blob could not be mapped: {error}")))
            })?),
        };
        self.0.push((digest, Arc::clone(&mapped)));
        Ok(mapped)
    }
}
