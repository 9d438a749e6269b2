//! The overview.

use wasmgrid_pages::{
    Axis, Line, Prose, needs,
    overview::{Failures, Overview, TenantSlots, WaitingJob, WorkerCounts},
};
use wasmgrid_proto::{
    Attention, JobFilter, JobRow, JobState, Micros, Overview as Counted, RateBucket, Resource,
    SlotsBucket, Wait,
};

use super::{
    jobs::{row, waits},
    per_second, rate_line, window,
};
use crate::{access::Access, clock::now, extract::ask, problem::Problem};

/// Active jobs that are looked at; each part shows a page of them.
const JOBS: u32 = 50;

/// Jobs that run, and that wait, of a page.
const SHOWN: usize = 8;

/// What the line of rates shows.
const RATE: &str = "Tasks that ended each second, over the last minutes";

/// Tenants that are shown, those with the most slots.
const TENANTS: usize = 8;

/// The page.
pub async fn overview(access: &Access) -> Result<Overview, Problem> {
    let client = &access.client;
    let counted = ask(client.overview()).await?;
    let states = vec![JobState::Active];
    let filter = JobFilter { states, ..JobFilter::default() };
    let (jobs, ..) = ask(client.job_rows(None, JOBS, &filter)).await?;
    let tenants = match access.operator() {
        Ok(()) => tenants(access).await?,
        Err(_) => Vec::new(),
    };
    Ok(filled(&counted, &jobs, tenants, now()))
}

fn filled(counted: &Counted, jobs: &[JobRow], tenants: Vec<TenantSlots>, now: Micros) -> Overview {
    let slots = &counted.slots;
    let closed = slots.cordoned + slots.draining + slots.failing;
    let (waiting, running): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| waits(&job.status));
    let hour = &counted.last_hour;
    Overview {
        now,
        away: None,
        disk_full: None,
        rate: per_second(counted.pace),
        rate_mean: mean(counted),
        slots: slots.busy + slots.idle + closed,
        slots_busy: slots.busy,
        slots_closed: closed,
        jobs_run: counted.jobs.active.saturating_sub(waiting.len() as u64),
        jobs_wait: waiting.len() as u64,
        jobs_ended: ended(counted),
        failed: hour.failed.iter().map(|kind| kind.count).sum(),
        ended: hour.ended,
        failed_jobs: counted.jobs.failed,
        attention: counted.attention.iter().map(|one| needs(one, now)).collect(),
        rate_line: rate_line(RATE, &counted.rates, now).wide(),
        rate_note: Prose::default(),
        slots_line: slots_line(counted),
        tenants,
        running: running.into_iter().take(SHOWN).map(row).collect(),
        waiting: waiting.into_iter().take(SHOWN).map(|job| wait(job, counted, now)).collect(),
        failures: failures(counted),
        workers: workers(counted),
        disk: None,
    }
}

fn ended(counted: &Counted) -> u64 {
    let jobs = &counted.jobs;
    jobs.ok + jobs.failed + jobs.cancelled + jobs.expired
}

/// Over the minutes that are counted.
fn mean(counted: &Counted) -> f64 {
    let rates = &counted.rates;
    let seconds = rates.width.0.saturating_mul(rates.buckets.len() as u64) as f64 / 1_000.0;
    let ended = |one: &RateBucket| one.ok.saturating_add(one.failed);
    let ended: u64 = rates.buckets.iter().map(ended).sum();
    if seconds > 0.0 { ended as f64 / seconds } else { 0.0 }
}

fn slots_line(counted: &Counted) -> Line {
    let busy = &counted.busy;
    let of = |one: &SlotsBucket| one.jobs.iter().fold(one.others, |sum, job| sum + job);
    let values = busy.buckets.iter().map(|one| Some(of(one) as f64 / 1_000.0)).collect();
    let most = busy.buckets.iter().map(|one| one.slots.div_ceil(1_000)).max().unwrap_or_default();
    let window = window(busy.from, busy.width, busy.buckets.len());
    Line::new("Busy slots over the last minutes", Axis::Upto(most), window, values).low()
}

/// Why a job waits, as far as that is known of all that wait; its own page says more.
fn wait(job: &JobRow, counted: &Counted, now: Micros) -> WaitingJob {
    let stuck = counted.attention.iter().find_map(|one| match one {
        Attention::Stuck { jobs, wait, .. } if jobs.contains(&job.status.job) => Some(wait),
        _ => None,
    });
    let counts = &job.status.counts;
    let why = match stuck {
        Some(wait) => Prose::default().guest(wait.text(now)),
        None if counts.queued == 0 => Prose::default().guest(Wait::OpenInputs.text(now)),
        None => Prose::new("its turn has not come"),
    };
    WaitingJob {
        id: job.status.job,
        name: job.status.spec.name.as_str().into(),
        tasks: counts.queued,
        why,
    }
}

fn failures(counted: &Counted) -> Vec<Failures> {
    let kinds = counted.last_hour.failed.iter().map(|kind| Failures {
        kind: kind.kind.clone(),
        tasks: kind.count,
        of: kind.example.as_ref().map_or_else(Prose::default, |(job, text)| {
            Prose::default()
                .link(format!("/jobs/{job}"), job.to_string())
                .say(": ")
                .guest(text.as_str())
        }),
    });
    kinds.collect()
}

/// Of operators all; clients see no workers.
fn workers(counted: &Counted) -> WorkerCounts {
    let workers = counted.metrics.as_ref().map(|metrics| &metrics.workers);
    workers.map_or_else(WorkerCounts::default, |of| WorkerCounts {
        ready: of.ready,
        cordoned: of.cordoned,
        draining: of.draining + of.drained,
        failing: of.failing,
        gone: of.gone,
    })
}

/// Tenants by the tasks that workers have of them.
async fn tenants(access: &Access) -> Result<Vec<TenantSlots>, Problem> {
    let all = ask(access.client.tenants()).await?;
    let running = |tenant: &wasmgrid_proto::TenantStatus| {
        let uses = tenant.uses.iter().find(|one| one.resource == Resource::RunningTasks);
        uses.map_or(0, |one| one.used)
    };
    let mut shown: Vec<TenantSlots> = all
        .iter()
        .map(|tenant| TenantSlots {
            name: tenant.name.as_str().into(),
            weight: None,
            slots: running(tenant),
        })
        .filter(|tenant| tenant.slots > 0)
        .collect();
    shown.sort_by_key(|tenant| std::cmp::Reverse(tenant.slots));
    shown.truncate(TENANTS);
    Ok(shown)
}
