//! `wasmgrid status`: how a grid is, what is wrong and what would help, with an exit code for
//! monitoring.

mod findings;
mod stuck;

use std::collections::BTreeMap;

use serde::Serialize;
use wasmgrid_client::{Client, ClientError};
use wasmgrid_net::Release;
use wasmgrid_proto::{
    JobFilter, JobState, JobStatus, Resource, TenantStatus, text::counted, wire::More,
};

use super::{Cluster, chosen};
use crate::{
    args::{Format, StatusArgs},
    context::{Contexts, Description},
    escape::Lines,
    exit::{self, Exit},
    paths::Paths,
    print, table,
};
use findings::{Facts, Finding, Severity, findings};

/// Jobs of each tenant that are looked at, the newest: those before them wait for the same, mostly.
const JOBS_OF_ONE: u32 = 200;

/// Tenants whose jobs are looked at.
const TENANTS_MAX: usize = 100;

/// Jobs of which nothing runs that are asked why.
const EXPLAINED_MAX: usize = 100;

/// Findings of one kind that are printed; JSON has all.
const PRINTED_OF_A_KIND: usize = 10;

/// Says how the grid of a context is.
///
/// # Errors
/// Where no context is selected, or the answer cannot be printed. A grid that cannot be reached is
/// an answer.
pub async fn status(args: StatusArgs) -> anyhow::Result<Exit> {
    let contexts = Contexts::new(&Paths::find()?);
    let name = chosen(&contexts, &args.ask.grid)?;
    let (description, _) = contexts.open(&name)?;
    let report = match ask(&contexts, &name).await {
        Ok((facts, release)) => Report::new(&name, &description, &facts, &release),
        Err(error) => {
            let exit = exit::of(&error);
            if exit != Exit::Unreachable {
                return Err(error);
            }
            Report::unreachable(&name, &description, exit::chain(&error))
        }
    };
    match args.ask.output {
        Format::Json => table::json(&report)?,
        Format::Text => report.print()?,
    }
    Ok(report.state.exit())
}

async fn ask(contexts: &Contexts, name: &str) -> anyhow::Result<(Facts, Release)> {
    let cluster = Cluster::open(contexts, name).await?;
    let facts = facts(&cluster.client).await;
    let release = cluster.release();
    cluster.close().await;
    Ok((facts?, release))
}

async fn facts(client: &Client) -> anyhow::Result<Facts> {
    let (workers, contests) = (client.workers().await?, client.contests().await?);
    let refuses = match client.refuses_work().await {
        // Only what such a scheduler can be asked is shown of it.
        Err(ClientError::Unsupported { .. }) => None,
        refuses => refuses?,
    };
    let (tenants, authority) = (client.tenants().await?, client.authority().await?);
    let certificates = authority.certificates;
    let (standing, mut unexplained) = standing(client, &tenants).await?;
    let mut explanations = Vec::new();
    let of_tenants = standing.iter().map(|job| (job.spec.task.tenant.as_str(), job.job));
    for job in stuck::in_turns(of_tenants, EXPLAINED_MAX) {
        explanations.push(client.explain(job).await?);
    }
    unexplained += (standing.len() - explanations.len()) as u64;
    Ok(Facts { workers, contests, certificates, tenants, explanations, unexplained, refuses })
}

/// The jobs of which nothing runs though there are tasks, of each tenant the newest; and how many
/// jobs were not looked at.
async fn standing(
    client: &Client,
    tenants: &[TenantStatus],
) -> anyhow::Result<(Vec<JobStatus>, u64)> {
    let (mut standing, mut unseen) = (Vec::new(), 0);
    let waits = |tenant: &&TenantStatus| used(tenant, Resource::WaitingTasks) > 0;
    for (at, tenant) in tenants.iter().filter(waits).enumerate() {
        if at >= TENANTS_MAX {
            unseen += used(tenant, Resource::OpenJobs);
            continue;
        }
        let (name, states) = (None, vec![JobState::Active]);
        let filter = JobFilter { states, name, tenant: Some(tenant.name.clone()) };
        let (jobs, more) = client.jobs(JOBS_OF_ONE, &filter).await?;
        unseen += match more {
            More::Exactly(count) | More::AtMost(count) => count,
            More::Many => used(tenant, Resource::OpenJobs).saturating_sub(jobs.len() as u64),
        };
        let stands = |job: &JobStatus| job.counts.queued > 0 && job.counts.running == 0;
        standing.extend(jobs.into_iter().filter(stands));
    }
    Ok((standing, unseen))
}

fn used(tenant: &TenantStatus, resource: Resource) -> u64 {
    tenant.uses.iter().find(|one| one.resource == resource).map_or(0, |one| one.used)
}

/// How a grid is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Degraded,
    Unreachable,
}

impl State {
    const fn exit(self) -> Exit {
        match self {
            Self::Ok => Exit::Ok,
            Self::Degraded => Exit::Failed,
            Self::Unreachable => Exit::Unreachable,
        }
    }
}

