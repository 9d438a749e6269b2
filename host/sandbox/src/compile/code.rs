//! Compiled code as it is held and handed over: a sealed memory file that nobody can change any
//! more. Where the code comes from is the business of its neighbours.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use rustix::fs::{MemfdFlags, SealFlags};
use wasmgrid_proto::{Digest, ModuleKind};

use crate::SandboxError;

/// A module made ready to run. Cheap to clone; the code lives as long as the last clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    digest: Digest,
    kind: ModuleKind,
    code: Arc<Code>,
}

impl Prepared {
    pub(crate) const fn new(digest: Digest, kind: ModuleKind, code: Arc<Code>) -> Self {
        Self { digest, kind, code }
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
        self.code.file.as_fd()
    }

    /// The compiled code's size.
    #[must_use]
    pub fn code_bytes(&self) -> u64 {
        self.code.size_bytes
    }
}

/// Against every change.
pub(super) const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// Compiled code in a sealed memory file.
#[derive(Debug)]
pub(crate) struct Code {
    file: File,
    size_bytes: u64,
}

impl Code {
    /// An empty memory file, to be written and then given to [`Code::seal`].
    pub(crate) fn create() -> Result<File, SandboxError> {
        rustix::fs::memfd_create(
            "wasmgrid-code",
            MemfdFlags::CLOEXEC.union(MemfdFlags::ALLOW_SEALING),
        )
        .map(File::from)
        .map_err(|error| SandboxError::Memory(error.into()))
    }

    /// Closes `file` against every change, by whoever else still has it open.
    pub(crate) fn seal(file: File) -> Result<Self, SandboxError> {
        rustix::fs::fcntl_add_seals(&file, SEALS)
            .map_err(|error| SandboxError::Memory(error.into()))?;
        let size_bytes = file.metadata().map_err(SandboxError::Memory)?.len();
        Ok(Self { file, size_bytes })
    }

    /// Takes the code out of `file`, which is empty and open for more then.
    pub(crate) fn take_from(file: &mut File) -> Result<Self, SandboxError> {
        let mut bytes = Vec::new();
        let taken = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        taken.and_then(|_| file.set_len(0)).map_err(SandboxError::Memory)?;
        file.rewind().map_err(SandboxError::Memory)?;
        Self::from_bytes(&bytes)
    }

    /// Sealed code of these bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SandboxError> {
        let mut file = Self::create()?;
        file.write_all(bytes).map_err(SandboxError::Memory)?;
        Self::seal(file)
    }

    /// All of the code, copied out.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = vec![0; usize::try_from(self.size_bytes).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}
