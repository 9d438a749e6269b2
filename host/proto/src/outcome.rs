//! How a task ended, and what it used.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{ByteCount, Fuel, Limit, Millis, Resource};

/// How an attempt of a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It returned its output.
    Ok,
    /// The task says that its input is wrong: running it again would end the same way.
    Rejected(String),
    /// The task asks to be run again: it may end otherwise.
    Retry(String),
    /// A command ended with this exit code, not 0: the 32 bits that a preview 1 command gave.
    Exit(i32),
    /// The guest did what WebAssembly forbids.
    Trap {
        /// What it did.
        kind: TrapKind,
        /// Where, innermost frame first; one frame a line.
        backtrace: String,
    },
    /// It reached one of its limits.
    Limit {
        /// Which.
        limit: Limit,
        /// What it had used or asked for, in the limit's unit.
        used: u64,
        /// What it was allowed, in the limit's unit.
        allowed: u64,
    },
    /// The module or the input does not fit: nothing ran.
    Refused(String),
    /// The job was cancelled, by whom.
    Cancelled(String),
    /// The attempt's host died or became unreachable: not the task's fault.
    Lost(String),
}

/// The outcome without its details, as the scheduler counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OutcomeClass {
    /// [`Outcome::Ok`].
    Ok,
    /// The task's own failure, which is final: rejected, exit, trap, limit or refused.
    Failed,
    /// [`Outcome::Retry`]: failed, unless app retries are left.
    Retry,
    /// [`Outcome::Cancelled`].
    Cancelled,
    /// [`Outcome::Lost`]: run again, unless host losses are used up.
    Lost,
    /// The job's deadline passed before the task ran to its end.
    Expired,
    /// Never run, because the job had failed too often before.
    Skipped,
}

impl Outcome {
    /// The outcome as the scheduler counts it.
    #[must_use]
    pub const fn class(&self) -> OutcomeClass {
        match self {
            Self::Ok => OutcomeClass::Ok,
            Self::Retry(_) => OutcomeClass::Retry,
            Self::Cancelled(_) => OutcomeClass::Cancelled,
            Self::Lost(_) => OutcomeClass::Lost,
            Self::Rejected(_)
            | Self::Exit(_)
            | Self::Trap { .. }
            | Self::Limit { .. }
            | Self::Refused(_) => OutcomeClass::Failed,
        }
    }

    /// Whether a pure task (one of a job without grants) ends so wherever it is run, on engines of
    /// one fingerprint. What depends on time, on the host or on a quota says nothing of the task: a
    /// deadline, compilation, a cancellation, a lost host, and how much fits on a stack.
    #[must_use]
    pub const fn is_deterministic(&self) -> bool {
        match self {
            Self::Ok | Self::Rejected(_) | Self::Retry(_) | Self::Exit(_) | Self::Refused(_) => {
                true
            }
            Self::Trap { kind, .. } => !matches!(kind, TrapKind::Stack),
            Self::Limit { limit, .. } => match limit {
                Limit::Fuel
                | Limit::Memory
                | Limit::TableElements
                | Limit::Output
                | Limit::Record
                | Limit::Resources
                | Limit::VirtualDeadline => true,
                Limit::Deadline | Limit::Compile | Limit::CompileMemory | Limit::Quota => false,
            },
            Self::Cancelled(_) | Self::Lost(_) => false,
        }
    }

    /// The outcome's name as the command line and JSON output have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected(_) => "rejected",
            Self::Retry(_) => "retry",
            Self::Exit(_) => "exit",
            Self::Trap { .. } => "trap",
            Self::Limit { .. } => "limit",
            Self::Refused(_) => "refused",
            Self::Cancelled(_) => "cancelled",
            Self::Lost(_) => "lost",
        }
    }
}

impl Outcome {
    /// The text in it: what a guest, an engine or a host says.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Rejected(text)
            | Self::Retry(text)
            | Self::Refused(text)
            | Self::Cancelled(text)
            | Self::Lost(text)
            | Self::Trap { backtrace: text, .. } => Some(text),
            Self::Ok | Self::Exit(_) | Self::Limit { .. } => None,
        }
    }

    /// The same, to be changed.
    pub fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Rejected(text)
            | Self::Retry(text)
            | Self::Refused(text)
            | Self::Cancelled(text)
            | Self::Lost(text)
            | Self::Trap { backtrace: text, .. } => Some(text),
            Self::Ok | Self::Exit(_) | Self::Limit { .. } => None,
        }
    }
}

