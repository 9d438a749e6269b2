//! One job as the journal has it: its spec, its logs' extents, and what became of each task.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use wasmgrid_proto::{
    Digest, Divergence, Dropped, EndedTasks, Epoch, FunctionTerms, JobCounts, JobId, JobItem,
    JobSpec, JobState, JobStatus, LogKind, LogRef, Micros, OutcomeClass, Record, SnapshotItem,
    TaskRange, TaskSet, WorkerId,
};

use super::{
    appends::Appends,
    attempts::{Attempts, Note, Notes},
    failed_tasks::FailedTasks,
    history::History,
    inputs::Inputs,
    lists::lists,
    producers::Producers,
    terms::Terms,
};
use crate::ranges::RangeSet;

/// A job's durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(super) spec: JobSpec,
    /// Under which terms it takes calls of a function, if it does; as its spec says.
    function: Option<FunctionTerms>,
    /// The key under which it was submitted.
    pub(super) key: Option<Arc<str>>,
    /// What was asked for, by content.
    pub(super) digest: Digest,
    /// The term in which it was submitted: no lease of an earlier one is of this job.
    pub(super) epoch: Epoch,
    /// Its date, for people.
    pub(super) submitted_at: Micros,
    /// The same by the grid's own time, which deadlines and ranks go by.
    pub(super) submitted: Micros,
    pub(super) cancelled_by: Option<String>,
    pub(super) state: JobState,
    /// Its date, for people.
    pub(super) ended_at: Option<Micros>,
    /// The same by the grid's own time, from which on it is kept for so long.
    pub(super) ended: Option<Micros>,
    pub(super) closed: bool,
    /// Results in its log.
    pub(super) results: u64,
    /// The job that has this one's inputs in its own log, at the same indices.
    pub(super) source: Option<JobId>,
    /// The tasks it took from there; all it has, where it has a source.
    pub(super) taken: RangeSet,
    /// Indices at which it has no task, beside those that it did not take from its source.
    pub(super) skipped: RangeSet,
    /// Which of its results are gone.
    pub(super) dropped: Option<Dropped>,
    /// Which inputs are stored.
    pub(super) inputs: Inputs,
    pub(super) appends: Appends,
    /// In which terms the inputs were appended.
    terms: Terms,
    /// Tasks without a terminal state.
    pub(super) open: RangeSet,
    /// What a retry would run again.
    pub(super) not_ok: FailedTasks,
    /// Who appended beside others, and what last.
    pub(super) producers: Producers,
    /// The index behind its last task.
    next_index: u64,
    /// Open tasks that were run more than once.
    history: BTreeMap<u64, History>,
    /// What is remembered of attempts that did not do.
    pub(super) attempts: Attempts,
    /// Results that differ and should not, as far as they are kept.
    pub(super) divergences: Vec<Divergence>,
    /// All but `queued`, `running` and `discarded`, which are not durable.
    counts: JobCounts,
}

impl Job {
    pub(crate) fn new(
        spec: JobSpec,
        (key, digest): (Option<Arc<str>>, Digest),
        epoch: Epoch,
        (submitted_at, submitted): (Micros, Micros),
    ) -> Self {
        Self {
            function: spec.function(),
            spec,
            key,
            digest,
            epoch,
            submitted_at,
            submitted,
            cancelled_by: None,
            state: JobState::Active,
            ended_at: None,
            ended: None,
            closed: false,
            results: 0,
            source: None,
            taken: RangeSet::default(),
            skipped: RangeSet::default(),
            dropped: None,
            inputs: Inputs::default(),
            appends: Appends::default(),
            terms: Terms::default(),
            open: RangeSet::default(),
            not_ok: FailedTasks::default(),
            producers: Producers::default(),
            next_index: 0,
            history: BTreeMap::new(),
            attempts: Attempts::default(),
            divergences: Vec::new(),
            counts: JobCounts::default(),
        }
    }

