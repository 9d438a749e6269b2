//! Failed tasks of one job in groups: those of one kind whose texts differ in digits alone. The first
//! groups are kept, and what fits none of them is counted together.

use std::{cmp::Reverse, fmt::Write as _};

use wasmgrid_proto::{
    Digest, FailureCount, FailureGroup, Micros, Outcome, ResultMeta, WorkerId, text::shortened,
};

/// Groups of one job.
pub(super) const GROUPS_MAX: usize = 32;

/// Workers of a group that are told apart: with more the failure is the task's own.
pub(super) const WORKERS_MAX: usize = 16;

/// Bytes of a group's message.
const MESSAGE_BYTES: usize = 256;

/// Bytes of a text that tell groups apart.
const COMPARED_BYTES: usize = 512;

/// Stands for a number.
const NUMBER: char = '#';

/// The failed tasks of one job.
#[derive(Debug, Default)]
pub(super) struct Failures {
    groups: Vec<Group>,
    others: FailureCount,
}

#[derive(Debug)]
struct Group {
    /// Of the kind and the text without its numbers.
    key: Digest,
    kind: String,
    message: String,
    tasks: FailureCount,
    /// Rising.
    workers: Vec<WorkerId>,
    more_workers: bool,
    sample: u64,
}

impl Failures {
    /// Counts a task that failed; true if it is the first of a new group. `room` is used for its text,
    /// so that most failures allocate nothing.
    pub(super) fn count(
        &mut self,
        meta: &ResultMeta,
        worker: WorkerId,
        now: Micros,
        room: &mut String,
    ) -> bool {
        room.clear();
        write_key(&meta.outcome, room);
        let key = Digest::of(room.as_bytes());
        if let Some(group) = self.groups.iter_mut().find(|group| group.key == key) {
            group.add(worker, now);
            return false;
        }
        if self.groups.len() >= GROUPS_MAX {
            add(&mut self.others, now);
            return false;
        }
        let (kind, message) = (kind(&meta.outcome), message(&meta.outcome));
        let (tasks, workers) = (FailureCount::default(), Vec::new());
        let sample = meta.index;
        let mut group = Group { key, kind, message, tasks, workers, more_workers: false, sample };
        group.add(worker, now);
        self.groups.push(group);
        true
    }

    /// What the newest group says.
    pub(super) fn newest(&self) -> Option<&str> {
        self.groups.last().map(|group| group.message.as_str())
    }

    pub(super) const fn others(&self) -> FailureCount {
        self.others
    }

    /// The workers of all groups.
    pub(super) fn workers(&self) -> Vec<WorkerId> {
        let mut workers: Vec<WorkerId> =
            self.groups.iter().flat_map(|group| group.workers.iter().copied()).collect();
        workers.sort_unstable();
        workers.dedup();
        workers
    }

    /// The groups, the largest first, with names for their workers.
    pub(super) fn groups(&self, name: impl Fn(WorkerId) -> String) -> Vec<FailureGroup> {
        let told = |group: &Group| FailureGroup {
            kind: group.kind.clone(),
            message: group.message.clone(),
            tasks: group.tasks,
            workers: group.workers.iter().map(|worker| name(*worker)).collect(),
            more_workers: group.more_workers,
            sample: group.sample,
        };
        let mut groups: Vec<FailureGroup> = self.groups.iter().map(told).collect();
        groups.sort_by_key(|group| Reverse(group.tasks.count));
        groups
    }
}

impl Group {
    fn add(&mut self, worker: WorkerId, now: Micros) {
        add(&mut self.tasks, now);
        if let Err(at) = self.workers.binary_search(&worker) {
            if self.workers.len() < WORKERS_MAX {
                self.workers.insert(at, worker);
            } else {
                self.more_workers = true;
            }
        }
    }
}

fn add(tasks: &mut FailureCount, now: Micros) {
    if tasks.count == 0 {
        tasks.first = now;
    }
    tasks.count = tasks.count.saturating_add(1);
    tasks.last = now;
}

/// The outcome's name, of a limit with the limit's.
fn kind(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Limit { limit, .. } => format!("limit({limit})"),
        other => other.name().into(),
    }
}

/// What tells its group from others: nothing that differs from task to task.
fn write_key(outcome: &Outcome, out: &mut String) {
    out.push_str(outcome.name());
    out.push('\n');
    // Writing to a string cannot fail.
    let _ = match outcome {
        Outcome::Limit { limit, .. } => write!(out, "{limit}"),
        // A number that is a code says what happened.
        Outcome::Exit(code) => write!(out, "{code}"),
        Outcome::Trap { kind, backtrace } => {
            let written = writeln!(out, "{kind:?}");
            mask(innermost(backtrace), out);
            written
        }
        Outcome::Lost(text) => {
            let (how, why) = lost(text);
            mask(how, out);
            mask(why, out);
            Ok(())
        }
        other => {
            mask(other.text().unwrap_or_default(), out);
            Ok(())
        }
    };
}

/// What a task of the group says, for people.
fn message(outcome: &Outcome) -> String {
    let text = match outcome {
        Outcome::Trap { kind, backtrace } => match innermost(backtrace) {
            "" => kind.to_string(),
            frame => format!("{kind}, in {frame}"),
        },
        Outcome::Lost(text) => match lost(text) {
            (how, "") => how.into(),
            (how, why) => format!("{how}; the last time: {why}"),
        },
        other => other.text().map_or_else(|| other.to_string(), Into::into),
    };
    shortened(text, MESSAGE_BYTES)
}

/// The innermost frame of a backtrace, without its number.
fn innermost(backtrace: &str) -> &str {
    let frame = backtrace.lines().next().unwrap_or_default().trim();
    match frame.split_once(": ") {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => frame,
    }
}

