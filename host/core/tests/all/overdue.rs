//! Promises about workers that take tasks and do not end them, and about those that only need long.

use std::collections::BTreeMap;

use wasmgrid_core::{Input, Output};
use wasmgrid_proto::{
    ByteCount, JobId, LeaseId, Micros, Millis, OutcomeClass, TaskRange, WorkerId, WorkerState,
};

use crate::world::{Hand, World, spec};

const SECOND_MS: u64 = 1_000;

/// How workers behave to whom time passes here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manners {
    /// It says that it lives, and answers nothing else.
    Mute,
    /// It says that all has begun.
    Keeps,
    /// It runs what it was given, one after the other on each slot, for so long each, and gives back
    /// what it has not begun.
    Runs { slots: usize, task_ms: u64 },
}

/// Time that passes for workers.
struct Life {
    manners: BTreeMap<WorkerId, Manners>,
    /// When each running task ends.
    running: BTreeMap<(WorkerId, LeaseId, u64), Micros>,
    /// The leases that were ended for their time, and whose.
    overrun: Vec<(WorkerId, LeaseId)>,
}

impl Life {
    fn new(manners: &[(WorkerId, Manners)]) -> Self {
        let manners = manners.iter().copied().collect();
        Self { manners, running: BTreeMap::new(), overrun: Vec::new() }
    }

    /// Lets so many seconds pass; each linked worker is heard once in each.
    fn pass(&mut self, world: &mut World, seconds: u64) {
        for _ in 0..seconds {
            self.second(world, true);
        }
    }

    fn second(&mut self, world: &mut World, heard: bool) {
        let until = Micros(world.now.0 + SECOND_MS * 1_000);
        while let Some(next) = world.grid.poll_timeout().filter(|next| *next <= until) {
            world.now = world.now.max(next);
            world.drive(Input::Tick);
            self.take(world);
        }
        world.now = until;
        for worker in self.manners.keys().copied().collect::<Vec<_>>() {
            self.run(world, worker);
            if heard && world.links.contains_key(&worker) {
                world.beat(worker);
                self.take(world);
            }
        }
    }

    /// Does what was said to workers.
    fn take(&mut self, world: &mut World) {
        for output in std::mem::take(&mut world.last) {
            match output {
                Output::Overrun { worker, lease, .. } => {
                    self.overrun.push((worker, lease));
                    if let Some(hands) = world.hands.get_mut(&worker) {
                        hands.retain(|hand| hand.lease != lease);
                    }
                }
                Output::Revoke { worker, job, lease, .. } => self.answer(world, worker, job, lease),
                _ => {}
            }
        }
    }

    fn answer(&mut self, world: &mut World, worker: WorkerId, job: JobId, lease: LeaseId) {
        let tasks = match self.manners.get(&worker) {
            None | Some(Manners::Mute) => return,
            Some(Manners::Keeps) => Vec::new(),
            Some(Manners::Runs { .. }) => {
                let hands = world.hands.entry(worker).or_default();
                let mut back = Vec::new();
                let running = &self.running;
                let begun = |index: u64| running.contains_key(&(worker, lease, index));
                let mut kept = Vec::new();
                for hand in hands.drain(..) {
                    for index in hand.tasks.first..hand.tasks.end() {
                        let one = TaskRange { first: index, count: 1 };
                        if hand.lease == lease && !begun(index) {
                            back.push(one);
                        } else {
                            kept.push(Hand { tasks: one, ..hand });
                        }
                    }
                }
                *hands = kept;
                back
            }
        };
        world.drive(Input::Returned { worker, job, lease, tasks, reason: "asked for".into() });
        self.take(world);
    }

    /// Ends what has run its time, and begins what has a slot.
    fn run(&mut self, world: &mut World, worker: WorkerId) {
        let Some(Manners::Runs { slots, task_ms }) = self.manners.get(&worker).copied() else {
            return;
        };
        let now = world.now;
        let of_worker = |of: &(WorkerId, LeaseId, u64)| of.0 == worker;
        let done: Vec<_> = self
            .running
            .iter()
            .filter(|(of, at)| of_worker(of) && **at <= now)
            .map(|(of, _)| *of)
            .collect();
        for (_, lease, index) in done {
            self.running.remove(&(worker, lease, index));
            let has = |hand: &Hand| {
                hand.lease == lease && (hand.tasks.first..hand.tasks.end()).contains(&index)
            };
            let Some(hand) = world.hands(worker).into_iter().find(has) else { continue };
            split_off(world, worker, hand, index);
            let one = Hand { tasks: TaskRange { first: index, count: 1 }, ..hand };
            world.end(worker, one, OutcomeClass::Ok, task_ms * 1_000);
            self.take(world);
        }
        let tasks = world.hands(worker).into_iter().flat_map(|hand| {
            (hand.tasks.first..hand.tasks.end()).map(move |index| (worker, hand.lease, index))
        });
        for task in tasks.collect::<Vec<_>>() {
            let busy = self.running.keys().filter(|of| of_worker(of)).count();
            if busy < slots && !self.running.contains_key(&task) {
                self.running.insert(task, Micros(now.0 + task_ms * 1_000));
            }
        }
    }
}

/// Makes one task of a hand a hand of its own.
fn split_off(world: &mut World, worker: WorkerId, hand: Hand, index: u64) {
    let hands = world.hands.entry(worker).or_default();
    hands.retain(|other| *other != hand);
    let parts = [
        TaskRange { first: hand.tasks.first, count: index - hand.tasks.first },
        TaskRange { first: index, count: 1 },
        TaskRange { first: index + 1, count: hand.tasks.end() - index - 1 },
    ];
    let parts = parts.into_iter().filter(|tasks| tasks.count > 0);
    hands.extend(parts.map(|tasks| Hand { tasks, ..hand }));
}

