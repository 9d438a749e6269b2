//! What one job may be made of: its texts stay in memory and in the journal as long as it is known,
//! and travel with every assignment.

use alloc::string::ToString as _;

use wasmgrid_proto::{
    BLOB_NAME_BYTES, BLOBS_MAX, Blob, JobSpec, ModuleKind, REQUIRES_MAX, Reason,
    reason::{Count, Length},
    wire::ApiError,
};

/// Bytes of a job's name: a line of a table, and some more.
const NAME_BYTES: usize = 256;

/// Bytes of an idempotency key: several digests or paths.
const KEY_BYTES: usize = 256;

/// Bytes of a label's key, and of its value: what other schedulers allow.
const LABEL_KEY_BYTES: usize = 128;
const LABEL_VALUE_BYTES: usize = 256;

/// Bytes of one grant: the longest path that Linux takes, and what it is called within.
const GRANT_BYTES: usize = 8 << 10;

/// Arguments of one job: each takes memory beside its bytes.
const ARGUMENTS_MAX: usize = 4_096;

/// Bytes of the name that a command finds: that of a file.
const PROGRAM_BYTES: usize = 255;

/// Exit codes of one job that are as good as 0: what a byte holds.
const OK_EXITS_MAX: usize = 256;

/// Grants of one job.
const GRANTS_MAX: usize = 256;

/// Bytes of all arguments and grants of a job.
const TEXT_BYTES: usize = 64 << 10;

/// Different needs of one tenant's jobs that have not ended: which labels, and how much memory. Each
/// round of placement looks at those of all tenants.
pub(super) const DEMANDS_MAX: usize = 128;

/// Refuses a job that needs what none of its tenant's jobs does, if those need so many things.
pub(super) fn check_demand(tenant: &str, used: usize) -> Result<(), ApiError> {
    if used < DEMANDS_MAX {
        return Ok(());
    }
    let (used, allowed) = (used as u64, DEMANDS_MAX as u64);
    Err(Reason::TooManyDemands { tenant: tenant.into(), used, allowed }.into())
}

/// Refuses a spec whose texts are too long, with what was given and what is allowed.
pub(super) fn check_spec(spec: &JobSpec) -> Result<(), ApiError> {
    spec.check_extensions().map_err(Reason::from)?;
    bytes(Length::JobName, spec.name.len(), NAME_BYTES)?;
    count(Count::Labels, spec.requires.len(), REQUIRES_MAX)?;
    for (key, value) in &spec.requires {
        if key.is_empty() {
            return Err(Reason::NoLabelKey.into());
        }
        bytes(Length::LabelKey, key.len(), LABEL_KEY_BYTES)?;
        bytes(Length::LabelValue, value.len(), LABEL_VALUE_BYTES)?;
    }
    let task = &spec.task;
    count(Count::Arguments, task.args.len(), ARGUMENTS_MAX)?;
    if let Some(at) = task.untextual_argument() {
        let (number, kind) = (at as u64 + 1, task.kind);
        return Err(Reason::ArgumentNotText { number, kind }.into());
    }
    bytes(Length::Program, task.program.len(), PROGRAM_BYTES)?;
    count(Count::ExitCodes, task.ok_exits.len(), OK_EXITS_MAX)?;
    if task.kind == ModuleKind::Task && !task.ok_exits.is_empty() {
        return Err(Reason::NoExitCodes { kind: task.kind }.into());
    }
    check_blobs(&task.blobs)?;
    count(Count::Grants, task.grants.len(), GRANTS_MAX)?;
    let mut texts: usize = task.args.iter().map(|argument| argument.len()).sum();
    for grant in &task.grants {
        let length = grant.to_string().len();
        bytes(Length::Grant, length, GRANT_BYTES)?;
        texts += length;
    }
    bytes(Length::Texts, texts, TEXT_BYTES)
}

/// Refuses blobs that are too many, and names that are none or that two of them have.
fn check_blobs(blobs: &[Blob]) -> Result<(), ApiError> {
    count(Count::Blobs, blobs.len(), BLOBS_MAX)?;
    for (at, blob) in blobs.iter().enumerate() {
        if !Blob::is_name(&blob.name) {
            let (number, bytes) = (at as u64 + 1, blob.name.len() as u64);
            let allowed = BLOB_NAME_BYTES as u64;
            return Err(Reason::BlobName { number, bytes, allowed }.into());
        }
        if blobs.iter().take(at).any(|other| other.name == blob.name) {
            return Err(Reason::BlobTwice { name: blob.name.as_str().into() }.into());
        }
    }
    Ok(())
}

/// The same for an idempotency key.
pub(super) fn check_key(key: Option<&str>) -> Result<(), ApiError> {
    bytes(Length::Key, key.map_or(0, str::len), KEY_BYTES)
}

fn bytes(what: Length, found: usize, allowed: usize) -> Result<(), ApiError> {
    if found <= allowed {
        return Ok(());
    }
    let (found, allowed) = (found as u64, allowed as u64);
    Err(Reason::TooLong { what, found, allowed }.into())
}

fn count(what: Count, found: usize, allowed: usize) -> Result<(), ApiError> {
    if found <= allowed {
        return Ok(());
    }
    let (found, allowed) = (found as u64, allowed as u64);
    Err(Reason::TooMany { what, found, allowed }.into())
}
