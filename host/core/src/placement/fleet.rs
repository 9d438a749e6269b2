//! All workers, and in which order they are given tasks or asked to give some back.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use wasmgrid_proto::{Digest, Micros, WorkerId};

use super::{
    affinity::Homes,
    classes::{ANY, Classes, Entry, Standing},
    demand::Demand,
    labels::{counting, has_key},
    seen::Seen,
    worker::{FULL, Worker},
};
use crate::table::Table;

/// A worker is given more once its load is down to this, so that leases do not become single
/// tasks while a flood runs. Where several tenants wait none waits for that.
const REFILL: u64 = FULL / 4 * 3;

/// Workers that the indexes by load, room and riches may be behind with. One that ended a task and is given
/// the next is soon as it was, and so never moved; and so few are quickly looked through.
const STALE_MAX: usize = 4;

/// The workers by number, and indexes over those that matter for placement.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    members: Table<WorkerId, Member>,
    classes: Classes,
    /// Those whose entries are not in the indexes of `classes`, or not in `rich`, yet; the oldest
    /// first.
    stale: Vec<(WorkerId, Option<Entry>)>,
    homes: Homes,
    /// The keys of which only labels of certificates count.
    vouched: BTreeSet<String>,
    /// Those with tasks that can be asked back, by how many.
    rich: BTreeSet<(u64, WorkerId)>,
    /// Tasks asked back and not yet answered for.
    asked: u64,
    /// Kept free for a task that must run alone.
    reserved: Option<WorkerId>,
    /// There may be something to ask back that was not there when nothing was found.
    worth_stealing: bool,
    /// Other demands can be met than when that was last asked.
    meets_others: bool,
}

#[derive(Debug)]
struct Member {
    worker: Worker,
    classes: Vec<u32>,
    place: Place,
    /// Its entry as the indexes of its classes have it.
    indexed: Option<Entry>,
    /// What `rich` has of it.
    indexed_rich: u64,
}

impl Member {
    fn could_run(&self, demand: Demand) -> bool {
        self.classes.contains(&demand.class) && could_run(&self.worker, demand)
    }
}

/// What the indexes have of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    ready: bool,
    entry: Option<Entry>,
    rich: u64,
    asked: u64,
}

