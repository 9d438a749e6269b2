//! The driver as a value, without a server around it: what one turn does is counted.

use std::{collections::BTreeMap, sync::Arc};

use wasmgrid_core::{Grid, GridConfig, Input, LeaseKey, RETAINED_AT_ONCE};
use wasmgrid_proto::{
    CommittedRun, Digest, JobId, JobState, Micros, Millis, OutcomeClass, Record, TaskRange,
};
use wasmgrid_server::driver::{
    Blobs, Driver, Effect, Event, Item, Measured, Members, Modules, Now, Settings, Start,
    UNCOMMITTED_ITEMS,
};
use wasmgrid_store::{LogKind, LogSize};

use crate::harness::*;

/// A driver whose commits succeed with the next turn.
struct Driven {
    driver: Driver,
    now: Micros,
    next: Vec<Event>,
}

impl Driven {
    /// With the jobs of these records, and a bound on the bytes of ended jobs.
    fn new(records: impl Iterator<Item = Record>, keep_bytes: Option<u64>) -> Self {
        let (date, key) = (Micros(1), LeaseKey([0; 32]));
        let mut grid = Grid::new(GridConfig::default());
        records.for_each(|record| grid.apply(&record));
        grid.handle(date, Input::Start { date, key, vouched: Vec::new() });
        while grid.poll_output().is_some() {}
        let (known, blobs) = (BTreeMap::new(), Blobs::default());
        let modules = Modules::new(known, blobs, Arc::new(|_, _| Ok(())), date);
        let settings = Settings {
            heartbeat: Millis(1_000),
            producer_grace: Millis(180_000),
            segment_cache: 1 << 20,
            keep_bytes,
            keep_open_bytes: None,
            uncommitted_items: UNCOMMITTED_ITEMS,
            planted: None,
        };
        let (members, now) = (Members::default(), Now { time: date, date });
        let start = Start { settings, grid, modules, members, now };
        Self { driver: Driver::new(start, ()), now: date, next: Vec::new() }
    }

    /// One turn with these events; what is to be done after it.
    fn turn(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
        self.next.extend(events);
        self.driver.turn(Now { time: self.now, date: self.now }, self.next.drain(..));
        let effects: Vec<Effect> = self.driver.effects().collect();
        let number = |effect: &Effect| match effect {
            Effect::Commit(batch) => Some(Event::Committed { number: batch.number }),
            _ => None,
        };
        self.next.extend(effects.iter().filter_map(number));
        effects
    }
}

/// The life of a job of one task.
fn life(job: JobId) -> [Record; 5] {
    let (tasks, at, digest) = (TaskRange::one(0), Micros(1), Digest::of(&[]));
    let runs = vec![CommittedRun { tasks, class: OutcomeClass::Ok }];
    let spec = Box::new(spec());
    [
        Record::JobSubmitted { job, spec, idempotency_key: None, digest, at },
        Record::InputsAppended { job, tasks },
        Record::InputsClosed { job },
        Record::Committed { job, first_cursor: 0, runs },
        Record::JobEnded { job, state: JobState::Ok, at },
    ]
}

/// The jobs whose results a turn has deleted, in order.
fn deleted(effects: &[Effect]) -> Vec<JobId> {
    let items = effects.iter().filter_map(|effect| match effect {
        Effect::Commit(batch) => Some(&batch.items),
        _ => None,
    });
    let job = |item: &Item| match item {
        Item::Record(Record::ResultsDropped { job, .. }) => Some(*job),
        _ => None,
    };
    items.flatten().filter_map(job).collect()
}

#[test]
fn a_turn_deletes_results_of_a_bounded_number_of_ended_jobs() {
    const JOBS: u64 = 50_000;
    const KEPT: u64 = 1_000;
    let mut driven = Driven::new((1..=JOBS).map(JobId).flat_map(life), Some(KEPT * 10));
    assert!(driven.turn([]).iter().any(|effect| matches!(effect, Effect::Measure { .. })));
    let size = |job| LogSize { job: JobId(job), log: LogKind::Result, bytes: 10 };
    let sizes = (1..=JOBS).map(size).collect();
    let measured = Measured { sizes, cuts: Vec::new() };
    let mut turns = vec![deleted(&driven.turn([Event::Measured(Ok(measured))]))];
    while driven.driver.poll_timeout().is_some_and(|at| at <= driven.now) {
        let effects = driven.turn([]);
        assert!(
            !effects.iter().any(|effect| matches!(effect, Effect::Measure { .. })),
            "nothing is measured while what was found is being deleted"
        );
        turns.push(deleted(&effects));
    }
    assert!(turns.iter().all(|jobs| jobs.len() <= RETAINED_AT_ONCE));
    let all: Vec<JobId> = turns.concat();
    assert!(all.into_iter().eq((1..=JOBS - KEPT).map(JobId)), "each once, the oldest first");
}
