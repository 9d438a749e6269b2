//! The two clocks of preview 1 that a task has. Those of processor time would tell the host's speed.

use super::{
    errno::{Answer, Errno},
    guest::Guest,
};

/// Which clock a program means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Wall,
    Monotonic,
    /// Of a process or a thread.
    Processor,
}

impl Id {
    pub(super) fn of(number: u32) -> Result<Self, Errno> {
        match number {
            0 => Ok(Self::Wall),
            1 => Ok(Self::Monotonic),
            2 | 3 => Ok(Self::Processor),
            _ => Err(Errno::INVAL),
        }
    }
}

pub(super) fn resolution(guest: &mut Guest<'_>, id: u32, out: u32) -> Answer {
    let resolution_ns = match Id::of(id)? {
        Id::Wall | Id::Monotonic => guest.state().clock.resolution_ns(),
        Id::Processor => return Err(Errno::BADF.into()),
    };
    guest.write_u64(out, resolution_ns)
}

pub(super) fn time(guest: &mut Guest<'_>, id: u32, out: u32) -> Answer {
    let clock = &mut guest.state().clock;
    let now_ns = match Id::of(id)? {
        Id::Wall => clock.read_wall()?.ns(),
        Id::Monotonic => clock.read_ns()?,
        Id::Processor => return Err(Errno::BADF.into()),
    };
    guest.write_u64(out, now_ns)
}