/// A spec whose tasks may each run for so many seconds.
fn lasting(seconds: u64) -> wasmgrid_proto::JobSpec {
    let mut spec = spec();
    spec.task.limits.deadline = Millis(seconds * SECOND_MS);
    spec
}

#[test]
fn tasks_that_a_worker_takes_and_never_ends_are_run_elsewhere() {
    for manners in [Manners::Mute, Manners::Keeps] {
        let mut world = World::new();
        let hoarder = world.join("hoarder", 4);
        let job = world.submit(lasting(10), 4);
        assert_eq!(world.load(hoarder), 4);
        let honest = world.join("honest", 4);
        let honestly = Manners::Runs { slots: 4, task_ms: 10 };
        let mut life = Life::new(&[(hoarder, manners), (honest, honestly)]);
        life.pass(&mut world, 20);
        assert!(life.overrun.is_empty(), "their time is not over");
        // Two deadlines, two margins, a result's way, and what a mute one is waited for.
        life.pass(&mut world, 120);
        assert!(life.overrun.iter().all(|(worker, _)| *worker == hoarder));
        let counts = world.job(job).counts;
        assert_eq!((counts.ok, counts.failed), (4, 0), "{counts:?}");
        assert!(!life.overrun.is_empty());
        let state = world.grid.workers().remove(0).state;
        assert!(matches!(state, WorkerState::Failing(_)), "it is thought less of: {state:?}");
        let late = world.submit(lasting(10), 400);
        assert!(world.indices(hoarder, late).len() <= 2, "and is given little");
    }
}

#[test]
fn a_worker_that_joins_again_and_again_keeps_nothing_by_it() {
    for manners in [Manners::Mute, Manners::Keeps] {
        let mut world = World::new();
        let hoarder = world.join("hoarder", 1);
        let job = world.submit(lasting(10), 1);
        let hands = world.hands(hoarder);
        let mut life = Life::new(&[(hoarder, manners)]);
        for _ in 0..12 {
            life.pass(&mut world, 20);
            if life.overrun.is_empty() {
                world.cut(hoarder);
                world.join_holding("hoarder", 1, &hands);
                life.take(&mut world);
            }
        }
        assert!(!life.overrun.is_empty());
        assert_eq!(world.job(job).counts.failed, 0);
    }
}

#[test]
fn a_worker_whose_tasks_take_all_their_time_loses_none() {
    for (slots, tasks) in [(1, 9), (3, 40)] {
        let mut world = World::new();
        let worker = world.join("slow", slots);
        let jobs = [("ada", 30), ("bob", 60)].map(|(tenant, seconds)| {
            let mut spec = lasting(seconds);
            spec.task.tenant = tenant.into();
            world.submit(spec, tasks)
        });
        let runs = Manners::Runs { slots: slots as usize, task_ms: 30 * SECOND_MS };
        let mut life = Life::new(&[(worker, runs)]);
        life.pass(&mut world, 30 * 2 * tasks / u64::from(slots) + 200);
        assert!(life.overrun.is_empty(), "{:?}", life.overrun);
        for job in jobs {
            let counts = world.job(job).counts;
            assert_eq!((counts.ok, counts.retried), (tasks, 0), "{counts:?}");
        }
    }
}

#[test]
fn time_in_which_a_worker_is_stopped_is_not_its_tasks_time() {
    let mut world = World::new();
    let worker = world.join("stopped", 1);
    let job = world.submit(lasting(20), 1);
    let runs = Manners::Runs { slots: 1, task_ms: 10_000 * SECOND_MS };
    let mut life = Life::new(&[(worker, runs)]);
    // It runs for 2 s and is stopped for 8 s, many times: its task has not had its time by far.
    for _ in 0..11 {
        life.pass(&mut world, 2);
        (0..8).for_each(|_| life.second(&mut world, false));
    }
    assert!(life.overrun.is_empty() && world.load(worker) == 1, "it is left alone");
    life.pass(&mut world, 120);
    assert_eq!(life.overrun.len(), 1, "a task that has had its time is over");
    assert_eq!(world.job(job).counts.retried, 1);
}

#[test]
fn results_that_are_still_on_their_way_end_no_lease() {
    let mut world = World::new();
    let worker = world.join("far", 2);
    let job = world.submit(lasting(10), 4);
    let mut life = Life::new(&[(worker, Manners::Keeps)]);
    let mut left = world.hands(worker);
    assert_eq!(left.iter().map(|hand| hand.tasks.count).sum::<u64>(), 4);
    // Each result takes 25 s to come, and the last is over a minute late.
    while let Some(hand) = left.first().copied() {
        life.pass(&mut world, 25);
        split_off(&mut world, worker, hand, hand.tasks.first);
        let one = Hand { tasks: TaskRange { count: 1, ..hand.tasks }, ..hand };
        world.end(worker, one, OutcomeClass::Ok, 10);
        life.take(&mut world);
        left = world.hands(worker);
    }
    assert!(life.overrun.is_empty(), "{:?}", life.overrun);
    assert_eq!(world.job(job).counts.ok, 4);
}

#[test]
fn slots_without_number_are_believed_as_far_as_work_shows_them() {
    let mut world = World::new();
    let worker = world.join("boasts", u32::MAX);
    let mut small = spec();
    small.task.limits.memory = ByteCount(1);
    let job = world.submit(small, 100_000);
    let first = world.load(worker);
    assert!(first <= 256, "{first} tasks for nothing");
    for hand in world.hands(worker) {
        world.end(worker, hand, OutcomeClass::Ok, 1_000_000);
    }
    let second = world.load(worker);
    assert!(second >= 2 * first, "{second} after it has shown that it ends tasks");
    assert_eq!(world.job(job).counts.retried, 0);
}
