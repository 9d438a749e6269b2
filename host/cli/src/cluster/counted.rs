//! What a scheduler counts of jobs and workers, as the command line asks and prints it. An older
//! scheduler counts nothing: what it does not know is left out.

use wasmgrid_client::{Client, ClientError};
use wasmgrid_proto::{
    Extensions, FailureCount, FailureGroup, JobFilter, JobId, JobRow, JobStatus, JobSummary,
    Millis, Pace, WorkerFilter, WorkerId, WorkerRow, text::counted, wire::More,
};
use wasmgrid_views::{JobView, quantile};

use crate::{
    print::{Unwritten, data},
    table,
};

/// Workers that are asked for at once.
const WORKERS_AT_ONCE: u32 = 1_000;

/// What is there if the scheduler is new enough to be asked.
fn if_known<T>(asked: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match asked {
        Err(ClientError::Unsupported { .. }) => Ok(None),
        asked => asked.map(Some),
    }
}

/// What was counted of a job.
///
/// # Errors
/// [`ClientError`], as for every question.
pub async fn of_job(client: &Client, job: JobId) -> Result<Option<JobSummary>, ClientError> {
    if_known(client.job_summary(job).await)
}

/// A job in a list, and what was counted of it.
pub struct Listed {
    pub status: JobStatus,
    row: Option<(u64, Pace)>,
}

impl Listed {
    pub fn view(&self) -> JobView {
        let status = &self.status;
        match self.row {
            Some((running, pace)) => JobView::from(&JobRow {
                status: status.clone(),
                running,
                pace,
                extensions: Extensions::NONE,
            }),
            None => JobView::from(status),
        }
    }
}

/// The newest of the jobs that meet the filter, at most `limit`, and how many are after them.
///
/// # Errors
/// [`ClientError`], as for every question.
pub async fn jobs(
    client: &Client,
    limit: u32,
    filter: &JobFilter,
) -> Result<(Vec<Listed>, More), ClientError> {
    let (mut jobs, mut before) = (Vec::<Listed>::new(), None);
    loop {
        let left = limit.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        let Some((rows, next, more)) = if_known(client.job_rows(before, left, filter).await)?
        else {
            let (jobs, more) = client.jobs(limit, filter).await?;
            let listed = |status| Listed { status, row: None };
            return Ok((jobs.into_iter().map(listed).collect(), more));
        };
        let is_full = rows.len() as u64 >= u64::from(left);
        let listed =
            |row: JobRow| Listed { status: row.status, row: Some((row.running, row.pace)) };
        jobs.extend(rows.into_iter().map(listed));
        if next.is_none() || is_full {
            return Ok((jobs, more));
        }
        if before.is_some_and(|before| next >= Some(before)) {
            return Err(ClientError::Protocol("a list of jobs does not go on"));
        }
        before = next;
    }
}

/// What is counted of all workers that meet the filter; none if the scheduler is too old.
///
/// # Errors
/// [`ClientError`], as for every question.
pub async fn workers(
    client: &Client,
    filter: &WorkerFilter,
) -> Result<Vec<WorkerRow>, ClientError> {
    let (mut all, mut after) = (Vec::new(), None::<WorkerId>);
    loop {
        let page = client.worker_rows(after, WORKERS_AT_ONCE, filter).await;
        let Some((rows, next)) = if_known(page)? else { return Ok(all) };
        all.extend(rows);
        match next {
            None => return Ok(all),
            Some(next) if after.is_none_or(|after| next > after) => after = Some(next),
            Some(_) => return Err(ClientError::Protocol("a list of workers does not go on")),
        }
    }
}

/// A rate, as people read it.
pub fn rate(pace: Pace) -> String {
    let thousandths = pace.in_1000_s();
    match thousandths {
        0 => "0 tasks/s".into(),
        1..100_000 => format!("{}.{} tasks/s", thousandths / 1_000, thousandths % 1_000 / 100),
        _ => format!("{} tasks/s", thousandths / 1_000),
    }
}

/// How long tasks took, as people read it; empty if none did.
pub fn took(summary: &JobSummary) -> String {
    let of = |hundredths| {
        let bound = quantile(&summary.wall_us, hundredths)?;
        Some(Millis(bound.div_ceil(1_000)).to_string())
    };
    match (of(50), of(99)) {
        (Some(half), Some(most)) => format!("at most {half} for half, {most} for 99 %"),
        _ => String::new(),
    }
}

/// Prints the groups of a job's failures.
///
/// # Errors
/// Where stdout cannot be written.
pub fn print_failures(summary: &JobSummary) -> Result<(), Unwritten> {
    let groups = &summary.failures;
    if groups.is_empty() {
        return Ok(());
    }
    data!("")?;
    let row = |group: &FailureGroup| {
        let FailureCount { count, first, last } = group.tasks;
        [
            group.kind.clone(),
            count.to_string(),
            workers_of(group),
            table::ago(first),
            table::ago(last),
            group.sample.to_string(),
            group.message.clone(),
        ]
    };
    let heading =
        ["FAILED", "TASKS", "WORKERS", "FIRST", "LAST", "SAMPLE", "MESSAGE OF THE SAMPLE"];
    table::rows(heading, groups.iter().map(row))?;
    match summary.other_failures.count {
        0 => Ok(()),
        more => data!("{} failed in other ways", counted(more, "more task")),
    }
}

/// On which worker, or on how many.
fn workers_of(group: &FailureGroup) -> String {
    match (group.workers.as_slice(), group.more_workers) {
        ([one], false) => one.clone(),
        (some, false) => some.len().to_string(),
        (some, true) => format!("more than {}", some.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_digit_after_the_point_while_it_is_small() {
        let of = |ended| rate(Pace { ended, within: Millis(10_000) });
        assert_eq!(
            [0, 94, 999, 1_000, 314_800].map(of),
            ["0 tasks/s", "9.4 tasks/s", "99.9 tasks/s", "100 tasks/s", "31480 tasks/s"]
        );
    }
}
