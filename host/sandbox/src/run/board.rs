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
use wasmgrid_proto::{Limits, Usage};

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
    /// What the running task has used, as far as it is counted.
    fuel: AtomicU64,
    memory_bytes: AtomicU64,
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
    fuel: u64,
    memory_bytes: u64,
}

impl Shown {
    /// What the task used at least, where it was ended by force at `ended_us`: as it was told last,
    /// and no more than it may, whatever the page says.
    pub(crate) fn usage(&self, limits: &Limits, ended_us: u64) -> Usage {
        Usage {
            fuel: self.fuel.min(limits.fuel.0),
            memory_bytes: self.memory_bytes.min(limits.memory.0),
            wall_us: ended_us.saturating_sub(self.started_us),
        }
    }
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
        page.fuel.store(0, Ordering::Relaxed);
        page.memory_bytes.store(0, Ordering::Relaxed);
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

    /// The running task has used so much fuel.
    pub(crate) fn fuel(&self, used: u64) {
        self.page().fuel.store(used, Ordering::Relaxed);
    }

    /// The running task has had so much memory.
    pub(crate) fn memory(&self, peak_bytes: u64) {
        self.page().memory_bytes.store(peak_bytes, Ordering::Relaxed);
    }

    /// Shows of the running task what another board shows of it.
    pub(crate) fn follow(&self, shown: Shown) {
        if let Some((done, total)) = shown.progress {
            self.progress(done, total);
        }
        self.fuel(shown.fuel);
        self.memory(shown.memory_bytes);
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
            fuel: page.fuel.load(Ordering::Relaxed),
            memory_bytes: page.memory_bytes.load(Ordering::Relaxed),
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
        let shown = Shown {
            batch: 3,
            index: 7,
            started_us: 1_000,
            progress: None,
            fuel: 0,
            memory_bytes: 0,
        };
        assert_eq!(agent.shown(), Some(shown));
        runner.progress(1, 4);
        runner.fuel(5);
        runner.memory(6);
        let further = Shown { progress: Some((1, 4)), fuel: 5, memory_bytes: 6, ..shown };
        assert_eq!(agent.shown(), Some(further));
        let nested = Board::create().expect("memory");
        nested.begin(3, 7, 1_000);
        nested.follow(further);
        assert_eq!(nested.shown(), Some(further));
        runner.end();
        assert_eq!(agent.shown(), None);
    }

    #[test]
    fn a_runner_cannot_claim_more_than_its_task_may_use() {
        let board = Board::create().expect("memory");
        board.begin(1, 0, 1_000);
        board.fuel(u64::MAX);
        board.memory(u64::MAX);
        let limits = Limits::default();
        let usage = board.shown().expect("a task").usage(&limits, 3_000);
        let most = Usage { fuel: limits.fuel.0, memory_bytes: limits.memory.0, wall_us: 2_000 };
        assert_eq!(usage, most);
    }

    #[test]
    fn a_runner_cannot_cut_the_page_under_its_agent() {
        let board = Board::create().expect("memory");
        assert!(rustix::fs::ftruncate(board.fd(), 0).is_err());
    }
}
