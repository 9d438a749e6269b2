//! What a runner shows of itself at every moment: a page of memory it shares with its agent. So
//! the agent knows without a message what runs, and whose fault it was when the runner has died.
//!
//! The agent believes nothing of it but which task ran: these are plain numbers, and a runner
//! that lies harms its own tasks alone.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    mm::{MapFlags, ProtFlags},
};

const PAGE_BYTES: usize = 4_096;

/// Not yet told.
const NO_PROGRESS: u64 = u64::MAX;

#[repr(C)]
struct Page {
    /// The batch whose task runs; 0 while none does.
    batch: AtomicU64,
    index: AtomicU64,
    started_us: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    /// When the running task was cancelled; 0 while it is not.
    cancelled_us: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Board {
    fd: OwnedFd,
    page: NonNull<Page>,
}

// SAFETY: the page is mapped as long as the board lives, and is only reached through atomics.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

/// What a board shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The number of the batch, not 0.
    pub(crate) batch: u64,
    pub(crate) index: u64,
    pub(crate) started_us: u64,
    pub(crate) progress: Option<(u64, u64)>,
}

impl Board {
    /// A new, empty one.
    pub(crate) fn create() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC.union(MemfdFlags::ALLOW_SEALING);
        let fd = rustix::fs::memfd_create("wasmgrid-board", flags)?;
        rustix::fs::ftruncate(&fd, PAGE_BYTES as u64)?;
        // Where it could be cut, a runner could kill its agent: reading behind the end is fatal.
        let seals = SealFlags::GROW.union(SealFlags::SHRINK).union(SealFlags::SEAL);
        rustix::fs::fcntl_add_seals(&fd, seals)?;
        Self::map(fd)
    }

    /// The one that was made by the other side.
    pub(crate) fn map(fd: OwnedFd) -> io::Result<Self> {
        if rustix::fs::fstat(&fd)?.st_size != PAGE_BYTES as i64 {
            return Err(io::Error::other("the board is not one page"));
        }
        let protection = ProtFlags::READ.union(ProtFlags::WRITE);
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let page = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                protection,
                MapFlags::SHARED,
                &fd,
                0,
            )?
        };
        let page = NonNull::new(page.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { fd, page })
    }

    /// To be passed to the other side.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// A task begins.
    pub(crate) fn begin(&self, batch: u64, index: u64, now_us: u64) {
        let page = self.page();
        page.index.store(index, Ordering::Relaxed);
        page.started_us.store(now_us, Ordering::Relaxed);
        page.done.store(NO_PROGRESS, Ordering::Relaxed);
        page.batch.store(batch, Ordering::Release);
    }

    /// The task has ended.
    pub(crate) fn end(&self) {
        self.page().batch.store(0, Ordering::Release);
    }

    /// The running task is so far.
    pub(crate) fn progress(&self, done: u64, total: u64) {
        self.page().total.store(total, Ordering::Relaxed);
        self.page().done.store(done.min(NO_PROGRESS - 1), Ordering::Relaxed);
    }

    /// The running task was cancelled at this time; 0 forgets it.
    pub(crate) fn cancel(&self, now_us: u64) {
        self.page().cancelled_us.store(now_us, Ordering::SeqCst);
    }

    /// When the running task was cancelled; 0 while it is not.
    pub(crate) fn cancelled_us(&self) -> u64 {
        self.page().cancelled_us.load(Ordering::Relaxed)
    }

    /// What runs. While the runner goes on, parts of it may be of two tasks.
    pub(crate) fn shown(&self) -> Option<Shown> {
        let page = self.page();
        let batch = page.batch.load(Ordering::Acquire);
        let done = page.done.load(Ordering::Relaxed);
        let total = page.total.load(Ordering::Relaxed);
        (batch != 0).then(|| Shown {
            batch,
            index: page.index.load(Ordering::Relaxed),
            started_us: page.started_us.load(Ordering::Relaxed),
            progress: (done != NO_PROGRESS).then_some((done, total)),
        })
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping is a whole, aligned, zeroed page, which is larger than `Page`; it
        // lives as long as `self`; all bit patterns are valid for atomics.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length, and no reference outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_task_that_runs() {
        let agent = Board::create().expect("memory");
        let fd = agent.fd().try_clone_to_owned().expect("a descriptor");
        let runner = Board::map(fd).expect("memory");
        assert_eq!(agent.shown(), None);
        runner.begin(3, 7, 1_000);
        let shown = Shown { batch: 3, index: 7, started_us: 1_000, progress: None };
        assert_eq!(agent.shown(), Some(shown));
        runner.progress(1, 4);
        assert_eq!(agent.shown(), Some(Shown { progress: Some((1, 4)), ..shown }));
        runner.end();
        assert_eq!(agent.shown(), None);
    }

    #[test]
    fn a_runner_cannot_cut_the_page_under_its_agent() {
        let board = Board::create().expect("memory");
        assert!(rustix::fs::ftruncate(board.fd(), 0).is_err());
    }
}
