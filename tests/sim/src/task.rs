//! What a task does when it runs: all of it stands in its input, so that whoever has the input
//! knows what the outcome must be.

use wasmgrid_proto::OutcomeClass;

use crate::random::{Random, mix};

/// An input: 4 bits of manners, 2 of how often, 18 of duration, 40 that no other input has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task(pub u64);

/// How a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// With its output.
    Ok,
    /// With a failure of its own.
    Failed,
    /// It asks to be run again for so many attempts, then ends ok.
    Retry(u32),
    /// It asks to be run again, always.
    AlwaysRetry,
    /// Its runner dies for so many attempts, then it ends ok.
    Crashes(u32),
    /// It takes its host with it for so many attempts, then ends ok.
    Kills(u32),
    /// It takes its host with it, always.
    Poison,
}

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A result.
    Result(OutcomeClass),
    /// The host dies.
    HostDies,
}

const UNIQUE_BITS: u32 = 40;
const DURATION_BITS: u32 = 18;
/// One step of the duration, in microseconds.
const STEP_US: u64 = 8;

impl Task {
    /// The input that has this number of all, which takes about `wall_us`.
    #[must_use]
    pub fn new(number: u64, manners: Manners, wall_us: u64) -> Self {
        let (code, times) = match manners {
            Manners::Ok => (0, 0),
            Manners::Failed => (1, 0),
            Manners::Retry(times) => (2, times),
            Manners::AlwaysRetry => (3, 0),
            Manners::Crashes(times) => (4, times),
            Manners::Kills(times) => (5, times),
            Manners::Poison => (6, 0),
        };
        let steps = (wall_us / STEP_US).min((1 << DURATION_BITS) - 1);
        let head = (code << 2 | u64::from(times & 3)) << DURATION_BITS | steps;
        Self(head << UNIQUE_BITS | (number & ((1 << UNIQUE_BITS) - 1)))
    }

    /// How it ends.
    #[must_use]
    pub fn manners(self) -> Manners {
        let head = self.0 >> (UNIQUE_BITS + DURATION_BITS);
        let times = u32::try_from(head & 3).unwrap_or_default();
        match head >> 2 {
            0 => Manners::Ok,
            1 => Manners::Failed,
            2 => Manners::Retry(times),
            3 => Manners::AlwaysRetry,
            4 => Manners::Crashes(times),
            5 => Manners::Kills(times),
            _ => Manners::Poison,
        }
    }

    /// How long it runs, in microseconds.
    #[must_use]
    pub const fn wall_us(self) -> u64 {
        ((self.0 >> UNIQUE_BITS) & ((1 << DURATION_BITS) - 1)) * STEP_US + STEP_US
    }

    /// What an attempt comes to.
    #[must_use]
    pub fn end(self, attempt: u32) -> End {
        match self.manners() {
            Manners::Failed => End::Result(OutcomeClass::Failed),
            Manners::AlwaysRetry => End::Result(OutcomeClass::Retry),
            Manners::Retry(times) if attempt <= times => End::Result(OutcomeClass::Retry),
            Manners::Crashes(times) if attempt <= times => End::Result(OutcomeClass::Lost),
            Manners::Kills(times) if attempt <= times => End::HostDies,
            Manners::Poison => End::HostDies,
            _ => End::Result(OutcomeClass::Ok),
        }
    }

    /// Its output, where it ends ok.
    #[must_use]
    pub const fn output(self) -> u64 {
        mix(self.0)
    }
}

/// What part of a job's tasks behaves how, in percent; the rest ends ok.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    /// [`Manners::Failed`].
    pub failed: u64,
    /// [`Manners::Retry`] and [`Manners::AlwaysRetry`].
    pub retry: u64,
    /// [`Manners::Crashes`].
    pub crashes: u64,
    /// [`Manners::Kills`] and [`Manners::Poison`].
    pub kills: u64,
}

impl Mix {
    /// Draws one task's manners.
    pub fn draw(self, random: &mut Random) -> Manners {
        let drawn = random.below(100);
        let times = u32::try_from(random.between(1, 3)).unwrap_or(1);
        let always = random.chance(30);
        let (failed, retry) = (self.failed, self.failed + self.retry);
        let crashes = retry + self.crashes;
        match drawn {
            drawn if drawn < failed => Manners::Failed,
            drawn if drawn < retry && always => Manners::AlwaysRetry,
            drawn if drawn < retry => Manners::Retry(times),
            drawn if drawn < crashes => Manners::Crashes(times),
            drawn if drawn < crashes + self.kills && always => Manners::Poison,
            drawn if drawn < crashes + self.kills => Manners::Kills(times),
            _ => Manners::Ok,
        }
    }
}
