//! What one job may be made of: its texts stay in memory and in the journal as long as it is known,
//! and travel with every assignment.

use alloc::{format, string::ToString as _};

use wasmgrid_proto::{
    BLOB_NAME_BYTES, BLOBS_MAX, Blob, JobSpec, ModuleKind, REQUIRES_MAX,
    wire::{ApiError, ErrorCode},
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
    let message = format!(
        "tenant {tenant} has jobs with {used} of {DEMANDS_MAX} different needs (labels and memory) \
         that its jobs may have at a time, and this takes 1 more; use the labels and memory of one of \
         them, or let jobs end"
    );
    Err(ApiError { code: ErrorCode::Refused, message })
}

/// Refuses a spec whose texts are too long, with what was given and what is allowed.
pub(super) fn check_spec(spec: &JobSpec) -> Result<(), ApiError> {
    spec.check_extensions().map_err(|unknown| ApiError {
        code: ErrorCode::Unsupported,
        message: unknown.to_string(),
    })?;
    bytes("job's name", spec.name.len(), NAME_BYTES)?;
    count("labels that the job requires", spec.requires.len(), REQUIRES_MAX)?;
    for (key, value) in &spec.requires {
        if key.is_empty() {
            return Err(invalid(
                "a label that the job requires has no key; write KEY=VALUE".to_string(),
            ));
        }
        bytes("key of a label that the job requires", key.len(), LABEL_KEY_BYTES)?;
        bytes("value of a label that the job requires", value.len(), LABEL_VALUE_BYTES)?;
    }
    let task = &spec.task;
    count("arguments", task.args.len(), ARGUMENTS_MAX)?;
    if let Some(at) = task.untextual_argument() {
        let (number, kind) = (at + 1, task.kind);
        return Err(invalid(format!(
            "argument {number} is not valid UTF-8, which a {kind} requires; use text, or build the \
             command for WASI preview 1"
        )));
    }
    bytes("program name of the command", task.program.len(), PROGRAM_BYTES)?;
    count("exit codes that count as success", task.ok_exits.len(), OK_EXITS_MAX)?;
    if task.kind == ModuleKind::Task && !task.ok_exits.is_empty() {
        return Err(invalid(format!(
            "only commands have exit codes, and the module is a {}; leave them out",
            task.kind
        )));
    }
    check_blobs(&task.blobs)?;
    count("grants", task.grants.len(), GRANTS_MAX)?;
    let mut texts: usize = task.args.iter().map(|argument| argument.len()).sum();
    for grant in &task.grants {
        let length = grant.to_string().len();
        bytes("grant", length, GRANT_BYTES)?;
        texts += length;
    }
    bytes("job's arguments and grants", texts, TEXT_BYTES)
}

/// Refuses blobs that are too many, and names that are none or that two of them have.
fn check_blobs(blobs: &[Blob]) -> Result<(), ApiError> {
    count("blobs", blobs.len(), BLOBS_MAX)?;
    for (at, blob) in blobs.iter().enumerate() {
        if !Blob::is_name(&blob.name) {
            let length = blob.name.len();
            return Err(invalid(format!(
                "blob {} has an invalid name of {length} bytes; expected 1 to {BLOB_NAME_BYTES} of \
                 a-z, 0-9, -, _ and .",
                at + 1
            )));
        }
        if blobs.iter().take(at).any(|other| other.name == blob.name) {
            let name = &blob.name;
            return Err(invalid(format!("the job has two blobs named {name}; leave one out")));
        }
    }
    Ok(())
}

/// The same for an idempotency key.
pub(super) fn check_key(key: Option<&str>) -> Result<(), ApiError> {
    bytes("idempotency key", key.map_or(0, str::len), KEY_BYTES)
}

fn bytes(what: &str, found: usize, allowed: usize) -> Result<(), ApiError> {
    if found <= allowed {
        return Ok(());
    }
    Err(invalid(format!(
        "the {what} takes {found} bytes, {allowed} allowed; shorten it, or use an input instead"
    )))
}

fn count(what: &str, found: usize, allowed: usize) -> Result<(), ApiError> {
    if found <= allowed {
        return Ok(());
    }
    Err(invalid(format!("the job has {found} {what}, {allowed} allowed; use fewer")))
}

fn invalid(message: alloc::string::String) -> ApiError {
    ApiError { code: ErrorCode::Invalid, message }
}
