//! Estimates of what answers, descriptions and stored data take. Nothing here decides.

use bytes::Bytes;
use wasmgrid_core::InputBytes;
use wasmgrid_proto::{
    AuditEntry, AuditRecord, Contest, FailureGroup, FunctionStatus, InputBlock, JobRow, JobSpec,
    JobStatus, JobSummary, KeyStatus, MemberStatus, ModuleStatus, TenantStatus, TenantUsage,
    TokenStatus, VouchedLabels, WorkerId, WorkerReport, WorkerRow, WorkerState, WorkerStatus,
    wire::{ApiError, MemberCertificate, Reply},
};

/// Bytes of one list in an answer: a frame's meta has 1 MiB, and what is counted is about.
pub(crate) const LIST_BYTES: usize = 640 << 10;

/// Running tasks of one worker in an answer: a third of a list's bytes.
const RUNNING_MAX: usize = 4_096;

/// What an answer takes at most that is no long list and has texts.
const LONG_ANSWER_BYTES: usize = 64 << 10;

/// What all that is counted takes in an answer, about: some hundred numbers.
const METRICS_BYTES: usize = 1 << 10;

/// About how many bytes a spec's texts take.
fn spec_bytes(spec: &JobSpec) -> usize {
    let args = spec.task.args.iter().map(|arg| arg.len() + 16);
    let grants = spec.task.grants.iter().map(|grant| grant.to_string().len() + 16);
    let requires = spec.requires.iter().map(|(key, value)| key.len() + value.len() + 32);
    let blobs = spec.task.blobs.iter().map(|blob| blob.name.len() + 48);
    let lists = grants.sum::<usize>() + args.sum::<usize>() + requires.sum::<usize>();
    let extensions = spec.extensions.bytes() + spec.task.extensions.bytes();
    let lists = lists + blobs.sum::<usize>() + extensions;
    let names = spec.name.len() + spec.task.tenant.len() + spec.task.program.len();
    names + 5 * spec.task.ok_exits.len() + lists
}

/// About how many bytes an answer takes.
pub(super) fn reply_bytes(reply: &Result<Reply, ApiError>) -> usize {
    match reply {
        Ok(Reply::Job(status)) => job_bytes(status),
        Ok(Reply::JobPage { jobs, .. }) => jobs.iter().map(job_bytes).sum(),
        Ok(Reply::WorkerPage { workers, .. }) => workers.iter().map(worker_bytes).sum(),
        Ok(Reply::Tenants { tenants, .. }) => tenants.iter().map(tenant_bytes).sum(),
        Ok(Reply::Usage { tenants, .. }) => tenants.iter().map(usage_bytes).sum(),
        Ok(Reply::Metrics(_)) => METRICS_BYTES,
        Ok(Reply::Tokens { tokens, .. }) => tokens.iter().map(token_bytes).sum(),
        Ok(Reply::Keys { keys, .. }) => keys.iter().map(key_bytes).sum(),
        Ok(Reply::Members { members, .. }) => members.iter().map(member_bytes).sum(),
        Ok(Reply::Worker(worker)) => worker_bytes(worker),
        Ok(Reply::WorkerNames(names)) => names.iter().map(name_bytes).sum(),
        Ok(Reply::Contests(contests)) => contests.iter().map(contest_bytes).sum(),
        Ok(Reply::Authority(status)) => status.certificates.iter().map(certificate_bytes).sum(),
        Ok(Reply::VouchedPage { workers, .. }) => workers.iter().map(vouched_bytes).sum(),
        Ok(Reply::AuditPage { entries, .. }) => entries.iter().map(audit_bytes).sum(),
        Ok(Reply::Function(function)) => function_bytes(function),
        Ok(Reply::Functions { functions, .. }) => functions.iter().map(function_bytes).sum(),
        Ok(Reply::Modules { modules, .. }) => modules.iter().map(module_bytes).sum(),
        Ok(Reply::Task(status)) => LONG_ANSWER_BYTES + status.log.len(),
        Ok(Reply::JobSummary(summary)) => summary_bytes(summary),
        // Its lists are bounded by number.
        Ok(Reply::Overview(_)) => LONG_ANSWER_BYTES,
        Ok(Reply::JobRows { jobs, .. }) => jobs.iter().map(job_row_bytes).sum(),
        Ok(Reply::WorkerRows { workers, .. }) => workers.iter().map(worker_row_bytes).sum(),
        Ok(Reply::Divergences(_) | Reply::Explanation(_) | Reply::Renewed(_)) => LONG_ANSWER_BYTES,
        Ok(Reply::Intake { refusal }) => refusal.as_ref().map_or(0, error_bytes),
        Ok(
            Reply::Token(_)
            | Reply::Key { .. }
            | Reply::KeyChecked(_)
            | Reply::Login { .. }
            | Reply::Done
            | Reply::Module { .. }
            | Reply::Appended { .. }
            | Reply::Called { .. }
            // Its size is counted where it is made.
            | Reply::Inputs { .. }
            | Reply::Unreadable,
        ) => 0,
        Err(error) => error_bytes(error),
    }
}

/// How many bytes an error takes: its text, and its data, of which the text is made.
fn error_bytes(error: &ApiError) -> usize {
    2 * error.to_string().len()
}

/// How many bytes a member's certificate takes in an answer, at most.
fn certificate_bytes(certificate: &MemberCertificate) -> usize {
    48 + certificate.name.len()
}

