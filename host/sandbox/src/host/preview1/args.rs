//! The program's arguments and its environment: lists of texts that end in a zero byte.

use super::{errno::Answer, guest::Guest};
use crate::host::{HostState, cli};

/// What a text costs beside its bytes: to copy one that is empty takes about as long as so many
/// instructions, and a job may have thousands of them.
const TEXT_FUEL: u64 = 64;

pub(super) fn get(guest: &mut Guest<'_>, pointers: u32, text: u32) -> Answer {
    let sizes = Sizes::of(argument_lengths(guest.state()));
    guest.charge(sizes.copying())?;
    let all: Vec<_> = cli::arguments(guest.state()).map(<[u8]>::to_vec).collect();
    put(guest, all, pointers, text)
}

pub(super) fn sizes(guest: &mut Guest<'_>, count: u32, size: u32) -> Answer {
    let sizes = Sizes::of(argument_lengths(guest.state()));
    put_sizes(guest, &sizes, count, size)
}

pub(super) fn variables(guest: &mut Guest<'_>, pointers: u32, text: u32) -> Answer {
    let sizes = Sizes::of(variable_lengths(guest.state()));
    guest.charge(sizes.copying())?;
    let all = cli::variables(guest.state());
    let all: Vec<_> = all.map(|(name, value)| format!("{name}={value}").into_bytes()).collect();
    put(guest, all, pointers, text)
}

pub(super) fn variable_sizes(guest: &mut Guest<'_>, count: u32, size: u32) -> Answer {
    let sizes = Sizes::of(variable_lengths(guest.state()));
    put_sizes(guest, &sizes, count, size)
}

fn argument_lengths(state: &HostState) -> impl Iterator<Item = usize> {
    cli::arguments(state).map(<[u8]>::len)
}

fn variable_lengths(state: &HostState) -> impl Iterator<Item = usize> {
    cli::variables(state).map(|(name, value)| name.len() + 1 + value.len())
}

/// How many texts there are, and their bytes with the zero behind each.
struct Sizes {
    count: u64,
    bytes: u64,
}

impl Sizes {
    /// Looks at the lengths alone: a program may ask for them again and again.
    fn of(lengths: impl Iterator<Item = usize>) -> Self {
        let add = |sum: Self, length: usize| Self {
            count: sum.count + 1,
            bytes: sum.bytes.saturating_add(length as u64 + 1),
        };
        lengths.fold(Self { count: 0, bytes: 0 }, add)
    }

    /// The fuel of copying all of them.
    const fn copying(&self) -> u64 {
        self.bytes.saturating_add(self.count.saturating_mul(TEXT_FUEL))
    }
}

fn put(guest: &mut Guest<'_>, texts: Vec<Vec<u8>>, pointers: u32, text: u32) -> Answer {
    let (mut pointer_at, mut text_at) = (pointers, text);
    for mut text in texts {
        text.push(0);
        guest.write_u32(pointer_at, text_at)?;
        guest.write(text_at, &text)?;
        text_at = text_at.saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
        pointer_at = pointer_at.saturating_add(4);
    }
    Ok(())
}

fn put_sizes(guest: &mut Guest<'_>, sizes: &Sizes, count: u32, size: u32) -> Answer {
    guest.charge(sizes.count)?;
    // A job's arguments and grants are far below 4 GiB.
    guest.write_u32(count, u32::try_from(sizes.count).unwrap_or(u32::MAX))?;
    guest.write_u32(size, u32::try_from(sizes.bytes).unwrap_or(u32::MAX))
}
