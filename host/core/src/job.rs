//! One job as the journal has it: its spec, its logs' extents, and what became of each task.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use wasmgrid_proto::{
    Divergence, Epoch, JobCounts, JobId, JobSpec, JobState, JobStatus, Micros, OutcomeClass,
    Record, TaskRange, WorkerId,
};

use crate::{
    again::{NotOk, Producers},
    attempts::{Attempts, Note},
    ranges::{RangeSet, one, range},
    retry::History,
};

/// A job's durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) spec: JobSpec,
    /// The term in which it was submitted: no lease of an earlier one is of this job.
    pub(crate) epoch: Epoch,
    pub(crate) submitted_at: Micros,
    pub(crate) cancelled_by: Option<String>,
    pub(crate) state: JobState,
    pub(crate) ended_at: Option<Micros>,
    pub(crate) closed: bool,
    /// Results in its log.
    pub(crate) results: u64,
    /// The job that has this one's inputs in its own log, at the same indices.
    pub(crate) source: Option<JobId>,
    /// Tasks without a terminal state.
    pub(crate) open: RangeSet,
    /// What a retry would run again.
    pub(crate) not_ok: NotOk,
    /// Who appended beside others, and what last.
    pub(crate) producers: Producers,
    /// The index behind its last task.
    next_index: u64,
    /// Open tasks that were run more than once.
    history: BTreeMap<u64, History>,
    /// What is remembered of attempts that did not do.
    pub(crate) attempts: Attempts,
    /// Results that differ and should not, as far as they are kept.
    pub(crate) divergences: Vec<Divergence>,
    /// All but `queued`, `running` and `discarded`, which are not durable.
    counts: JobCounts,
}

impl Job {
    pub(crate) fn new(spec: JobSpec, epoch: Epoch, submitted_at: Micros) -> Self {
        Self {
            spec,
            epoch,
            submitted_at,
            cancelled_by: None,
            state: JobState::Active,
            ended_at: None,
            closed: false,
            results: 0,
            source: None,
            open: RangeSet::default(),
            not_ok: NotOk::default(),
            producers: Producers::default(),
            next_index: 0,
            history: BTreeMap::new(),
            attempts: Attempts::default(),
            divergences: Vec::new(),
            counts: JobCounts::default(),
        }
    }

    /// Takes in one record of this job.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::InputsAppended { tasks, .. } => self.append(*tasks),
            Record::InputsClosed { .. } => self.closed = true,
            Record::CancelRequested { by, .. } => self.cancelled_by = Some(by.clone()),
            Record::Committed { first_cursor, runs, .. } => {
                let count: u64 = runs.iter().map(|run| run.tasks.count).sum();
                self.results = self.results.max(first_cursor.saturating_add(count));
                for run in runs {
                    self.end(run.tasks, run.class);
                }
            }
            Record::Ended { tasks, class, .. } => {
                for tasks in tasks {
                    self.end(*tasks, *class);
                }
            }
            Record::Retried { index, counter, attempt, reason, .. } => {
                let (worker, at, reason) = (WorkerId(0), Micros(0), reason.as_str().into());
                let note = Note { attempt: *attempt, counter: *counter, worker, at, reason };
                self.fail_attempts(&[one(*index)], &note, false);
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
            }
            Record::ProducerNoted { producer, number, first, .. } => {
                self.producers.note(*producer, *number, *first);
            }
            Record::InputsTaken { of, tasks, .. } => self.take_over(*of, tasks),
            Record::EpochStarted { .. }
            | Record::JobSubmitted { .. }
            | Record::WorkerKnown { .. }
            | Record::WorkerCordoned { .. } => {}
        }
    }

    /// The index of the next input; of most jobs also how many they have.
    pub(crate) const fn next_index(&self) -> u64 {
        self.next_index
    }

    pub(crate) const fn is_active(&self) -> bool {
        !self.state.is_terminal()
    }

    /// True where so many tasks failed that the rest is not run.
    pub(crate) fn has_given_up(&self) -> bool {
        self.spec.max_failures.is_some_and(|most| self.counts.failed >= most.max(1))
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
                parts.push((range(from, *index), History::default()));
            }
            parts.push((one(*index), *history));
            from = index + 1;
        }
        if from < tasks.end() {
            parts.push((range(from, tasks.end()), History::default()));
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

    fn append(&mut self, tasks: TaskRange) {
        let fresh = range(self.next_index, tasks.end());
        self.open.insert(fresh);
        self.counts.total += fresh.count;
        self.next_index = self.next_index.max(fresh.end());
    }

    fn take_over(&mut self, of: JobId, tasks: &[TaskRange]) {
        self.source = Some(of);
        for tasks in tasks {
            self.open.insert(*tasks);
            self.counts.total += tasks.count;
            self.next_index = self.next_index.max(tasks.end());
        }
    }

    fn end(&mut self, tasks: TaskRange, class: OutcomeClass) {
        if class != OutcomeClass::Ok {
            self.not_ok.add(&self.open.within(tasks));
        }
        let count = self.open.remove(tasks);
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
    }
}
