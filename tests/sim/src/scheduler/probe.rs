//! What watches the driver at work: it writes the book, keeps a grid that knows the journal alone,
//! and checks what can be seen while it happens and after each turn.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
};

use wasmgrid_core::{Grid, NewLease, Output};
use wasmgrid_proto::{JobId, LeaseId, Record, WorkerId};
use wasmgrid_server::driver::{Inputs, Item, Observer};

use super::{Failed, wire};
use crate::{
    book::{Book, Violation, hold},
    disk::{decode, encode},
    message::Block,
    net::LinkId,
    plan::Plan,
};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Probe {
    plan: Arc<Plan>,
    /// The world's, during a turn.
    book: Book,
    /// The grid that knows the journal alone.
    shadow: Grid,
    /// What did not hold.
    failed: Option<Failed>,
    /// Results whose record comes next.
    block: Option<Block>,
    /// How long the journal was when something was held back, for each that is.
    held: VecDeque<usize>,
    links: BTreeMap<WorkerId, LinkId>,
    /// Suspects that were given to a worker in this turn, and on which link.
    alone: Vec<(WorkerId, LinkId, JobId, u64)>,
    /// Jobs of which tasks were given out in this turn, and whether a worker joined in it, which is
    /// believed to have what it says.
    given: BTreeSet<JobId>,
    joined: bool,
}

impl Probe {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        Self {
            plan: Arc::clone(plan),
            book: Book::new(plan.config.clone()),
            shadow: Grid::new(plan.config.clone()),
            failed: None,
            block: None,
            held: VecDeque::new(),
            links: BTreeMap::new(),
            alone: Vec::new(),
            given: BTreeSet::new(),
            joined: false,
        }
    }

    /// The journal has this record.
    pub(super) fn replay(&mut self, record: &Record) {
        self.shadow.apply(record);
    }

    /// What the driver does from here on is written in this book.
    pub(super) fn watch(&mut self, book: &mut Book) {
        mem::swap(&mut self.book, book);
    }

    /// The turn ends: gives the book back.
    ///
    /// # Errors
    /// The first invariant that did not hold in it.
    pub(super) fn ends(&mut self, book: &mut Book) -> Result<(), Failed> {
        mem::swap(&mut self.book, book);
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The invariants that can be seen after every turn.
    pub(super) fn check(
        &mut self,
        grid: &Grid,
        book: &Book,
        is_linked: impl Fn(LinkId) -> bool,
    ) -> Result<(), Violation> {
        let none = BTreeSet::new();
        hold(grid.ledger() == self.shadow.ledger(), "replay equals live", || {
            format!("live {:?}, replayed {:?}", grid.ledger(), self.shadow.ledger())
        })?;
        let jobs = grid.jobs(usize::MAX);
        book.check_status(&jobs)?;
        let (given, joined) = (mem::take(&mut self.given), mem::take(&mut self.joined));
        book.check_usage(&grid.usage())?;
        let tenants = grid.tenants();
        book.check_tenants(&jobs, &tenants, if joined { &none } else { &given })?;
        let workers = grid.workers();
        let running: u64 = jobs.iter().map(|job| job.counts.running).sum();
        let assigned: u64 = workers.iter().map(|worker| worker.assigned).sum();
        hold(running == assigned, "parts sum to the whole", || {
            format!("{running} tasks run, workers have {assigned}")
        })?;
        for (id, link, job, index) in mem::take(&mut self.alone) {
            // Later in the turn its job may have ended, or its worker have gone.
            let is_there = self.links.get(&id) == Some(&link) && is_linked(link);
            if !book.is_open(job, index) || !is_there {
                continue;
            }
            let has = workers.iter().find(|worker| worker.worker == id).map(|has| has.assigned);
            hold(has <= Some(1), "a suspect runs alone", || format!("worker {id} has {has:?}"))?;
        }
        let most = self.plan.config.credit_tasks;
        let bound = |slots: u32| 2 * most.max(2 * u64::from(slots)) * (jobs.len() as u64).max(1);
        let over = workers.iter().find(|worker| worker.assigned > bound(worker.capacity.slots));
        hold(over.is_none(), "resources in use are within capacity", || format!("{over:?}"))
    }

    fn note(&mut self, result: Result<(), impl Into<Failed>>) {
        if let Err(failed) = result {
            self.failed.get_or_insert(failed.into());
        }
    }

    /// Decoded again, the shadow gets what a replay would read.
    fn record(&mut self, record: &Record) -> Result<(), Failed> {
        if let Some(block) = self.block.take() {
            self.book.committing(&block, record)?;
        }
        self.book.record(record)?;
        self.shadow.apply(&decode(&encode(record)?)?);
        Ok(())
    }

    fn assigned(
        &mut self,
        grid: &Grid,
        worker: WorkerId,
        job: JobId,
        grants: &[NewLease],
    ) -> Result<(), Violation> {
        self.given.insert(job);
        self.book.granted(job, worker, grants, &grid.workers())?;
        let indices = grants.iter().flat_map(|grant| grant.tasks.first..grant.tasks.end());
        let link = self.links.get(&worker).copied().unwrap_or_default();
        let suspects = indices.filter(|index| self.book.is_suspect(job, *index));
        self.alone.extend(suspects.map(|index| (worker, link, job, index)));
        Ok(())
    }

    /// Only a worker that is false loses a lease for its time: it ends nothing, or claimed in a later
    /// term what it was given and had given back, which it does not run.
    fn overrun(
        &self,
        grid: &Grid,
        worker: WorkerId,
        job: JobId,
        lease: LeaseId,
    ) -> Result<(), Violation> {
        let workers = grid.workers();
        let name = workers.iter().find(|status| status.worker == worker).map(|status| &status.name);
        let plan = self.plan.workers.iter().find(|plan| Some(&plan.name) == name);
        let is_false = plan.is_some_and(|plan| plan.falsehood.is_some());
        let rule = "a worker that runs what it is given loses no lease for its time";
        hold(is_false, rule, || format!("lease {lease} of job {job} at {name:?}"))
    }
}

