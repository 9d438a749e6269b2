//! Workers by what they can be given: one index for each set of labels that some job requires.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use wasmgrid_proto::WorkerId;

use super::{demand::Demand, labels::Labels};

/// Classes that are kept while no job uses them, so that a stream of jobs with the same labels
/// does not look through all workers for each.
const UNUSED_MAX: usize = 64;

/// The class of jobs that require no labels: all workers are in it.
pub(crate) const ANY: u32 = 0;

/// How a worker that takes tasks stands among others: with free slots first, then by load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standing {
    /// True where no slot is free.
    pub(crate) busy: bool,
    pub(crate) load: u64,
}

/// What the indexes have of a worker that takes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) standing: Standing,
    /// The largest memory limit that a further task may have.
    pub(crate) room: u64,
    pub(crate) free_slots: u64,
    pub(crate) slots: u64,
}

/// All classes.
#[derive(Debug)]
pub(crate) struct Classes {
    by_number: BTreeMap<u32, Class>,
    by_labels: BTreeMap<Labels, u32>,
    last: u32,
}

/// The workers with some labels that take tasks.
#[derive(Debug, Default)]
struct Class {
    labels: Labels,
    /// Active jobs that require these labels.
    jobs: u64,
    /// By the bits of their memory room: all in a higher one have more than all in a lower one.
    pools: BTreeMap<u32, Pool>,
    /// The bits of what its jobs' tasks needed so far: only in these pools not all have room for
    /// what some task needs, so that no other is kept in the order of its room.
    edges: BTreeSet<u32>,
    free_slots: u64,
    slots: u64,
    /// How many workers take tasks, with room now or not, by the memory they have in all.
    ready: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Pool {
    by_standing: BTreeSet<(Standing, WorkerId)>,
    /// Only where some job's tasks need about as much as the room here: see [`Class::edges`].
    by_room: Option<BTreeSet<(u64, Standing, WorkerId)>>,
}

impl Default for Classes {
    fn default() -> Self {
        let by_number = BTreeMap::from([(ANY, Class::default())]);
        let by_labels = BTreeMap::from([(Labels::new(), ANY)]);
        Self { by_number, by_labels, last: ANY }
    }
}

impl Classes {
    /// The number of the class of these labels.
    pub(crate) fn known(&self, labels: &Labels) -> Option<u32> {
        self.by_labels.get(labels).copied()
    }

    /// A job requires these labels: the number of their class, and true where it is new and the
    /// workers in it have to be entered.
    pub(crate) fn enter(&mut self, labels: &Labels) -> (u32, bool) {
        if let Some(number) = self.known(labels) {
            if let Some(class) = self.by_number.get_mut(&number) {
                class.jobs += 1;
            }
            return (number, false);
        }
        self.last += 1;
        let class = Class { labels: labels.clone(), jobs: 1, ..Class::default() };
        self.by_labels.insert(labels.clone(), self.last);
        self.by_number.insert(self.last, class);
        (self.last, true)
    }

    /// A job of this class ended. The classes that are given up, if that is due.
    pub(crate) fn leave(&mut self, number: u32) -> BTreeSet<u32> {
        if let Some(class) = self.by_number.get_mut(&number) {
            class.jobs -= 1;
        }
        let kept = self.by_number.len();
        if number == ANY || kept <= UNUSED_MAX {
            return BTreeSet::new();
        }
        let unused = |(number, class): (&u32, &Class)| {
            (class.jobs == 0 && *number != ANY).then_some(*number)
        };
        let unused: BTreeSet<u32> = self.by_number.iter().filter_map(unused).collect();
        if unused.len() <= UNUSED_MAX {
            return BTreeSet::new();
        }
        for number in &unused {
            if let Some(class) = self.by_number.remove(number) {
                self.by_labels.remove(&class.labels);
            }
        }
        unused
    }

    /// True where workers are kept in the order of their room as far as such tasks need it.
    pub(crate) fn has_edge(&self, demand: Demand) -> bool {
        let class = self.by_number.get(&demand.class);
        class.is_some_and(|class| class.edges.contains(&bits(demand.memory)))
    }

    /// Workers of the class that are inserted from now on are, as far as such tasks need it.
    pub(crate) fn add_edge(&mut self, demand: Demand) {
        if let Some(class) = self.by_number.get_mut(&demand.class) {
            class.edges.insert(bits(demand.memory));
        }
    }

    /// The classes of a worker with these labels.
    pub(crate) fn of(&self, labels: &Labels) -> Vec<u32> {
        let fits = |class: &&Class| class.labels.iter().all(|label| labels.contains(label));
        let numbers = self.by_number.iter().filter(|(_, class)| fits(class));
        numbers.map(|(number, _)| *number).collect()
    }

    /// The labels of a class.
    pub(crate) fn labels(&self, number: u32) -> &[(String, String)] {
        self.by_number.get(&number).map_or(&[], |class| &class.labels)
    }

    pub(crate) fn insert(&mut self, classes: &[u32], id: WorkerId, entry: Entry) {
        for number in classes {
            let Some(class) = self.by_number.get_mut(number) else { continue };
            let bits = bits(entry.room);
            let pool = class.pools.entry(bits).or_default();
            pool.by_standing.insert((entry.standing, id));
            if class.edges.contains(&bits) {
                let by_room = pool.by_room.get_or_insert_default();
                by_room.insert((entry.room, entry.standing, id));
            }
        }
    }

