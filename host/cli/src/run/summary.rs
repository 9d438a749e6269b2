//! The end of a job: what is said about it, and the exit code.

use std::path::Path;

use serde::Serialize;
use wasmgrid_proto::{JobId, JobState, JobStatus, text::counted};
use wasmgrid_views::{CountsView, Data};

use super::{
    again::{Written, resume_command},
    collect::{Collector, Report},
    progress,
    session::Ending,
};
use crate::{
    escape,
    exit::{self, Exit},
    print::{self, message},
};

/// What is known of a job at its end, beside its status.
pub struct Summary<'a> {
    /// The job.
    pub job: JobId,
    /// The command that runs the inputs of a file again.
    pub again: &'a dyn Fn(&Path) -> String,
    /// Inputs that were read.
    pub sent: u64,
    /// Those of them that are tasks.
    pub tasks: u64,
    /// The inputs were read to their end.
    pub all_read: bool,
    /// Files may be missing that nobody could list.
    pub incomplete: bool,
    /// Ctrl-C was pressed.
    pub interrupted: bool,
    /// Say nothing where all is well.
    pub quiet: bool,
    /// Say it as JSON.
    pub json: bool,
    /// An input that ended the reading.
    pub wrong_input: Option<anyhow::Error>,
    /// The file that says how far the run has come.
    pub resume: Option<&'a Path>,
}

/// The last line with `--output json`: a public interface, documented in `wasmgrid run --help`.
#[derive(Serialize)]
struct Line<'a> {
    job: u64,
    state: JobState,
    counts: CountsView,
    failed_inputs: Option<Data<'a>>,
    all_read: bool,
}

impl Summary<'_> {
    /// Says how the job ended, and gives the exit code.
    ///
    /// # Errors
    /// The wrong input, if any.
    pub fn conclude(self, ending: Ending, collector: &mut Collector<'_>) -> anyhow::Result<Exit> {
        match ending {
            Ending::Ended(status) => self.ended(&status, collector),
            Ending::OutputClosed => {
                let report = collector.report(false);
                self.tell_failures(&report);
                Ok(exit_of_closed(&report))
            }
            Ending::Detached => {
                collector.detach();
                let (job, sent) = (self.job, self.sent);
                let rest = rest(job, collector.cursor());
                message!(
                    "job {job} continues with the {sent} inputs that it \
                     has: `{rest}` prints the rest of \
                     its results, `wasmgrid job cancel {job}` stops it"
                );
                Ok(Exit::Interrupted)
            }
        }
    }

    fn ended(self, status: &JobStatus, collector: &mut Collector<'_>) -> anyhow::Result<Exit> {
        let not_run =
            !self.interrupted && matches!(status.state, JobState::Failed | JobState::Expired);
        // What is missing there is known.
        let not_run = not_run && self.resume.is_none();
        let report = collector.report(not_run);
        let status = &with_left_out(status, self.tasks, report.unread);
        let any_kept = report.failed_inputs.is_some();
        self.tell_rest(status);
        if self.json {
            tell_unkept(&report);
            let written = report.failed_inputs.as_ref();
            let failed_inputs = written.map(|written| Data::from(written.path.as_path()));
            let (job, state) = (self.job.0, status.state);
            let counts = CountsView::from(&status.counts);
            let line = Line { job, state, counts, failed_inputs, all_read: self.all_read };
            print::message_exactly(&serde_json::to_string(&line)?);
        } else {
            self.tell(status, &report, collector);
        }
        if let Some(error) = self.wrong_input {
            return Err(error.context("stopped reading inputs; those before ran"));
        }
        if self.interrupted {
            return Ok(Exit::Interrupted);
        }
        Ok(match exit_of(status.state) {
            _ if report.all_refused && report.unread == 0 => Exit::Refused,
            Exit::Ok if self.incomplete => Exit::Failed,
            // Also where it was cut off after that.
            Exit::Ok if self.resume.is_some() && any_kept => Exit::Failed,
            exit => exit,
        })
    }

    /// Says how a run goes on that has not come to its end.
    fn tell_rest(&self, status: &JobStatus) {
        let Some(resume) = self.resume else { return };
        let left = status.counts.cancelled + status.counts.expired + status.counts.skipped;
        if self.interrupted || !self.all_read || left > 0 {
            tell_resume(resume);
        }
    }

    fn tell(&self, status: &JobStatus, report: &Report, collector: &Collector<'_>) {
        self.tell_failures(report);
        tell_end(status.state);
        if !self.quiet {
            let elapsed = collector.progress().elapsed();
            message!("{}", progress::summary(&status.counts, elapsed));
        }
    }

    fn tell_failures(&self, report: &Report) {
        tell_unexplained(report);
        tell_kept(report, self.again);
        if report.left_out > 0 {
            message!("{} more inputs were not run and are not kept", report.left_out);
        }
        if !self.all_read && !self.interrupted && self.wrong_input.is_none() {
            let sent = self.sent;
            message!("the inputs after the first {sent} were not read, because the job had ended");
        }
    }
}

/// What is said where a job's results were read whose inputs are not known here.
pub struct Reading {
    /// From this place of the result log on.
    pub from: u64,
    /// Until the job's end, as its own command would.
    pub follow: bool,
    /// No summary.
    pub quiet: bool,
    /// Say it as JSON.
    pub json: bool,
}

