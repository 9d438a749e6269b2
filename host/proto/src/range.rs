//! Runs of neighbouring tasks, and what is done with them: the one place that knows where two runs
//! overlap and what is left of one without another.

use alloc::{vec, vec::Vec};
use core::ops::Deref;

use serde::{Deserialize, Serialize};

/// A run of neighbouring tasks of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskRange {
    /// The first task's index.
    pub first: u64,
    /// How many tasks; not 0.
    pub count: u64,
}

impl TaskRange {
    /// Every task that a job can have.
    pub const ALL: Self = Self { first: 0, count: u64::MAX };

    /// One task.
    #[must_use]
    pub const fn one(index: u64) -> Self {
        Self { first: index, count: 1 }
    }

    /// The tasks from `first` to before `end`; none if `end` is not above `first`.
    #[must_use]
    pub const fn between(first: u64, end: u64) -> Self {
        Self { first, count: end.saturating_sub(first) }
    }

    /// The index behind the last; saturates.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// True if the task is in the range.
    #[must_use]
    pub const fn contains(self, index: u64) -> bool {
        self.first <= index && index < self.end()
    }

    /// What two ranges have in common; `None` if that is nothing.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        let common = Self::between(self.first.max(other.first), self.end().min(other.end()));
        (common.count > 0).then_some(common)
    }

    /// What is left of the range without another one: nothing, one part or two, rising.
    pub fn without(self, other: Self) -> impl Iterator<Item = Self> {
        let parts = match self.intersect(other) {
            None => [self, Self::between(self.end(), self.end())],
            Some(hole) => {
                [Self::between(self.first, hole.first), Self::between(hole.end(), self.end())]
            }
        };
        parts.into_iter().filter(|part| part.count > 0)
    }
}

/// Ranges of tasks in the order in which they are worked on. No task is in two of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeList(Vec<TaskRange>);

impl RangeList {
    /// How many tasks there are in all ranges; saturates.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add(range.count))
    }

    /// True if the task is in one of the ranges.
    #[must_use]
    pub fn has(&self, index: u64) -> bool {
        self.0.iter().any(|range| range.contains(index))
    }

    /// Appends what of a range is not in the list yet; it joins the last range if it follows that.
    pub fn push(&mut self, range: TaskRange) {
        if self.within(range).next().is_none() {
            return self.append(range);
        }
        self.missing(range).into_iter().for_each(|part| self.append(part));
    }

    /// Appends a range of which nothing is in the list.
    fn append(&mut self, range: TaskRange) {
        match self.0.last_mut() {
            Some(last) if last.end() == range.first => {
                // Past the last index that there is, nothing follows.
                last.count = last.count.saturating_add(range.count);
            }
            _ if range.count > 0 => self.0.push(range),
            _ => {}
        }
    }

    /// Takes a range out, as far as it is in the list; returns how many tasks that were. Cheap if
    /// it is where the list begins, as nearly always.
    pub fn remove(&mut self, range: TaskRange) -> u64 {
        let (mut removed, mut at) = (0, 0);
        while let Some(one) = self.0.get_mut(at)
            && removed < range.count
        {
            let Some(hole) = one.intersect(range) else {
                at += 1;
                continue;
            };
            removed += hole.count;
            let mut rest = one.without(hole);
            match rest.next() {
                None => drop(self.0.remove(at)),
                Some(first) => {
                    *one = first;
                    at += 1;
                    if let Some(second) = rest.next() {
                        self.0.insert(at, second);
                        at += 1;
                    }
                }
            }
        }
        removed
    }

    /// The parts of the list that are in a range, in the order of the list.
    pub fn within(&self, range: TaskRange) -> impl Iterator<Item = TaskRange> {
        self.0.iter().filter_map(move |one| one.intersect(range))
    }

    /// The parts of a range that are not in the list, rising.
    #[must_use]
    pub fn missing(&self, range: TaskRange) -> Vec<TaskRange> {
        let mut parts = vec![range];
        for one in self.within(range) {
            parts = parts.into_iter().flat_map(|part| part.without(one)).collect();
        }
        parts.retain(|part| part.count > 0);
        parts
    }

    /// The tasks of these ranges, which may overlap, in rising ranges that do not touch each other.
    #[must_use]
    pub fn rising(mut ranges: Vec<TaskRange>) -> Self {
        ranges.retain(|range| range.count > 0);
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let touches = next.first <= before.end();
            if touches {
                before.count = before.end().max(next.end()) - before.first;
            }
            touches
        });
        Self(ranges)
    }

    /// Cuts off the ranges from this position on.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        Self(self.0.split_off(at.min(self.0.len())))
    }

    /// The ranges as they are sent.
    #[must_use]
    pub fn into_vec(self) -> Vec<TaskRange> {
        self.0
    }
}

