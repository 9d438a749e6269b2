//! What of a grid is worth knowing, judged from what it tells: problems, which somebody should do
//! something about, and notes. It asks and prints nothing.

use serde::Serialize;
use wasmgrid_net::Release;
use wasmgrid_proto::{
    Contest, Explanation, Micros, Reason, Resource, TenantStatus, Use, Wait, WorkerState,
    WorkerStatus,
    text::counted,
    wire::{ApiError, MemberCertificate},
};

use super::{super::authority::validity, stuck::stuck};
use crate::{
    table,
    words::{self, remedy},
};

/// Of a resource in which a tenant is near its bound, the tenth at which that is told.
const NEARLY_ALL: u64 = 9;

/// What a grid told.
#[derive(Debug, Default)]
pub struct Facts {
    /// All workers.
    pub workers: Vec<WorkerStatus>,
    /// Processes that were refused.
    pub contests: Vec<Contest>,
    /// The last certificates of members: all for an operator.
    pub certificates: Vec<MemberCertificate>,
    /// What tenants have.
    pub tenants: Vec<TenantStatus>,
    /// Of jobs whose tasks all wait.
    pub explanations: Vec<Explanation>,
    /// Such jobs that were not asked about, and jobs that were not looked at.
    pub unexplained: u64,
    /// Why the store takes no new work.
    pub refuses: Option<ApiError>,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should do something.
    Problem,
    /// It is meant so, or will pass.
    Note,
}

impl Severity {
    /// As people read it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Note => "note",
        }
    }
}

/// Something worth knowing; as `--output json` has it, a public interface.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A short name that stays the same.
    pub kind: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// The worker, job or tenant that it is about.
    pub subject: Option<String>,
    /// What it is.
    pub text: String,
    /// What would help; empty where waiting does.
    pub help: String,
}

impl Finding {
    pub(super) fn problem(
        kind: &'static str,
        text: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (text, help) = (text.into(), help.into());
        Self { kind, severity: Severity::Problem, subject: None, text, help }
    }

    fn note(kind: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::problem(kind, text, help) }
    }

    pub(super) fn about(self, subject: impl ToString) -> Self {
        Self { subject: Some(subject.to_string()), ..self }
    }
}

/// All of them, those about the whole grid first.
pub fn findings(facts: &Facts, now: Micros) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(no_worker(facts));
    found.extend(disk(facts));
    found.extend(facts.workers.iter().filter_map(|worker| of_worker(worker, now)));
    found.extend(facts.contests.iter().map(contested));
    found.extend(facts.certificates.iter().filter_map(|one| ends_soon(one, now)));
    found.extend(facts.tenants.iter().filter_map(nearly_full));
    // What tenants have to do something about stands behind what operators have to.
    found.extend(stuck(&facts.explanations, now));
    found.extend(engines(&facts.workers));
    found.extend(not_looked_at(facts));
    // What is grave stands before what is not; the rest keeps its order.
    found.sort_by_key(|finding| finding.severity != Severity::Problem);
    found
}

/// The grid cannot be reached.
pub fn unreachable(error: &str) -> Finding {
    Finding::problem(
        "unreachable",
        error,
        "check that the scheduler runs there (`wasmgrid up` or `wasmgrid server`) and that UDP \
         reaches it; `wasmgrid context list` shows the addresses of each context",
    )
}

/// The scheduler is of another release.
pub fn other_release(theirs: &Release) -> Finding {
    let text = format!("the scheduler runs {theirs}, and this is {}", Release::ours());
    Finding::note(
        "other-release",
        text,
        "run the same release on all machines, the scheduler first",
    )
}

fn no_worker(facts: &Facts) -> Option<Finding> {
    let takes = |worker: &WorkerStatus| worker.state == WorkerState::Ready;
    if facts.workers.iter().any(takes) {
        return None;
    }
    let wait = Wait::NoWorker;
    let text = match facts.workers.len() {
        0 => "the grid has no worker".into(),
        count => format!("of {} none takes tasks", counted(count as u64, "worker")),
    };
    Some(Finding::problem(wait.name(), text, remedy(&wait)))
}

fn disk(facts: &Facts) -> Option<Finding> {
    let refuses = facts.refuses.as_ref()?;
    let full = Wait::DiskFull;
    let kind = if *refuses.reason == Reason::StoreInDoubt { "store-in-doubt" } else { full.name() };
    let why = words::answer(refuses);
    // What a reason advises stands behind its first semicolon.
    let (why, help) = match why.split_once("; ") {
        Some((why, help)) => (why, help.to_owned()),
        None => (why.as_str(), remedy(&full)),
    };
    let text = format!("the scheduler takes no new work: {why}");
    Some(Finding::problem(kind, text, help))
}