    /// Takes in one record of this job, of this term. Says which tasks that ended.
    pub(crate) fn apply(&mut self, record: &Record, term: Epoch) -> EndedTasks {
        let mut ended = EndedTasks::default();
        match record {
            Record::InputsAppended { tasks, .. } => self.append(*tasks, term),
            Record::InputsClosed { .. } => self.closed = true,
            Record::CancelRequested { by, .. } => self.cancelled_by = Some(by.clone()),
            Record::Committed { first_cursor, runs, .. } => {
                let count: u64 = runs.iter().map(|run| run.tasks.count).sum();
                self.results = self.results.max(first_cursor.saturating_add(count));
                for run in runs {
                    ended.count(run.class, self.end(run.tasks, run.class));
                }
            }
            Record::Ended { tasks, class, .. } => {
                for tasks in tasks {
                    ended.count(*class, self.end(*tasks, *class));
                }
            }
            Record::AttemptsFailed {
                tasks, attempt, counter, worker, at, reason, last, ..
            } => {
                let (worker, at, reason) = (*worker, *at, reason.as_str().into());
                let note = Note { attempt: *attempt, counter: *counter, worker, at, reason };
                self.fail_attempts(tasks, &note, *last);
            }
            Record::Diverged { divergence, .. } => self.divergences.push(**divergence),
            Record::JobEnded { state, at, .. } => {
                self.state = *state;
                self.ended_at = Some(*at);
                self.appends.shrink();
            }
            Record::InputsTaken { of, tasks, .. } => self.take_over(*of, tasks),
            Record::InputsDigest { tasks, digest, .. } => self.appends.push(*tasks, *digest),
            Record::InputsDropped { tasks, .. } => self.inputs.drop(tasks),
            Record::IndicesSkipped { tasks, .. } => self.skip(*tasks),
            Record::ResultsDropped { dropped, .. } => self.dropped = Some(*dropped),
            Record::EpochStarted { .. }
            | Record::JobSubmitted { .. }
            | Record::ProducerNoted { .. }
            | Record::JobForgotten { .. }
            | Record::WorkerKnown { .. }
            | Record::WorkerCordoned { .. }
            | Record::QuotaSet { .. }
            | Record::FuelUsed { .. }
            | Record::FunctionSet { .. }
            | Record::WorkerRemoved { .. }
            | Record::WorkerDrained { .. }
            | Record::TimePassed { .. } => {}
        }
        ended
    }

    pub(crate) const fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// Who owns it.
    pub(crate) fn tenant(&self) -> &str {
        &self.spec.task.tenant
    }

    pub(crate) const fn state(&self) -> JobState {
        self.state
    }

    /// True where no more inputs come.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The term in which it was submitted.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When it was submitted, by the grid's own time.
    pub(crate) const fn submitted(&self) -> Micros {
        self.submitted
    }

    /// When it ended, by the grid's own time.
    pub(crate) const fn ended(&self) -> Option<Micros> {
        self.ended
    }

    /// Who wanted it to be cancelled.
    pub(crate) fn cancelled_by(&self) -> Option<&str> {
        self.cancelled_by.as_deref()
    }

    /// Under which terms it takes calls of a function, if it does.
    pub(crate) const fn function(&self) -> Option<FunctionTerms> {
        self.function
    }

    /// What was asked for, by content.
    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    /// Results in its log, with those that were dropped.
    pub(crate) const fn results(&self) -> u64 {
        self.results
    }

    /// Which of its results are gone.
    pub(crate) const fn dropped(&self) -> Option<Dropped> {
        self.dropped
    }

    /// The job that has this one's inputs in its own log, at the same indices.
    pub(crate) const fn source(&self) -> Option<JobId> {
        self.source
    }

    /// The log of another job from which this one takes its inputs.
    pub(crate) fn reads(&self) -> Option<(JobId, LogKind)> {
        self.source.map(|source| (source, LogKind::Input))
    }

