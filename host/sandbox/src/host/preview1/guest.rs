//! The program that called: its memory, in which every pointer and length is checked, and the
//! task's state beside it.

use std::ops::Range;

use wasmtime::{Memory, Trap};

use super::errno::{Answer, Errno};
use crate::host::{Caller, HostState, take_fuel};

/// The most buffers that one call reads into or writes from: those behind them are left for the
/// program's next call, as always when a call moves less than it was asked to.
const BUFFERS_MAX: usize = 1_024;

/// A pointer and a length, as a program gives them.
pub(super) type Span = (u32, u32);

/// See the module.
pub(super) struct Guest<'a> {
    store: Caller<'a>,
    memory: Memory,
}

/// Buffers of the program's that lie in its memory.
pub(super) struct Buffers {
    pub(super) places: Vec<Range<usize>>,
    /// Bytes of all of them.
    pub(super) length: u32,
}

impl<'a> Guest<'a> {
    pub(super) fn new(store: Caller<'a>, memory: Memory) -> Self {
        Self { store, memory }
    }

    /// The memory, and the state of the task.
    pub(super) fn parts(&mut self) -> (&mut [u8], &mut HostState) {
        self.memory.data_and_store_mut(&mut self.store)
    }

    pub(super) fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    pub(super) fn state(&mut self) -> &mut HostState {
        self.store.data_mut()
    }

    /// Takes the fuel of moving `bytes`; the call itself is paid for.
    pub(super) fn charge(&mut self, bytes: u64) -> Answer {
        Ok(take_fuel(&mut self.store, bytes)?)
    }

    /// A text of the program's, looked at and paid for; [`text`] reads it.
    pub(super) fn charge_text(&mut self, span: Span) -> Answer {
        slice(self.memory(), span)?;
        self.charge(span.1.into())
    }

    /// The buffers of a list of `count` at `list`, each a pointer and a length. The list is paid for
    /// as far as it is read: buffers of nothing are no work otherwise.
    pub(super) fn buffers(&mut self, (list, count): Span) -> Answer<Buffers> {
        const ENTRY_BYTES: usize = 8;
        let size = (count as usize).saturating_mul(ENTRY_BYTES);
        let all = range(self.memory(), list, size)?;
        let list = all.start..all.start + size.min(BUFFERS_MAX * ENTRY_BYTES);
        self.charge(list.len() as u64)?;
        let memory = self.memory();
        let entries = memory.get(list).unwrap_or_default().chunks_exact(ENTRY_BYTES);
        let mut buffers = Buffers { places: Vec::with_capacity(entries.len().min(4)), length: 0 };
        for entry in entries {
            let (at, length) = (number(entry, 0), number(entry, 4));
            // One of nothing may point anywhere.
            if length > 0 {
                buffers.places.push(range(memory, at, length as usize)?);
                buffers.length = buffers.length.checked_add(length).ok_or(Errno::INVAL)?;
            }
        }
        Ok(buffers)
    }

    pub(super) fn write(&mut self, at: u32, bytes: &[u8]) -> Answer {
        let memory = self.memory.data_mut(&mut self.store);
        let place = range(memory, at, bytes.len())?;
        if let Some(place) = memory.get_mut(place) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    pub(super) fn write_u32(&mut self, at: u32, number: u32) -> Answer {
        self.write(at, &number.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, at: u32, number: u64) -> Answer {
        self.write(at, &number.to_le_bytes())
    }
}

/// Where so many bytes lie, if all of them are in the memory.
pub(super) fn range(memory: &[u8], at: u32, length: usize) -> Result<Range<usize>, Trap> {
    let start = at as usize;
    let end = start.checked_add(length).filter(|end| *end <= memory.len());
    end.map(|end| start..end).ok_or(Trap::MemoryOutOfBounds)
}

pub(super) fn slice(memory: &[u8], (at, length): Span) -> Result<&[u8], Trap> {
    Ok(memory.get(range(memory, at, length as usize)?).unwrap_or_default())
}

pub(super) fn slice_mut(memory: &mut [u8], (at, length): Span) -> Result<&mut [u8], Trap> {
    let place = range(memory, at, length as usize)?;
    Ok(memory.get_mut(place).unwrap_or_default())
}

/// A text of the program's.
pub(super) fn text(memory: &[u8], span: Span) -> Answer<&str> {
    Ok(str::from_utf8(slice(memory, span)?).map_err(|_| Errno::ILSEQ)?)
}

/// The number at a place of a record, whose length was looked at.
pub(super) fn number(record: &[u8], at: usize) -> u32 {
    let bytes = record.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    u32::from_le_bytes(bytes)
}

/// The same of eight bytes.
pub(super) fn wide_number(record: &[u8], at: usize) -> u64 {
    let bytes = record.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_all_in_the_memory_is_nowhere() {
        let memory = [7; 16];
        assert_eq!(slice(&memory, (0, 16)), Ok(&memory[..]));
        assert_eq!(slice(&memory, (16, 0)), Ok(&[][..]), "the end of the memory is in it");
        for (at, length) in
            [(0, 17), (16, 1), (17, 0), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)]
        {
            assert_eq!(slice(&memory, (at, length)), Err(Trap::MemoryOutOfBounds), "{at} {length}");
        }
        assert_eq!(range(&memory, 8, usize::MAX), Err(Trap::MemoryOutOfBounds));
    }
}
