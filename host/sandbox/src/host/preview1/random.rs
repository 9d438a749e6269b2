//! Random bytes, straight into the program's memory.

use super::{
    errno::Answer,
    guest::{Guest, slice_mut},
};
use crate::host::random;

pub(super) fn get(guest: &mut Guest<'_>, buffer: u32, length: u32) -> Answer {
    random::check_request(length.into())?;
    guest.charge(length.into())?;
    let (memory, state) = guest.parts();
    Ok(random::fill(state, slice_mut(memory, (buffer, length))?)?)
}
