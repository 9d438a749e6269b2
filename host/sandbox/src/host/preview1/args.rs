//! The program's arguments and its environment: lists of texts that end in a zero byte.

use super::{errno::Answer, guest::Guest};
use crate::host::{State, cli};

pub(super) fn get(guest: &mut Guest<'_>, pointers: u32, text: u32) -> Answer {
    let all = cli::arguments(guest.state());
    put(guest, &all, pointers, text)
}

pub(super) fn sizes(guest: &mut Guest<'_>, count: u32, size: u32) -> Answer {
    let all = cli::arguments(guest.state());
    put_sizes(guest, &all, count, size)
}

pub(super) fn variables(guest: &mut Guest<'_>, pointers: u32, text: u32) -> Answer {
    let all = environment(guest.state());
    put(guest, &all, pointers, text)
}

pub(super) fn variable_sizes(guest: &mut Guest<'_>, count: u32, size: u32) -> Answer {
    let all = environment(guest.state());
    put_sizes(guest, &all, count, size)
}

fn environment(state: &State) -> Vec<String> {
    cli::variables(state).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Bytes of all the texts. A job's arguments and grants are far below 4 GiB.
fn size_of(texts: &[String]) -> u32 {
    let bytes = texts.iter().map(|text| text.len() + 1).sum::<usize>();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn put(guest: &mut Guest<'_>, texts: &[String], pointers: u32, text: u32) -> Answer {
    guest.charge(size_of(texts).into())?;
    let (mut pointer_at, mut text_at) = (pointers, text);
    for text in texts {
        guest.write_u32(pointer_at, text_at)?;
        guest.write(text_at, &[text.as_bytes(), &[0]].concat())?;
        text_at = text_at.saturating_add(size_of(std::slice::from_ref(text)));
        pointer_at = pointer_at.saturating_add(4);
    }
    Ok(())
}

fn put_sizes(guest: &mut Guest<'_>, texts: &[String], count: u32, size: u32) -> Answer {
    guest.write_u32(count, u32::try_from(texts.len()).unwrap_or(u32::MAX))?;
    guest.write_u32(size, size_of(texts))
}
