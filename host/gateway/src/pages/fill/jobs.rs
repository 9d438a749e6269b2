//! The list of jobs.

use wasmgrid_pages::jobs::{JobRow, Jobs, JobsFilter, Left};
use wasmgrid_proto::{JobFilter, JobId, JobRow as Counted, JobState, JobStatus, Pace, wire::More};

use super::{super::asked::Asked, left, per_second};
use crate::{access::Access, clock::now, extract::ask, problem::Problem};

/// Jobs of a page.
const PAGE: u32 = 50;

/// Tenants to choose from.
const TENANTS: usize = 200;

/// The page.
pub async fn jobs(access: &Access, asked: &Asked) -> Result<Jobs, Problem> {
    let filter = JobsFilter {
        state: state(&asked.state),
        name: asked.name.clone(),
        tenant: asked.tenant.clone(),
    };
    let before = asked.cursor.parse().ok().map(JobId);
    let (rows, next, more) = ask(access.client.job_rows(before, PAGE, &wanted(&filter))).await?;
    let tenants = match access.operator() {
        Ok(()) => {
            let all = ask(access.client.tenants()).await?;
            all.into_iter().take(TENANTS).map(|tenant| tenant.name.into()).collect()
        }
        Err(_) => Vec::new(),
    };
    let total = match more {
        More::Exactly(behind) if before.is_none() => Some(behind + rows.len() as u64),
        _ => None,
    };
    Ok(Jobs {
        now: now(),
        filter,
        tenants,
        rows: rows.iter().map(row).collect(),
        total,
        cursor: before.map_or_else(String::new, |job| job.to_string()),
        older: next.map(|job| job.to_string()),
        kept: None,
    })
}

fn state(name: &str) -> Option<JobState> {
    let all =
        [JobState::Active, JobState::Ok, JobState::Failed, JobState::Cancelled, JobState::Expired];
    all.into_iter().find(|state| state.to_string() == name)
}

fn wanted(filter: &JobsFilter) -> JobFilter {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    JobFilter {
        states: filter.state.into_iter().collect(),
        name: some(&filter.name).map(|name| name + "*"),
        tenant: some(&filter.tenant),
    }
}

/// A job in a list.
pub fn row(counted: &Counted) -> JobRow {
    let Counted { status, pace, .. } = counted;
    let is_active = !status.state.is_terminal();
    JobRow {
        id: status.job,
        name: status.spec.name.as_str().into(),
        tenant: status.spec.task.tenant.as_str().into(),
        state: status.state,
        waits: waits(status),
        open: !status.closed,
        counts: status.counts,
        rate: (is_active && status.counts.running > 0).then(|| per_second(*pace)),
        left: left_of(status, *pace),
        submitted_at: status.submitted_at,
        took: status.ended_at.map(|at| at.since(status.submitted_at)),
    }
}

/// True if it is active and no worker has a task of it.
pub fn waits(status: &JobStatus) -> bool {
    !status.state.is_terminal() && status.counts.running == 0
}

/// What is left of it.
pub fn left_of(status: &JobStatus, pace: Pace) -> Left {
    match (status.state.is_terminal(), status.closed) {
        (true, _) => Left::Unknown,
        (false, false) => Left::AsFed,
        (false, true) => {
            let open = status.counts.total.saturating_sub(status.counts.ended());
            left(open, pace).map_or(Left::Unknown, Left::About)
        }
    }
}