/// How many bytes a job takes in an answer, at most.
pub(super) fn job_bytes(status: &JobStatus) -> usize {
    384 + spec_bytes(&status.spec)
}

/// How many bytes a worker takes in an answer, at most.
pub(super) fn worker_bytes(worker: &WorkerStatus) -> usize {
    let names = worker.name.len() + worker.address.len();
    let reason = match &worker.state {
        WorkerState::Failing(failing) => failing.reason.len(),
        _ => 0,
    };
    let labels = worker.capacity.labels.len() * 8 + worker.capacity.text_bytes();
    160 + names + reason + labels + worker.running.len() * 56
}

/// How many bytes a job with what is counted of it takes in an answer, at most.
fn summary_bytes(summary: &JobSummary) -> usize {
    let group = |group: &FailureGroup| {
        let names = group.workers.iter().map(|name| name.len() + 2);
        48 + group.kind.len() + group.message.len() + names.sum::<usize>()
    };
    let groups = summary.failures.iter().map(group).sum::<usize>();
    job_bytes(&summary.status) + 640 + groups + summary.rates.buckets.len() * 40
}

/// How many bytes a job takes in a list with what is counted of it, at most.
pub(super) fn job_row_bytes(row: &JobRow) -> usize {
    job_bytes(&row.status) + 32
}

/// How many bytes a worker takes in a list with what is counted of it, at most.
pub(super) fn worker_row_bytes(row: &WorkerRow) -> usize {
    let report = row.report.as_ref().map_or(0, WorkerReport::text_bytes);
    worker_bytes(&row.status) + 48 + report
}

/// A worker as it is told of: one that claims to run more than a list shows is not to hide those
/// behind it.
pub(super) fn shown(mut worker: WorkerStatus) -> WorkerStatus {
    worker.running.truncate(RUNNING_MAX);
    worker
}

/// How many bytes a contest takes in an answer, at most.
pub(super) fn contest_bytes(contest: &Contest) -> usize {
    32 + contest.name.len() + contest.address.len()
}

/// About how many bytes a worker's vouched labels take in an answer.
pub(super) fn vouched_bytes(vouched: &VouchedLabels) -> usize {
    16 + vouched.labels.iter().map(|(key, value)| key.len() + value.len() + 8).sum::<usize>()
}

/// About how many bytes a function takes in an answer.
pub(super) fn function_bytes(function: &FunctionStatus) -> usize {
    96 + function.name.len() + function.tenant.len()
}

/// About how many bytes a module takes in an answer.
pub(super) fn module_bytes(module: &ModuleStatus) -> usize {
    96 + module.tenants.iter().map(|tenant| tenant.len() + 2).sum::<usize>()
}

/// About how many bytes a tenant takes in an answer.
pub(super) fn tenant_bytes(tenant: &TenantStatus) -> usize {
    64 + tenant.name.len() + tenant.uses.len() * 32
}

/// About how many bytes what a tenant has used takes in an answer.
pub(super) fn usage_bytes(usage: &TenantUsage) -> usize {
    112 + usage.name.len() + usage.extensions.bytes()
}

/// About how many bytes a token takes in an answer.
pub(super) fn token_bytes(token: &TokenStatus) -> usize {
    let gives = &token.gives;
    let labels = gives.labels.iter().map(|(key, value)| key.len() + value.len() + 8);
    let texts = [&gives.name, &gives.tenant].into_iter().flatten().map(String::len);
    64 + labels.sum::<usize>() + texts.sum::<usize>()
}

/// About how many bytes a key takes in an answer.
pub(crate) fn key_bytes(key: &KeyStatus) -> usize {
    64 + key.tenant.len() + key.name.len()
}

/// About how many bytes a client or operator takes in an answer.
pub(super) fn member_bytes(member: &MemberStatus) -> usize {
    96 + member.name.len() + member.tenant.len() + member.machine.len()
}

/// About how many bytes a worker's name takes in an answer.
pub(super) fn name_bytes((_, name): &(WorkerId, String)) -> usize {
    48 + name.len()
}

/// How many bytes an entry of the audit log takes in an answer, at most.
pub(crate) fn audit_bytes(entry: &AuditEntry) -> usize {
    let AuditRecord { by, act, outcome, extensions, .. } = &entry.record;
    let serial = by.serial.as_deref().unwrap_or_default();
    let object = &act.object;
    let names = [&by.name, &by.tenant, &act.action, &object.kind, &object.id, &object.name];
    let names: usize = names.into_iter().map(|name| name.len()).sum();
    96 + names + serial.len() + outcome.len() + act.parameters.len() + extensions.bytes()
}

/// The bytes of inputs: their own, and with those of their lengths about what they take in the store.
pub(super) fn input_bytes(inputs: &InputBlock, payload: &Bytes) -> InputBytes {
    let lengths = match inputs {
        InputBlock::Packed(lengths) => lengths.len(),
        InputBlock::Numbers { .. } => 0,
    };
    let own = payload.len() as u64;
    InputBytes { own, stored: own + lengths as u64 }
}

/// As many of the first as fit one answer.
pub(crate) fn fitting<T>(list: impl Iterator<Item = T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let mut room = LIST_BYTES;
    list.map_while(|item| {
        room = room.checked_sub(bytes(&item))?;
        Some(item)
    })
    .collect()
}
