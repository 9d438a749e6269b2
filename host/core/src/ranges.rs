//! Sets of task indices as ranges: ten million neighbouring tasks cost one entry.

use alloc::{collections::BTreeMap, vec::Vec};

use wasmgrid_proto::TaskRange;

/// A set of indices; neighbours are one entry. What touches one range is O(log n) in entries.
///
/// The lowest range stands apart from the others: most sets have no other, and need no search and
/// no memory elsewhere then. The others are found by their ends, since indices leave from the front
/// mostly, which so changes an entry in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    lowest: Span,
    /// From the index behind each further range's last to its first; never empty, never touching.
    others: BTreeMap<u64, u64>,
    len: u64,
}

/// From a first index to the one behind the last; (0, 0) where there is none.
type Span = (u64, u64);

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
        self.others.len() + usize::from(!self.is_empty())
    }

    pub(crate) fn contains(&self, index: u64) -> bool {
        self.behind(index).is_some_and(|(first, _)| first <= index)
    }

    /// The indices nearest to one that is not there: below and above it.
    pub(crate) fn nearest(&self, index: u64) -> (Option<u64>, Option<u64>) {
        let lowest = (!self.is_empty() && self.lowest.1 <= index).then_some(self.lowest.1);
        let others = self.others.range(..=index).next_back().map(|(end, _)| *end);
        let below = others.or(lowest).map(|end| end - 1);
        (below, self.behind(index).map(|(first, _)| first))
    }

    /// The ranges, rising.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = TaskRange> {
        self.from(0).map(|(first, end)| TaskRange::between(first, end))
    }

    /// Adds a range; what is there already stays.
    pub(crate) fn insert(&mut self, tasks: TaskRange) {
        if tasks.count == 0 {
            return;
        }
        let (mut first, mut end) = (tasks.first, tasks.end());
        while let Some(span) = self.reaching(first).filter(|span| span.0 <= end) {
            if span.0 <= first && span.1 >= end {
                return;
            }
            self.remove_span(span);
            (first, end) = (first.min(span.0), end.max(span.1));
        }
        self.insert_span((first, end));
    }

    /// Takes a range out, as far as it is there; says how many indices that were.
    pub(crate) fn remove(&mut self, tasks: TaskRange) -> u64 {
        let before = self.len;
        let (first, end) = (tasks.first, tasks.end());
        if first == end {
            return 0;
        }
        while let Some(span) = self.behind(first).filter(|span| span.0 < end) {
            self.cut(span, (first, end));
        }
        before - self.len
    }

    /// Takes a range out where all of it is there; says whether it was.
    pub(crate) fn take(&mut self, tasks: TaskRange) -> bool {
        let (first, end) = (tasks.first, tasks.end());
        let span = self.behind(first).filter(|span| span.0 <= first && span.1 >= end);
        match span.filter(|_| first < end) {
            Some(span) => {
                self.cut(span, (first, end));
                true
            }
            None => false,
        }
    }

    /// Takes out the first indices that are neighbours, at most `max` of them.
    pub(crate) fn take_first(&mut self, max: u64) -> Option<TaskRange> {
        let (first, end) = self.lowest;
        let tasks = TaskRange::between(first, end.min(first.saturating_add(max)));
        self.take(tasks).then_some(tasks)
    }

    /// The part of the set inside a range.
    pub(crate) fn within(&self, tasks: TaskRange) -> Vec<TaskRange> {
        let (first, end) = (tasks.first, tasks.end());
        self.from(first)
            .take_while(|span| span.0 < end)
            .map(|span| (span.0.max(first), span.1.min(end)))
            .filter(|(from, to)| from < to)
            .map(|(from, to)| TaskRange::between(from, to))
            .collect()
    }

    /// The first run of the set inside a range.
    pub(crate) fn first_of(&self, tasks: TaskRange) -> Option<TaskRange> {
        let (first, end) = self.behind(tasks.first)?;
        TaskRange::between(first, end).intersect(tasks)
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

    /// The spans that end at an index or behind it, rising.
    fn from(&self, index: u64) -> impl DoubleEndedIterator<Item = Span> {
        let lowest = (!self.is_empty()).then_some(self.lowest).filter(|span| span.1 >= index);
        let others = self.others.range(index..).map(|(end, first)| (*first, *end));
        lowest.into_iter().chain(others)
    }

    /// The lowest span that ends at an index or behind it.
    fn reaching(&self, index: u64) -> Option<Span> {
        if self.lowest.1 >= index && !self.is_empty() {
            return Some(self.lowest);
        }
        self.others.range(index..).next().map(|(end, first)| (*first, *end))
    }

    /// The lowest span that ends behind an index.
    fn behind(&self, index: u64) -> Option<Span> {
        index.checked_add(1).and_then(|next| self.reaching(next))
    }

    /// Cuts a range out of a span that overlaps it.
    fn cut(&mut self, (first, end): Span, (from, to): Span) {
        if to >= end {
            self.remove_span((first, end));
        } else if self.lowest.0 == first {
            self.lowest.0 = to;
            self.len -= to - first;
        } else if let Some(others_first) = self.others.get_mut(&end) {
            *others_first = to;
            self.len -= to - first;
        }
        if first < from {
            self.insert_span((first, from));
        }
    }

    /// Adds a span that touches no other.
    fn insert_span(&mut self, span: Span) {
        self.len += span.1 - span.0;
        if self.len == span.1 - span.0 {
            self.lowest = span;
            return;
        }
        let lowest = self.lowest.min(span);
        let (first, end) = core::mem::replace(&mut self.lowest, lowest).max(span);
        self.others.insert(end, first);
    }

    /// Takes out a whole span.
    fn remove_span(&mut self, (first, end): Span) {
        if self.lowest.0 == first {
            let next = self.others.pop_first();
            self.lowest = next.map(|(end, first)| (first, end)).unwrap_or_default();
        } else {
            self.others.remove(&end);
        }
        self.len -= end - first;
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
            assert_eq!(set.first_of(tasks), set.within(tasks).first().copied());
        }
    }

    #[test]
    fn the_last_indices_come_from_the_end() {
        let set: RangeSet =
            [TaskRange::between(0, 5), TaskRange::between(8, 10)].into_iter().collect();
        assert_eq!(set.last(4), [TaskRange::between(8, 10), TaskRange::between(3, 5)]);
        assert_eq!(set.last(99), [TaskRange::between(8, 10), TaskRange::between(0, 5)]);
    }
}