    pub(crate) fn remove(&mut self, classes: &[u32], id: WorkerId, entry: Entry) {
        for number in classes {
            let Some(class) = self.by_number.get_mut(number) else { continue };
            let Some(pool) = class.pools.get_mut(&bits(entry.room)) else { continue };
            pool.by_standing.remove(&(entry.standing, id));
            if let Some(by_room) = &mut pool.by_room {
                by_room.remove(&(entry.room, entry.standing, id));
            }
            if pool.by_standing.is_empty() {
                class.pools.remove(&bits(entry.room));
            }
        }
    }

    /// What a worker of these classes offers changed.
    pub(crate) fn count(&mut self, classes: &[u32], before: Option<Entry>, now: Option<Entry>) {
        let offer = |entry: Option<Entry>| entry.map_or((0, 0), |one| (one.free_slots, one.slots));
        let ((free_before, before), (free, slots)) = (offer(before), offer(now));
        for number in classes {
            let Some(class) = self.by_number.get_mut(number) else { continue };
            class.free_slots = (class.free_slots + free).saturating_sub(free_before);
            class.slots = (class.slots + slots).saturating_sub(before);
        }
    }

    /// The worker to give such tasks to next: one with a free slot, else the least loaded. Among
    /// those whose room is about what a task needs it is the one with the most. What the indexes
    /// have of the `stale` workers does not count: they are as they are given here, those of them
    /// that belong to the class. None of the `avoided` is it.
    pub(crate) fn roomiest(
        &self,
        demand: Demand,
        stale: &[(WorkerId, Option<Entry>)],
        avoided: &[WorkerId],
        belongs: impl Fn(WorkerId) -> bool,
    ) -> Option<(Standing, WorkerId)> {
        let pools = &self.by_number.get(&demand.class)?.pools;
        if pools.is_empty() && stale.iter().all(|(_, entry)| entry.is_none()) {
            return None;
        }
        let edge = bits(demand.memory);
        let fresh =
            |id: WorkerId| stale.iter().all(|(one, _)| *one != id) && !avoided.contains(&id);
        let by_room = pools.get(&edge).and_then(|pool| pool.by_room.as_ref());
        let at_edge =
            by_room.and_then(|by_room| by_room.iter().rev().find(|(.., id)| fresh(*id)).copied());
        let above = pools.range(edge + 1..);
        let above = above.filter_map(|(_, pool)| pool.by_standing.iter().find(|one| fresh(one.1)));
        let now = stale
            .iter()
            .filter_map(|(id, entry)| Some((*id, (*entry)?)))
            .filter(|(id, _)| belongs(*id) && !avoided.contains(id));
        let (now_at_edge, now_above) = (now.clone(), now);
        let now_at_edge = now_at_edge.filter(|(_, entry)| bits(entry.room) == edge);
        let at_edge =
            now_at_edge.map(|(id, entry)| (entry.room, entry.standing, id)).chain(at_edge);
        let at_edge = at_edge.max().filter(|(room, ..)| *room >= demand.memory);
        let now_above = now_above.filter(|(_, entry)| bits(entry.room) > edge);
        let above = above.copied().chain(now_above.map(|(id, entry)| (entry.standing, id)));
        above.chain(at_edge.map(|(_, standing, id)| (standing, id))).min()
    }

    /// A worker of these classes takes tasks from now on, or does not any more. True if other demands
    /// than before can be met by that.
    pub(crate) fn set_ready(&mut self, classes: &[u32], memory: u64, ready: bool) -> bool {
        let mut has_changed = false;
        for number in classes {
            let Some(class) = self.by_number.get_mut(number) else { continue };
            let before = class.largest();
            let count = class.ready.entry(memory).or_default();
            *count = if ready { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                class.ready.remove(&memory);
            }
            has_changed |= class.largest() != before;
        }
        has_changed
    }

    /// How many workers would take such a task if they had nothing else.
    pub(crate) fn fitting(&self, demand: Demand) -> u64 {
        let class = self.by_number.get(&demand.class);
        class.map_or(0, |class| class.ready.range(demand.memory..).map(|(_, count)| count).sum())
    }

    /// True where some worker would take such a task if it had nothing else.
    pub(crate) fn can_meet(&self, demand: Demand) -> bool {
        let largest = self.by_number.get(&demand.class).and_then(Class::largest);
        largest.is_some_and(|memory| memory >= demand.memory)
    }

    /// Free slots of a class.
    pub(crate) fn free_slots(&self, number: u32) -> u64 {
        self.by_number.get(&number).map_or(0, |class| class.free_slots)
    }

    /// Slots of a class.
    pub(crate) fn slots(&self, number: u32) -> u64 {
        self.by_number.get(&number).map_or(0, |class| class.slots)
    }
}

impl Class {
    /// The most memory that one of the workers has that take tasks.
    fn largest(&self) -> Option<u64> {
        self.ready.last_key_value().map(|(memory, _)| *memory)
    }
}

const fn bits(room: u64) -> u32 {
    u64::BITS - room.leading_zeros()
}
