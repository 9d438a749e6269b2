//! What a program does with paths beneath a directory of its own. Nothing can be changed there.

use wasmtime_wasi::p2::bindings::sync::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

use super::{
    descriptors::Descriptor,
    errno::{Answer, Errno},
    fd::check_times,
    guest::{Guest, Span, text},
    record::{self, flags, rights},
};

/// A path in a directory, and how links at its end are taken.
pub(super) struct At {
    pub(super) fd: u32,
    pub(super) lookup: u32,
    pub(super) path: Span,
}

/// How something is opened.
pub(super) struct Opening {
    pub(super) how: u32,
    pub(super) rights: u64,
    pub(super) flags: u32,
}

impl At {
    fn flags(&self) -> Answer<PathFlags> {
        match self.lookup {
            0 => Ok(PathFlags::empty()),
            1 => Ok(PathFlags::SYMLINK_FOLLOW),
            _ => Err(Errno::INVAL.into()),
        }
    }
}

impl Opening {
    /// What preview 1 says by the bits 0 to 3.
    fn how(&self) -> Answer<OpenFlags> {
        let all =
            [OpenFlags::CREATE, OpenFlags::DIRECTORY, OpenFlags::EXCLUSIVE, OpenFlags::TRUNCATE];
        if self.how >> all.len() != 0 || self.flags & !flags::ALL != 0 {
            return Err(Errno::INVAL.into());
        }
        let set = (0..).zip(all).filter(|(bit, _)| self.how & (1 << bit) != 0);
        Ok(set.fold(OpenFlags::empty(), |flags, (_, flag)| flags | flag))
    }

    const fn wants(&self) -> DescriptorFlags {
        if self.rights & rights::WRITE == 0 {
            DescriptorFlags::READ
        } else {
            DescriptorFlags::WRITE
        }
    }
}

pub(super) fn open(guest: &mut Guest<'_>, at: At, opening: Opening, out: u32) -> Answer {
    let (follow, how) = (at.flags()?, opening.how()?);
    guest.charge_text(at.path)?;
    let (memory, state) = guest.parts();
    let path = text(memory, at.path)?;
    let descriptors = state.descriptors()?;
    let directory = match descriptors.get(at.fd)? {
        Descriptor::Directory(directory) => directory,
        Descriptor::File(_) => return Err(Errno::NOTDIR.into()),
        _ => return Err(Errno::BADF.into()),
    };
    let found = directory.open.open_at(path, follow, how, opening.wants())?;
    let fd = descriptors.push(found, opening.flags)?;
    guest.write_u32(out, fd)
}

pub(super) fn status(guest: &mut Guest<'_>, at: At, out: u32) -> Answer {
    let follow = at.flags()?.contains(PathFlags::SYMLINK_FOLLOW);
    guest.charge_text(at.path)?;
    let (memory, state) = guest.parts();
    let directory = state.descriptors()?.directory(at.fd)?;
    let stat = directory.open.stat_at(text(memory, at.path)?, follow)?;
    guest.write(out, record::file_status(&stat).bytes())
}

/// Gives as much of a link as the program has room for.
pub(super) fn read_link(
    guest: &mut Guest<'_>,
    fd: u32,
    path: Span,
    (buffer, room): Span,
    out: u32,
) -> Answer {
    guest.charge_text(path)?;
    let (memory, state) = guest.parts();
    let directory = state.descriptors()?.directory(fd)?;
    let target = directory.open.link_at(text(memory, path)?)?;
    let shown = target.as_bytes().get(..room as usize).unwrap_or(target.as_bytes());
    guest.charge(shown.len() as u64)?;
    guest.write(buffer, shown)?;
    guest.write_u32(out, u32::try_from(shown.len()).unwrap_or(u32::MAX))
}

/// The answer to what would change something at these paths in these directories.
pub(super) fn change(guest: &mut Guest<'_>, directories: &[u32], paths: &[Span]) -> Answer {
    for path in paths {
        guest.charge_text(*path)?;
        text(guest.memory(), *path)?;
    }
    let descriptors = guest.state().descriptors()?;
    for fd in directories {
        descriptors.directory(*fd)?;
    }
    Err(Errno::ROFS.into())
}

pub(super) fn set_times(guest: &mut Guest<'_>, fd: u32, path: Span, times: u32) -> Answer {
    check_times(times)?;
    change(guest, &[fd], &[path])
}