impl Observer for Probe {
    fn output(&mut self, grid: &Grid, output: &Output) {
        match output {
            Output::Joined { link, worker } => {
                self.joined = true;
                self.links.insert(*worker, *link);
            }
            Output::Assign { worker, job, grants } => {
                let result = self.assigned(grid, *worker, *job, grants);
                self.note(result);
            }
            Output::Overrun { worker, job, lease, .. } => {
                let result = self.overrun(grid, *worker, *job, *lease);
                self.note(result);
            }
            _ => {}
        }
    }

    fn persisted(&mut self, item: &Item) {
        match item {
            Item::Inputs { job, first, block, payload } => {
                let inputs = Inputs::new(*first, block.clone(), payload.clone());
                let inputs = inputs.map(|inputs| wire::inputs_of(&inputs, *first));
                self.book.inputs(*job, *first, &inputs.unwrap_or_default());
            }
            Item::Results { job, results } => {
                self.book.results(*job, results.first, wire::cost_of(results));
                // What ends as lost without a worker's result has no lease.
                let block = wire::block_of(&results.block, &results.payload);
                self.block = Some(block).filter(|block| block.lease != LeaseId(0));
            }
            Item::Record(record) => {
                let result = self.record(record);
                self.note(result);
            }
            // What is in the log in the end is judged.
            Item::Audit(_) => {}
        }
    }

    fn held(&mut self) {
        self.held.push_back(self.book.journal.len());
    }

    fn released(&mut self) {
        let records = self.held.pop_front().unwrap_or_default();
        self.book.promise(records);
    }

    fn let_go(&mut self, place: usize) {
        self.held.remove(place);
    }
}
