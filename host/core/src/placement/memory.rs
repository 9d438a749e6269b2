//! How much of a worker's memory its tasks may take. Which of them run at once is the worker's
//! choice, so what counts is the worst: its slots run those with the largest limits.

use alloc::{collections::BTreeMap, vec::Vec};

/// A worker's tasks by the memory limit of each, rising; no zeros. Limits are few.
#[derive(Debug, Default)]
pub(crate) struct MemoryBook(Vec<(u64, u64)>);

/// The largest tasks, as many as there are slots.
struct Worst {
    /// What they may take together.
    bytes: u64,
    /// How many they are.
    tasks: u64,
    /// The smallest limit among them; 0 where there are none.
    least: u64,
}

impl MemoryBook {
    pub(crate) fn add(&mut self, limit: u64, tasks: u64) {
        match self.find(limit) {
            Ok(at) => self.0.get_mut(at).into_iter().for_each(|(_, count)| *count += tasks),
            Err(at) if tasks > 0 => self.0.insert(at, (limit, tasks)),
            Err(_) => {}
        }
    }

    pub(crate) fn subtract(&mut self, limit: u64, tasks: u64) {
        if let Ok(at) = self.find(limit)
            && let Some((_, count)) = self.0.get_mut(at)
        {
            *count = count.saturating_sub(tasks);
            if *count == 0 {
                self.0.remove(at);
            }
        }
    }

    /// Where a limit is, or where it belongs.
    fn find(&self, limit: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&limit, |(limit, _)| *limit)
    }

    /// What the tasks of `slots` may take together at worst.
    pub(crate) fn taken(&self, slots: u64) -> u64 {
        self.worst(slots).bytes
    }

    /// The largest limit a further task may have, so that `slots` never take more than `memory`.
    pub(crate) fn room(&self, slots: u64, memory: u64) -> u64 {
        let worst = self.worst(slots);
        let free = memory.saturating_sub(worst.bytes);
        let over = worst.bytes > memory;
        if worst.tasks < slots || over { free } else { free.saturating_add(worst.least) }
    }

    /// How many tasks of this limit may be added.
    pub(crate) fn fitting(&self, limit: u64, slots: u64, memory: u64) -> u64 {
        let worst = self.worst(slots);
        let Some(mut free) = memory.checked_sub(worst.bytes) else { return 0 };
        let spare = slots.saturating_sub(worst.tasks);
        let mut fitting = affordable(spare, limit, free);
        if fitting < spare {
            return fitting;
        }
        free = free.saturating_sub(limit.saturating_mul(spare));
        // Each further one takes the slot of a smaller one.
        let mut left = worst.tasks;
        let mut smaller = BTreeMap::new();
        for (other, count) in self.0.iter().rev() {
            let count = (*count).min(left);
            left -= count;
            if count > 0 && *other < limit {
                smaller.insert(*other, count);
            }
        }
        for (other, count) in smaller {
            let more = affordable(count, limit - other, free);
            fitting = fitting.saturating_add(more);
            if more < count {
                return fitting;
            }
            free = free.saturating_sub((limit - other).saturating_mul(count));
        }
        u64::MAX
    }

    fn worst(&self, slots: u64) -> Worst {
        let mut worst = Worst { bytes: 0, tasks: 0, least: 0 };
        for (limit, count) in self.0.iter().rev() {
            if worst.tasks == slots {
                break;
            }
            let count = (*count).min(slots - worst.tasks);
            worst.tasks += count;
            worst.bytes = worst.bytes.saturating_add(limit.saturating_mul(count));
            worst.least = *limit;
        }
        worst
    }
}

/// How many of `count` things of this price `free` pays.
fn affordable(count: u64, price: u64, free: u64) -> u64 {
    free.checked_div(price).map_or(count, |paid| paid.min(count))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// What the slots may take at worst, the simple way.
    fn peak(tasks: &[u64], slots: usize) -> u64 {
        let mut sorted = tasks.to_vec();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        sorted.iter().take(slots).sum()
    }

    #[test]
    fn what_fits_is_what_keeps_the_worst_within_the_memory() {
        let mut state = 3_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..3_000 {
            let (slots, memory) = (draw(4) as usize + 1, draw(40));
            let (mut book, mut tasks) = (MemoryBook::default(), Vec::new());
            for _ in 0..draw(8) {
                let limit = draw(12);
                if book.room(slots as u64, memory) >= limit {
                    book.add(limit, 1);
                    tasks.push(limit);
                }
            }
            assert!(peak(&tasks, slots) <= memory);
            let limit = draw(12);
            let fits = |count: usize| {
                let mut more = tasks.clone();
                more.extend(core::iter::repeat_n(limit, count));
                peak(&more, slots) <= memory
            };
            let most = book.fitting(limit, slots as u64, memory);
            assert_eq!(most > 0, fits(1), "{tasks:?} {limit} {slots} {memory}");
            assert_eq!(book.room(slots as u64, memory) >= limit, fits(1));
            match usize::try_from(most) {
                Ok(most) if most < 1_000 => assert!(fits(most) && !fits(most + 1)),
                _ => assert!(fits(1_000)),
            }
        }
    }
}
