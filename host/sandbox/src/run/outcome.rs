//! From what the engine says to how a task ended.

use std::fmt::Write as _;

use wasmgrid_proto::{Limit, Limits, Outcome, TaskSpec, TrapKind, text::shortened};
use wasmtime::{Trap, WasmBacktrace};

use super::frames;
use crate::{compile::Unloadable, stop::Stop};

/// The most of a backtrace or of a task's own message that is kept.
const TEXT_MAX: usize = 4 << 10;

/// What any guest may pass to the host in one call, in bytes.
const PASSED_MIN: u64 = 4 << 20;

/// How the engine begins where a guest passes more in one call than it may; a test holds it.
const PASSED_TOO_MUCH: &str = "too much data is being copied";

/// The most bytes of texts and lists that a guest passes to the host in one call: the engine copies
/// some of them before a host function sees them. Honest programs pass what is in their memory once.
pub(super) fn passed_max(limits: &Limits) -> u64 {
    limits.memory.0.max(PASSED_MIN)
}

/// Whether a guest passed more to the host in one call than [`passed_max`] allows.
pub(super) fn passed_too_much(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().starts_with(PASSED_TOO_MUCH)
}

/// The outcome of a run within `limits` that ended with `error`.
pub(super) fn of_error(error: &wasmtime::Error, limits: &Limits) -> Outcome {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return of_stop(stop, error);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            let fuel = limits.fuel.0;
            Outcome::Limit { limit: Limit::Fuel, used: fuel, allowed: fuel }
        }
        Some(trap) => Outcome::Trap { kind: trap_kind(*trap), backtrace: backtrace(error) },
        None if passed_too_much(error) => {
            // How much it was the engine does not say.
            let allowed = passed_max(limits);
            Outcome::Limit { limit: Limit::Resources, used: allowed.saturating_add(1), allowed }
        }
        // The engine's other errors in a run are of arguments and results it could not read.
        None => Outcome::Trap { kind: TrapKind::ComponentRule, backtrace: backtrace(error) },
    }
}

/// A command's exit code that is as good as 0 in its job is no failure.
pub(super) fn judged(outcome: Outcome, spec: &TaskSpec) -> Outcome {
    match outcome {
        Outcome::Exit(code) if spec.is_ok_exit(code) => Outcome::Ok,
        outcome => outcome,
    }
}

/// How all tasks of a module end that cannot be loaded.
pub(super) fn of_unloadable(why: Unloadable) -> Outcome {
    match why {
        Unloadable::Refused(reason) => Outcome::Refused(bounded(format!(
            "its instances need more room than a task has: {reason}; use fewer or smaller \
             instances, memories, tables and globals"
        ))),
        Unloadable::Host(reason) => {
            Outcome::Lost(bounded(format!("the machine has no memory for it: {reason}")))
        }
    }
}

fn of_stop(stop: &Stop, error: &wasmtime::Error) -> Outcome {
    match stop {
        Stop::Limit { limit, used, allowed } => {
            Outcome::Limit { limit: *limit, used: *used, allowed: *allowed }
        }
        Stop::Exit(0) => Outcome::Ok,
        Stop::Exit(code) => Outcome::Exit(*code),
        // Who did it is known to the runner, which fills it in.
        Stop::Cancelled => Outcome::Cancelled(String::new()),
        Stop::Misuse(_) => Outcome::Trap { kind: TrapKind::HostCall, backtrace: backtrace(error) },
        Stop::Host(reason) => Outcome::Lost(bounded(reason.clone())),
    }
}

fn trap_kind(trap: Trap) -> TrapKind {
    match trap {
        Trap::StackOverflow => TrapKind::Stack,
        Trap::MemoryOutOfBounds | Trap::HeapMisaligned => TrapKind::MemoryOutOfBounds,
        Trap::TableOutOfBounds => TrapKind::TableOutOfBounds,
        Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference => {
            TrapKind::BadIndirectCall
        }
        Trap::IntegerOverflow | Trap::BadConversionToInteger => TrapKind::IntegerOverflow,
        Trap::IntegerDivisionByZero => TrapKind::DivisionByZero,
        Trap::UnreachableCodeReached => TrapKind::Unreachable,
        Trap::CannotEnterComponent | Trap::CannotLeaveComponent | Trap::InvalidChar => {
            TrapKind::ComponentRule
        }
        _ => TrapKind::Other,
    }
}

/// The cause where it says more than the kind, then the guest's frames, its own innermost first.
fn backtrace(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    if error.downcast_ref::<Trap>().is_none() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", error.root_cause());
    }
    if let Some(frames) = error.downcast_ref::<WasmBacktrace>() {
        // The first line is the engine's heading.
        text += &frames::own(frames.to_string().lines().skip(1));
    }
    bounded(text)
}

/// `text`, cut where it is too long.
pub(super) fn bounded(text: String) -> String {
    shortened(text, TEXT_MAX)
}
