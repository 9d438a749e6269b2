//! Work that tenants bring and that takes a core for a while: few are at it at a time, tenants take
//! turns, and what waits of each is bounded. It does nothing itself.

use std::collections::{BTreeMap, VecDeque};

/// How much may wait and be worked on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// At work at a time.
    pub(super) at_work: usize,
    /// Of them of one tenant, so that another's first never waits for two of the same tenant.
    pub(super) of_one: usize,
    /// Waiting of one tenant.
    pub(super) waiting: usize,
    /// Bytes of these together; one alone may have more.
    pub(super) waiting_bytes: usize,
    /// Bytes that wait of all tenants together; one alone may have more.
    pub(super) all_bytes: usize,
}

/// Why something does not wait for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too much of this tenant waits.
    Tenant,
    /// Too much of all tenants together waits.
    All,
}

/// What waits, by tenant. Whose turn is next is first.
#[derive(Debug)]
pub(super) struct Turns<T> {
    bounds: Bounds,
    lanes: VecDeque<Lane<T>>,
    /// How many of each tenant are at work; no zeros.
    at_work: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Lane<T> {
    tenant: String,
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Turns<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, lanes: VecDeque::new(), at_work: BTreeMap::new() }
    }

    /// Has `item` wait behind its tenant's others.
    ///
    /// # Errors
    /// The item and [`Full`], if it may not.
    pub(super) fn push(&mut self, tenant: &str, item: T, bytes: usize) -> Result<(), (T, Full)> {
        let all: usize = self.lanes.iter().map(|lane| lane.bytes).sum();
        if all > 0 && all.saturating_add(bytes) > self.bounds.all_bytes {
            return Err((item, Full::All));
        }
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.tenant == tenant) else {
            let waiting = VecDeque::from([(item, bytes)]);
            self.lanes.push_back(Lane { tenant: tenant.to_owned(), waiting, bytes });
            return Ok(());
        };
        let over = lane.bytes.saturating_add(bytes) > self.bounds.waiting_bytes;
        if over || lane.waiting.len() >= self.bounds.waiting {
            return Err((item, Full::Tenant));
        }
        lane.waiting.push_back((item, bytes));
        lane.bytes += bytes;
        Ok(())
    }

    /// The next whose turn it is, with its tenant, where one more may be at work.
    pub(super) fn next(&mut self) -> Option<(String, T)> {
        if self.at_work.values().sum::<usize>() >= self.bounds.at_work {
            return None;
        }
        let free = |lane: &Lane<T>| {
            self.at_work.get(&lane.tenant).is_none_or(|count| *count < self.bounds.of_one)
        };
        let at = self.lanes.iter().position(free)?;
        let mut lane = self.lanes.remove(at)?;
        let (item, bytes) = lane.waiting.pop_front()?;
        let tenant = lane.tenant.clone();
        *self.at_work.entry(tenant.clone()).or_default() += 1;
        lane.bytes -= bytes;
        if !lane.waiting.is_empty() {
            // Behind all others who wait.
            self.lanes.push_back(lane);
        }
        Some((tenant, item))
    }

    /// Bytes that wait of a tenant.
    pub(super) fn bytes_of(&self, tenant: &str) -> usize {
        self.lanes.iter().find(|lane| lane.tenant == tenant).map_or(0, |lane| lane.bytes)
    }

    /// One of the tenant's is done.
    pub(super) fn done(&mut self, tenant: &str) {
        if let Some(count) = self.at_work.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.at_work.remove(tenant);
            }
        }
    }

    /// Forgets what waits and is not `wanted` any more; true if that is anything.
    pub(super) fn retain(&mut self, wanted: impl Fn(&T) -> bool) -> bool {
        let count = |lanes: &VecDeque<Lane<T>>| -> usize {
            lanes.iter().map(|lane| lane.waiting.len()).sum()
        };
        let before = count(&self.lanes);
        for lane in &mut self.lanes {
            lane.waiting.retain(|(item, _)| wanted(item));
            lane.bytes = lane.waiting.iter().map(|(_, bytes)| bytes).sum();
        }
        self.lanes.retain(|lane| !lane.waiting.is_empty());
        count(&self.lanes) < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { at_work: 2, of_one: 1, waiting: 3, waiting_bytes: 100, all_bytes: 150 };

    fn next(turns: &mut Turns<u32>) -> Option<(String, u32)> {
        turns.next()
    }

    #[test]
    fn a_tenants_first_waits_for_no_more_than_one_of_each_other() {
        let mut turns = Turns::new(BOUNDS);
        for number in 0..3 {
            turns.push("bomber", number, 1).expect("room");
        }
        assert_eq!(next(&mut turns), Some(("bomber".into(), 0)));
        assert_eq!(next(&mut turns), None, "one of a tenant at a time");
        turns.push("ann", 10, 1).expect("room");
        assert_eq!(next(&mut turns), Some(("ann".into(), 10)), "though two of the other wait");
        turns.push("bob", 20, 1).expect("room");
        assert_eq!(next(&mut turns), None, "two are at work");
        turns.done("bomber");
        assert_eq!(next(&mut turns), Some(("bomber".into(), 1)));
        turns.done("bomber");
        assert_eq!(next(&mut turns), Some(("bob".into(), 20)), "the others' turn comes first");
    }

    #[test]
    fn what_waits_is_bounded_by_tenant_and_in_all() {
        let mut turns = Turns::new(BOUNDS);
        for number in 0..3 {
            turns.push("ann", number, 1).expect("room");
        }
        assert_eq!(turns.push("ann", 3, 1), Err((3, Full::Tenant)));
        assert_eq!(turns.push("bob", 0, 100), Ok(()), "the first may be large");
        assert_eq!(turns.push("bob", 1, 1), Err((1, Full::Tenant)));
        assert_eq!(turns.push("cat", 0, 60), Err((0, Full::All)));
        assert_eq!(turns.push("cat", 0, 40), Ok(()));
        assert_eq!(
            ["ann", "bob", "cat", "dan"].map(|tenant| turns.bytes_of(tenant)),
            [3, 100, 40, 0]
        );
    }

    #[test]
    fn what_nobody_waits_for_makes_room() {
        let mut turns = Turns::new(BOUNDS);
        for number in 0..3 {
            let _ = turns.push("ann", number, 50);
        }
        assert!(turns.retain(|number| *number != 0) && !turns.retain(|number| *number != 0));
        assert_eq!(turns.push("ann", 7, 50), Ok(()));
        assert_eq!(next(&mut turns), Some(("ann".into(), 1)));
    }
}
