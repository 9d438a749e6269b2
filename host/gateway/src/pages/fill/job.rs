//! The page of a job.

use wasmgrid_pages::{
    Axis, Guest, Line, Prose,
    job::{FailureGroup, Job, Latency, Module, Shown, Why},
    limits::{Reached, Used},
    remedy,
};
use wasmgrid_proto::{
    FailureGroup as Counted, JobId, JobSummary, Micros, Peaks, RateBucket, WaitReason,
};
use wasmgrid_views::quantile;

use super::{
    super::asked::Extent,
    each_second,
    jobs::{left_of, waits},
    per_second, rate_line, results, window,
};
use crate::{access::Access, clock::now, extract::ask, problem::Problem};

/// The page.
pub async fn job(access: &Access, job: JobId, shown: &str, extent: Extent) -> Result<Job, Problem> {
    let summary = ask(access.client.job_summary(job)).await?;
    let (now, status) = (now(), &summary.status);
    let is_active = !status.state.is_terminal();
    let end = status.ended_at.unwrap_or(now);
    let explain = if is_active { why(access, job, now).await? } else { Vec::new() };
    let shown = match shown {
        "pictures" => Shown::Pictures,
        "records" => Shown::Records,
        _ => Shown::Text,
    };
    let results = match extent {
        Extent::All => results::of_job(access, status, shown).await?,
        Extent::WithoutResults => wasmgrid_pages::job::Results { shown, ..Default::default() },
    };
    let diverged = ask(access.client.divergences(job)).await?;
    Ok(Job {
        now,
        waits: waits(status),
        rate: per_second(summary.pace),
        failed_rate: failed_rate(&summary),
        left: left_of(status, summary.pace),
        running: Some(summary.running),
        diverged: diverged.count,
        failures: summary.failures.iter().map(|group| failure(group, &summary)).collect(),
        failures_other: summary.other_failures.count,
        failures_links: Vec::new(),
        rate_line: (!summary.rates.buckets.is_empty())
            .then(|| rate_line("Tasks that ended each second", &summary.rates, end)),
        latency: latency(&summary),
        strip: None,
        strip_note: String::new(),
        results,
        explain,
        peak: peaks(&summary.peaks),
        reached: reached(&summary.peaks),
        module: Module::default(),
        key: Guest::default(),
        kept: "as long as the grid keeps results".into(),
        status: summary.status,
    })
}

async fn why(access: &Access, job: JobId, now: Micros) -> Result<Vec<Why>, Problem> {
    let explanation = ask(access.client.explain(job)).await?;
    let why = |WaitReason { tasks, wait }: WaitReason| Why {
        tasks,
        text: Prose::default().whole(wait.text(now)),
        help: Prose::from(remedy(&wait).as_str()),
    };
    Ok(explanation.reasons.into_iter().map(why).collect())
}

/// Failures of the last bucket that is over.
fn failed_rate(summary: &JobSummary) -> f64 {
    let failed = each_second(&summary.rates, |one| one.failed);
    failed.last().copied().flatten().unwrap_or_default()
}

fn failure(group: &Counted, summary: &JobSummary) -> FailureGroup {
    let workers = group.workers.len() as u64;
    FailureGroup {
        kind: group.kind.clone(),
        tasks: group.tasks.count,
        message: group.message.as_str().into(),
        sample: group.sample,
        input: Guest::default(),
        workers: workers + u64::from(group.more_workers),
        of_workers: summary.failures.iter().map(|one| one.workers.len() as u64).max().unwrap_or(1),
        place: place(group),
        first: group.tasks.first,
        last: group.tasks.last,
        all: None,
    }
}

/// Whether it is the task or a worker.
fn place(group: &Counted) -> Prose {
    match (group.workers.as_slice(), group.more_workers) {
        ([one], false) if group.tasks.count > 1 => {
            Prose::new("only on ").link(path(one), one.as_str())
        }
        ([one], false) => Prose::new("on ").link(path(one), one.as_str()),
        // How many are beside it.
        _ => Prose::default(),
    }
}

fn path(worker: &str) -> String {
    format!("/workers/{}", wasmgrid_pages::path_part(worker))
}

fn latency(summary: &JobSummary) -> Option<Latency> {
    let (p50_us, p99_us) = (quantile(&summary.wall_us, 50)?, quantile(&summary.wall_us, 99)?);
    let rates = &summary.rates;
    let mean = |one: &RateBucket| {
        let tasks = one.ok.saturating_add(one.failed);
        (tasks > 0).then(|| one.wall_us as f64 / tasks as f64)
    };
    let longest = |one: &RateBucket| (one.ok + one.failed > 0).then_some(one.longest_us as f64);
    let window = window(rates.from, rates.width, rates.buckets.len());
    let means = rates.buckets.iter().map(mean).collect();
    let label = "Time of a task: the mean, and dashed the longest";
    let line = Line::new(label, Axis::LogTime, window, means)
        .with_second(rates.buckets.iter().map(longest).collect());
    Some(Latency { p50_us, p99_us, line })
}

fn peaks(peaks: &Peaks) -> Used {
    let most = |peak: wasmgrid_proto::Peak| Some(peak.most);
    Used {
        fuel: most(peaks.fuel),
        wall_us: most(peaks.wall_us),
        memory: most(peaks.memory),
        output: most(peaks.output),
        record: most(peaks.record),
        log: most(peaks.log),
    }
}

const fn reached(peaks: &Peaks) -> Reached {
    Reached {
        fuel: peaks.fuel.reached,
        time: peaks.wall_us.reached,
        memory: peaks.memory.reached,
        output: peaks.output.reached,
        record: peaks.record.reached,
    }
}
