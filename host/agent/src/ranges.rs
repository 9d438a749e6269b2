//! Sets of task indices as runs, in the order in which they are worked on.

use alloc::vec::Vec;

use wasmgrid_proto::TaskRange;

/// Takes `index` out of `ranges`; false where it is not in. Cheap where it is the very first,
/// which it nearly always is.
pub(crate) fn take(ranges: &mut Vec<TaskRange>, index: u64) -> bool {
    let holds = |range: &TaskRange| index >= range.first && index < range.end();
    let Some(at) = ranges.iter().position(holds) else { return false };
    let Some(range) = ranges.get_mut(at) else { return false };
    let tail = TaskRange { first: index + 1, count: range.end() - index - 1 };
    range.count = index - range.first;
    let keeps_head = range.count > 0;
    match (keeps_head, tail.count > 0) {
        (true, true) => ranges.insert(at + 1, tail),
        (true, false) => {}
        (false, true) => *range = tail,
        (false, false) => drop(ranges.remove(at)),
    }
    true
}

/// Adds `index`, as a part of the last run where it follows that.
pub(crate) fn push(ranges: &mut Vec<TaskRange>, index: u64) {
    match ranges.last_mut() {
        Some(last) if last.end() == index => last.count += 1,
        _ => ranges.push(TaskRange { first: index, count: 1 }),
    }
}

/// What `range` and `other` share.
pub(crate) fn overlap(range: TaskRange, other: TaskRange) -> Option<TaskRange> {
    let first = range.first.max(other.first);
    let count = range.end().min(other.end()).checked_sub(first)?;
    (count > 0).then_some(TaskRange { first, count })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn range(first: u64, count: u64) -> TaskRange {
        TaskRange { first, count }
    }

    #[test]
    fn an_index_is_taken_once_from_wherever_it_is() {
        let mut ranges = vec![range(0, 3), range(10, 1)];
        assert!(take(&mut ranges, 0));
        assert!(take(&mut ranges, 10));
        assert_eq!(ranges, [range(1, 2)]);
        assert!(take(&mut ranges, 2));
        assert!(!take(&mut ranges, 2));
        assert!(take(&mut ranges, 1));
        assert!(ranges.is_empty());
        let mut middle = vec![range(0, 5)];
        assert!(take(&mut middle, 2));
        assert_eq!(middle, [range(0, 2), range(3, 2)]);
    }

    #[test]
    fn neighbours_become_one_run() {
        let mut ranges = Vec::new();
        for index in [4, 5, 7, 8, 9] {
            push(&mut ranges, index);
        }
        assert_eq!(ranges, [range(4, 2), range(7, 3)]);
        assert_eq!(overlap(range(4, 2), range(5, 9)), Some(range(5, 1)));
        assert_eq!(overlap(range(4, 2), range(6, 9)), None);
    }
}
