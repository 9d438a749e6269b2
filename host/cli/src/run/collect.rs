//! What becomes of results as they come: printed in order, failures explained, inputs let go.

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tokio::sync::Notify;
use wasmgrid_client::StoredInputs;
use wasmgrid_proto::{JobId, JobStatus, Outcome, ResultBlock, TaskId, TaskRange, WorkerId};

use super::{
    again::Written,
    failures::Failures,
    fetched::Fetched,
    ledger::{Absent, Input, Ledger, Place},
    output::Output,
    progress::Progress,
    reorder::{Reorder, Run, Shown},
    track::Track,
};
use crate::{escape::Lines, print};

/// Takes a job's results.
pub struct Collector<'a> {
    output: Output,
    /// `None` prints results as they come.
    reorder: Option<Reorder>,
    failures: Failures,
    /// The job's inputs, where they are known here.
    ledger: Option<&'a RefCell<Ledger>>,
    /// What is shown next, if its inputs are the grid's to give.
    fetched: Option<Fetched>,
    progress: Progress,
    /// How far the run has come, where that is noted.
    track: Option<Track>,
    /// Inputs are shown with their results.
    shows_inputs: bool,
    /// Files that cannot be read, until their results are shown, where inputs are.
    unread: BTreeMap<u64, PathBuf>,
    /// Inputs of tasks that failed, as far as the grid was asked for them, until they are explained.
    failed_inputs: BTreeMap<u64, Input>,
    /// Behind the last result that came.
    cursor: u64,
    /// Results whose module or input did not fit, and all others.
    refused: u64,
    ran: u64,
    /// Results of tasks that failed.
    failed: u64,
}

/// What is said at the end.
pub struct Report {
    /// The file of failed inputs.
    pub failed_inputs: Option<Written>,
    /// Why there is none, where there should be one.
    pub unkept: Option<anyhow::Error>,
    /// Failures that were not explained one by one.
    pub unexplained: u64,
    /// Inputs that cannot be read, whose tasks the grid does not know.
    pub unread: u64,
    /// Inputs that were not run and are not kept either.
    pub left_out: u64,
    /// True where there were results, and every one was a refusal.
    pub all_refused: bool,
    /// True where a result was of a task that failed.
    pub any_failed: bool,
    /// Results that were shown without their inputs, since the grid has deleted those.
    pub inputs_deleted: u64,
}

impl<'a> Collector<'a> {
    /// `ordered` prints in the order of the inputs.
    pub fn new(
        output: Output,
        ordered: bool,
        failures: Failures,
        ledger: Option<&'a RefCell<Ledger>>,
        progress: Progress,
    ) -> Self {
        let reorder = ordered.then(Reorder::new);
        let (cursor, refused, ran, failed) = (0, 0, 0, 0);
        let (shows_inputs, unread) = (output.wants_inputs(), BTreeMap::new());
        if let Some(ledger) = ledger.filter(|_| shows_inputs) {
            ledger.borrow_mut().show_inputs();
        }
        Self {
            output,
            reorder,
            failures,
            ledger,
            fetched: None,
            progress,
            track: None,
            shows_inputs,
            unread,
            failed_inputs: BTreeMap::new(),
            cursor,
            refused,
            ran,
            failed,
        }
    }

    /// The same, which notes how far it has come. Before the first result, and in input order.
    pub fn tracking(mut self, track: Option<Track>) -> Self {
        self.shows_inputs |= track.is_some();
        if let Some(ledger) = self.ledger.filter(|_| self.shows_inputs) {
            ledger.borrow_mut().show_inputs();
        }
        Self { track, ..self }
    }

    /// The same, which shows inputs that are fetched from the grid, if it shows any.
    pub fn fetching(mut self, job: JobId) -> Self {
        if self.output.prints_inputs() {
            self.fetched = Some(Fetched::new(job));
        }
        self
    }

