//! What must be true of time: deadlines and what is kept go by the time for which a scheduler ran,
//! however the clock of its machine is set.

use std::collections::BTreeMap;

use wasmgrid_core::GridConfig;
use wasmgrid_proto::{DropReason, JobId, JobState, Millis, Record};

use crate::{
    book::{Violation, hold},
    plan::SECOND,
};

/// By so much a deadline may be late, and for each death of the scheduler by so much more: what it
/// ran for since it last wrote the time down counts for nothing, and it may stand still.
const LATE_US: u64 = 120 * SECOND;

/// For how long the results of calls of a function are kept, and their job.
const CALLS_KEPT: Millis = Millis(5 * 60 * 1_000);

/// See the module's text.
#[derive(Debug, Default)]
pub struct Times {
    /// For how long schedulers ran before this one, in microseconds.
    ran: u64,
    deaths: u64,
    /// Since when this one runs, and until when it is known to.
    runs: Option<(u64, u64)>,
    /// True while a scheduler reads the journal: what is in it did not happen now.
    replays: bool,
    jobs: BTreeMap<JobId, Job>,
}

/// When things happened to a job, by how long schedulers had run then.
#[derive(Debug)]
struct Job {
    submitted: u64,
    deadline: Option<Millis>,
    ended: Option<u64>,
    /// For how long it is kept, if not for as long as others.
    kept: Option<Millis>,
}

impl Times {
    /// A scheduler starts.
    pub const fn starts(&mut self, now: u64) {
        self.runs = Some((now, now));
    }

    /// It runs still.
    pub fn passes(&mut self, now: u64) {
        if let Some((_, until)) = &mut self.runs {
            *until = now;
        }
    }

    /// It dies.
    pub fn dies(&mut self, now: u64) {
        self.passes(now);
        self.ran = self.up();
        self.deaths += 1;
        self.runs = None;
    }

    /// What comes until [`replayed`](Self::replayed) is read from the journal.
    pub const fn replay(&mut self) {
        self.replays = true;
    }

    /// The journal has these jobs, which have ended or not; what is of others did not last.
    pub fn replayed(&mut self, ended: impl Fn(JobId) -> Option<bool>) {
        self.replays = false;
        self.jobs.retain(|job, times| {
            let known = ended(*job);
            times.ended = times.ended.filter(|_| known == Some(true));
            known.is_some()
        });
    }

    /// For how long schedulers ran so far.
    fn up(&self) -> u64 {
        self.ran + self.runs.map_or(0, |(since, until)| until - since)
    }

    /// Something is written down.
    ///
    /// # Errors
    /// Where it is not its time.
    pub fn record(&mut self, record: &Record, config: &GridConfig) -> Result<(), Violation> {
        if self.replays {
            return Ok(());
        }
        let up = self.up();
        match record {
            Record::JobSubmitted { job, spec, .. } => {
                let kept = spec.function().map(|_| CALLS_KEPT);
                let of_job = Job { submitted: up, deadline: spec.deadline, ended: None, kept };
                self.jobs.insert(*job, of_job);
            }
            Record::JobEnded { job, state, .. } => {
                let Some(times) = self.jobs.get_mut(job) else { return Ok(()) };
                times.ended = Some(up);
                if *state == JobState::Expired {
                    let had = Millis((up - times.submitted) / 1_000);
                    let rule = "a deadline passes after its time";
                    return hold(times.deadline <= Some(had), rule, || {
                        format!("job {job} had {had} of {:?}", times.deadline)
                    });
                }
            }
            Record::ResultsDropped { job, dropped } if dropped.why == DropReason::Age => {
                return self.was_kept(*job, config.keep_results);
            }
            Record::JobForgotten { job } => return self.was_kept(*job, config.keep_jobs),
            _ => {}
        }
        Ok(())
    }

    fn was_kept(&self, job: JobId, keep: Option<Millis>) -> Result<(), Violation> {
        let times = self.jobs.get(&job);
        let ended = times.and_then(|times| times.ended);
        let own = times.and_then(|times| times.kept);
        let keep = if own.is_some() { own.min(keep.or(own)) } else { keep };
        let kept = ended.map(|ended| Millis((self.up() - ended) / 1_000));
        hold(kept >= keep, "what is kept for a time is kept for all of it", || {
            format!("job {job} was kept for {kept:?} of {keep:?}")
        })
    }

    /// No deadline is long past.
    ///
    /// # Errors
    /// Where one is.
    pub fn check(&self) -> Result<(), Violation> {
        let (up, late) = (self.up(), LATE_US * (self.deaths + 1));
        let overdue = |times: &&Job| {
            let deadline = times.deadline.filter(|_| times.ended.is_none());
            deadline.is_some_and(|deadline| times.submitted + deadline.0 * 1_000 + late < up)
        };
        let overdue = self.jobs.values().find(overdue);
        hold(overdue.is_none(), "a deadline passes after its time", || {
            format!("{overdue:?} has not ended after {up} us")
        })
    }
}
