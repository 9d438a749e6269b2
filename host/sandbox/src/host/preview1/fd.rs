//! What a program asks of a descriptor beside its bytes: status, flags, place, number.

use super::{
    descriptors::{Descriptor, Directory},
    errno::{Answer, Errno},
    guest::Guest,
    record::{self, FileType, flags, rights},
};

/// How many kinds of advice there are.
const ADVICES: u32 = 6;

/// Where a place in a file is counted from.
const FROM_START: u32 = 0;
const FROM_HERE: u32 = 1;
const FROM_END: u32 = 2;

/// The flags of new times: each is given, is now, or stays.
const ACCESS: u32 = 1;
const ACCESS_NOW: u32 = 1 << 1;
const MODIFICATION: u32 = 1 << 2;
const MODIFICATION_NOW: u32 = 1 << 3;

pub(super) fn advise(guest: &mut Guest<'_>, fd: u32, advice: u32) -> Answer {
    if advice >= ADVICES {
        return Err(Errno::INVAL.into());
    }
    guest.state().descriptors()?.file(fd)?;
    Ok(())
}

pub(super) fn allocate(guest: &mut Guest<'_>, fd: u32) -> Answer {
    guest.state().descriptors()?.file(fd)?;
    Err(Errno::NOTSUP.into())
}

pub(super) fn close(guest: &mut Guest<'_>, fd: u32) -> Answer {
    Ok(guest.state().descriptors()?.close(fd)?)
}

/// What is only read is always as the disk has it.
pub(super) fn sync(guest: &mut Guest<'_>, fd: u32) -> Answer {
    guest.state().descriptors()?.file(fd)?;
    Ok(())
}

pub(super) fn renumber(guest: &mut Guest<'_>, from: u32, to: u32) -> Answer {
    Ok(guest.state().descriptors()?.renumber(from, to)?)
}

pub(super) fn status(guest: &mut Guest<'_>, fd: u32, out: u32) -> Answer {
    let same = |rights| (rights, rights);
    let (kind, set, rights) = match guest.state().descriptors()?.get(fd)? {
        Descriptor::Stdin => (FileType::UNKNOWN, 0, same(rights::READ)),
        Descriptor::Stdout | Descriptor::Stderr => (FileType::UNKNOWN, 0, same(rights::WRITE)),
        Descriptor::Directory(Directory { granted_as: Some(_), .. }) => {
            (FileType::DIRECTORY, 0, (rights::PREOPENED, rights::INHERITED))
        }
        Descriptor::Directory(_) => {
            let not = rights::WRITE | rights::SEEK | rights::SET_SIZE | rights::PATH_SET_SIZE;
            (FileType::DIRECTORY, 0, same(rights::ALL & !not))
        }
        Descriptor::File(file) => {
            (file.open.kind.into(), file.flags, same(rights::ALL & !rights::WRITE))
        }
    };
    guest.write(out, record::descriptor_status(kind, set, rights).bytes())
}

pub(super) fn set_flags(guest: &mut Guest<'_>, fd: u32, set: u32) -> Answer {
    let Descriptor::File(file) = guest.state().descriptors()?.get_mut(fd)? else {
        return Err(Errno::BADF.into());
    };
    if set & !flags::ALL != 0 || set & (flags::DSYNC | flags::RSYNC | flags::SYNC) != 0 {
        return Err(Errno::INVAL.into());
    }
    file.flags = set & (flags::APPEND | flags::NONBLOCK);
    Ok(())
}

pub(super) fn set_rights(guest: &mut Guest<'_>, fd: u32) -> Answer {
    guest.state().descriptors()?.open(fd)?;
    Err(Errno::NOTSUP.into())
}

pub(super) fn file_status(guest: &mut Guest<'_>, fd: u32, out: u32) -> Answer {
    let found = match guest.state().descriptors()?.get(fd)? {
        Descriptor::Directory(directory) => record::file_status(&directory.open.stat()?),
        Descriptor::File(file) => record::file_status(&file.open.stat()?),
        _ => record::stream_status(),
    };
    guest.write(out, found.bytes())
}

pub(super) fn set_size(guest: &mut Guest<'_>, fd: u32) -> Answer {
    guest.state().descriptors()?.file(fd)?;
    Err(Errno::ROFS.into())
}

pub(super) fn set_times(guest: &mut Guest<'_>, fd: u32, times: u32) -> Answer {
    check_times(times)?;
    guest.state().descriptors()?.open(fd)?;
    Err(Errno::ROFS.into())
}

/// Fails where a time is given and is to be now as well.
pub(super) fn check_times(times: u32) -> Result<(), Errno> {
    let both = |one, other| times & one != 0 && times & other != 0;
    let known = ACCESS | ACCESS_NOW | MODIFICATION | MODIFICATION_NOW;
    if times & !known != 0 || both(ACCESS, ACCESS_NOW) || both(MODIFICATION, MODIFICATION_NOW) {
        return Err(Errno::INVAL);
    }
    Ok(())
}

pub(super) fn preopened(guest: &mut Guest<'_>, fd: u32, out: u32) -> Answer {
    let Descriptor::Directory(Directory { granted_as: Some(name), .. }) =
        guest.state().descriptors()?.get(fd)?
    else {
        return Err(Errno::BADF.into());
    };
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    guest.write(out, record::preopened(length).bytes())
}

pub(super) fn preopened_name(guest: &mut Guest<'_>, fd: u32, at: u32, room: u32) -> Answer {
    let Descriptor::Directory(Directory { granted_as: Some(name), .. }) =
        guest.state().descriptors()?.get(fd)?
    else {
        return Err(Errno::NOTDIR.into());
    };
    if name.len() > room as usize {
        return Err(Errno::NAMETOOLONG.into());
    }
    let name = name.clone();
    guest.charge(name.len() as u64)?;
    guest.write(at, name.as_bytes())
}

pub(super) fn seek(guest: &mut Guest<'_>, fd: u32, offset: i64, whence: u32, out: u32) -> Answer {
    let file = guest.state().descriptors()?.seekable(fd)?;
    let from = match whence {
        FROM_START => 0,
        FROM_HERE => file.position,
        FROM_END => u64::try_from(file.open.stat()?.st_size).unwrap_or_default(),
        _ => return Err(Errno::INVAL.into()),
    };
    let position = from.checked_add_signed(offset).ok_or(Errno::INVAL)?;
    file.position = position;
    guest.write_u64(out, position)
}

pub(super) fn tell(guest: &mut Guest<'_>, fd: u32, out: u32) -> Answer {
    let position = guest.state().descriptors()?.seekable(fd)?.position;
    guest.write_u64(out, position)
}