fn of_worker(worker: &WorkerStatus, now: Micros) -> Option<Finding> {
    let name = &worker.name;
    let found = match &worker.state {
        WorkerState::Ready => return None,
        WorkerState::Gone => Finding::problem(
            "worker-gone",
            format!("worker {name} is gone, last seen {}", table::ago(worker.heard_at)),
            format!(
                "check that the machine and its `wasmgrid worker` run and reach the scheduler; if \
                 it will not return, use `wasmgrid worker remove {name}`"
            ),
        ),
        WorkerState::Failing(failing) => {
            let tried = failing.until.map(|until| until.since(now));
            let tried =
                tried.map(|rest| format!("; it is tried again in {}", table::seconds(rest)));
            Finding::problem(
                "worker-failing",
                format!("worker {name}: {}{}", failing.reason, tried.unwrap_or_default()),
                format!("the log of the worker on {name} has more"),
            )
        }
        state @ (WorkerState::Draining | WorkerState::Drained | WorkerState::Cordoned) => {
            Finding::note(
                "worker-not-taking",
                format!("worker {name} is {state}: it gets no new tasks"),
                format!("`wasmgrid worker uncordon {name}` ends that"),
            )
        }
    };
    Some(found.about(name))
}

fn contested(Contest { name, address, at }: &Contest) -> Finding {
    let text = format!(
        "another machine with the identity of worker {name} was refused {}, from {address}",
        table::ago(*at)
    );
    let help = "give that machine its own token (`wasmgrid token create`)";
    Finding::problem("worker-contested", text, help).about(name)
}

/// A certificate that its holder should have renewed.
fn ends_soon(certificate: &MemberCertificate, now: Micros) -> Option<Finding> {
    let MemberCertificate { role, name, ends, .. } = certificate;
    let validity = validity(certificate);
    if validity.warn_at() > now || *ends <= now {
        return None;
    }
    let left = table::seconds(validity.left(now));
    let text = format!("the certificate of {role} {name} expires in {left} and was not renewed");
    let help = "its holder renews it when it next connects; after it has expired, a new token is \
         needed";
    Some(Finding::problem("certificate-ends", text, help).about(name))
}

/// A tenant that soon can keep nothing more.
fn nearly_full(TenantStatus { name, uses }: &TenantStatus) -> Option<Finding> {
    let kept = uses.iter().find(|one| one.resource == Resource::Bytes)?;
    let Use { resource, used, allowed: Some(allowed), .. } = *kept else { return None };
    if used < allowed / 10 * NEARLY_ALL {
        return None;
    }
    let (used, allowed) = (resource.amount(used), resource.amount(allowed));
    let text = format!("tenant {name} uses {used} of its quota of {allowed} in the store");
    let help = format!(
        "{}; `wasmgrid tenant set {name} bytes=SIZE` raises the quota, if the disk has room",
        resource.remedy()
    );
    Some(Finding::problem("tenant-nearly-full", text, help).about(name))
}

/// Fuel and outcomes are comparable where engines are the same.
fn engines(workers: &[WorkerStatus]) -> Option<Finding> {
    let linked = workers.iter().filter(|worker| worker.state != WorkerState::Gone);
    let mut engines: Vec<&str> = linked.map(|worker| worker.capacity.engine.as_str()).collect();
    engines.sort_unstable();
    engines.dedup();
    (engines.len() > 1).then(|| {
        Finding::note(
            "engines-differ",
            format!("the workers have {} different engines", engines.len()),
            "fuel may differ between them, because of other releases, flags or processors; \
             `wasmgrid worker show NAME` shows the engine of each",
        )
    })
}