impl Deref for RangeList {
    type Target = [TaskRange];

    fn deref(&self) -> &[TaskRange] {
        &self.0
    }
}

impl From<TaskRange> for RangeList {
    fn from(range: TaskRange) -> Self {
        Self::from_iter([range])
    }
}

impl Extend<TaskRange> for RangeList {
    fn extend<I: IntoIterator<Item = TaskRange>>(&mut self, ranges: I) {
        ranges.into_iter().for_each(|range| self.push(range));
    }
}

impl FromIterator<TaskRange> for RangeList {
    fn from_iter<I: IntoIterator<Item = TaskRange>>(ranges: I) -> Self {
        let mut list = Self::default();
        list.extend(ranges);
        list
    }
}

impl IntoIterator for RangeList {
    type Item = TaskRange;
    type IntoIter = vec::IntoIter<TaskRange>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    fn range(first: u64, count: u64) -> TaskRange {
        TaskRange { first, count }
    }

    #[test]
    fn a_range_is_cut_where_another_overlaps_it() {
        let cut = |taken| range(10, 10).without(taken).collect::<Vec<_>>();
        assert_eq!(cut(range(0, 5)), [range(10, 10)]);
        assert_eq!(cut(range(0, 12)), [range(12, 8)]);
        assert_eq!(cut(range(12, 3)), [range(10, 2), range(15, 5)]);
        assert_eq!(cut(range(18, 9)), [range(10, 8)]);
        assert_eq!(cut(TaskRange::ALL), []);
        assert_eq!(range(4, 2).intersect(range(5, 9)), Some(range(5, 1)));
        assert_eq!(range(4, 2).intersect(range(6, 9)), None);
        assert_eq!(range(4, 0).intersect(TaskRange::ALL), None);
    }

    #[test]
    fn neighbours_that_follow_each_other_are_one_range() {
        let list: RangeList = [4, 5, 7, 8, 9, 8].map(TaskRange::one).into_iter().collect();
        assert_eq!(*list, [range(4, 2), range(7, 3)]);
        assert_eq!(list.missing(range(0, 12)), [range(0, 4), range(6, 1), range(10, 2)]);
    }

    #[test]
    fn ranges_that_overlap_or_touch_are_one_in_a_rising_list() {
        let list = RangeList::rising(vec![
            range(9, 2),
            range(3, 4),
            range(5, 1),
            range(7, 1),
            range(0, 0),
            range(9, 1),
        ]);
        assert_eq!(*list, [range(3, 5), range(9, 2)]);
    }

    #[test]
    fn a_list_ends_at_the_last_index_that_there_is() {
        let list: RangeList = [TaskRange::ALL, range(u64::MAX, 3)].into_iter().collect();
        assert_eq!(*list, [TaskRange::ALL]);
    }

    #[test]
    fn a_list_has_the_same_tasks_as_a_set_after_every_step() {
        let (mut list, mut model) = (RangeList::default(), BTreeSet::new());
        let mut state = 3_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..20_000 {
            let range = range(draw(40), draw(7));
            let indices = range.first..range.end();
            let inside = model.range(indices.clone()).count() as u64;
            assert_eq!(list.within(range).map(|part| part.count).sum::<u64>(), inside);
            let missing: u64 = list.missing(range).iter().map(|part| part.count).sum();
            assert_eq!(missing, range.count - inside);
            if draw(2) == 0 {
                list.push(range);
                model.extend(indices);
            } else {
                assert_eq!(list.remove(range), inside);
                model.retain(|index| !indices.contains(index));
            }
            let mut listed: Vec<u64> =
                list.iter().flat_map(|part| part.first..part.end()).collect();
            listed.sort_unstable();
            assert!(listed.iter().copied().eq(model.iter().copied()), "each task once");
            assert_eq!(list.tasks(), model.len() as u64);
            let index = draw(50);
            assert_eq!(list.has(index), model.contains(&index));
        }
    }
}
