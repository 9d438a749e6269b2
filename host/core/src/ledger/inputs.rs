//! Which inputs of a job are still stored. Input segments are the appends: one is dropped whole,
//! once no task of it can ever need its input again.

use alloc::{collections::BTreeMap, vec::Vec};

use wasmgrid_proto::{SNAPSHOT_LIST, SnapshotItem, TaskRange, TaskSet};

use super::lists::lists;
use crate::ranges::RangeSet;

/// The input segments of a job that are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// Those with open tasks, by their first.
    live: BTreeMap<u64, Live>,
    /// Those whose tasks have ended, not all ok: they are kept as long as the job's results are,
    /// so that the tasks can be run again.
    kept: RangeSet,
    /// Those whose tasks have all ended ok, and that are to be dropped.
    spent: RangeSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Live {
    count: u64,
    /// Tasks that are open.
    open: u64,
    /// Some task ended otherwise than ok.
    keep: bool,
}

impl Inputs {
    /// A segment was appended; all its tasks are open.
    pub(crate) fn append(&mut self, tasks: TaskRange) {
        if tasks.count > 0 {
            let live = Live { count: tasks.count, open: tasks.count, keep: false };
            self.live.insert(tasks.first, live);
        }
    }

    /// Open tasks have ended; `keep` where not ok.
    pub(crate) fn end(&mut self, tasks: TaskRange, keep: bool) {
        let mut at = tasks.first;
        while at < tasks.end() {
            let Some((first, live)) = self.live.range_mut(..=at).next_back() else { break };
            let (first, end) = (*first, first.saturating_add(live.count));
            let upto = end.min(tasks.end());
            if upto <= at {
                break;
            }
            live.open = live.open.saturating_sub(upto - at);
            live.keep |= keep;
            if live.open == 0 {
                let ended = if live.keep { &mut self.kept } else { &mut self.spent };
                ended.insert(TaskRange::between(first, end));
                self.live.remove(&first);
            }
            at = upto;
        }
    }

    /// Segments were dropped.
    pub(crate) fn drop(&mut self, tasks: &[TaskRange]) {
        for tasks in tasks {
            self.kept.remove(*tasks);
            self.spent.remove(*tasks);
        }
    }

    /// What is to be dropped as soon as may be.
    pub(crate) fn spent(&self) -> Vec<TaskRange> {
        self.spent.iter().collect()
    }

    /// What is stored of a job that has ended.
    pub(crate) fn ended(&self) -> Vec<TaskRange> {
        self.kept.iter().chain(self.spent.iter()).collect()
    }

    /// How many segments have open tasks.
    pub(crate) fn live_segments(&self) -> usize {
        self.live.len()
    }

    /// How many ranges of segments have ended.
    pub(crate) fn ended_runs(&self) -> usize {
        self.kept.runs() + self.spent.runs()
    }

    /// True where none is stored.
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.kept.is_empty() && self.spent.is_empty()
    }

    /// Whether a task's input is stored.
    pub(crate) fn has(&self, index: u64) -> bool {
        let one = TaskRange::one(index);
        let live = self.live.range(..=index).next_back();
        live.is_some_and(|(first, live)| index - first < live.count)
            || !self.kept.within(one).is_empty()
            || !self.spent.within(one).is_empty()
    }

    /// The first run of these tasks whose inputs are stored. More of them may follow it directly.
    pub(crate) fn first_of(&self, tasks: TaskRange) -> Option<TaskRange> {
        let before = self.live.range(..tasks.first).next_back();
        let live = before.into_iter().chain(self.live.range(tasks.first..tasks.end()));
        let live = live.map(|(first, live)| TaskRange::between(*first, first + live.count));
        let live = live.filter_map(|segment| segment.intersect(tasks)).next();
        let ended = [self.kept.first_of(tasks), self.spent.first_of(tasks)];
        let found = live.into_iter().chain(ended.into_iter().flatten());
        found.min_by_key(|run| run.first)
    }

    /// Whether the inputs of all these tasks are stored, whose segments have ended.
    pub(crate) fn has_ended(&self, tasks: &[TaskRange]) -> bool {
        let kept = |part: &TaskRange| self.kept.within(*part).iter().map(|p| p.count).sum();
        tasks.iter().all(|part| part.count == kept(part))
    }

    /// As items of a snapshot.
    pub(crate) fn snapshot(&self, job: wasmgrid_proto::JobId, out: &mut dyn FnMut(SnapshotItem)) {
        let live = self.live.iter();
        let live: Vec<_> = live
            .map(|(first, live)| (TaskRange::between(*first, first + live.count), live.keep))
            .collect();
        for part in live.chunks(SNAPSHOT_LIST) {
            out(SnapshotItem::Inputs { job, segments: part.to_vec() });
        }
        lists(job, TaskSet::InputsKept, &self.kept, out);
        lists(job, TaskSet::InputsSpent, &self.spent, out);
    }

    /// Takes in live segments of a snapshot, whose open tasks are known.
    pub(crate) fn restore_live(&mut self, segments: &[(TaskRange, bool)], open: &RangeSet) {
        for (tasks, keep) in segments {
            let open = open.within(*tasks).iter().map(|part| part.count).sum();
            self.live.insert(tasks.first, Live { count: tasks.count, open, keep: *keep });
        }
    }

    /// Takes in ended segments of a snapshot.
    pub(crate) fn restore_ended(&mut self, set: TaskSet, tasks: &[TaskRange]) {
        let ended = if set == TaskSet::InputsKept { &mut self.kept } else { &mut self.spent };
        tasks.iter().for_each(|part| ended.insert(*part));
    }
}
