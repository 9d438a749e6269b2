//! What is remembered of attempts that did not do: of open tasks, and of some that ended as lost,
//! so that whoever asks why can be told each attempt.

use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};
use core::fmt::Write as _;

use wasmgrid_proto::{
    Attempt, AttemptItem, JobId, Micros, RetryCounter, SnapshotItem, TaskRange, WorkerId,
};

use super::history::History;

/// Attempts of one task that are remembered, the newest: more than a task has whose hosts die.
const PER_TASK: usize = 16;

/// Tasks of one job that ended as lost whose attempts are remembered, the first: they are kept as
/// long as the job. The texts of the others have them too.
const LOST_KEPT: usize = 64;

/// Characters of a reason in a list of all attempts.
const REASON_CHARS: usize = 200;

/// One attempt that did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) attempt: u32,
    pub(crate) counter: RetryCounter,
    pub(crate) worker: WorkerId,
    pub(crate) at: Micros,
    /// Shared by all tasks that one event took.
    pub(crate) reason: Arc<str>,
}

/// The attempts of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// The oldest first.
    pub(crate) list: Vec<Note>,
    /// Older ones that are forgotten.
    pub(crate) dropped: u32,
}

/// The attempts of a job's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    open: BTreeMap<u64, Notes>,
    lost: BTreeMap<u64, Notes>,
}

impl Attempts {
    /// Remembers an attempt of an open task.
    pub(crate) fn note(&mut self, index: u64, note: Note) {
        let notes = self.open.entry(index).or_default();
        if notes.list.len() >= PER_TASK {
            notes.list.remove(0);
            notes.dropped = notes.dropped.saturating_add(1);
        }
        notes.list.push(note);
    }

    /// Tasks have ended: what is remembered of them is kept only where they were `lost`.
    pub(crate) fn end(&mut self, tasks: TaskRange, lost: bool) {
        while let Some((index, _)) = self.open.range(tasks.first..tasks.end()).next() {
            let index = *index;
            if let Some(notes) = self.open.remove(&index)
                && lost
                && self.lost.len() < LOST_KEPT
            {
                self.lost.insert(index, notes);
            }
        }
    }

    /// What is remembered of a task.
    pub(crate) fn of(&self, index: u64) -> Option<&Notes> {
        self.open.get(&index).or_else(|| self.lost.get(&index))
    }

    pub(crate) fn snapshot(&self, job: JobId, out: &mut dyn FnMut(SnapshotItem)) {
        for (lost, tasks) in [(false, &self.open), (true, &self.lost)] {
            for (index, task) in tasks {
                let notes = task.list.iter().map(Note::item).collect();
                let dropped = task.dropped;
                out(SnapshotItem::Notes { job, index: *index, lost, dropped, notes });
            }
        }
    }

    /// Takes in what a snapshot has of a task.
    pub(crate) fn restore(
        &mut self,
        index: u64,
        lost: bool,
        dropped: u32,
        notes: Vec<AttemptItem>,
    ) {
        let tasks = if lost { &mut self.lost } else { &mut self.open };
        // Neighbours have mostly the same reasons, since one event took them all.
        let before = tasks.range(..index).next_back().map(|(_, task)| task.list.as_slice());
        let restored = |item: AttemptItem| {
            let known = before.unwrap_or_default().iter().find(|note| *note.reason == *item.reason);
            let reason = known.map_or_else(|| item.reason.as_str().into(), |n| n.reason.clone());
            let AttemptItem { attempt, counter, worker, at, .. } = item;
            Note { attempt, counter, worker, at, reason }
        };
        let list = notes.into_iter().map(restored).collect();
        tasks.insert(index, Notes { list, dropped });
    }
}

impl Note {
    fn item(&self) -> AttemptItem {
        let Self { attempt, counter, worker, at, ref reason } = *self;
        AttemptItem { attempt, counter, worker, at, reason: String::from(&**reason) }
    }
}

impl Notes {
    /// The workers whose attempts these were, but for those that the task itself gave up.
    pub(crate) fn lost_by(&self) -> Vec<WorkerId> {
        let lost = self.list.iter().filter(|note| note.counter != RetryCounter::App);
        let mut workers: Vec<WorkerId> = lost.map(|note| note.worker).collect();
        workers.sort_unstable();
        workers.dedup();
        workers
    }

    /// With the workers' names.
    pub(crate) fn named<'a>(&self, name: impl Fn(WorkerId) -> Option<&'a str>) -> Vec<Attempt> {
        let named = |note: &Note| Attempt {
            attempt: note.attempt,
            counter: note.counter,
            worker: name(note.worker).unwrap_or_default().into(),
            at: note.at,
            reason: String::from(&*note.reason),
        };
        self.list.iter().map(named).collect()
    }
}

/// Why a task ended as lost: what was counted, then each attempt on a line of its own. Workers are
/// called by the names that `name` knows.
pub(crate) fn explain<'a>(
    history: History,
    notes: Option<&Notes>,
    name: impl Fn(WorkerId) -> Option<&'a str>,
) -> String {
    let attempts = notes.map(|notes| notes.named(name)).unwrap_or_default();
    let last = attempts.last().map(|attempt| attempt.counter);
    let mut text = match last {
        Some(RetryCounter::HostLoss) => {
            format!("its host was lost {} times", history.host_losses)
        }
        _ => format!("no worker could run it in {} tries", history.infra),
    };
    if let Some(dropped) = notes.map(|notes| notes.dropped).filter(|dropped| *dropped > 0) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n({dropped} older attempts are not listed)");
    }
    for attempt in attempts {
        let reason = attempt.reason.lines().next().unwrap_or_default();
        let reason = reason.chars().take(REASON_CHARS).collect();
        let _ = write!(text, "\n{}", Attempt { reason, ..attempt });
    }
    text
}
