//! `wasmgrid status`: how a grid is, what is wrong and what would help, with an exit code for
//! monitoring.

mod findings;

use std::collections::BTreeMap;

use serde::Serialize;
use wasmgrid_client::Client;
use wasmgrid_net::Release;
use wasmgrid_proto::{Explanation, JobFilter, JobStatus};

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

/// Jobs that are looked at, the newest: those before them have either ended or waited long.
const JOBS_MAX: u32 = 10_000;

/// Jobs of which nothing runs that are asked why.
const EXPLAINED_MAX: usize = 100;

/// Says how the grid of a context is.
///
/// # Errors
/// Where no context is selected, or the answer cannot be printed. A grid that cannot be reached is
/// an answer.
pub async fn status(args: StatusArgs) -> anyhow::Result<Exit> {
    let contexts = Contexts::new(&Paths::find()?);
    let name = chosen(&contexts, &args.grid)?;
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
    match args.output {
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
    let refuses = client.refuses_work().await?;
    let (tenants, authority) = (client.tenants().await?, client.authority().await?);
    let certificates = authority.certificates;
    let (mut jobs, unseen) = client.jobs(JOBS_MAX, &JobFilter::default()).await?;
    jobs.retain(|job| !job.state.is_terminal());
    let stands = |job: &&JobStatus| job.counts.queued > 0 && job.counts.running == 0;
    let standing: Vec<_> = jobs.iter().filter(stands).map(|job| job.job).collect();
    let mut explanations: Vec<Explanation> = Vec::new();
    for job in standing.iter().take(EXPLAINED_MAX) {
        explanations.push(client.explain(*job).await?);
    }
    let unexplained = standing.len().saturating_sub(EXPLAINED_MAX);
    Ok(Facts {
        workers,
        contests,
        certificates,
        tenants,
        jobs,
        unseen,
        explanations,
        unexplained,
        refuses,
    })
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
        let (mut waiting, mut running) = (0, 0);
        for job in &facts.jobs {
            waiting += job.counts.queued;
            running += job.counts.running;
        }
        let jobs = Some(JobsView { active: facts.jobs.len() as u64, waiting, running });
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
            lines.push(format_args!(
                "jobs       {} active: {} tasks wait, {} run",
                jobs.active, jobs.waiting, jobs.running
            ));
        }
        if let Some(release) = &self.release {
            lines.push(format_args!("scheduler  {release}"));
        }
        for finding in &self.findings {
            lines.push("");
            lines.push(format_args!("{}: {}", finding.severity.word(), finding.text));
            if !finding.help.is_empty() {
                lines.push(format_args!("  {}", finding.help));
            }
        }
        Ok(print::lines(&lines)?)
    }

    fn where_it_is(&self) -> String {
        self.addresses.join(", ")
    }

    fn word(&self) -> String {
        let problems = self.findings.iter().filter(|one| one.severity == Severity::Problem);
        match (self.state, problems.count()) {
            (State::Unreachable, _) => "unreachable".into(),
            (_, 0) => "all is well".into(),
            (_, 1) => "1 problem".into(),
            (_, problems) => format!("{problems} problems"),
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
