//! What of a batch is left, asked back and cancelled: the one owner of that, for whoever has given
//! tasks away and waits for them. The agent has one for each batch in a slot, a slot for each batch
//! at its runner, and a runner for each batch that has tasks which have not begun.

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};
use core::mem;

use crate::{RangeList, TaskRange};

/// The tasks of a batch that have not come back, and what was ordered of them. A task leaves it once,
/// and is asked back only while it is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    left: RangeList,
    /// Of those that are left.
    recalled: RangeList,
    cancelled_by: Option<String>,
}

impl Outstanding {
    /// The tasks that have not come back, in the order in which they are worked on.
    #[must_use]
    pub const fn left(&self) -> &RangeList {
        &self.left
    }

    /// Those of them that were asked back.
    #[must_use]
    pub const fn recalled(&self) -> &RangeList {
        &self.recalled
    }

    /// Who cancelled the job, if somebody did.
    #[must_use]
    pub fn cancelled_by(&self) -> Option<&str> {
        self.cancelled_by.as_deref()
    }

    /// True if nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Takes tasks out that come back, as far as they are left; returns how many that were.
    pub fn take(&mut self, tasks: TaskRange) -> u64 {
        if !self.recalled.is_empty() {
            self.recalled.remove(tasks);
        }
        self.left.remove(tasks)
    }

    /// Takes out all that is left.
    #[must_use]
    pub fn take_all(&mut self) -> RangeList {
        self.recalled = RangeList::default();
        mem::take(&mut self.left)
    }

    /// Notes that tasks are asked back, as far as they are left.
    pub fn recall(&mut self, tasks: &[TaskRange]) {
        for range in tasks {
            self.recalled.extend(self.left.within(*range));
        }
    }

    /// Takes out what was asked back. A task that has begun stays, and is not asked back any more.
    #[must_use]
    pub fn take_recalled(&mut self, begun: Option<u64>) -> Vec<TaskRange> {
        let recalled = mem::take(&mut self.recalled);
        let begun = begun.map_or(TaskRange { first: 0, count: 0 }, TaskRange::one);
        let back: Vec<_> = recalled.into_iter().flat_map(|range| range.without(begun)).collect();
        for range in &back {
            self.left.remove(*range);
        }
        back
    }

    /// Notes that the job is cancelled. The first who does is remembered.
    pub fn cancel(&mut self, by: &str) {
        self.cancelled_by.get_or_insert_with(|| by.to_owned());
    }

    /// Cuts off the ranges of what is left from this position on, with what was ordered of them;
    /// `None` if there are none.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Option<Self> {
        let left = self.left.split_off(at);
        if left.is_empty() {
            return None;
        }
        let mut recalled = RangeList::default();
        for range in left.iter() {
            recalled.extend(self.recalled.within(*range));
            self.recalled.remove(*range);
        }
        Some(Self { left, recalled, cancelled_by: self.cancelled_by.clone() })
    }
}

impl From<TaskRange> for Outstanding {
    fn from(tasks: TaskRange) -> Self {
        Self { left: tasks.into(), recalled: RangeList::default(), cancelled_by: None }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, vec};

    use super::*;

    /// The same, task by task.
    #[derive(Clone, Debug, Default)]
    struct Naive {
        left: BTreeSet<u64>,
        recalled: BTreeSet<u64>,
    }

    fn indices(ranges: &[TaskRange]) -> BTreeSet<u64> {
        let all: Vec<u64> = ranges.iter().flat_map(|range| range.first..range.end()).collect();
        let set: BTreeSet<u64> = all.iter().copied().collect();
        assert_eq!(set.len(), all.len(), "each task once");
        set
    }

    fn same(outstanding: &Outstanding, naive: &Naive) {
        assert_eq!(indices(outstanding.left()), naive.left);
        assert_eq!(indices(outstanding.recalled()), naive.recalled);
        assert_eq!(outstanding.is_empty(), naive.left.is_empty());
    }