    /// Where the input of a task comes from, of this job with this number.
    pub(crate) fn input_of(&self, job: JobId, index: u64) -> LogRef {
        LogRef::input(self.source.unwrap_or(job), index)
    }

    /// The tasks it took from there; all it has, where it has a source.
    pub(crate) const fn taken(&self) -> &RangeSet {
        &self.taken
    }

    /// Tasks without a terminal state.
    pub(crate) const fn open(&self) -> &RangeSet {
        &self.open
    }

    /// Which inputs are stored.
    pub(crate) const fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Its last appends by index.
    pub(crate) const fn appends(&self) -> &Appends {
        &self.appends
    }

    /// Who appended beside others, and what last.
    pub(crate) const fn producers(&self) -> &Producers {
        &self.producers
    }

    /// What a retry would run again; `None` where that is too much to remember.
    pub(crate) fn failed_tasks(&self) -> Option<Vec<TaskRange>> {
        self.not_ok.tasks()
    }

    /// How many ranges of tasks a retry would run again.
    pub(crate) fn failed_runs(&self) -> usize {
        self.not_ok.runs()
    }

    /// What is remembered of a task's failed attempts.
    pub(crate) fn failed_attempts(&self, index: u64) -> Option<&Notes> {
        self.attempts.of(index)
    }

    /// Results that differ and should not, as far as they are kept.
    pub(crate) fn divergences(&self) -> &[Divergence] {
        &self.divergences
    }

    /// The index of the next input; of most jobs also how many they have.
    pub(crate) const fn next_index(&self) -> u64 {
        self.next_index
    }

    /// The index before which a lease of this term is of the inputs that are there: those behind
    /// it were appended later, and what the lease was given for may have been lost.
    pub(crate) fn leased_upto(&self, term: Epoch) -> u64 {
        self.terms.upto(term, self.epoch, self.next_index)
    }

    /// True where it has a task of this index.
    pub(crate) fn has_task(&self, index: u64) -> bool {
        index < self.next_index
            && (self.source.is_none() || self.taken.contains(index))
            && !self.skipped.contains(index)
    }

    pub(crate) const fn is_active(&self) -> bool {
        !self.state.is_terminal()
    }

    /// True where so many tasks failed that the rest is not run.
    pub(crate) fn has_given_up(&self) -> bool {
        self.spec.gives_up_after(self.counts.failed)
    }

    /// How the job ends, now that it has no open task; `None` where more inputs may come.
    pub(crate) fn final_state(&self) -> Option<JobState> {
        if !self.is_active() || !self.open.is_empty() {
            return None;
        }
        let failed = self.counts.ok < self.counts.total;
        (self.closed || self.has_given_up()).then_some(if failed {
            JobState::Failed
        } else {
            JobState::Ok
        })
    }

    /// What counts against a task.
    pub(crate) fn history(&self, index: u64) -> History {
        self.history.get(&index).copied().unwrap_or_default()
    }

    /// The workers that lost attempts of a task or could not run it, as far as that is remembered.
    pub(crate) fn lost_by(&self, index: u64) -> Vec<WorkerId> {
        self.attempts.of(index).map(Notes::lost_by).unwrap_or_default()
    }

    /// Counts an attempt of each of these tasks, as far as they are open.
    fn fail_attempts(&mut self, tasks: &[TaskRange], note: &Note, last: bool) {
        for part in tasks.iter().flat_map(|part| self.open.within(*part)) {
            for index in part.first..part.end() {
                self.history.entry(index).or_default().count(note.counter);
                self.attempts.note(index, note.clone());
            }
            if !last {
                self.counts.retried += part.count;
            }
        }
    }

