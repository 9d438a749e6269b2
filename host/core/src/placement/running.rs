//! How many slots run tasks of each job, as workers last told: it follows each heartbeat, so that
//! whoever asks looks at no worker.

use alloc::collections::BTreeMap;

use wasmgrid_proto::{JobId, RunningTask};

/// Running tasks by job; no zeros.
#[derive(Debug, Default)]
pub(crate) struct Running(BTreeMap<JobId, u64>);

impl Running {
    /// How many slots run tasks of a job.
    pub(crate) fn of(&self, job: JobId) -> u64 {
        self.0.get(&job).copied().unwrap_or_default()
    }

    /// All jobs of which slots run tasks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, u64)> {
        self.0.iter().map(|(job, slots)| (*job, *slots))
    }

    /// A worker runs other tasks than before.
    pub(super) fn replace(&mut self, before: &[RunningTask], after: &[RunningTask]) {
        for (job, slots) in by_job(before) {
            if let Some(count) = self.0.get_mut(&job) {
                *count = count.saturating_sub(slots);
                if *count == 0 {
                    self.0.remove(&job);
                }
            }
        }
        for (job, slots) in by_job(after) {
            *self.0.entry(job).or_default() += slots;
        }
    }
}

/// How many tasks of one job stand behind each other: most workers run tasks of few jobs.
fn by_job(tasks: &[RunningTask]) -> impl Iterator<Item = (JobId, u64)> {
    let runs = tasks.chunk_by(|one, next| one.task.job == next.task.job);
    runs.filter_map(|run| Some((run.first()?.task.job, run.len() as u64)))
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use wasmgrid_proto::TaskId;

    use super::*;

    fn tasks(jobs: &[u64]) -> Vec<RunningTask> {
        let task = |job: &u64| RunningTask {
            task: TaskId { job: JobId(*job), index: 0 },
            elapsed_ms: 1,
            progress: None,
        };
        jobs.iter().map(task).collect()
    }

    #[test]
    fn what_each_worker_last_told_is_counted_once() {
        let mut running = Running::default();
        let (first, second) = (tasks(&[1, 1, 2]), tasks(&[2, 1, 2]));
        running.replace(&[], &first);
        running.replace(&[], &second);
        assert_eq!(running.iter().collect::<Vec<_>>(), [(JobId(1), 3), (JobId(2), 3)]);
        running.replace(&first, &tasks(&[3]));
        running.replace(&second, &[]);
        assert_eq!(running.iter().collect::<Vec<_>>(), [(JobId(3), 1)]);
        assert_eq!([1, 2, 3].map(|job| running.of(JobId(job))), [0, 0, 1]);
        running.replace(&tasks(&[3]), &[]);
        assert_eq!(running.iter().collect::<Vec<_>>(), vec![], "no zeros are kept");
    }
}
