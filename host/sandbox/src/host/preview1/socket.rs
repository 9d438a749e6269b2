//! Sockets, of which no task is given any: what is open is something else.

use super::{
    errno::{Answer, Errno},
    guest::Guest,
};

pub(super) fn refuse(guest: &mut Guest<'_>, fd: u32) -> Answer {
    guest.state().descriptors()?.get(fd)?;
    Err(Errno::NOTSOCK.into())
}
