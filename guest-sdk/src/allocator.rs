//! The guest's memory: an arena inside the module's initial memory first, `memory.grow` after.
//!
//! Every task has a fresh instance, and the first `memory.grow` of an instance costs more than a
//! small task does (system calls and page faults on the host). A task that fits the arena never
//! grows. The arena is zeroed static data, so it is no byte of the `.wasm` and asks for no linker
//! flag; a page of it that is not touched costs nothing.

use core::alloc::Layout;
use core::arch::wasm32::{memory_grow, memory_size};
use core::mem::MaybeUninit;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// With a stack of 128 KiB below it (a link argument, see the README) and a usual task's data, the
/// whole stays within 256 KiB, which is what a runner clears and keeps between tasks. Memory above
/// that goes back to the kernel after each task, and costs page faults in the next.
const ARENA_BYTES: usize = 64 << 10;

/// A page of linear memory, by the WebAssembly specification.
const PAGE_BYTES: usize = 64 << 10;

/// The least to grow by: a task that outgrows the arena wants much, and each grow is a call out
/// of the sandbox.
const STEP_PAGES: usize = 16;

/// For an allocation of any size: room for talc's tags around it and for its table of free lists.
const OVERHEAD_BYTES: usize = 4 << 10;

static mut ARENA: [MaybeUninit<u8>; ARENA_BYTES] = [MaybeUninit::uninit(); ARENA_BYTES];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<Memory, WasmBinning> =
    TalcSyncCell::new_wasm(Memory { arena_is_free: true });

/// Where the allocator gets memory from.
#[derive(Debug)]
struct Memory {
    arena_is_free: bool,
}

// SAFETY: `acquire` allocates nothing and reports success only after a successful claim.
unsafe impl Source for Memory {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let (base, bytes) = if core::mem::take(&mut talc.source.arena_is_free) {
            ((&raw mut ARENA).cast(), ARENA_BYTES)
        } else {
            grow(layout)?
        };
        // SAFETY: nothing but the allocator names the arena, and it is claimed once; grown pages
        // are new, and libc, which grows too, leaves pages alone that it did not get itself.
        let claimed = unsafe { talc.claim(base, bytes) };
        claimed.map(|_| ()).ok_or(())
    }
}

/// Grows by a step, or, where the limit does not allow one, by what the allocation needs.
fn grow(layout: Layout) -> Result<(*mut u8, usize), ()> {
    let wanted = layout.size().checked_add(layout.align() + OVERHEAD_BYTES).ok_or(())?;
    let needed = wanted.div_ceil(PAGE_BYTES);
    [needed.max(STEP_PAGES), needed]
        .into_iter()
        .find_map(|pages| {
            let before = memory_size::<0>();
            let grown = memory_grow::<0>(pages) != usize::MAX;
            grown.then_some(((before * PAGE_BYTES) as *mut u8, pages * PAGE_BYTES))
        })
        .ok_or(())
}