impl Fleet {
    pub(crate) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.members.get(&id).map(|member| &member.worker)
    }

    /// What was seen of a worker, to change.
    pub(super) fn seen_mut(&mut self, id: WorkerId) -> Option<&mut Seen> {
        self.members.get_mut(&id).map(|member| &mut member.worker.seen)
    }

    /// Changes a worker, and its place with it; `shared` where several tenants have tasks to give.
    pub(super) fn change<T>(
        &mut self,
        id: WorkerId,
        shared: bool,
        change: impl FnOnce(&mut Worker) -> T,
    ) -> Option<T> {
        let member = self.members.get_mut(&id)?;
        let changed = change(&mut member.worker);
        let place = place(&member.worker, self.reserved == Some(id), shared);
        if place != member.place {
            self.set_place(id, place);
        }
        Some(changed)
    }

    /// Puts a worker that joined in its place, with the accounts it had there.
    pub(super) fn join(&mut self, id: WorkerId, mut joined: Worker, shared: bool) {
        let mut place = Place::default();
        if let Some(before) = self.members.remove(&id) {
            self.withdraw(id, &before);
            place.asked = before.place.asked;
            joined.take_over(before.worker);
        }
        self.enter(id, joined, place);
        self.refresh(id, shared);
    }

    /// Takes a worker out that has nothing any more and is not to come back.
    pub(super) fn remove(&mut self, id: WorkerId) {
        let Some(member) = self.members.remove(&id) else { return };
        self.withdraw(id, &member);
        self.asked = self.asked.saturating_sub(member.place.asked);
        if self.reserved == Some(id) {
            self.reserved = None;
        }
    }

    /// Puts a worker in its place, which is in no index yet.
    fn enter(&mut self, id: WorkerId, mut worker: Worker, place: Place) {
        worker.labels = counting(&worker.capacity.labels, &worker.vouched, &self.vouched);
        let classes = self.classes.of(&worker.labels);
        self.members.insert(id, Member { worker, classes, place, indexed: None, indexed_rich: 0 });
    }

    /// From now on only labels of certificates count for these keys. The workers for which that
    /// changes something.
    pub(super) fn vouch(&mut self, keys: Vec<String>, shared: bool) -> Vec<WorkerId> {
        let new = |key: String| self.vouched.insert(key.clone()).then_some(key);
        let new: Vec<String> = keys.into_iter().filter_map(new).collect();
        let says = |worker: &Worker| new.iter().any(|key| has_key(&worker.capacity.labels, key));
        let changed = self.members.iter().filter(|(_, member)| says(&member.worker));
        let changed: Vec<WorkerId> = changed.map(|(id, _)| id).collect();
        for id in &changed {
            if let Some(before) = self.members.remove(id) {
                self.withdraw(*id, &before);
                let place = Place { asked: before.place.asked, ..Place::default() };
                self.enter(*id, before.worker, place);
                self.refresh(*id, shared);
            }
        }
        changed
    }

    /// The keys of which only labels of certificates count.
    pub(crate) fn vouched_keys(&self) -> impl Iterator<Item = &str> {
        self.vouched.iter().map(String::as_str)
    }

    /// True where a worker has the labels and the memory for such a task, whether it takes tasks
    /// or not.
    pub(crate) fn suits(&self, id: WorkerId, demand: Demand) -> bool {
        self.members.get(&id).is_some_and(|member| {
            let has_memory = member.worker.capacity.memory.0 >= demand.memory;
            has_memory && member.classes.contains(&demand.class)
        })
    }

    /// What tasks with these labels and so much memory need, if jobs with these labels are known.
    pub(super) fn known_demand(
        &self,
        labels: &Vec<(String, String)>,
        memory: u64,
    ) -> Option<Demand> {
        self.classes.known(labels).map(|class| Demand { class, memory })
    }

    /// A job requires these labels, and so much memory for each task; returns what that is.
    pub(super) fn enter_class(&mut self, labels: &Vec<(String, String)>, memory: u64) -> Demand {
        let (class, is_new) = self.classes.enter(labels);
        let demand = Demand { class, memory };
        if is_new {
            for (_, member) in self.members.iter_mut() {
                let has = &member.worker.labels;
                if labels.iter().all(|label| has.contains(label)) {
                    member.classes.push(class);
                    self.classes.count(&[class], None, member.place.entry);
                    if member.place.ready {
                        let memory = member.worker.capacity.memory.0;
                        // Nothing needs this class yet.
                        let _ = self.classes.set_ready(&[class], memory, true);
                    }
                }
            }
        }
        if !self.classes.has_edge(demand) {
            let members = self.members.iter().filter(|(_, one)| one.classes.contains(&class));
            let entries = members.filter_map(|(id, member)| Some((id, member.indexed?)));
            let entries: Vec<(WorkerId, Entry)> = entries.collect();
            if !is_new {
                entries.iter().for_each(|(id, one)| self.classes.remove(&[class], *id, *one));
            }
            self.classes.add_edge(demand);
            entries.iter().for_each(|(id, one)| self.classes.insert(&[class], *id, *one));
        }
        demand
    }

    /// A job of this class ended.
    pub(super) fn leave_class(&mut self, number: u32) {
        let gone = self.classes.leave(number);
        if !gone.is_empty() {
            self.homes.forget(&gone);
            for (_, member) in self.members.iter_mut() {
                member.classes.retain(|number| !gone.contains(number));
            }
        }
    }

    /// The labels of a class.
    pub(crate) fn labels(&self, number: u32) -> &[(String, String)] {
        self.classes.labels(number)
    }

    /// All workers count as heard at `now`; that changes nobody's place.
    pub(super) fn reset_silence(&mut self, now: Micros) {
        for (_, member) in self.members.iter_mut() {
            member.worker.seen.excuse(now);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.members.iter().map(|(id, member)| (id, &member.worker))
    }

    /// The workers that have a class's labels, whether they take tasks or not.
    pub(crate) fn of_class(&self, class: u32) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let members = self.members.iter().filter(move |(_, one)| one.classes.contains(&class));
        members.map(|(id, member)| (id, &member.worker))
    }

    /// The worker to give such tasks to next: one with a free slot, else the least loaded.
    pub(crate) fn roomiest(&self, demand: Demand) -> Option<(Standing, WorkerId)> {
        self.roomiest_but(demand, &[])
    }

    /// The same, of the workers that are not avoided.
    pub(crate) fn roomiest_but(
        &self,
        demand: Demand,
        avoided: &[WorkerId],
    ) -> Option<(Standing, WorkerId)> {
        let belongs = |id| {
            let member = |id| self.members.get(&id);
            demand.class == ANY || member(id).is_some_and(|one| one.classes.contains(&demand.class))
        };
        self.classes.roomiest(demand, &self.stale, avoided, belongs)
    }

    /// True where a worker has the labels and the memory for such a task, and takes tasks.
    pub(crate) fn could_take(&self, id: WorkerId, demand: Demand) -> bool {
        let member = self.members.get(&id);
        member.is_some_and(|member| member.could_run(demand))
    }

    /// How many workers do.
    pub(crate) fn fitting(&self, demand: Demand) -> u64 {
        self.classes.fitting(demand)
    }

    /// The worker with a free slot that a module's few tasks go to: one of its homes that is
    /// `wanted`.
    pub(super) fn home(
        &mut self,
        demand: Demand,
        module: Digest,
        wanted: impl Fn(WorkerId) -> bool,
    ) -> Option<WorkerId> {
        let members = &self.members;
        let ready = || {
            let of_class = members.iter().filter(|(_, one)| one.classes.contains(&demand.class));
            of_class.filter(|(_, one)| one.place.ready).map(|(id, _)| id)
        };
        let takes = |id: &WorkerId| {
            let entry = members.get(id).and_then(|member| member.place.entry);
            let takes = |entry: Entry| !entry.standing.busy && entry.room >= demand.memory;
            wanted(*id) && entry.is_some_and(takes)
        };
        self.homes.of(demand.class, module, ready).iter().copied().find(takes)
    }

    /// The workers to ask tasks back from, those with the most that cannot have begun first.
    pub(super) fn richest(&mut self) -> impl Iterator<Item = WorkerId> {
        for (id, entry) in core::mem::take(&mut self.stale) {
            self.set_indexed(id, entry);
        }
        self.rich.iter().rev().map(|(_, id)| *id)
    }

    /// True where there may be something to ask back that was not there when nothing was found.
    pub(crate) const fn is_worth_stealing(&self) -> bool {
        self.worth_stealing
    }

    /// Whether something was found to ask back.
    pub(super) const fn set_worth_stealing(&mut self, found: bool) {
        self.worth_stealing = found;
    }

    /// Free slots of the workers of a class that take tasks.
    pub(crate) fn free_slots(&self, class: u32) -> u64 {
        self.classes.free_slots(class)
    }

    /// Slots of the workers of a class that take tasks.
    pub(crate) fn roomy_slots(&self, class: u32) -> u64 {
        self.classes.slots(class)
    }

    pub(crate) const fn asked(&self) -> u64 {
        self.asked
    }

    /// A worker that has nothing and may take a task that must run alone.
    pub(crate) fn idle(&self, demand: Demand, avoided: &[WorkerId]) -> Option<WorkerId> {
        let has_labels = |id: WorkerId| {
            self.members.get(&id).is_some_and(|member| member.classes.contains(&demand.class))
        };
        let idle = |id: &WorkerId| {
            self.get(*id).is_some_and(|worker| {
                worker.is_ready() && worker.assigned == 0 && worker.memory_room() >= demand.memory
            })
        };
        let reserved = self.reserved.filter(|id| has_labels(*id) && !avoided.contains(id));
        let reserved = reserved.filter(idle);
        reserved.or_else(|| self.roomiest_but(demand, avoided).map(|(_, id)| id).filter(idle))
    }

    /// True where some worker could be emptied for such a task.
    pub(crate) fn can_meet(&self, demand: Demand) -> bool {
        self.classes.can_meet(demand)
    }

    /// True if other demands can be met than when this was last asked.
    pub(super) fn meets_others(&mut self) -> bool {
        core::mem::take(&mut self.meets_others)
    }

    /// Keeps the worker free that is soonest idle of those that can meet the demand and are not
    /// avoided, or none.
    pub(super) fn reserve(&mut self, wanted: Option<(Demand, Vec<WorkerId>)>, shared: bool) {
        let next = wanted.and_then(|(demand, avoided)| {
            let fits =
                |(id, one): &(WorkerId, &Worker)| could_run(one, demand) && !avoided.contains(id);
            let fitting = || self.of_class(demand.class).filter(fits);
            let kept = self.reserved.filter(|id| !avoided.contains(id));
            let kept = kept.filter(|id| self.could_take(*id, demand));
            kept.or_else(|| {
                let free = fitting().filter(|(_, worker)| !worker.alone);
                free.min_by_key(|(id, worker)| (worker.assigned, *id)).map(|(id, _)| id)
            })
        });
        let before = core::mem::replace(&mut self.reserved, next);
        if before != next {
            before.into_iter().chain(next).for_each(|id| self.refresh(id, shared));
        }
    }

    /// The worker that is kept free, where it has a slot and the memory for such a task.
    pub(crate) fn reserved_with_room(&self, demand: Demand) -> Option<WorkerId> {
        self.reserved.filter(|id| {
            self.get(*id).is_some_and(|worker| {
                worker.free_slots() > 0 && worker.memory_room() >= demand.memory
            })
        })
    }

    /// Brings a worker's place up to date.
    fn refresh(&mut self, id: WorkerId, shared: bool) {
        self.change(id, shared, |_| ());
    }

    /// A worker has another place: the indexes follow.
    fn set_place(&mut self, id: WorkerId, place: Place) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let before = core::mem::replace(&mut member.place, place);
        self.classes.count(&member.classes, before.entry, place.entry);
        self.asked = self.asked + place.asked - before.asked;
        if before.ready != place.ready {
            if place.ready {
                self.homes.came(id, &member.classes);
            } else {
                self.homes.went(id);
            }
            let memory = member.worker.capacity.memory.0;
            self.meets_others |= self.classes.set_ready(&member.classes, memory, place.ready);
        }
        let free = |place: &Place| place.entry.map_or(0, |entry| entry.free_slots);
        let room = |place: &Place| place.entry.map_or(0, |entry| entry.room);
        self.worth_stealing |= free(&place) > free(&before)
            || (free(&place) > 0 && room(&place) > room(&before))
            || (place.rich > 0 && before.rich == 0)
            || place.asked < before.asked;
        if (before.entry, before.rich) != (place.entry, place.rich) {
            self.set_stale(id, place);
        }
    }

    /// A worker's place changed: the indexes come to know it later, unless it changes back.
    fn set_stale(&mut self, id: WorkerId, Place { entry, rich, .. }: Place) {
        self.stale.retain(|(stale, _)| *stale != id);
        let as_indexed = |one: &Member| (one.indexed, one.indexed_rich) == (entry, rich);
        if self.members.get(&id).is_none_or(as_indexed) {
            return;
        }
        if self.stale.len() >= STALE_MAX {
            let (oldest, entry) = self.stale.remove(0);
            self.set_indexed(oldest, entry);
        }
        self.stale.push((id, entry));
    }

    fn set_indexed(&mut self, id: WorkerId, entry: Option<Entry>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.indexed != entry {
            if let Some(before) = core::mem::replace(&mut member.indexed, entry) {
                self.classes.remove(&member.classes, id, before);
            }
            if let Some(entry) = entry {
                self.classes.insert(&member.classes, id, entry);
            }
        }
        let rich = member.place.rich;
        let before = core::mem::replace(&mut member.indexed_rich, rich);
        if before != rich {
            self.rich.remove(&(before, id));
            if rich > 0 {
                self.rich.insert((rich, id));
            }
        }
    }

    /// Takes a worker out of the indexes.
    fn withdraw(&mut self, id: WorkerId, member: &Member) {
        if let Some(entry) = member.indexed {
            self.classes.remove(&member.classes, id, entry);
        }
        self.classes.count(&member.classes, member.place.entry, None);
        self.stale.retain(|(stale, _)| *stale != id);
        self.rich.remove(&(member.indexed_rich, id));
        if member.place.ready {
            self.homes.went(id);
            let memory = member.worker.capacity.memory.0;
            self.meets_others |= self.classes.set_ready(&member.classes, memory, false);
        }
    }
}

/// True where the worker takes tasks, and would take such a one with nothing else.
pub(crate) fn could_run(worker: &Worker, demand: Demand) -> bool {
    worker.is_ready() && worker.capacity.memory.0 >= demand.memory
}

fn place(worker: &Worker, reserved: bool, shared: bool) -> Place {
    let (load, ready) = (worker.load(), worker.is_ready());
    let has_room = if shared { load < FULL } else { load <= REFILL };
    let entry = (ready && !worker.alone && !reserved && has_room).then(|| Entry {
        standing: Standing { busy: worker.free_slots() == 0, load },
        room: worker.memory_room(),
        free_slots: worker.free_slots(),
        slots: worker.slots(),
    });
    let gives =
        worker.linked && worker.asked.is_empty() && !worker.begun_all && !worker.unresponsive;
    Place {
        ready,
        entry,
        rich: if gives { worker.surplus() } else { 0 },
        asked: worker.asked.values().sum(),
    }
}
