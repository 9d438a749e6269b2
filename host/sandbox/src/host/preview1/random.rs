//! Random bytes, straight into the program's memory.

use super::{
    errno::Answer,
    guest::{Guest, slice_mut},
};
use crate::host::random::check_request;

pub(super) fn get(guest: &mut Guest<'_>, buffer: u32, length: u32) -> Answer {
    check_request(length.into())?;
    guest.charge(length.into())?;
    let (memory, state) = guest.parts();
    Ok(state.random().secure.fill(slice_mut(memory, (buffer, length))?)?)
}
