//! The driver as a value, without a server around it: what one turn does is counted.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use wasmgrid_core::{Grid, GridConfig, Input, LeaseKey, RETAINED_AT_ONCE};
use wasmgrid_net::in_process;
use wasmgrid_proto::{
    ByteCount, CommittedRun, Cost, Digest, JobId, JobState, Micros, Millis, OutcomeClass, Record,
    TaskRange, WorkerCapacity,
    wire::{FromWorker, Join, NeedModule, Role, ToWorker},
};
use wasmgrid_server::driver::{
    AUDIT_ENTRIES_MAX, Blobs, Driver, Effect, Event, Expired, Expiry, IdentityLinks, Item, LinkId,
    Measured, Members, Modules, Now, Settings, Start, UNCOMMITTED_ITEMS, outbox,
};
use wasmgrid_store::{Entry, LogKind, LogSize};

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
            audit_retention: Millis(90 * 24 * 3_600_000),
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

    /// A worker that has joined.
    fn join(&mut self, link: LinkId, name: &str) {
        let ends = in_process::<FromWorker, ToWorker>(
            identity(Role::Worker, name),
            identity(Role::Scheduler, "s"),
        );
        let (outbox, _) = outbox(Arc::<IdentityLinks>::default());
        let capacity = WorkerCapacity {
            slots: 2,
            memory: ByteCount(1 << 30),
            labels: Vec::new(),
            engine: "none".into(),
        };
        let (held, proofs) = (Vec::new(), Vec::new());
        let join = FromWorker::Join(Join { started: Micros(1), capacity, held, proofs });
        let linked = Event::WorkerLinked { link, peer: ends.1.peer, outbox };
        self.turn([linked, says(link, join)]);
        self.turn([]);
    }
}

fn says(link: LinkId, message: FromWorker) -> Event {
    Event::FromWorker { link, envelope: message.into(), room: None }
}

/// The life of a job of one task.
fn life(job: JobId) -> [Record; 5] {
    let (tasks, at, digest) = (TaskRange::one(0), Micros(1), Digest::of(&[]));
    let runs = vec![CommittedRun { tasks, class: OutcomeClass::Ok }];
    let spec = Box::new(spec());
    [
        Record::JobSubmitted { job, spec, idempotency_key: None, digest, at },
        Record::InputsAppended { job, tasks, bytes: 0 },
        Record::InputsClosed { job },
        Record::Committed { job, first_cursor: 0, runs, cost: Cost::default() },
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

#[test]
fn the_audit_log_is_looked_through_each_minute_and_what_is_too_old_is_dropped_in_parts() {
    let mut driven = Driven::new(std::iter::empty(), None);
    let looks = |effects: &[Effect]| -> Vec<Expiry> {
        let look = |effect: &Effect| match effect {
            Effect::AgeAudit(expiry) => Some(*expiry),
            _ => None,
        };
        effects.iter().filter_map(look).collect()
    };
    assert_eq!(looks(&driven.turn([])), [], "nothing is in the way of a start");
    driven.now = Micros(60_000_001);
    // The grid is younger than entries are kept.
    let look = |before| Expiry { before: Micros(before), most: AUDIT_ENTRIES_MAX };
    assert_eq!(looks(&driven.turn([])), [look(0)]);
    assert_eq!(looks(&driven.turn([])), []);
    let days_90_us = 90 * 24 * 3_600_000_000;
    driven.now = Micros(days_90_us + 120_000_000);
    assert_eq!(looks(&driven.turn([])), [look(120_000_000)]);
    let found = Expired { drop_before: Some(1_001), more: true };
    let effects = driven.turn([Event::AuditAged(found)]);
    let dropped = effects.iter().any(|effect| match effect {
        Effect::Keep(entries) => *entries == [Entry::DropAudits { before: 1_001 }],
        _ => false,
    });
    assert!(dropped, "{effects:?}");
    driven.now = Micros(driven.now.0 + 1_000_000);
    assert_eq!(looks(&driven.turn([])).len(), 1, "it goes on at once where more is too old");
    driven.turn([Event::AuditAged(Expired::default())]);
    driven.now = Micros(driven.now.0 + 1_000_000);
    assert_eq!(looks(&driven.turn([])), []);
}

/// How often a module is to be read.
fn reads(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::ReadModule { .. })).count()
}

/// The modules that were sent, and to whom.
fn sent(effects: &[Effect]) -> Vec<(LinkId, Bytes)> {
    let module = |effect: &Effect| match effect {
        Effect::ToWorker(link, queued)
            if matches!(queued.envelope.message, ToWorker::Module(_)) =>
        {
            Some((*link, queued.envelope.payload.clone()))
        }
        _ => None,
    };
    effects.iter().filter_map(module).collect()
}

#[test]
fn a_module_that_several_workers_ask_for_at_once_is_read_once() {
    let links = [1, 2, 3].map(LinkId);
    let mut driven = Driven::new(std::iter::empty(), None);
    for link in links {
        driven.join(link, &format!("worker-{link}"));
    }
    let digest = Digest::of(MODULE);
    let need = |link| says(link, FromWorker::NeedModule(NeedModule { digest }));
    let asked = [need(links[0]), need(links[1])];
    assert_eq!(reads(&driven.turn(asked)), 1);
    assert_eq!(reads(&driven.turn([need(links[2])])), 0, "it is being read");
    let found = Ok(Some(Bytes::from_static(MODULE)));
    let sent = sent(&driven.turn([Event::ModuleRead { digest, found }]));
    assert_eq!(sent.iter().map(|(link, _)| *link).collect::<Vec<_>>(), links);
    assert!(
        sent.iter().all(|(_, bytes)| bytes.as_ptr() == MODULE.as_ptr()),
        "no worker gets a copy of its own"
    );
    assert_eq!(reads(&driven.turn([need(links[0])])), 1, "nothing is being read any more");
}

#[test]
fn a_worker_whose_data_is_being_written_is_not_silent() {
    let [staging, silent] = [1, 2].map(LinkId);
    let mut driven = Driven::new(std::iter::empty(), None);
    driven.join(staging, "staging");
    driven.join(silent, "silent");
    let mut closed = Vec::new();
    for _ in 0..GridConfig::default().worker_timeout.0 / 1_000 + 2 {
        driven.now = driven.now.after(Millis(1_000));
        let effects = driven.turn([Event::Staging { link: staging }]);
        closed.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Close { link, .. } => Some(*link),
            _ => None,
        }));
    }
    assert_eq!(closed, [silent]);
}