fn not_looked_at(Facts { unexplained, .. }: &Facts) -> Option<Finding> {
    (*unexplained > 0).then(|| {
        Finding::note(
            "not-looked-at",
            format!("why tasks of {} wait was not checked", counted(*unexplained, "more job")),
            "see `wasmgrid job list` and `wasmgrid job explain JOB`",
        )
    })
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{
        ByteCount, Failing, WorkerCapacity, WorkerId,
        wire::{Role, SignedBy},
    };

    use super::*;

    fn worker(name: &str, state: WorkerState) -> WorkerStatus {
        let capacity = WorkerCapacity {
            slots: 1,
            memory: ByteCount(1),
            labels: Vec::new(),
            engine: "engine".into(),
        };
        WorkerStatus {
            worker: WorkerId(1),
            name: name.into(),
            address: "10.0.0.1:1".into(),
            state,
            capacity,
            assigned: 0,
            committed: 0,
            heard_at: Micros(0),
            running: Vec::new(),
        }
    }

    fn kinds(facts: &Facts) -> Vec<&'static str> {
        findings(facts, Micros(0)).iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_grid_whose_workers_work_has_nothing_to_tell() {
        let workers = vec![worker("a", WorkerState::Ready), worker("b", WorkerState::Ready)];
        assert!(kinds(&Facts { workers, ..Facts::default() }).is_empty());
    }

    #[test]
    fn a_grid_without_a_worker_that_takes_tasks_is_a_problem() {
        assert_eq!(kinds(&Facts::default()), ["no-worker"]);
        let workers = vec![worker("a", WorkerState::Cordoned)];
        let facts = Facts { workers, ..Facts::default() };
        assert_eq!(kinds(&facts), ["no-worker", "worker-not-taking"]);
    }

    #[test]
    fn what_is_meant_so_is_a_note_behind_what_is_not() {
        let failing = Failing { until: None, reason: "no /proc".into() };
        let workers = vec![
            worker("a", WorkerState::Draining),
            worker("b", WorkerState::Ready),
            worker("c", WorkerState::Failing(failing)),
            worker("d", WorkerState::Gone),
        ];
        let found = findings(&Facts { workers, ..Facts::default() }, Micros(0));
        let seen: Vec<_> = found.iter().map(|one| (one.kind, one.severity)).collect();
        let expected = [
            ("worker-failing", Severity::Problem),
            ("worker-gone", Severity::Problem),
            ("worker-not-taking", Severity::Note),
        ];
        assert_eq!(seen, expected);
        assert!(found.iter().all(|one| !one.help.is_empty()), "{found:?}");
    }

    #[test]
    fn a_certificate_is_told_of_from_a_month_before_its_end_until_then() {
        const DAY: u64 = 24 * 60 * 60 * 1_000_000;
        let certificate = MemberCertificate {
            role: Role::Client,
            name: "ada".into(),
            issued: Micros(0),
            ends: Micros(365 * DAY),
            signed_by: SignedBy::Current,
        };
        let workers = vec![worker("a", WorkerState::Ready)];
        let facts = Facts { workers, certificates: vec![certificate], ..Facts::default() };
        let at = |day: u64| findings(&facts, Micros(day * DAY)).len();
        assert_eq!([300, 334, 335, 364, 365].map(at), [0, 0, 1, 1, 0]);
    }

    #[test]
    fn a_store_that_takes_no_new_work_is_a_problem_whether_or_not_a_job_waits() {
        let workers = vec![worker("a", WorkerState::Ready)];
        let (free, reserve) = (ByteCount(1 << 20), ByteCount(1 << 30));
        for (reason, why, help) in [
            (Reason::DiskFull, "disk is full", ""),
            (Reason::DiskReserved { free, reserve }, "1GiB are reserved", "--disk-reserve"),
        ] {
            let refuses = Some(reason.into());
            let workers = workers.clone();
            let found = findings(&Facts { workers, refuses, ..Facts::default() }, Micros(0));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].kind, found[0].severity), ("disk-full", Severity::Problem));
            assert!(found[0].text.contains(why), "{found:?}");
            assert!(!found[0].text.contains("free space"), "said once: {found:?}");
            assert!(found[0].help.contains("free space"), "{found:?}");
            assert!(found[0].help.contains(help), "{found:?}");
        }
    }

    #[test]
    fn a_store_that_does_not_answer_is_not_called_full() {
        let workers = vec![worker("a", WorkerState::Ready)];
        let refuses = Some(Reason::StoreInDoubt.into());
        let found = findings(&Facts { workers, refuses, ..Facts::default() }, Micros(0));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].kind, found[0].severity), ("store-in-doubt", Severity::Problem));
        assert!(found[0].help.contains("check the disk"), "{found:?}");
    }

    #[test]
    fn a_tenant_is_told_of_before_it_can_keep_nothing_more() {
        let tenant = |used, allowed| {
            let used = Use { resource: Resource::Bytes, used, allowed, own: false };
            TenantStatus { name: "ada".into(), uses: vec![used] }
        };
        let workers = vec![worker("a", WorkerState::Ready)];
        let tenants = vec![tenant(89, Some(100)), tenant(1_000, None), tenant(90, Some(100))];
        let facts = Facts { workers, tenants, ..Facts::default() };
        assert_eq!(kinds(&facts), ["tenant-nearly-full"]);
    }
}
