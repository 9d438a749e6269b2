//! When a runner has to be killed: a second line behind the runner's own clock, for what that
//! cannot interrupt. A guest may sit in one long instruction, and a runner may be stopped.
//!
//! Nothing is checked between the moments at which something could be overdue: a task that has not
//! begun at a check is due no earlier than its deadline after that.

use std::time::Duration;

use wasmgrid_proto::{Limit, Outcome, TaskRange, TaskSpec, Usage};

use super::shared::{SlotState, TakenBatch};
use crate::run::{CANCEL_GRACE_US, board::Board, board::Shown};

/// From a task's deadline to the end of its runner. The runner ends tasks at their deadline by
/// itself, a tick later, and then knows what they used: on a busy machine it gets the time
/// for that; and what follows fits into the 100 ms that are promised.
const OVERDUE_US: u64 = 50_000;

/// A runner that was sent something and neither runs nor says anything for so long is stuck.
/// Loading the largest modules takes it milliseconds.
const SILENT_US: u64 = 10_000_000;

/// Between two checks at least, whatever a deadline says.
const CHECK_US: u64 = Duration::from_millis(5).as_micros() as u64;

/// Why a runner is killed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Its task is over its time.
    Task {
        batch: u64,
        task: TaskRange,
        /// What it used, as far as is known.
        usage: Usage,
        /// How the task ends.
        outcome: Outcome,
    },
    /// It neither runs what it was sent nor answers.
    Stuck,
}

/// What a check of a runner finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Check {
    Overdue(Overdue),
    /// Nothing is overdue before this has passed.
    Again {
        in_us: u64,
    },
    /// Nothing was sent.
    Idle,
}

/// Checks a runner that was heard or sent something at `heard_us`.
pub(super) fn check(state: &mut SlotState, board: &Board, heard_us: u64, now_us: u64) -> Check {
    let sent = || state.batches.iter().filter(|at| at.number.is_some());
    // What begins after this check is due no earlier than this.
    let Some(mut due_us) = sent().map(|at| now_us.saturating_add(allowed_us(at))).min() else {
        return Check::Idle;
    };
    let shown = board.shown();
    let running = shown.and_then(|shown| {
        let of_task =
            |at: &&TakenBatch| at.number == Some(shown.batch) && at.tasks.left().has(shown.index);
        Some((sent().find(of_task)?, shown))
    });
    match running {
        Some((at, shown)) => {
            // A runner that lies about its start gains nothing by a time to come.
            let started_us = shown.started_us.min(now_us);
            let end_us = started_us.saturating_add(allowed_us(at));
            let end_us = at.cancelled_us.map_or(end_us, |cancelled_us| {
                end_us.min(cancelled_us.saturating_add(CANCEL_GRACE_US + OVERDUE_US))
            });
            if now_us >= end_us {
                return Check::Overdue(overdue(at, shown, now_us));
            }
            due_us = due_us.min(end_us);
        }
        None => {
            let end_us = heard_us.saturating_add(SILENT_US);
            if now_us >= end_us {
                return Check::Overdue(Overdue::Stuck);
            }
            due_us = due_us.min(end_us);
        }
    }
    Check::Again { in_us: (due_us - now_us).max(CHECK_US) }
}

/// How long a task may run until its runner is killed.
fn allowed_us(at: &TakenBatch) -> u64 {
    deadline_us(&at.batch.spec).saturating_add(OVERDUE_US)
}

fn deadline_us(spec: &TaskSpec) -> u64 {
    spec.limits.deadline.0.saturating_mul(1_000)
}

fn overdue(at: &TakenBatch, shown: Shown, now_us: u64) -> Overdue {
    let usage = shown.usage(&at.batch.spec.limits, now_us);
    let outcome = match at.tasks.cancelled_by() {
        Some(by) if usage.wall_us < deadline_us(&at.batch.spec) => Outcome::Cancelled(by.into()),
        _ => Outcome::Limit {
            limit: Limit::Deadline,
            used: usage.wall_us / 1_000,
            allowed: at.batch.spec.limits.deadline.0,
        },
    };
    let task = TaskRange { first: shown.index, count: 1 };
    Overdue::Task { batch: shown.batch, task, usage, outcome }
}