impl Reading {
    /// Says how the job ended, or stands where results are still to come, and gives the exit code of
    /// that.
    ///
    /// # Errors
    /// Where it cannot be made JSON.
    pub fn conclude(
        self,
        status: &JobStatus,
        collector: &mut Collector<'_>,
    ) -> anyhow::Result<Exit> {
        let report = collector.report(false);
        let (job, state, counts) = (status.job, status.state, &status.counts);
        if self.json && !self.quiet {
            let counts = CountsView::from(counts);
            let line = Line { job: job.0, state, counts, failed_inputs: None, all_read: true };
            print::message_exactly(&serde_json::to_string(&line)?);
        } else {
            tell_unexplained(&report);
            tell_deleted(&report);
            tell_end(state);
            if !self.quiet {
                self.tell_rest(status, collector.cursor());
            }
        }
        let is_part = self.from > 0 || !state.is_terminal();
        Ok(match state {
            JobState::Active if counts.failed > 0 => Exit::Failed,
            _ if report.all_refused && !is_part => Exit::Refused,
            state => exit_of(state),
        })
    }

    fn tell_rest(&self, status: &JobStatus, cursor: u64) {
        let counts = &status.counts;
        if let Some(at) = status.ended_at {
            if self.follow || status.state != JobState::Ok {
                let elapsed = at.since(status.submitted_at).duration();
                message!("{}", progress::summary(counts, elapsed));
            }
            if status.state == JobState::Failed {
                message!(
                    "`wasmgrid job retry {} --failed` runs the tasks that did not end ok again",
                    status.job
                );
            }
            return;
        }
        let (job, ended, total) = (status.job, counts.ended(), counts.total);
        let rest = rest(job, cursor.max(self.from));
        message!(
            "job {job} continues, {ended} of its {total} tasks have ended; `{rest}` prints the \
             remaining results"
        );
    }

    /// The exit code where the reader of the output had enough before the end.
    pub fn closed(self, collector: &mut Collector<'_>) -> Exit {
        let report = collector.report(false);
        tell_unexplained(&report);
        exit_of_closed(&report)
    }
}

/// Says that a job goes on without this command, and how all its results are had: which of them were
/// written is not known.
pub fn tell_of_lost(job: JobId) {
    message!(
        "job {job} continues without this command; `wasmgrid job results {job} --follow` prints \
         all of its results, `wasmgrid job cancel {job}` stops it"
    );
}

fn tell_unexplained(report: &Report) {
    if report.unexplained > 0 {
        message!("{} more tasks failed", report.unexplained);
    }
}

/// Says that inputs are missing which were to be shown with their results.
fn tell_deleted(report: &Report) {
    let count = report.inputs_deleted;
    if count > 0 {
        let results = counted(count, "result");
        message!(
            "the inputs of {results} were deleted, since the grid keeps only so many of tasks that \
             ended ok (--keep-inputs of `wasmgrid up`); the task stands in their place"
        );
    }
}

fn tell_end(state: JobState) {
    match state {
        JobState::Expired => message!("the job's --deadline passed"),
        JobState::Cancelled => message!("the job was cancelled"),
        JobState::Active | JobState::Ok | JobState::Failed => {}
    }
}

/// Where the reader of the output closed it: what is known of the tasks by then.
const fn exit_of_closed(report: &Report) -> Exit {
    if report.any_failed { Exit::Failed } else { Exit::Ok }
}

/// Says where failed inputs are kept, and how they are run again.
pub fn tell_kept(report: &Report, again: &dyn Fn(&Path) -> String) {
    tell_unkept(report);
    if let Some(Written { path, count }) = &report.failed_inputs {
        let inputs = counted(*count, "input");
        message!("{inputs} kept in {}: {}", escape::shell(path.as_os_str()), again(path));
    }
}

fn tell_unkept(report: &Report) {
    if let Some(error) = &report.unkept {
        message!("failed inputs are not kept: {}", exit::chain(error));
    }
}

/// The status with tasks that the grid does not know: `unread` ones, whose inputs cannot be read, and
/// those of the `tasks` read here that the job, which had ended, did not take.
fn with_left_out(status: &JobStatus, tasks: u64, unread: u64) -> JobStatus {
    let mut status = status.clone();
    let refused = tasks.saturating_sub(status.counts.total);
    status.counts.total += refused;
    match status.state {
        JobState::Cancelled => status.counts.cancelled += refused,
        JobState::Expired => status.counts.expired += refused,
        _ => status.counts.skipped += refused,
    }
    status.counts.total += unread;
    status.counts.failed += unread;
    if unread > 0 && status.state == JobState::Ok {
        status.state = JobState::Failed;
    }
    status
}

/// Says how a run goes on that has not come to its end.
pub fn tell_resume(progress: &Path) {
    message!("`{}` continues from here", resume_command(progress));
}

/// The command that prints a job's results from a place of its log on.
pub fn rest(job: JobId, cursor: u64) -> String {
    format!("wasmgrid job results {job} --from {cursor} --follow")
}

/// The exit code that a job's state means.
pub const fn exit_of(state: JobState) -> Exit {
    match state {
        JobState::Active | JobState::Ok => Exit::Ok,
        JobState::Failed => Exit::Failed,
        JobState::Expired => Exit::Deadline,
        JobState::Cancelled => Exit::Cancelled,
    }
}