    /// A range cut where the history of its tasks differs; most have none and stay whole.
    pub(crate) fn by_history(&self, tasks: TaskRange) -> Vec<(TaskRange, History)> {
        let mut parts = Vec::new();
        let mut from = tasks.first;
        for (index, history) in self.history.range(tasks.first..tasks.end()) {
            if from < *index {
                parts.push((TaskRange::between(from, *index), History::default()));
            }
            parts.push((TaskRange::one(*index), *history));
            from = index + 1;
        }
        if from < tasks.end() {
            parts.push((TaskRange::between(from, tasks.end()), History::default()));
        }
        parts
    }

    /// How the job stands, with what only the scheduling knows.
    pub(crate) fn status(&self, job: JobId, running: u64, discarded: u64) -> JobStatus {
        let queued = self.open.len().saturating_sub(running);
        JobStatus {
            job,
            spec: self.spec.clone(),
            state: self.state,
            closed: self.closed,
            counts: JobCounts { queued, running, discarded, ..self.counts },
            results: self.results,
            submitted_at: self.submitted_at,
            ended_at: self.ended_at,
        }
    }

    fn append(&mut self, tasks: TaskRange, term: Epoch) {
        let fresh = TaskRange::between(self.next_index, tasks.end());
        self.terms.append(fresh.first, term, self.epoch);
        self.open.insert(fresh);
        self.inputs.append(fresh);
        self.counts.total += fresh.count;
        self.next_index = self.next_index.max(fresh.end());
    }

    fn skip(&mut self, tasks: TaskRange) {
        let fresh = TaskRange::between(self.next_index, tasks.end());
        self.skipped.insert(fresh);
        self.next_index = self.next_index.max(fresh.end());
    }

    fn take_over(&mut self, of: JobId, tasks: &[TaskRange]) {
        self.source = Some(of);
        for tasks in tasks {
            self.open.insert(*tasks);
            self.taken.insert(*tasks);
            self.counts.total += tasks.count;
            self.next_index = self.next_index.max(tasks.end());
        }
    }

    /// Ends tasks, as far as they are open; says how many those were.
    fn end(&mut self, tasks: TaskRange, class: OutcomeClass) -> u64 {
        if class != OutcomeClass::Ok {
            self.not_ok.add(&self.open.within(tasks));
        }
        let count = self.close_tasks(tasks, class != OutcomeClass::Ok);
        while let Some((index, _)) = self.history.range(tasks.first..tasks.end()).next() {
            let index = *index;
            self.history.remove(&index);
        }
        self.attempts.end(tasks, class == OutcomeClass::Lost);
        let slot = match class {
            OutcomeClass::Ok => &mut self.counts.ok,
            OutcomeClass::Failed | OutcomeClass::Retry | OutcomeClass::Lost => {
                &mut self.counts.failed
            }
            OutcomeClass::Cancelled => &mut self.counts.cancelled,
            OutcomeClass::Expired => &mut self.counts.expired,
            OutcomeClass::Skipped => &mut self.counts.skipped,
        };
        *slot += count;
        count
    }

    /// Takes tasks out of the open ones, as far as they are; says how many those were.
    fn close_tasks(&mut self, tasks: TaskRange, keep_inputs: bool) -> u64 {
        if self.open.take(tasks) {
            self.inputs.end(tasks, keep_inputs);
            return tasks.count;
        }
        let parts = self.open.within(tasks);
        for part in &parts {
            self.open.remove(*part);
            self.inputs.end(*part, keep_inputs);
        }
        parts.iter().map(|part| part.count).sum()
    }

