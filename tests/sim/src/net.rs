//! The links: what is said on one arrives in order, but for what has a large payload and travels
//! beside the rest. A link breaks with whatever is on its way; each side notices for itself.

use std::collections::BTreeMap;

use crate::{plan::Plan, random::Random};

/// A link's number; a later link has a higher one.
pub type LinkId = u64;

/// A direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the scheduler.
    Up,
    /// From it.
    Down,
}

/// All links of a world, the broken ones too while a side has not noticed.
#[derive(Debug)]
pub struct Net {
    random: Random,
    way_us: (u64, u64),
    large: u64,
    links: BTreeMap<LinkId, Link>,
    last: LinkId,
    /// Until when nothing passes, for each node and way.
    blocked: BTreeMap<(usize, bool), u64>,
}

#[derive(Debug)]
struct Link {
    node: usize,
    up: Lane,
    down: Lane,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    /// When the last message of the ordered stream arrives.
    last_at: u64,
    /// Once it is broken: what would arrive later does not.
    until: Option<u64>,
    /// The reader has gone.
    deaf: bool,
}

impl Net {
    /// No links.
    #[must_use]
    pub fn new(plan: &Plan, random: Random) -> Self {
        let (way_us, large) = (plan.way_us, plan.large);
        Self { random, way_us, large, links: BTreeMap::new(), last: 0, blocked: BTreeMap::new() }
    }

    /// A new link of a node, unless nothing passes to or from it.
    pub fn connect(&mut self, now: u64, node: usize) -> Option<LinkId> {
        if self.blocked_until(node, Way::Up).max(self.blocked_until(node, Way::Down)) > now {
            return None;
        }
        self.last += 1;
        let link = Link { node, up: Lane::default(), down: Lane::default() };
        self.links.insert(self.last, link);
        Some(self.last)
    }

    /// When a message that is sent now arrives; `None` where it never does.
    pub fn send(&mut self, now: u64, id: LinkId, way: Way, has_payload: bool) -> Option<u64> {
        let node = self.links.get(&id)?.node;
        let blocked = self.blocked_until(node, way);
        let delay = self.random.between(self.way_us.0, self.way_us.1);
        let beside = has_payload && self.random.chance(self.large);
        let extra = if beside { self.random.below(4 * self.way_us.1) } else { 0 };
        let lane = self.lane(id, way)?;
        if lane.until.is_some() {
            return None;
        }
        let at = now.max(blocked) + delay + extra;
        if beside {
            return Some(at);
        }
        lane.last_at = lane.last_at.max(at);
        Some(lane.last_at)
    }

    /// True where what was to arrive now does.
    pub fn arrives(&mut self, now: u64, id: LinkId, way: Way) -> bool {
        let lane = self.lane(id, way);
        lane.is_some_and(|lane| !lane.deaf && lane.until.is_none_or(|until| now <= until))
    }

    /// A link breaks: of what is on its way some arrives, up to a moment of each direction.
    pub fn cut(&mut self, now: u64, id: LinkId) {
        for way in [Way::Up, Way::Down] {
            let grace = self.random.below(2 * self.way_us.1);
            if let Some(lane) = self.lane(id, way) {
                let until = lane.until.map_or(now + grace, |until| until.min(now + grace));
                lane.until = Some(until);
            }
        }
    }

    /// A side reads no more of a link; true where it did until now.
    pub fn leave(&mut self, now: u64, id: LinkId, reads: Way) -> bool {
        self.cut(now, id);
        let left =
            self.lane(id, reads).is_some_and(|lane| !std::mem::replace(&mut lane.deaf, true));
        if self.links.get(&id).is_some_and(|link| link.up.deaf && link.down.deaf) {
            self.links.remove(&id);
        }
        left
    }

    /// A node ends its link in order, so that all that it said arrives; when it has.
    pub fn hang_up(&mut self, now: u64, id: LinkId) -> u64 {
        let slack = 5 * self.way_us.1;
        let Some(lane) = self.lane(id, Way::Up) else { return now };
        let until = lane.last_at.max(now) + slack;
        lane.until = Some(lane.until.map_or(until, |earlier| earlier.min(until)));
        if let Some(lane) = self.lane(id, Way::Down) {
            lane.deaf = true;
        }
        until + 1
    }

    /// Nothing passes to or from a node for a time.
    pub fn block(&mut self, node: usize, way: Way, until: u64) {
        let entry = self.blocked.entry((node, way == Way::Up)).or_default();
        *entry = until.max(*entry);
    }

    /// All passes again.
    pub fn unblock(&mut self) {
        self.blocked.clear();
    }

    /// The links of a node.
    #[must_use]
    pub fn of(&self, node: usize) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| link.node == node).map(|(id, _)| *id).collect()
    }

    /// Whose link it is.
    #[must_use]
    pub fn node(&self, id: LinkId) -> Option<usize> {
        self.links.get(&id).map(|link| link.node)
    }

    /// All links.
    #[must_use]
    pub fn all(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    fn blocked_until(&self, node: usize, way: Way) -> u64 {
        self.blocked.get(&(node, way == Way::Up)).copied().unwrap_or_default()
    }

    fn lane(&mut self, id: LinkId, way: Way) -> Option<&mut Lane> {
        let link = self.links.get_mut(&id)?;
        Some(if way == Way::Up { &mut link.up } else { &mut link.down })
    }
}
