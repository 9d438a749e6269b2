//! Jobs of which nothing can run before somebody does something. A tenant may have any number of
//! them, so those that wait for the same reason are one finding.

use std::collections::BTreeMap;

use wasmgrid_proto::{Explanation, JobId, Micros, Wait, WaitReason, text::counted};

use super::findings::Finding;
use crate::words::remedy;

/// Jobs that a finding names.
const EXAMPLES: usize = 3;

/// Which jobs are asked why they wait, at most so many: tenants take turns, and of each its first
/// come first, so that the jobs of one keep no other's from being asked about.
pub fn in_turns<'a>(jobs: impl Iterator<Item = (&'a str, JobId)>, most: usize) -> Vec<JobId> {
    let mut rounds: BTreeMap<&str, usize> = BTreeMap::new();
    let numbered = jobs.map(|(tenant, job)| {
        let round = rounds.entry(tenant).or_default();
        *round += 1;
        (*round, tenant, job)
    });
    let mut numbered: Vec<(usize, &str, JobId)> = numbered.collect();
    numbered.sort_unstable_by_key(|(round, tenant, _)| (*round, *tenant));
    numbered.into_iter().map(|(.., job)| job).take(most).collect()
}

/// What is stuck, by tenant and reason.
pub fn stuck(explanations: &[Explanation], now: Micros) -> Vec<Finding> {
    let mut groups: BTreeMap<(&str, &str), Vec<(JobId, &WaitReason)>> = BTreeMap::new();
    for one in explanations {
        if let Some(reason) = one.reasons.iter().find(|reason| is_stuck(&reason.wait)) {
            let group = groups.entry((one.tenant.as_str(), reason.wait.name())).or_default();
            group.push((one.job, reason));
        }
    }
    groups.iter().filter_map(|((tenant, _), jobs)| finding(tenant, jobs, now)).collect()
}

fn finding(tenant: &str, jobs: &[(JobId, &WaitReason)], now: Micros) -> Option<Finding> {
    let (job, WaitReason { wait, .. }) = jobs.first()?;
    let tasks = jobs.iter().map(|(_, reason)| reason.tasks).fold(0, u64::saturating_add);
    let (tasks, why) = (counted(tasks, "task"), wait.text(now));
    if jobs.len() == 1 {
        let text = format!("{tasks} of job {job} cannot run: {why}");
        return Some(Finding::problem("job-stuck", text, remedy(wait)).about(job));
    }
    let count = counted(jobs.len() as u64, "job");
    let text = format!(
        "{tasks} of {count} of tenant {tenant} cannot run ({}); of job {job}: {why}",
        named(jobs)
    );
    Some(Finding::problem("jobs-stuck", text, remedy(wait)).about(tenant))
}

/// The first of them, and how many more there are.
fn named(jobs: &[(JobId, &WaitReason)]) -> String {
    let first = jobs.iter().take(EXAMPLES).map(|(job, _)| job.to_string());
    let first = first.collect::<Vec<_>>().join(", ");
    match jobs.len().saturating_sub(EXAMPLES) {
        0 => format!("jobs {first}"),
        more => format!("jobs {first} and {more} more"),
    }
}

const fn is_stuck(wait: &Wait) -> bool {
    matches!(
        wait,
        Wait::NoWorker
            | Wait::Labels { .. }
            | Wait::Memory { .. }
            | Wait::NotTaking { .. }
            | Wait::Unable { .. }
            // Of a quota of something there is more when tasks end or a day has passed.
            | Wait::Quota { allowed: 0, .. }
    )
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{ByteCount, JobCounts, JobState, Resource};

    use super::*;

    fn explained(job: u64, tenant: &str, wait: Wait) -> Explanation {
        Explanation {
            job: JobId(job),
            tenant: tenant.into(),
            state: JobState::Active,
            counts: JobCounts::default(),
            reasons: vec![WaitReason { tasks: 3, wait }],
        }
    }

    const MEMORY: Wait = Wait::Memory { needed: ByteCount(2), largest: ByteCount(1) };

    #[test]
    fn a_job_is_stuck_where_waiting_does_not_help() {
        let found =
            stuck(&[explained(8, "ada", Wait::Ready), explained(7, "ada", MEMORY)], Micros(0));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].kind, found[0].subject.as_deref()), ("job-stuck", Some("7")));
        assert!(found[0].help.contains("--memory"), "{found:?}");
    }

    #[test]
    fn a_job_whose_tenant_may_run_nothing_is_stuck_and_one_that_waits_for_its_quota_is_not() {
        let quota = |used, allowed| {
            explained(7, "ada", Wait::Quota { resource: Resource::RunningTasks, used, allowed })
        };
        let found = stuck(&[quota(0, 0)], Micros(0));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].text.contains("0 of its quota of 0 running-tasks"), "{found:?}");
        assert!(found[0].help.contains("`wasmgrid tenant set`"), "{found:?}");
        assert_eq!(stuck(&[quota(4, 4)], Micros(0)), []);
    }

    #[test]
    fn jobs_of_a_tenant_that_wait_for_the_same_are_one_finding_with_a_few_examples() {
        let mut explanations: Vec<_> = (1..=50).map(|job| explained(job, "eve", MEMORY)).collect();
        explanations.push(explained(60, "eve", Wait::NoWorker));
        explanations.push(explained(61, "ada", MEMORY));
        let found = stuck(&explanations, Micros(0));
        let kinds: Vec<_> = found.iter().map(|one| (one.kind, one.subject.as_deref())).collect();
        let expected =
            [("job-stuck", Some("61")), ("jobs-stuck", Some("eve")), ("job-stuck", Some("60"))];
        assert_eq!(kinds, expected);
        let text = &found[1].text;
        let told = "150 tasks of 50 jobs of tenant eve cannot run (jobs 1, 2, 3 and 47 more)";
        assert!(text.starts_with(told), "{text}");
    }

    #[test]
    fn jobs_of_one_tenant_keep_no_others_from_being_asked_about() {
        let mut jobs: Vec<_> = (0..100).map(|job| ("eve", JobId(1_000 - job))).collect();
        jobs.extend([("ada", JobId(7)), ("ada", JobId(5)), ("bob", JobId(6))]);
        let asked = in_turns(jobs.into_iter(), 5).into_iter().map(|job| job.0);
        assert_eq!(asked.collect::<Vec<_>>(), [7, 6, 1_000, 5, 999]);
    }
}