    /// As items of a snapshot, from which [`restore`](Self::restore) makes the same again.
    pub(crate) fn snapshot(&self, job: JobId, out: &mut dyn FnMut(SnapshotItem)) {
        out(SnapshotItem::Job(JobItem {
            job,
            spec: self.spec.clone(),
            idempotency_key: self.key.as_deref().map(String::from),
            digest: self.digest,
            epoch: self.epoch,
            submitted_at: self.submitted_at,
            submitted: self.submitted,
            cancelled_by: self.cancelled_by.clone(),
            state: self.state,
            ended_at: self.ended_at,
            ended: self.ended,
            closed: self.closed,
            results: self.results,
            dropped: self.dropped,
            source: self.source,
            next_index: self.next_index,
            not_ok_overflown: self.not_ok.is_overflown(),
            counts: self.counts,
        }));
        lists(job, TaskSet::Open, &self.open, out);
        lists(job, TaskSet::Taken, &self.taken, out);
        lists(job, TaskSet::Skipped, &self.skipped, out);
        self.not_ok.snapshot(job, out);
        for (index, history) in &self.history {
            let History { app, host_losses, infra } = *history;
            out(SnapshotItem::Attempts { job, index: *index, app, host_losses, infra });
        }
        self.inputs.snapshot(job, out);
        self.appends.snapshot(job, out);
        self.terms.snapshot(job, out);
        self.producers.snapshot(|producers| out(SnapshotItem::Appenders { job, producers }));
        self.attempts.snapshot(job, out);
        if !self.divergences.is_empty() {
            out(SnapshotItem::Divergences { job, divergences: self.divergences.clone() });
        }
    }

    /// The job of a snapshot, whose other items follow.
    pub(crate) fn from_item(item: JobItem) -> Self {
        Self {
            cancelled_by: item.cancelled_by,
            state: item.state,
            ended_at: item.ended_at,
            ended: item.ended,
            closed: item.closed,
            results: item.results,
            dropped: item.dropped,
            source: item.source,
            next_index: item.next_index,
            not_ok: FailedTasks::new(item.not_ok_overflown),
            counts: item.counts,
            ..Self::new(
                item.spec,
                (item.idempotency_key.map(Arc::from), item.digest),
                item.epoch,
                (item.submitted_at, item.submitted),
            )
        }
    }

    /// Takes in another item of the job.
    pub(crate) fn restore(&mut self, item: SnapshotItem) {
        match item {
            SnapshotItem::Tasks { set: TaskSet::Open, tasks, .. } => {
                tasks.into_iter().for_each(|part| self.open.insert(part));
            }
            SnapshotItem::Tasks { set: TaskSet::Taken, tasks, .. } => {
                tasks.into_iter().for_each(|part| self.taken.insert(part));
            }
            SnapshotItem::Tasks { set: TaskSet::Skipped, tasks, .. } => {
                tasks.into_iter().for_each(|part| self.skipped.insert(part));
            }
            SnapshotItem::Tasks { set: TaskSet::NotOk, tasks, .. } => self.not_ok.add(&tasks),
            SnapshotItem::Tasks { set, tasks, .. } => self.inputs.restore_ended(set, &tasks),
            SnapshotItem::Attempts { index, app, host_losses, infra, .. } => {
                self.history.insert(index, History { app, host_losses, infra });
            }
            SnapshotItem::Inputs { segments, .. } => {
                self.inputs.restore_live(&segments, &self.open);
            }
            SnapshotItem::Appends { appends, .. } => {
                appends.into_iter().for_each(|(tasks, digest)| self.appends.push(tasks, digest));
            }
            SnapshotItem::Appenders { producers, .. } => self.producers.restore(producers),
            SnapshotItem::Notes { index, lost, dropped, notes, .. } => {
                self.attempts.restore(index, lost, dropped, notes);
            }
            SnapshotItem::Divergences { divergences, .. } => self.divergences.extend(divergences),
            SnapshotItem::Terms { terms, .. } => self.terms = Terms::restore(terms),
            SnapshotItem::Grid { .. }
            | SnapshotItem::Time { .. }
            | SnapshotItem::Worker { .. }
            | SnapshotItem::Quota { .. }
            | SnapshotItem::FuelUsed { .. }
            | SnapshotItem::Function { .. }
            | SnapshotItem::Callers { .. }
            | SnapshotItem::Producers { .. }
            | SnapshotItem::Usage { .. }
            | SnapshotItem::FormerWorker { .. }
            | SnapshotItem::Job(_) => {}
        }
    }
}
