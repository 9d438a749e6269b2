//! The program's arguments and its environment: lists of texts that end in a zero byte.

use super::{errno::Answer, guest::Guest};
use crate::host::{State, cli};

pub(super) fn get(guest: &mut Guest<'_>, pointers: u32, text: u32) -> Answer {
    let all = arguments(guest.state());
    put(guest, &all, pointers, text)
}

pub(super) fn sizes(guest: &mut Guest<'_>, count: u32, size: u32) -> Answer {
    let all = arguments(guest.state());
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

fn arguments(state: &State) -> Vec<Vec<u8>> {
    cli::arguments(state).map(<[u8]>::to_vec).collect()
}

fn environment(state: &State) -> Vec<Vec<u8>> {
    let variables = cli::variables(state).into_iter();
    variables.map(|(name, value)| format!("{name}={value}").into_bytes()).collect()
}

/// Bytes of all the texts. A job's arguments and grants are far below 4 GiB.
fn size_of(texts: &[Vec<u8>]) -> u32 {
    let bytes = texts.iter().map(|text| text.len() + 1).sum::<usize>();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn put(guest: &mut Guest<'_>, texts: &[Vec<u8>], pointers: u32, text: u32) -> Answer {
    guest.charge(size_of(texts).into())?;
    let (mut pointer_at, mut text_at) = (pointers, text);
    for text in texts {
        guest.write_u32(pointer_at, text_at)?;
        guest.write(text_at, &[text.as_slice(), &[0]].concat())?;
        text_at = text_at.saturating_add(size_of(std::slice::from_ref(text)));
        pointer_at = pointer_at.saturating_add(4);
    }
    Ok(())
}

fn put_sizes(guest: &mut Guest<'_>, texts: &[Vec<u8>], count: u32, size: u32) -> Answer {
    guest.write_u32(count, u32::try_from(texts.len()).unwrap_or(u32::MAX))?;
    guest.write_u32(size, size_of(texts))
}