    /// Takes a block of results, which stands at `first_cursor` of the job's result log, and prints
    /// what is due; if inputs are [fetched](Self::wanted), when they are there.
    ///
    /// # Errors
    /// [`Closed`](super::output::Closed) where nobody reads the output; else where it or a
    /// temporary file cannot be written.
    pub fn take(
        &mut self,
        first_cursor: u64,
        block: ResultBlock,
        payload: Bytes,
    ) -> anyhow::Result<()> {
        self.take_absent()?;
        self.cursor = first_cursor + block.results.len() as u64;
        let (mut explained, mut due) = (Vec::new(), Vec::new());
        for run in Run::all(first_cursor, block, payload)? {
            let unknown = self.note_all(&run, &mut explained);
            let known = if unknown.is_empty() {
                vec![run]
            } else {
                run.only(|place| unknown.binary_search(&place).is_err())
            };
            match &mut self.reorder {
                None => due.extend(known),
                Some(reorder) => {
                    known.into_iter().try_for_each(|run| reorder.push(run, &mut due))?;
                }
            }
        }
        if let (Some(ledger), Some(reorder)) = (self.ledger, &self.reorder) {
            ledger.borrow_mut().hold(reorder.len());
        }
        self.print_next(due, &explained)
    }

    /// Prints what is due, up to the first result whose input is to be fetched; gives the tasks whose
    /// inputs are wanted for it. [`Self::give`] brings them.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn wanted(&mut self) -> anyhow::Result<Option<(JobId, TaskRange)>> {
        let Some(fetched) = &mut self.fetched else { return Ok(None) };
        if fetched.wanted().is_none() {
            return Ok(None);
        }
        let output = &mut self.output;
        let on_terminal = output.is_terminal();
        let mut print = || {
            fetched.show(|shown, input| output.write(shown, Some(input)))?;
            output.flush()
        };
        if on_terminal {
            self.progress.around(print)?
        } else {
            print()?
        }
        Ok(self.fetched.as_ref().and_then(Fetched::wanted))
    }

    /// True if results are of no use without their inputs.
    pub const fn needs_inputs(&self) -> bool {
        self.output.needs_inputs()
    }

    /// Takes inputs that were [`wanted`](Self::wanted); `None` if the scheduler is too old to give any.
    pub fn give(&mut self, wanted: TaskRange, found: Option<StoredInputs>) {
        match (&mut self.fetched, found) {
            (Some(fetched), Some(found)) => fetched.give(wanted, found),
            (Some(fetched), None) => fetched.give_up(),
            (None, _) => {}
        }
    }

    /// The worker of results that are to be explained, where its name is to be asked for: a few times
    /// a job.
    pub fn unnamed(&self, block: &ResultBlock) -> Option<WorkerId> {
        let explains = self.failures.explains_more()
            && block.results.iter().any(|meta| is_failed(&meta.outcome));
        (explains && !self.failures.knows(block.worker)).then_some(block.worker)
    }

    /// The failed tasks of a block that are explained and whose inputs the grid alone has, with their
    /// job: a few a job.
    pub fn unknown_inputs(&self, block: &ResultBlock) -> Vec<TaskId> {
        if self.ledger.is_some() {
            return Vec::new();
        }
        let failed = block.results.iter().filter(|meta| is_failed(&meta.outcome));
        let tasks = failed.map(|meta| TaskId { job: block.job, index: meta.index });
        tasks.take(self.failures.left_to_explain()).collect()
    }

    /// Takes the input of a task that failed.
    pub fn know(&mut self, task: TaskId, bytes: Bytes) {
        self.failed_inputs.insert(task.index, Input { bytes, place: Place::Stored(task) });
    }

    /// Takes workers' names.
    pub fn name(&mut self, names: Vec<(WorkerId, String)>) {
        self.failures.name(names);
    }

    /// Takes the indices at which the job has no task.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_absent(&mut self) -> anyhow::Result<()> {
        let Some(ledger) = self.ledger else { return Ok(()) };
        let (mut explained, mut due) = (Vec::new(), Vec::new());
        let absent = ledger.borrow_mut().take_absent();
        for absent in absent {
            let (first, unread) = match absent {
                Absent::Unread(first, unread) => (first, unread),
                Absent::Gap(tasks) => {
                    if let Some(reorder) = &mut self.reorder {
                        reorder.skip(tasks, &mut due)?;
                    }
                    continue;
                }
            };
            for (index, unread) in (first..).zip(unread) {
                let settled = self.settled(&ledger.borrow());
                explained.extend(self.failures.add_unread(index, &unread, settled));
                let run = Run::unrun(index, unread.why);
                if self.shows_inputs {
                    self.unread.insert(index, unread.path);
                }
                match &mut self.reorder {
                    None => due.push(run),
                    Some(reorder) => reorder.push(run, &mut due)?,
                }
            }
        }
        self.print_next(due, &explained)
    }

    /// Resolves once there may be some; without inputs known here, never.
    pub fn absence(&self) -> Arc<Notify> {
        self.ledger.map_or_else(Arc::default, |ledger| ledger.borrow().absence())
    }

    /// Where the job's result log goes on behind what came.
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Shows how the job stands, and notes how far it has come where that is due.
    ///
    /// # Errors
    /// Where it cannot be noted.
    pub fn update(&mut self, status: &JobStatus) -> anyhow::Result<()> {
        self.progress.update(status);
        self.note_if_due()
    }

    /// Prints all that is left, also behind tasks without a result.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn drain(&mut self) -> anyhow::Result<()> {
        self.take_absent()?;
        if self.track.is_some() {
            // What is behind a gap is computed anew.
            self.note_progress()?;
        }
        while self.pass_gap()? {}
        self.progress.clear();
        Ok(())
    }

    /// Prints the next results that are left, also behind tasks without a result; false if none are.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn pass_gap(&mut self) -> anyhow::Result<bool> {
        let Some(reorder) = self.reorder.as_mut().filter(|_| self.track.is_none()) else {
            return Ok(false);
        };
        let Some(run) = reorder.pop_past_gaps()? else { return Ok(false) };
        self.print_next(vec![run], &[])?;
        Ok(true)
    }

    /// Writes the file of failed inputs; with `not_run` also those of tasks without a result.
    pub fn report(&mut self, not_run: bool) -> Report {
        let ledger = self.ledger.map(RefCell::borrow);
        let mut left_out = 0;
        if let Some(ledger) = ledger.as_ref().filter(|_| not_run) {
            let kept = self.failures.add_not_run(ledger.unsettled());
            left_out = ledger.unsettled_len() - kept;
        }
        let (failed_inputs, unkept) = match self.failures.finish() {
            Ok(written) => (written, None),
            Err(error) => (None, Some(error)),
        };
        Report {
            failed_inputs,
            unkept,
            unexplained: self.failures.unexplained(),
            unread: self.failures.unread(),
            left_out,
            all_refused: self.refused > 0 && self.ran == 0,
            any_failed: self.failed > 0 || self.failures.unread() > 0,
            inputs_deleted: self.fetched.as_ref().map_or(0, Fetched::deleted),
        }
    }

    /// Takes the progress bar away, where others will follow the job.
    pub fn detach(&self) {
        self.progress.clear();
    }

    /// How it went, and how long.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Counts results, lets their inputs go, and explains failures. Gives the places of results that
    /// are of no task of this job, or came before.
    fn note_all(&mut self, run: &Run, explained: &mut Vec<Lines>) -> Vec<usize> {
        let mut unknown = Vec::new();
        for (place, shown) in run.results().enumerate() {
            match self.note(shown) {
                Some(text) => explained.extend(text),
                None => unknown.push(place),
            }
        }
        unknown
    }

    fn note(&mut self, shown: Shown<'_>) -> Option<Option<Lines>> {
        let outcome = &shown.meta.outcome;
        let failed = *outcome != Outcome::Ok;
        let (mut input, mut settled) = (self.failed_inputs.remove(&shown.meta.index), 0);
        if let Some(ledger) = self.ledger {
            let mut ledger = ledger.borrow_mut();
            input = ledger.settle(shown.meta.index, failed)?;
            settled = self.settled(&ledger);
        }
        if self.track.is_some() && matches!(outcome, Outcome::Cancelled(_)) {
            // It is one that is missing.
            return None;
        }
        if matches!(outcome, Outcome::Refused(_)) {
            self.refused += 1;
        } else {
            self.ran += 1;
        }
        if !is_failed(outcome) {
            return Some(None);
        }
        self.failed += 1;
        Some(self.failures.add(&shown.to_finished(), input.as_ref(), settled))
    }

    /// All results before this index have come; where it is noted how far the run has come, they are
    /// also printed: the inputs that failed stand before that note.
    fn settled(&self, ledger: &Ledger) -> u64 {
        match (&self.track, &self.reorder) {
            (Some(_), Some(reorder)) => reorder.next(),
            _ => ledger.settled(),
        }
    }

    /// Prints results, or has them wait for their inputs.
    fn print_next(&mut self, due: Vec<Run>, explained: &[Lines]) -> anyhow::Result<()> {
        let Some(fetched) = &mut self.fetched else { return self.print(&due, explained) };
        fetched.push(due);
        self.print(&[], explained)
    }

    fn print(&mut self, due: &[Run], explained: &[Lines]) -> anyhow::Result<()> {
        if due.is_empty() && explained.is_empty() {
            return Ok(());
        }
        self.write(due, explained)?;
        self.note_if_due()
    }

    fn note_if_due(&mut self) -> anyhow::Result<()> {
        let is_due = self.track.as_ref().is_some_and(Track::is_due);
        if is_due { self.note_progress() } else { Ok(()) }
    }

    /// Notes how far the run has come, where that is farther than before.
    fn note_progress(&mut self) -> anyhow::Result<()> {
        let (Some(track), Some(reorder)) = (&mut self.track, &self.reorder) else { return Ok(()) };
        let next = reorder.next();
        if !track.is_more(next) {
            return Ok(());
        }
        let mark = track.note(next, self.output.sync()?);
        self.failures.mark(mark)
    }

    fn write(&mut self, due: &[Run], explained: &[Lines]) -> anyhow::Result<()> {
        let on_terminal = self.output.is_terminal() || !explained.is_empty();
        let (output, ledger, unread) = (&mut self.output, self.ledger, &mut self.unread);
        let (shows_inputs, track) = (self.shows_inputs, &mut self.track);
        let mut print = || {
            for text in explained {
                print::message_lines(text);
            }
            for shown in due.iter().flat_map(Run::results) {
                let input =
                    if shows_inputs { input(ledger, unread, shown.meta.index) } else { None };
                output.write(shown, input.as_ref())?;
                if let Some(track) = track.as_mut() {
                    track.printed(input.as_ref());
                }
            }
            output.flush()
        };
        // Only what shows on the terminal needs the bar out of its way.
        if on_terminal { self.progress.around(print) } else { print() }
    }
}

/// True for the outcome of a task that failed of itself.
const fn is_failed(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Ok | Outcome::Cancelled(_))
}

/// The input of a result that is shown.
fn input(
    ledger: Option<&RefCell<Ledger>>,
    unread: &mut BTreeMap<u64, PathBuf>,
    index: u64,
) -> Option<Input> {
    let known = ledger.and_then(|ledger| ledger.borrow_mut().show(index));
    known.or_else(|| {
        let path = unread.remove(&index)?;
        Some(Input { bytes: Bytes::new(), place: Place::File { path } })
    })
}
