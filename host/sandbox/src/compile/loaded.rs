//! Compiled code as a runner has it: the sealed file, mapped where it lies. The engine maps files by
//! their paths alone, and a jail has no paths; so the mapping is ours, and so is making it
//! executable. It is shared by all runners, and read as it is needed.

use std::{io, os::fd::BorrowedFd};

use rustix::{mm::MprotectFlags, param::page_size};
use wasmgrid_proto::ModuleKind;
use wasmtime::{CustomCodeMemory, Engine, Module, component::Component};

use crate::sealed::Mapped;

/// A program and the memory it lies in, which must outlive all that is made of it.
pub(crate) struct Loaded {
    // Dropped in this order.
    program: Program,
    _code: Mapped,
}

/// What the engine has of a module, by its kind.
pub(crate) enum Program {
    Component(Component),
    /// A preview 1 command.
    Core(Module),
}

impl Loaded {
    pub(crate) const fn program(&self) -> &Program {
        &self.program
    }
}

/// The program of this kind in `code`, mapped into this process. What is made of it must be dropped
/// before the value that is returned.
///
/// `code` must come from [`Prepared::code`](super::Prepared::code), in this process or handed over
/// by the agent's: that it is true compiled code is not checked, and cannot be.
///
/// # Errors
/// [`Unloadable`].
pub(crate) fn load(
    engine: &Engine,
    kind: ModuleKind,
    code: BorrowedFd<'_>,
) -> Result<Loaded, Unloadable> {
    let code = Mapped::new(code).map_err(|error| Unloadable::Host(error.to_string()))?;
    let bytes = code.place();
    // SAFETY: the bytes were written by our compiler or authenticated by the cache's key, both
    // under this engine's fingerprint; they are sealed, so that nobody changes them; and they stay
    // mapped for as long as the program, which lies before them in `Loaded`. Code of the other
    // sort is an error.
    let program = unsafe {
        match kind {
            ModuleKind::Preview1 => Module::deserialize_raw(engine, bytes).map(Program::Core),
            ModuleKind::Task | ModuleKind::Command => {
                Component::deserialize_raw(engine, bytes).map(Program::Component)
            }
        }
    }
    .map_err(|error| Unloadable::of(&error))?;
    Ok(Loaded { program, _code: code })
}

/// Why there is no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unloadable {
    /// The engine has no place for it: it will not have one the next time, nor on another machine
    /// of these settings.
    Refused(String),
    /// The system did not give what it takes.
    Host(String),
}

impl Unloadable {
    /// What the engine says comes of the program alone, since the code is known to be of this
    /// engine; but for what the system has said to it.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        let is_of_system = |cause: &(dyn std::error::Error + 'static)| {
            cause.is::<io::Error>()
                || cause.is::<rustix::io::Errno>()
                || cause.is::<wasmtime::error::OutOfMemory>()
        };
        let text = format!("{error:#}");
        if error.chain().any(is_of_system) { Self::Host(text) } else { Self::Refused(text) }
    }
}

/// Makes code executable that an engine did not map itself. What is executable is never writable.
pub(crate) struct Publisher;

impl CustomCodeMemory for Publisher {
    fn required_alignment(&self) -> usize {
        page_size()
    }

    fn publish_executable(&self, code: *const u8, length: usize) -> wasmtime::Result<()> {
        protect(code, length, MprotectFlags::READ.union(MprotectFlags::EXEC))
    }

    fn unpublish_executable(&self, code: *const u8, length: usize) -> wasmtime::Result<()> {
        protect(code, length, MprotectFlags::READ)
    }
}

fn protect(code: *const u8, length: usize, protection: MprotectFlags) -> wasmtime::Result<()> {
    // SAFETY: the engine passes whole pages of code of its own, to which it has no reference that
    // could be written through.
    unsafe { rustix::mm::mprotect(code.cast_mut().cast(), length, protection)? };
    Ok(())
}