    fn draws(mut state: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        }
    }

    /// Some step, on both.
    fn step(
        outstanding: &mut Outstanding,
        naive: &mut Naive,
        draw: &mut impl FnMut(u64) -> u64,
    ) -> Option<(Outstanding, Naive)> {
        let range = TaskRange { first: draw(60), count: draw(9) };
        let within = |set: &BTreeSet<u64>| -> BTreeSet<u64> {
            set.range(range.first..range.end()).copied().collect()
        };
        match draw(20) {
            0..8 => {
                let taken = within(&naive.left);
                assert_eq!(outstanding.take(range), taken.len() as u64);
                naive.left.retain(|index| !taken.contains(index));
                naive.recalled.retain(|index| !taken.contains(index));
            }
            8..14 => {
                let other = TaskRange { first: draw(60), count: draw(9) };
                outstanding.recall(&[range, other]);
                naive.recalled.extend(within(&naive.left));
                naive.recalled.extend(naive.left.range(other.first..other.end()));
            }
            14..17 => {
                let begun = (draw(2) == 0).then_some(range.first);
                let mut back = mem::take(&mut naive.recalled);
                if let Some(index) = begun {
                    back.remove(&index);
                }
                assert_eq!(indices(&outstanding.take_recalled(begun)), back);
                naive.left.retain(|index| !back.contains(index));
            }
            17 => {
                let left = mem::take(naive).left;
                assert_eq!(indices(&outstanding.take_all()), left);
            }
            _ => {
                let at = draw(3) as usize;
                let kept = indices(outstanding.left().get(..at).unwrap_or(outstanding.left()));
                let rest = outstanding.split_off(at)?;
                let cut = |set: &mut BTreeSet<u64>| -> BTreeSet<u64> {
                    let cut = set.difference(&kept).copied().collect();
                    set.retain(|index| kept.contains(index));
                    cut
                };
                let naive_rest =
                    Naive { left: cut(&mut naive.left), recalled: cut(&mut naive.recalled) };
                return Some((rest, naive_rest));
            }
        }
        None
    }

    #[test]
    fn it_is_what_counting_task_by_task_gives_after_every_step() {
        for seed in 0..2_000 {
            let mut draw = draws(seed);
            let whole = TaskRange { first: draw(20), count: 1 + draw(40) };
            let naive = Naive { left: indices(&[whole]), recalled: BTreeSet::new() };
            let mut parts = vec![(Outstanding::from(whole), naive)];
            for _ in 0..40 {
                let part = draw(parts.len() as u64) as usize;
                let (outstanding, naive) = &mut parts[part];
                let rest = step(outstanding, naive, &mut draw);
                same(outstanding, naive);
                if let Some((rest, naive)) = rest {
                    same(&rest, &naive);
                    parts.push((rest, naive));
                }
            }
            let all: usize = parts.iter().map(|(_, naive)| naive.left.len()).sum();
            let lists = parts.iter().flat_map(|(outstanding, _)| outstanding.left().iter());
            let ranges: Vec<TaskRange> = lists.copied().collect();
            assert_eq!(indices(&ranges).len(), all, "no task is in two parts");
        }
    }

    #[test]
    fn the_first_who_cancels_is_named_in_every_part() {
        let mut outstanding = Outstanding::from(TaskRange { first: 0, count: 9 });
        assert_eq!(outstanding.cancelled_by(), None);
        outstanding.cancel("ann");
        outstanding.cancel("bob");
        outstanding.take(TaskRange::one(4));
        let rest = outstanding.split_off(1).expect("a second range");
        assert_eq!((outstanding.cancelled_by(), rest.cancelled_by()), (Some("ann"), Some("ann")));
    }

    #[test]
    fn all_tasks_can_be_asked_back_at_once() {
        let mut outstanding = Outstanding::from(TaskRange { first: 3, count: 5 });
        outstanding.recall(&[TaskRange::ALL]);
        outstanding.recall(&[TaskRange::ALL]);
        let back = outstanding.take_recalled(Some(5));
        assert_eq!(back, [TaskRange { first: 3, count: 2 }, TaskRange { first: 6, count: 2 }]);
        assert_eq!(**outstanding.left(), [TaskRange::one(5)]);
        assert!(outstanding.recalled().is_empty());
    }
}