/// All that is said; as `--output json` has it, a public interface.
#[derive(Debug, Serialize)]
struct Report {
    context: String,
    grid: String,
    addresses: Vec<String>,
    state: State,
    /// Why it cannot be reached.
    error: Option<String>,
    /// The scheduler's.
    release: Option<String>,
    /// How many there are by state.
    workers: BTreeMap<&'static str, u64>,
    jobs: Option<JobsView>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct JobsView {
    active: u64,
    waiting: u64,
    running: u64,
}

impl Report {
    fn new(name: &str, description: &Description, facts: &Facts, release: &Release) -> Self {
        let mut findings = findings(facts, table::now());
        if *release != Release::ours() {
            findings.push(findings::other_release(release));
        }
        let is_problem = |finding: &Finding| finding.severity == Severity::Problem;
        let state = if findings.iter().any(is_problem) { State::Degraded } else { State::Ok };
        let mut workers = BTreeMap::new();
        for worker in &facts.workers {
            *workers.entry(worker.state.name()).or_default() += 1;
        }
        let sum = |resource| facts.tenants.iter().map(|tenant| used(tenant, resource)).sum();
        let (active, running): (u64, u64) = (sum(Resource::OpenJobs), sum(Resource::RunningTasks));
        let waiting = sum(Resource::WaitingTasks).saturating_sub(running);
        let jobs = Some(JobsView { active, waiting, running });
        let release = Some(release.to_string());
        Self { state, release, workers, jobs, findings, ..Self::of(name, description) }
    }

    fn unreachable(name: &str, description: &Description, error: String) -> Self {
        let findings = vec![findings::unreachable(&error)];
        let (state, error) = (State::Unreachable, Some(error));
        Self { state, error, findings, ..Self::of(name, description) }
    }

    fn of(name: &str, Description { grid, addresses, .. }: &Description) -> Self {
        Self {
            context: name.to_owned(),
            grid: grid.clone(),
            addresses: addresses.clone(),
            state: State::Ok,
            error: None,
            release: None,
            workers: BTreeMap::new(),
            jobs: None,
            findings: Vec::new(),
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        let mut lines = Lines::default();
        lines.push(format_args!("grid {} at {}: {}", self.grid, self.where_it_is(), self.word()));
        if let Some(jobs) = &self.jobs {
            lines.push(format_args!("workers    {}", self.workers_line()));
            let waiting = counted(jobs.waiting, "task");
            let wait = if jobs.waiting == 1 { "waits" } else { "wait" };
            let run = if jobs.running == 1 { "runs" } else { "run" };
            lines.push(format_args!(
                "jobs       {} active: {waiting} {wait}, {} {run}",
                jobs.active, jobs.running
            ));
        }
        if let Some(release) = &self.release {
            lines.push(format_args!("scheduler  {release}"));
        }
        self.push_findings(&mut lines);
        Ok(print::lines(&lines)?)
    }

    /// Some of each kind: what is wrong with many workers or tenants hides nothing else.
    fn push_findings(&self, lines: &mut Lines) {
        let mut printed: BTreeMap<&str, usize> = BTreeMap::new();
        for finding in &self.findings {
            let count = printed.entry(finding.kind).or_default();
            *count += 1;
            if *count > PRINTED_OF_A_KIND {
                continue;
            }
            lines.push("");
            lines.push(format_args!("{}: {}", finding.severity.word(), finding.text));
            if !finding.help.is_empty() {
                lines.push(format_args!("  {}", finding.help));
            }
        }
        for (kind, count) in printed {
            let more = count.saturating_sub(PRINTED_OF_A_KIND);
            if more > 0 {
                lines.push("");
                lines.push(format_args!("{more} more of {kind}: --output json has all"));
            }
        }
    }

    fn where_it_is(&self) -> String {
        self.addresses.join(", ")
    }

    fn word(&self) -> String {
        let problems = self.findings.iter().filter(|one| one.severity == Severity::Problem);
        match (self.state, problems.count()) {
            (State::Unreachable, _) => "unreachable".into(),
            (_, 0) => "all is well".into(),
            (_, problems) => counted(problems as u64, "problem"),
        }
    }

    fn workers_line(&self) -> String {
        if self.workers.is_empty() {
            return "none".into();
        }
        let counts = self.workers.iter().map(|(state, count)| format!("{count} {state}"));
        counts.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_many_hides_nothing_else() {
        let about = |name: String| Finding::problem("worker-gone", "gone", "").about(name);
        let mut findings: Vec<_> = (0..50).map(|worker| about(worker.to_string())).collect();
        findings.push(Finding::problem("job-stuck", "a job of ada", ""));
        let (grid, addresses, state_dir) = ("home".into(), Vec::new(), None);
        let description = Description { grid, addresses, state_dir };
        let report = Report { findings, ..Report::of("home", &description) };
        let mut lines = Lines::default();
        report.push_findings(&mut lines);
        let text = lines.to_string();
        assert_eq!(text.matches("problem: gone").count(), PRINTED_OF_A_KIND);
        assert!(text.contains("problem: a job of ada"), "{text}");
        assert!(text.contains("40 more of worker-gone"), "{text}");
    }
}
