//! A fair queue: each party has a lane of its own, and lanes take turns. A turn is worth
//! [`TURN_WORTH`] of cost, whatever waits in the lane, and a lane that spends more than its turn
//! pays with the turns after it. It is a value: it waits for nothing and wakes nobody.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::sync::Semaphore;

use super::Party;

/// Messages that wait in one lane: more than a party says during a turn of the driver, so that its
/// links wait only if the driver is behind.
pub(super) const LANE_MESSAGES: usize = 256;

/// Messages that an empty lane has memory for, since most lanes never hold more: with thousands of
/// workers, room for all that each of them once had waiting would add up.
const KEPT_MESSAGES: usize = 16;

/// What a lane may spend before the next lane's turn, in the cost of the cheapest message. It is
/// what a party that says one thing waits for of each other party, beside one message that costs
/// more.
pub(super) const TURN_WORTH: u32 = 32;

/// The most that one message counts for: it bounds how many turns a lane can owe.
pub(super) const COST_MAX: u32 = 64 * TURN_WORTH;

/// The number of a lane; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(u64);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    lanes: BTreeMap<LaneId, Lane<T>>,
    by_party: BTreeMap<Party, LaneId>,
    /// The lanes in which something waits. Whose turn it is is first.
    turns: VecDeque<LaneId>,
    next: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Lane<T> {
    party: Party,
    /// Links that put messages into it.
    senders: usize,
    /// Places that are free; whoever puts a message into the lane has taken one.
    room: Arc<Semaphore>,
    waiting: VecDeque<(u32, T)>,
    /// What is left of its turn; what it owes, if below zero.
    credit: i64,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Self {
        let (lanes, by_party) = (BTreeMap::new(), BTreeMap::new());
        Self { lanes, by_party, turns: VecDeque::new(), next: 0, is_closed: false }
    }

    /// One more link puts messages into the party's lane.
    pub(super) fn enter(&mut self, party: Party) -> (LaneId, Arc<Semaphore>) {
        if self.is_closed {
            let room = Semaphore::new(0);
            room.close();
            return (LaneId(0), Arc::new(room));
        }
        let id = *self.by_party.entry(party.clone()).or_insert_with(|| {
            self.next += 1;
            LaneId(self.next)
        });
        let lane = self.lanes.entry(id).or_insert_with(|| Lane {
            party,
            senders: 0,
            room: Arc::new(Semaphore::new(LANE_MESSAGES)),
            waiting: VecDeque::new(),
            credit: 0,
        });
        lane.senders += 1;
        (id, lane.room.clone())
    }

    /// One link less does. What waits in the lane still has its turns.
    pub(super) fn leave(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.senders = lane.senders.saturating_sub(1);
            self.forget_unused(id);
        }
    }

    /// Adds a message at the end of its lane. True if nothing waited in any lane before.
    ///
    /// # Errors
    /// The message, if there is no such lane.
    pub(super) fn push(&mut self, id: LaneId, cost: u32, item: T) -> Result<bool, T> {
        let was_empty = self.turns.is_empty();
        let Some(lane) = self.lanes.get_mut(&id) else { return Err(item) };
        if lane.waiting.is_empty() {
            // What it owes stays, so that it gains nothing by saying one costly thing at a time.
            lane.credit = lane.credit.min(0) + i64::from(TURN_WORTH);
            self.turns.push_back(id);
        }
        lane.waiting.push_back((cost.clamp(1, COST_MAX), item));
        Ok(was_empty)
    }

    /// The message whose turn it is, with its cost.
    pub(super) fn pop(&mut self) -> Option<(u32, T)> {
        loop {
            let id = *self.turns.front()?;
            let lane = self.lanes.get_mut(&id)?;
            if lane.credit <= 0 {
                lane.credit += i64::from(TURN_WORTH);
                self.turns.rotate_left(1);
                continue;
            }
            let (cost, item) = lane.waiting.pop_front()?;
            lane.credit -= i64::from(cost);
            if lane.waiting.is_empty() {
                lane.waiting.shrink_to(KEPT_MESSAGES);
                self.turns.pop_front();
                self.forget_unused(id);
            }
            return Some((cost, item));
        }
    }

    /// How many messages wait in all lanes.
    pub(super) fn waiting(&self) -> usize {
        let lanes = self.turns.iter().filter_map(|id| self.lanes.get(id));
        lanes.map(|lane| lane.waiting.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Nothing more goes through it: whoever waits for a place is told so. Returns what waited.
    pub(super) fn close(&mut self) -> Vec<T> {
        self.is_closed = true;
        self.turns.clear();
        self.by_party.clear();
        let mut left = Vec::new();
        for lane in std::mem::take(&mut self.lanes).into_values() {
            lane.room.close();
            left.extend(lane.waiting.into_iter().map(|(_, item)| item));
        }
        left
    }

    /// A lane goes after its last link and its last message, and what it owes with it.
    fn forget_unused(&mut self, id: LaneId) {
        let is_unused = |lane: &Lane<T>| lane.senders == 0 && lane.waiting.is_empty();
        if self.lanes.get(&id).is_some_and(is_unused)
            && let Some(lane) = self.lanes.remove(&id)
        {
            self.by_party.remove(&lane.party);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(name: &str) -> Party {
        Party::Tenant(name.into())
    }

    fn enter<T>(lanes: &mut Lanes<T>, name: &str) -> LaneId {
        lanes.enter(party(name)).0
    }

    fn put(lanes: &mut Lanes<&'static str>, lane: LaneId, cost: u32, item: &'static str) {
        lanes.push(lane, cost, item).expect("the lane is there");
    }

    fn all(lanes: &mut Lanes<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| lanes.pop()).map(|(_, item)| item).collect()
    }

    /// How many of the others' messages come before the first `wanted`.
    fn before(lanes: &mut Lanes<&'static str>, wanted: &str) -> usize {
        all(lanes).into_iter().position(|item| item == wanted).expect("it comes")
    }

    #[test]
    fn a_party_waits_for_one_turn_of_each_other_and_not_for_what_waits_of_them() {
        let mut lanes = Lanes::new();
        let (flood, other, ann) =
            (enter(&mut lanes, "flood"), enter(&mut lanes, "other"), enter(&mut lanes, "ann"));
        for _ in 0..LANE_MESSAGES {
            put(&mut lanes, flood, 1, "flood");
            put(&mut lanes, other, 1, "other");
        }
        put(&mut lanes, ann, 1, "ann");
        assert_eq!(before(&mut lanes, "ann"), 2 * TURN_WORTH as usize);
    }

    #[test]
    fn a_party_that_spends_more_than_its_turn_pays_with_the_next_ones() {
        let mut lanes = Lanes::new();
        let (costly, cheap) = (enter(&mut lanes, "costly"), enter(&mut lanes, "cheap"));
        for _ in 0..3 {
            put(&mut lanes, costly, 4 * TURN_WORTH, "costly");
        }
        for _ in 0..8 * TURN_WORTH {
            put(&mut lanes, cheap, 1, "cheap");
        }
        let came = all(&mut lanes);
        let until = |nth| {
            let mut at = came.iter().enumerate().filter(|(_, item)| **item == "costly");
            at.nth(nth).expect("three come").0
        };
        assert_eq!(until(0), 0);
        let each = 4 * TURN_WORTH as usize;
        for nth in 1..3 {
            let between = until(nth) - until(nth - 1) - 1;
            assert!(between.abs_diff(each) <= TURN_WORTH as usize, "{between} between, not {each}");
        }
    }

    #[test]
    fn one_costly_message_at_a_time_owes_as_much_as_many_that_wait() {
        let mut lanes = Lanes::new();
        let (costly, cheap) = (enter(&mut lanes, "costly"), enter(&mut lanes, "cheap"));
        put(&mut lanes, costly, 4 * TURN_WORTH, "costly");
        assert_eq!(all(&mut lanes), ["costly"]);
        put(&mut lanes, costly, 1, "costly");
        for _ in 0..LANE_MESSAGES {
            put(&mut lanes, cheap, 1, "cheap");
        }
        assert!(before(&mut lanes, "costly") >= 3 * TURN_WORTH as usize);
    }

    #[test]
    fn a_party_that_is_alone_waits_for_nothing_whatever_it_owes() {
        let mut lanes = Lanes::new();
        let ann = enter(&mut lanes, "ann");
        put(&mut lanes, ann, u32::MAX, "first");
        put(&mut lanes, ann, 0, "second");
        assert_eq!(lanes.pop(), Some((COST_MAX, "first")));
        assert_eq!(lanes.pop(), Some((1, "second")));
        assert_eq!(lanes.pop(), None);
    }

    #[test]
    fn messages_of_one_lane_keep_their_order() {
        let mut lanes = Lanes::new();
        let (ann, bob) = (enter(&mut lanes, "ann"), enter(&mut lanes, "bob"));
        for (cost, item) in [(50, "a"), (1, "b"), (90, "c"), (1, "d")] {
            put(&mut lanes, ann, cost, item);
            put(&mut lanes, bob, 7, "bob");
        }
        let came = all(&mut lanes);
        let of_ann: Vec<_> = came.into_iter().filter(|item| *item != "bob").collect();
        assert_eq!(of_ann, ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_lane_that_was_full_keeps_little_memory() {
        let mut lanes = Lanes::new();
        let ann = enter(&mut lanes, "ann");
        for _ in 0..LANE_MESSAGES {
            put(&mut lanes, ann, 1, "ann");
        }
        assert_eq!(all(&mut lanes).len(), LANE_MESSAGES);
        assert!(lanes.lanes.values().all(|lane| lane.waiting.capacity() <= 2 * KEPT_MESSAGES));
    }

    #[test]
    fn a_lane_outlives_its_links_by_what_they_said() {
        let mut lanes = Lanes::new();
        let (first, second) = (enter(&mut lanes, "ann"), enter(&mut lanes, "ann"));
        assert_eq!(first, second, "the links of a party share its lane");
        put(&mut lanes, first, 1, "last words");
        lanes.leave(first);
        lanes.leave(second);
        assert_eq!(enter(&mut lanes, "ann"), first, "a link that comes now adds no room");
        lanes.leave(first);
        assert_eq!(all(&mut lanes), ["last words"]);
        assert!(lanes.lanes.is_empty() && lanes.by_party.is_empty());
        assert_eq!(lanes.push(first, 1, "nobody"), Err("nobody"), "there is no lane any more");
    }
}
