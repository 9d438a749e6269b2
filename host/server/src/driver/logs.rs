//! What tasks had logged that a cancel stopped: nothing of them commits, and so their logs are kept
//! apart, as far as they are bounded.

use std::collections::BTreeMap;

use wasmgrid_core::Input;
use wasmgrid_proto::JobId;
use wasmgrid_store::Entry;

use super::{
    Driver, Effect, Observer,
    batch::{LOG_PREFIX, log_prefix},
    comparison::Late,
};

/// Logs that are kept of tasks of one cancelled job.
const LOGS_PER_JOB: u32 = 64;

/// Cancelled jobs whose kept logs are counted; the oldest are taken for full.
const LOG_JOBS: usize = 1_024;

/// Bytes of one such log, from its end: it is told in an answer about its task.
const LOG_BYTES: usize = 32 << 10;

/// How many logs are kept of each cancelled job.
#[derive(Default)]
pub(super) struct Logs(BTreeMap<JobId, u32>);

impl<O: Observer> Driver<O> {
    /// Keeps what a task had logged when it was stopped, if its tenant may have so much more: nothing
    /// of it commits any more.
    pub(super) fn keep_log(&mut self, job: JobId, late: &Late) {
        let length = late.meta.log_len as usize;
        let Logs(logs) = &mut self.state.logs;
        if length == 0 || logs.first_key_value().is_some_and(|(first, _)| *first > job) {
            return;
        }
        let bytes = length.min(LOG_BYTES).min(late.payload.len()) as u64;
        // A job of which nothing is kept takes no place from others.
        let kept = logs.get(&job).copied().unwrap_or_default();
        let Some(tenant) = self.grid.tenant(job).map(ToOwned::to_owned) else { return };
        if kept >= LOGS_PER_JOB || self.grid.check_bytes(&tenant, bytes).is_err() {
            return;
        }
        logs.insert(job, kept + 1);
        while logs.len() > LOG_JOBS {
            logs.pop_first();
        }
        self.grid.handle(self.state.now, Input::LogKept { job, bytes });
        let from = late.payload.len().saturating_sub(length.min(LOG_BYTES));
        let (key, value) = (key(job, late.meta.index), Some(late.payload.slice(from..)));
        self.effects.push(Effect::Keep(vec![Entry::Meta { key, value }]));
    }
}

/// The job whose stopped tasks have their logs under such a key.
pub(crate) fn job_of(key: &str) -> Option<JobId> {
    let (job, _) = key.strip_prefix(LOG_PREFIX)?.split_once('/')?;
    job.parse().ok().map(JobId)
}

/// Where the log of a stopped task is kept.
pub(super) fn key(job: JobId, index: u64) -> String {
    format!("{}{index:020}", log_prefix(job))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whose_log_it_is() {
        assert_eq!(job_of(&key(JobId(7), 12)), Some(JobId(7)));
        assert_eq!(["log/7", "log/x/1", "blob/7/1"].map(job_of), [None; 3]);
    }
}
