//! Files in memory that nobody can change any more, and their place in a process that maps one: how
//! compiled code and blobs are held once and handed to every runner, also those in a jail, which has
//! no paths.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    ops::Deref,
    os::fd::{AsFd, BorrowedFd},
    ptr::{self, NonNull},
    slice,
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    mm::{MapFlags, ProtFlags},
};

use crate::SandboxError;

/// Against every change.
const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// A file in memory, closed against every change.
#[derive(Debug)]
pub(crate) struct Sealed {
    file: File,
    size_bytes: u64,
}

impl Sealed {
    /// An empty memory file, to be written and then given to [`Sealed::seal`].
    pub(crate) fn create() -> Result<File, SandboxError> {
        rustix::fs::memfd_create(
            "wasmgrid-sealed",
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

    /// Takes what is in `file`, which is empty and open for more then.
    pub(crate) fn take_from(file: &mut File) -> Result<Self, SandboxError> {
        let mut bytes = Vec::new();
        let taken = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        taken.and_then(|_| file.set_len(0)).map_err(SandboxError::Memory)?;
        file.rewind().map_err(SandboxError::Memory)?;
        Self::from_bytes(&bytes)
    }

    /// A sealed file of these bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SandboxError> {
        let mut file = Self::create()?;
        file.write_all(bytes).map_err(SandboxError::Memory)?;
        Self::seal(file)
    }

    /// How many bytes it has.
    pub(crate) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// All of it, copied out.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = vec![0; usize::try_from(self.size_bytes).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A sealed file as it lies in this process, where it is not copied to.
#[derive(Debug)]
pub(crate) struct Mapped {
    at: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone, and nobody writes to it.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// # Errors
    /// Where it is not sealed, is empty, or the system does not give a place for it.
    pub(crate) fn new(file: BorrowedFd<'_>) -> io::Result<Self> {
        // Another could be changed or cut while it is used.
        if !rustix::fs::fcntl_get_seals(file)?.contains(SEALS) {
            return Err(io::Error::other("the file is not sealed"));
        }
        let length = usize::try_from(rustix::fs::fstat(file)?.st_size).map_err(io::Error::other)?;
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let at = unsafe {
            rustix::mm::mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?
        };
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { at, length })
    }

    /// Where it lies.
    pub(crate) const fn place(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.at, self.length)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped in `new` with this length and as long as `self` lives, to be read, of a
        // file that nobody can change or cut.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length, and no reference outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_lies_where_it_is_mapped_and_cannot_be_changed() {
        let sealed = Sealed::from_bytes(b"the same for all").expect("memory");
        let mapped = Mapped::new(sealed.as_fd()).expect("a place");
        assert_eq!(&mapped[..], b"the same for all");
        assert!((&sealed.file).write_all(b"another").is_err());
        assert!(sealed.file.set_len(3).is_err());
        assert_eq!((sealed.size_bytes(), sealed.read().expect("read")), (16, mapped.to_vec()));
    }

    #[test]
    fn what_is_not_sealed_or_has_nothing_is_not_mapped() {
        let mut open = Sealed::create().expect("memory");
        open.write_all(b"x").expect("written");
        assert!(Mapped::new(open.as_fd()).is_err());
        let empty = Sealed::from_bytes(b"").expect("memory");
        assert!(Mapped::new(empty.as_fd()).is_err());
    }
}