impl fmt::Display for Outcome {
    /// One line that names the cause; a backtrace is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Rejected(message) => write!(f, "rejected: {message}"),
            Self::Retry(message) => write!(f, "asked for a retry: {message}"),
            Self::Exit(code) => write_exit(f, code.cast_unsigned()),
            Self::Trap { kind, .. } => write!(f, "trap: {kind}"),
            Self::Limit { limit, used, allowed } => write_limit(f, *limit, *used, *allowed),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Cancelled(by) => write!(f, "cancelled by {by}"),
            Self::Lost(reason) => write!(f, "lost: {reason}"),
        }
    }
}

/// A code above what a byte holds in both ways that people write such numbers.
fn write_exit(f: &mut fmt::Formatter<'_>, code: u32) -> fmt::Result {
    write!(f, "exit code {code}")?;
    if code > u32::from(u8::MAX) { write!(f, " ({code:#x})") } else { Ok(()) }
}

fn write_limit(f: &mut fmt::Formatter<'_>, limit: Limit, used: u64, allowed: u64) -> fmt::Result {
    // A sleep that took no time used none.
    let came = match limit {
        Limit::VirtualDeadline => "its virtual clock came to",
        Limit::Quota => "with its result,",
        _ => "used",
    };
    write!(f, "limit({limit}): {came} ")?;
    match limit {
        Limit::Fuel => write!(f, "{} of {} allowed", Fuel(used), Fuel(allowed)),
        Limit::Deadline | Limit::VirtualDeadline | Limit::Compile => {
            write!(f, "{} of {} allowed", Millis(used), Millis(allowed))
        }
        Limit::Memory | Limit::Output | Limit::Record | Limit::CompileMemory => {
            write!(f, "{} of {} allowed", ByteCount(used), ByteCount(allowed))
        }
        Limit::Quota => {
            let (resource, used) = (Resource::Bytes, ByteCount(used));
            write!(f, "{used} of its tenant's quota of {} {resource}", ByteCount(allowed))
        }
        // Handles or bytes: the number alone is true of both.
        Limit::Resources => write!(f, "{used} of {allowed} allowed"),
        Limit::TableElements => write!(f, "{used} of {allowed} elements allowed"),
    }
}

/// What a guest did that WebAssembly forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TrapKind {
    /// It reached an `unreachable` instruction: an abort or a panic, in most languages.
    Unreachable,
    /// It read or wrote outside its memory.
    MemoryOutOfBounds,
    /// It read or wrote outside a table.
    TableOutOfBounds,
    /// It called through a table entry that is empty or of another type.
    BadIndirectCall,
    /// It divided an integer by zero.
    DivisionByZero,
    /// An integer operation or conversion overflowed.
    IntegerOverflow,
    /// It used up its stack.
    Stack,
    /// It broke a rule of the component model, such as a pointer outside its memory.
    ComponentRule,
    /// It misused a host function.
    HostCall,
    /// Another trap of the engine.
    Other,
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable executed (a panic or an abort, in most languages)",
            Self::MemoryOutOfBounds => "memory access out of bounds",
            Self::TableOutOfBounds => "table access out of bounds",
            Self::BadIndirectCall => "indirect call to an empty or wrongly typed table entry",
            Self::DivisionByZero => "integer division by zero",
            Self::IntegerOverflow => "integer overflow",
            Self::Stack => "call stack exhausted",
            Self::ComponentRule => "a component model rule was violated",
            Self::HostCall => "a host function was misused",
            Self::Other => "another trap",
        })
    }
}

/// What an attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Fuel spent, without instantiation. At least so much, of a task that ended at its deadline, was
    /// cancelled or lost: what it spent in loops since its last call is not known.
    pub fuel: u64,
    /// Peak linear memory, in bytes.
    pub memory_bytes: u64,
    /// Wall time, in microseconds.
    pub wall_us: u64,
}
