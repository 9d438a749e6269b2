//! The zoo: every attack of the specification as a file that is made here, with how exactly it
//! must end. The tests in `tests/all/zoo` run each of them; README.md says how to add one.

mod bombs;
mod clocks;
mod exits;
mod features;
mod files_and_network;
mod floods;
mod host_calls;
mod imports;
mod loops;
mod make;
mod memory;
mod not_a_task;
mod not_wasm;
#[path = "../../../host/sandbox/tests/support/texts.rs"]
mod texts;
mod traps;

pub use bombs::past_every_cap;
pub use floods::{deaf, late};
pub use make::{echo, filler};

use wasmgrid_proto::{ByteCount, Fuel, Grant, Limit, Limits, Millis, Outcome, TrapKind};

/// A module that tries something, and what must come of it.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What it does; the only one of this name.
    pub name: &'static str,
    /// Makes the file.
    pub module: fn() -> Vec<u8>,
    /// The task's input.
    pub input: &'static [u8],
    /// What the job allows it.
    pub limits: Limits,
    /// What the job grants it.
    pub grants: Vec<Grant>,
    /// How it must end.
    pub expect: Expect,
}

/// How an attack must end.
#[derive(Clone, Debug)]
pub enum Expect {
    /// Nothing runs: it is refused where it is submitted, with a text that has all of these.
    Refused(&'static [&'static str]),
    /// Nothing runs: it is admitted and compiled, and refused where it would begin, with a text that
    /// has all of these.
    RefusedLate(&'static [&'static str]),
    /// It ends as `limit(…)`.
    Limit {
        /// Which.
        limit: Limit,
        /// How much of it was used or asked for.
        used: Used,
        /// The limit.
        allowed: u64,
    },
    /// It ends as a trap, with a backtrace that has all of these.
    Trap(TrapKind, &'static [&'static str]),
    /// It ends with this exit code.
    Exit(i32),
    /// It rejects its input with this message.
    Rejected(&'static str),
    /// It comes to its end, and has got nothing by it.
    Ok {
        /// All that it put out.
        output: Vec<u8>,
        /// Bytes of its log that are kept.
        log_kept: u64,
        /// Bytes of its log that are counted.
        log_dropped: u64,
    },
}

/// How much of a limit a task had used when it ended.
#[derive(Clone, Copy, Debug)]
pub enum Used {
    /// So much.
    Exactly(u64),
    /// More than allowed.
    More,
    /// Milliseconds on the machine's clock: the limit, and no more than [`LATE_MS`] over it.
    InTime,
}

/// By how much a task may outlive its deadline.
pub const LATE_MS: u64 = 100;

/// Enough for every attack to show what it does, and used up in a fraction of a second.
const FUEL: u64 = 20_000_000;

/// Far more than an attack takes that is not about time.
const DEADLINE_MS: u64 = 60_000;

/// All attacks, by families in the order of the specification's rows.
#[must_use]
pub fn attacks() -> Vec<Attack> {
    let families = [
        not_wasm::attacks,
        not_a_task::attacks,
        imports::attacks,
        features::attacks,
        bombs::attacks,
        loops::attacks,
        memory::attacks,
        traps::attacks,
        floods::attacks,
        host_calls::attacks,
        files_and_network::attacks,
        exits::attacks,
        clocks::attacks,
    ];
    families.into_iter().flat_map(|family| family()).collect()
}

impl Attack {
    fn new(name: &'static str, module: fn() -> Vec<u8>, expect: Expect) -> Self {
        let limits =
            Limits { fuel: Fuel(FUEL), deadline: Millis(DEADLINE_MS), ..Limits::default() };
        Self { name, module, input: b"", limits, grants: Vec::new(), expect }
    }

    /// The same with this input.
    fn input(self, input: &'static [u8]) -> Self {
        Self { input, ..self }
    }

    /// The same with so much fuel.
    fn fuel(mut self, fuel: u64) -> Self {
        self.limits.fuel = Fuel(fuel);
        self
    }

    /// The same with so much time, and fuel without end.
    fn deadline_ms(mut self, deadline_ms: u64) -> Self {
        self.limits.deadline = Millis(deadline_ms);
        self.fuel(u64::MAX)
    }

    /// The same with so much memory.
    fn memory_bytes(mut self, bytes: u64) -> Self {
        self.limits.memory = ByteCount(bytes);
        self
    }

    /// The same with a grant.
    fn grant(mut self, grant: Grant) -> Self {
        self.grants.push(grant);
        self
    }

    /// An attack that is refused where it is submitted.
    fn refused(name: &'static str, module: fn() -> Vec<u8>, says: &'static [&'static str]) -> Self {
        Self::new(name, module, Expect::Refused(says))
    }

    /// An attack that uses up its fuel.
    fn out_of_fuel(name: &'static str, module: fn() -> Vec<u8>) -> Self {
        Self::new(name, module, Expect::exactly(Limit::Fuel, FUEL, FUEL))
    }

    /// An attack that runs on until its deadline.
    fn out_of_time(name: &'static str, module: fn() -> Vec<u8>) -> Self {
        let (limit, allowed) = (Limit::Deadline, SHORT_DEADLINE_MS);
        let expect = Expect::Limit { limit, used: Used::InTime, allowed };
        Self::new(name, module, expect).deadline_ms(allowed)
    }
}

/// For the attacks that last until their deadline.
const SHORT_DEADLINE_MS: u64 = 300;

impl Expect {
    /// It ends as `limit(…)` after exactly so much.
    const fn exactly(limit: Limit, used: u64, allowed: u64) -> Self {
        Self::Limit { limit, used: Used::Exactly(used), allowed }
    }

    /// It comes to its end with this output.
    fn output(output: impl Into<Vec<u8>>) -> Self {
        Self::Ok { output: output.into(), log_kept: 0, log_dropped: 0 }
    }

    /// What is wrong with this outcome; `None` where it is the expected one.
    #[must_use]
    pub fn judge(&self, outcome: &Outcome) -> Option<String> {
        let fits = match (self, outcome) {
            (Self::Refused(says) | Self::RefusedLate(says), Outcome::Refused(why)) => {
                says.iter().all(|text| why.contains(text))
            }
            (Self::Limit { limit, used, allowed }, Outcome::Limit { .. }) => {
                let Outcome::Limit { limit: which, used: so_much, allowed: most } = outcome else {
                    return None;
                };
                limit == which && allowed == most && used.fits(*so_much, *allowed)
            }
            (Self::Trap(kind, parts), Outcome::Trap { kind: found, backtrace }) => {
                kind == found && parts.iter().all(|part| backtrace.contains(part))
            }
            (Self::Exit(code), Outcome::Exit(found)) => code == found,
            (Self::Rejected(message), Outcome::Rejected(found)) => message == found,
            (Self::Ok { .. }, Outcome::Ok) => true,
            _ => false,
        };
        (!fits).then(|| format!("expected {self:?}, and it ended as {outcome:?}"))
    }
}

impl Used {
    /// Whether `used` is so much of `allowed`.
    #[must_use]
    pub const fn fits(self, used: u64, allowed: u64) -> bool {
        match self {
            Self::Exactly(exactly) => used == exactly,
            Self::More => used > allowed,
            Self::InTime => used >= allowed && used <= allowed + LATE_MS,
        }
    }
}