/// How often a task was lost, and why it was the last time; see `explain` of the core's attempts.
fn lost(text: &str) -> (&str, &str) {
    let mut lines = text.lines();
    let how = lines.next().unwrap_or_default();
    let why = lines.next_back().and_then(|last| last.rsplit_once(": "));
    (how, why.map_or("", |(_, why)| why))
}

/// Writes a text with each number as one sign.
fn mask(text: &str, out: &mut String) {
    let text = text.get(..text.floor_char_boundary(COMPARED_BYTES)).unwrap_or(text);
    let mut in_number = false;
    for c in text.chars() {
        let is_digit = c.is_ascii_digit();
        if !is_digit {
            out.push(c);
        } else if !in_number {
            out.push(NUMBER);
        }
        in_number = is_digit;
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{Limit, TrapKind, Usage};

    use super::*;

    fn failed(index: u64, outcome: Outcome) -> ResultMeta {
        ResultMeta {
            index,
            outcome,
            usage: Usage::default(),
            output_len: 0,
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        }
    }

    fn counted(outcomes: impl IntoIterator<Item = Outcome>) -> Vec<FailureGroup> {
        let (mut failures, mut room) = (Failures::default(), String::new());
        for (index, outcome) in (10..).zip(outcomes) {
            failures.count(&failed(index, outcome), WorkerId(index), Micros(index), &mut room);
        }
        failures.groups(|worker| worker.to_string())
    }

    #[test]
    fn failures_that_differ_in_digits_alone_are_one_group_with_the_first_as_sample() {
        let rejected = |x: u64| Outcome::Rejected(format!("no such tile: x is {x}, at most 65535"));
        let groups = counted([rejected(65_536), rejected(7), Outcome::Rejected("other".into())]);
        assert_eq!(groups.len(), 2, "{groups:?}");
        let FailureGroup { kind, message, tasks, workers, sample, .. } = &groups[0];
        assert_eq!(kind, "rejected");
        assert_eq!(message, "no such tile: x is 65536, at most 65535", "as the first one said");
        assert_eq!((tasks.count, tasks.first, tasks.last), (2, Micros(10), Micros(11)));
        assert_eq!((workers.as_slice(), *sample), (&["10".to_owned(), "11".to_owned()][..], 10));
    }

    #[test]
    fn each_limit_trap_place_and_exit_code_is_a_group_of_its_own() {
        let limit = |limit, used| Outcome::Limit { limit, used, allowed: 2_000 };
        let trap = |backtrace: &str| Outcome::Trap {
            kind: TrapKind::Unreachable,
            backtrace: backtrace.into(),
        };
        let groups = counted([
            limit(Limit::Fuel, 2_000),
            limit(Limit::Fuel, 3_000_000),
            limit(Limit::Deadline, 2_000),
            trap("0: tiles::row (src/tile.rs:61)\n1: main"),
            trap("0: tiles::row (src/tile.rs:62)\n1: other"),
            trap("0: tiles::column\n1: main"),
            Outcome::Exit(3),
            Outcome::Exit(4),
        ]);
        let mut kinds: Vec<_> =
            groups.iter().map(|one| (one.kind.as_str(), one.tasks.count)).collect();
        kinds.sort_unstable();
        let expected = [
            ("exit", 1),
            ("exit", 1),
            ("limit(deadline)", 1),
            ("limit(fuel)", 2),
            ("trap", 1),
            ("trap", 2),
        ];
        assert_eq!(kinds, expected);
        let row = groups.iter().find(|one| one.kind == "trap").expect("a trap");
        assert!(row.message.ends_with(", in tiles::row (src/tile.rs:61)"), "{}", row.message);
    }

    #[test]
    fn a_lost_task_is_told_by_how_often_and_why_it_was_last_lost() {
        let lost = |worker: &str| {
            Outcome::Lost(format!(
                "its host was lost 3 times\nattempt 1 (host-loss) on {worker}, 2026-11-30 14:28: \
                 it died\nattempt 2 (host-loss) on {worker}, 2026-11-30 14:29: the worker was \
                 silent for 10s"
            ))
        };
        let groups = counted([lost("rack1"), lost("rack2")]);
        assert_eq!(groups.len(), 1, "whichever workers it was on: {groups:?}");
        let expected = "its host was lost 3 times; the last time: the worker was silent for 10s";
        assert_eq!(groups[0].message, expected);
    }

    #[test]
    fn groups_messages_and_workers_are_bounded_and_the_rest_is_counted() {
        let (mut failures, mut room) = (Failures::default(), String::new());
        let mut say = |letters: usize, worker: u64| {
            let text = "x".repeat(letters * 10) + &"ü".repeat(1_000);
            let meta = failed(1, Outcome::Refused(text));
            failures.count(&meta, WorkerId(worker), Micros(worker), &mut room)
        };
        let new = (0..GROUPS_MAX + 8).filter(|letters| say(*letters, 1)).count();
        assert_eq!(new, GROUPS_MAX);
        (0..100).for_each(|worker| _ = say(0, worker));
        let groups = failures.groups(|worker| worker.to_string());
        assert_eq!(groups.len(), GROUPS_MAX);
        assert!(groups.iter().all(|group| group.message.len() <= MESSAGE_BYTES));
        assert_eq!((groups[0].tasks.count, groups[0].workers.len()), (101, WORKERS_MAX));
        assert!(groups[0].more_workers && !groups[1].more_workers);
        let all: u64 = groups.iter().map(|group| group.tasks.count).sum();
        assert_eq!(failures.others().count + all, (GROUPS_MAX + 8 + 100) as u64);
    }
}
