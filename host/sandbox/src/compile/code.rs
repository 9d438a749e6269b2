//! A module made ready to run, as it is held and handed over: sealed files that nobody can change any
//! more. Where the code comes from is the business of its neighbours.

use std::{
    iter,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
};

use wasmgrid_proto::{Digest, ModuleKind};

use crate::sealed::Sealed;

/// A module made ready to run, with the blobs of the job it was prepared for. Cheap to clone; the
/// code lives as long as the last clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    digest: Digest,
    kind: ModuleKind,
    code: Arc<Sealed>,
    /// In the order in which the job's spec has them.
    blobs: Vec<Arc<Sealed>>,
}

impl Prepared {
    pub(crate) const fn new(digest: Digest, kind: ModuleKind, code: Arc<Sealed>) -> Self {
        Self { digest, kind, code, blobs: Vec::new() }
    }

    /// The same, for a job with these blobs.
    pub(crate) fn with_blobs(self, blobs: Vec<Arc<Sealed>>) -> Self {
        Self { blobs, ..self }
    }

    /// The digest of the module that was submitted.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// What kind of task it is.
    #[must_use]
    pub const fn kind(&self) -> ModuleKind {
        self.kind
    }

    /// The compiled code's file, to be mapped or passed to a runner; sealed against changes.
    #[must_use]
    pub fn code(&self) -> BorrowedFd<'_> {
        self.code.as_fd()
    }

    /// The compiled code's size.
    #[must_use]
    pub fn code_bytes(&self) -> u64 {
        self.code.size_bytes()
    }

    /// What the blobs take together.
    #[must_use]
    pub fn blob_bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size_bytes()).sum()
    }

    /// All files that a runner needs: the code, and behind it the blobs.
    pub(crate) fn files(&self) -> Vec<BorrowedFd<'_>> {
        iter::once(self.code()).chain(self.blobs.iter().map(|blob| blob.as_fd())).collect()
    }
}
