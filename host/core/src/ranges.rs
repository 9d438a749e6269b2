//! Sets of task indices as ranges: ten million neighbouring tasks cost one entry.

use alloc::{collections::BTreeMap, vec::Vec};

use wasmgrid_proto::TaskRange;

/// A set of indices; neighbours are one entry. What touches one range is O(log n) in entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    /// From each range's first index to the index behind its last; never empty, never touching.
    spans: BTreeMap<u64, u64>,
    len: u64,
}

impl RangeSet {
    /// How many indices there are.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many ranges there are.
    pub(crate) fn runs(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn contains(&self, index: u64) -> bool {
        self.at_or_before(index).is_some_and(|(_, end)| index < end)
    }

    /// The indices nearest to one that is not there: below and above it.
    pub(crate) fn nearest(&self, index: u64) -> (Option<u64>, Option<u64>) {
        let below = self.at_or_before(index).map(|(_, end)| end - 1);
        (below, self.spans.range(index..).next().map(|(first, _)| *first))
    }

    /// The ranges, rising.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = TaskRange> {
        self.spans.iter().map(|(first, end)| range(*first, *end))
    }

    /// Adds a range; what is there already stays.
    pub(crate) fn insert(&mut self, tasks: TaskRange) {
        if tasks.count == 0 {
            return;
        }
        let (mut first, mut end) = (tasks.first, tasks.end());
        if let Some((before, before_end)) = self.at_or_before(first)
            && before_end >= first
        {
            if before_end >= end {
                return;
            }
            first = before;
        }
        while let Some((next, next_end)) = self.spans.range(first..=end).next().map(copied) {
            self.spans.remove(&next);
            self.len -= next_end - next;
            end = end.max(next_end);
        }
        self.spans.insert(first, end);
        self.len += end - first;
    }

    /// Takes a range out, as far as it is there; says how many indices that were.
    pub(crate) fn remove(&mut self, tasks: TaskRange) -> u64 {
        if tasks.count == 0 {
            return 0;
        }
        let (first, end) = (tasks.first, tasks.end());
        let before = self.len;
        if let Some((span, span_end)) = self.at_or_before(first)
            && span_end > first
        {
            self.cut(span, span_end, first, end);
        }
        while let Some((span, span_end)) = self.spans.range(first..end).next().map(copied) {
            self.cut(span, span_end, first, end);
        }
        before - self.len
    }

    /// Takes a range out where all of it is there; says whether it was.
    pub(crate) fn take(&mut self, tasks: TaskRange) -> bool {
        match self.at_or_before(tasks.first) {
            Some((span, span_end)) if span_end >= tasks.end() && tasks.count > 0 => {
                self.cut(span, span_end, tasks.first, tasks.end());
                true
            }
            _ => false,
        }
    }

    /// Takes out the first indices that are neighbours, at most `max` of them.
    pub(crate) fn take_first(&mut self, max: u64) -> Option<TaskRange> {
        let (first, end) = self.spans.first_key_value().map(copied)?;
        let tasks = range(first, end.min(first.saturating_add(max)));
        self.take(tasks).then_some(tasks)
    }

    /// The part of the set inside a range.
    pub(crate) fn within(&self, tasks: TaskRange) -> Vec<TaskRange> {
        let (first, end) = (tasks.first, tasks.end());
        let head = self.at_or_before(first).filter(|(span, _)| *span < first);
        let rest = self.spans.range(first..end).map(copied);
        head.into_iter()
            .chain(rest)
            .map(|(span, span_end)| (span.max(first), span_end.min(end)))
            .filter(|(from, to)| from < to)
            .map(|(from, to)| range(from, to))
            .collect()
    }

    /// The set without another's indices.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        for tasks in other.iter() {
            rest.remove(tasks);
        }
        rest
    }

    /// The last `count` indices, as ranges, the highest first.
    pub(crate) fn last(&self, mut count: u64) -> Vec<TaskRange> {
        let mut tail = Vec::new();
        for tasks in self.iter().rev() {
            if count == 0 {
                break;
            }
            let part = tasks.count.min(count);
            tail.push(TaskRange { first: tasks.end() - part, count: part });
            count -= part;
        }
        tail
    }

    fn at_or_before(&self, index: u64) -> Option<(u64, u64)> {
        self.spans.range(..=index).next_back().map(copied)
    }

    /// Cuts `from..to` out of one span that overlaps it.
    fn cut(&mut self, span: u64, span_end: u64, from: u64, to: u64) {
        self.spans.remove(&span);
        if span < from {
            self.spans.insert(span, from);
        }
        if to < span_end {
            self.spans.insert(to, span_end);
        }
        self.len -= span_end.min(to) - span.max(from);
    }
}

impl FromIterator<TaskRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = TaskRange>>(ranges: I) -> Self {
        let mut set = Self::default();
        for tasks in ranges {
            set.insert(tasks);
        }
        set
    }
}

/// The range from `first` to before `end`.
pub(crate) const fn range(first: u64, end: u64) -> TaskRange {
    TaskRange { first, count: end.saturating_sub(first) }
}

/// The range of one task.
pub(crate) const fn one(index: u64) -> TaskRange {
    TaskRange { first: index, count: 1 }
}

fn copied((first, end): (&u64, &u64)) -> (u64, u64) {
    (*first, *end)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_the_set_of_the_same_indices_after_every_step() {
        let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..20_000 {
            let tasks = TaskRange { first: draw(60), count: draw(9) };
            let indices = tasks.first..tasks.end();
            let inside = model.range(indices.clone()).count() as u64;
            match draw(4) {
                0 | 1 => {
                    set.insert(tasks);
                    model.extend(indices);
                }
                2 => {
                    assert_eq!(set.remove(tasks), inside);
                    model.retain(|index| !indices.contains(index));
                }
                _ => {
                    let whole = tasks.count > 0 && inside == tasks.count;
                    assert_eq!(set.take(tasks), whole);
                    model.retain(|index| !(whole && indices.contains(index)));
                }
            }
            let listed: Vec<u64> = set.iter().flat_map(|part| part.first..part.end()).collect();
            assert_eq!(listed, model.iter().copied().collect::<Vec<_>>());
            assert_eq!(set.len(), model.len() as u64);
            assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.end() < b.first));
            let within: u64 = set.within(tasks).iter().map(|part| part.count).sum();
            assert_eq!(within, model.range(tasks.first..tasks.end()).count() as u64);
        }
    }

    #[test]
    fn the_last_indices_come_from_the_end() {
        let set: RangeSet = [range(0, 5), range(8, 10)].into_iter().collect();
        assert_eq!(set.last(4), [range(8, 10), range(3, 5)]);
        assert_eq!(set.last(99), [range(8, 10), range(0, 5)]);
    }
}
