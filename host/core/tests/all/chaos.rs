//! Random worlds: everything that can happen happens, in a seeded order.

use wasmgrid_core::{GridConfig, Input, Output};
use wasmgrid_proto::{JobId, JobSpec, Millis, OutcomeClass, WorkerId};

use crate::world::{Hand, World, spec_of};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const CLASSES: [OutcomeClass; 6] = [
    OutcomeClass::Ok,
    OutcomeClass::Ok,
    OutcomeClass::Ok,
    OutcomeClass::Failed,
    OutcomeClass::Retry,
    OutcomeClass::Lost,
];

/// A small generator: the same seed gives the same world.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let index = self.below(from.len().max(1) as u64);
        from.get(usize::try_from(index).expect("small")).copied()
    }
}

struct Chaos {
    world: World,
    random: Random,
    /// Results that were sent before, to be sent again.
    sent: Vec<(WorkerId, Hand)>,
    trace: Vec<Output>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let config = GridConfig { batch_tasks: 16, ..GridConfig::default() };
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { world: World::with(config), random, sent: Vec::new(), trace: Vec::new() }
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0 | 1 => self.submit(),
            2 => self.append_or_close(),
            3 if self.random.below(4) == 0 => {
                let _ = self.job().map(|job| self.world.cancel(job));
            }
            4 | 5 => self.join(),
            6 => self.leave(),
            7 => self.give_back(),
            8 => self.world.answer_revokes(),
            9 => self.duplicate(),
            10 => self.world.pass(1 + self.random.below(4_000)),
            11 if self.random.below(6) == 0 => self.world.restart(),
            12 => {
                let name = self.random.pick(&NAMES).expect("there are names");
                let _ = self.world.drain(name);
            }
            13 => self.linked().into_iter().for_each(|worker| self.world.beat(worker)),
            _ => self.complete(),
        }
        self.trace.extend(self.world.last.iter().cloned());
    }

    fn job(&mut self) -> Option<JobId> {
        let jobs: Vec<JobId> = self.world.grid.jobs(5).iter().map(|status| status.job).collect();
        self.random.pick(&jobs)
    }

    fn linked(&self) -> Vec<WorkerId> {
        self.world.links.keys().copied().collect()
    }

    fn submit(&mut self) {
        let tenant = self.random.pick(&["one", "two"]).expect("there are tenants");
        let spec = JobSpec {
            priority: i32::try_from(self.random.below(2)).expect("small"),
            retries: u32::try_from(self.random.below(3)).expect("small"),
            max_failures: (self.random.below(4) == 0).then_some(3),
            deadline: (self.random.below(5) == 0).then_some(Millis(20_000)),
            ..spec_of(tenant)
        };
        let (inputs, closed) = (self.random.below(120), self.random.below(3) > 0);
        self.world.submit_as(spec, None, inputs, closed);
    }

    fn append_or_close(&mut self) {
        let Some(job) = self.job() else { return };
        let total = self.world.job(job).counts.total;
        let count = self.random.below(40);
        let _ = if self.random.below(3) == 0 {
            self.world.close(job)
        } else {
            self.world.append(job, total.saturating_sub(self.random.below(2)), count)
        };
    }

    /// A worker joins with all, some or none of what it had.
    fn join(&mut self) {
        let name = self.random.pick(&NAMES).expect("there are names");
        let known = self.world.grid.workers().into_iter().find(|worker| worker.name == name);
        let mut hands = known.map(|known| self.world.hands(known.worker)).unwrap_or_default();
        let kept = self.random.below(3);
        hands.retain(|hand| kept > 0 && (kept > 1 || hand.tasks.first % 2 == 0));
        self.world.join_holding(name, 1 + u32::try_from(kept).expect("small"), &hands);
    }

    fn leave(&mut self) {
        let Some(worker) = self.random.pick(&self.linked()) else { return };
        if self.random.below(2) == 0 {
            return self.world.cut(worker);
        }
        let link = self.world.links.remove(&worker).expect("it is linked");
        self.world.drive(Input::WorkerLeaving { worker });
        self.world.hands.remove(&worker);
        self.world.drive(Input::WorkerLeft { worker, link, graceful: true });
    }

    fn give_back(&mut self) {
        let Some((worker, hand)) = self.hand() else { return };
        self.world.hands.entry(worker).or_default().retain(|other| *other != hand);
        let Hand { job, lease, tasks, .. } = hand;
        self.world.drive(Input::Returned { worker, job, lease, tasks: vec![tasks] });
    }

    fn hand(&mut self) -> Option<(WorkerId, Hand)> {
        let worker = self.random.pick(&self.linked())?;
        Some((worker, self.random.pick(&self.world.hands(worker))?))
    }

    fn complete(&mut self) {
        let Some((worker, hand)) = self.hand() else { return };
        let class = self.random.pick(&CLASSES).expect("there are classes");
        self.sent.push((worker, hand));
        let wall_us = 1 + self.random.below(5_000);
        self.world.end(worker, hand, class, wall_us);
    }

    fn duplicate(&mut self) {
        if let Some((worker, hand)) = self.random.pick(&self.sent) {
            self.world.send(worker, hand, OutcomeClass::Ok, 5);
        }
    }

    /// Faults are off: one good worker runs what is left.
    fn calm(&mut self) {
        for worker in self.linked() {
            self.world.cut(worker);
        }
        self.world.pass(60_000);
        self.world.join("good", 4);
        for status in self.world.grid.jobs(usize::MAX) {
            let _ = self.world.close(status.job);
        }
        for _ in 0..200 {
            self.world.run(100);
            self.world.pass(1_000);
            let good = self.linked();
            good.into_iter().for_each(|worker| self.world.beat(worker));
        }
    }
}

#[test]
fn whatever_happens_replay_equals_live_and_every_task_ends() {
    for seed in 0..60 {
        let mut chaos = Chaos::new(seed);
        for step in 0..400 {
            chaos.step();
            if step % 40 == 0 {
                chaos.world.check_replay();
            }
        }
        chaos.calm();
        chaos.world.check_replay();
        for status in chaos.world.grid.jobs(usize::MAX) {
            assert!(status.state.is_terminal(), "seed {seed}: {status:?}");
            assert_eq!(status.counts.ended(), status.counts.total, "seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_outputs() {
    let trace = |seed| {
        let mut chaos = Chaos::new(seed);
        (0..400).for_each(|_| chaos.step());
        chaos.trace
    };
    for seed in 100..105 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
}
