//! Reading and writing. A call moves all that it can, buffer by buffer.

use std::ops::Range;

use super::{
    descriptors::{Descriptor, File},
    errno::{Answer, Errno},
    guest::{Buffers, Guest, Span},
};
use crate::host::HostState;

pub(super) fn read(guest: &mut Guest<'_>, fd: u32, list: Span, out: u32) -> Answer {
    let buffers = guest.buffers(list)?;
    let (memory, state) = guest.parts();
    let read = match state.descriptors()?.get_mut(fd)? {
        Descriptor::Stdin => read_input(memory, state, &buffers),
        Descriptor::File(file) => {
            let read = read_file(memory, file, file.position, &buffers)?;
            file.position = file.position.saturating_add(read.into());
            read
        }
        _ => return Err(Errno::BADF.into()),
    };
    guest.charge(read.into())?;
    guest.write_u32(out, read)
}

pub(super) fn read_at(guest: &mut Guest<'_>, fd: u32, list: Span, offset: u64, out: u32) -> Answer {
    let buffers = guest.buffers(list)?;
    let (memory, state) = guest.parts();
    let read = match state.descriptors()?.get(fd)? {
        Descriptor::File(file) => read_file(memory, file, offset, &buffers)?,
        Descriptor::Stdin => return Err(Errno::SPIPE.into()),
        _ => return Err(Errno::BADF.into()),
    };
    guest.charge(read.into())?;
    guest.write_u32(out, read)
}

/// Moves the next bytes of the input, and says how many.
fn read_input(memory: &mut [u8], state: &mut HostState, buffers: &Buffers) -> u32 {
    let mut read = 0;
    for place in &buffers.places {
        let buffer = part(memory, place);
        let taken = state.stdin.split_to(buffer.len().min(state.stdin.len()));
        if let Some(filled) = buffer.get_mut(..taken.len()) {
            filled.copy_from_slice(&taken);
        }
        read += taken.len();
        if state.stdin.is_empty() {
            break;
        }
    }
    moved(read)
}

/// Moves what the file has from `offset` on, and says how many bytes.
fn read_file(memory: &mut [u8], file: &File, offset: u64, buffers: &Buffers) -> Answer<u32> {
    let mut read = 0;
    for place in &buffers.places {
        let buffer = part(memory, place);
        let here = offset.saturating_add(read as u64);
        let filled = match file.open.read_into(buffer, here) {
            Ok(filled) => filled,
            // What came before it has moved.
            Err(_) if read > 0 => break,
            Err(error) => return Err(error.into()),
        };
        read += filled;
        if filled < buffer.len() {
            break;
        }
    }
    Ok(moved(read))
}

pub(super) fn write(guest: &mut Guest<'_>, fd: u32, list: Span, out: u32) -> Answer {
    let buffers = guest.buffers(list)?;
    guest.charge(buffers.length.into())?;
    let (memory, state) = guest.parts();
    match state.descriptors()?.get(fd)? {
        Descriptor::Stdout => {
            state.check_output(buffers.length as usize)?;
            each(memory, &buffers, |bytes| state.stdout.extend_from_slice(bytes));
        }
        Descriptor::Stderr => each(memory, &buffers, |bytes| state.log.write(bytes)),
        Descriptor::File(_) => return Err(Errno::ROFS.into()),
        Descriptor::Stdin | Descriptor::Directory(_) => return Err(Errno::BADF.into()),
    }
    guest.write_u32(out, buffers.length)
}

/// Nothing that is open can be written at a place.
pub(super) fn write_at(guest: &mut Guest<'_>, fd: u32, list: Span) -> Answer {
    let buffers = guest.buffers(list)?;
    guest.charge(buffers.length.into())?;
    Err(match guest.state().descriptors()?.get(fd)? {
        Descriptor::Stdout | Descriptor::Stderr => Errno::SPIPE,
        Descriptor::File(_) => Errno::ROFS,
        Descriptor::Stdin | Descriptor::Directory(_) => Errno::BADF,
    }
    .into())
}

fn each(memory: &[u8], buffers: &Buffers, mut with: impl FnMut(&[u8])) {
    for place in &buffers.places {
        with(memory.get(place.clone()).unwrap_or_default());
    }
}

/// A buffer of the program's.
fn part<'a>(memory: &'a mut [u8], place: &Range<usize>) -> &'a mut [u8] {
    memory.get_mut(place.clone()).unwrap_or_default()
}

/// No more is moved than the buffers hold, whose length has 32 bits.
fn moved(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
