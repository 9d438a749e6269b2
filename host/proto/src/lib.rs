//! Every type that crosses a boundary of the grid: between processes, onto the wire, into the
//! journal. It contains data types and their checks; it decides nothing and does no IO.
//!
//! Types are plain data with `serde` derives, encoded with
//! [postcard](https://postcard.jamesmunns.com). The large bytes of a message travel beside it as a
//! *payload*, so that they are never copied or scanned on the way (see [`wire`]).
//!
//! # The rule on growth
//!
//! Postcard writes fields one after the other, without names, and variants by their position. So a
//! struct never gets, loses or moves a field, and an enum never loses or moves a variant. The formats
//! grow in these ways, and in no other:
//!
//! | to add | do | minor version |
//! |---|---|---|
//! | a field of a spec, a block of results, a record, an item of a snapshot, a [`TenantUsage`], an entry of the audit log or a [`Hello`] | give it the next number among that struct's [`Extensions`] | one up, if a sender must know beforehand that its peer understands it |
//! | a request of clients | append it to [`Request`] and its answer to [`Reply`], count it in [`Request::KNOWN`], and name the minor of both in their `since` | one up |
//! | a message | give it the next kind number, with `since` | one up |
//! | a variant of any other enum on the wire | append it; a sender first asks which minor was agreed on, and has something else to send to a peer that does not know it | one up |
//! | a record or an item of a snapshot | append the variant, and count it in [`VARIANTS`] | the same |
//! | a value that the server keeps under a key of its own | write it under a new prefix of keys | the same |
//! | an ability that a peer has or lacks independently of its release | give it a bit of [`Features`] | the same |
//!
//! Anything else (another meaning of a field, a field of another struct, a variant that goes) needs a
//! new major version: of the protocol [`PROTOCOL_MAJOR`], which is in the ALPN, so that two majors make
//! no link; of the store its format number, so that a store of another one is refused by number.
//!
//! **Extensions.** A list has at most [`EXTENSIONS_MAX`] extensions of [`EXTENSIONS_BYTES_MAX`] bytes in
//! all, ordered by number. A reader that does not know a *critical* one refuses the struct and names the
//! extension's number ([`UnknownExtension`]): a scheduler refuses the submit, a worker the tasks, either
//! side the link, and a server does not open its store. An extension that is not critical is kept in a spec
//! and in a block of results, and handed on with it; in a record, an item of a snapshot and a [`Hello`] it
//! is ignored, and lost when a snapshot replaces the record. An empty list is one byte. A single
//! result has none; its block has one for all of its results.
//!
//! **Who may send what to whom.** A link speaks the newest minor that both sides speak
//! ([`Hello::agree`]); without one there is no link, and both sides say which versions they speak. A
//! side sends nothing that the agreed minor does not know ([`Message::since`]). If its caller asks for such
//! a message, the caller gets a typed error that names both versions, and nothing is sent. An unknown
//! request is answered [`ErrorCode::Unsupported`], also with both versions, and the link goes on. A message
//! of an unknown kind is ignored: its sender knows that the peer may do without it. A message of a known
//! kind that cannot be decoded is malformed, and ends the link.
//!
//! The order of a release: schedulers are upgraded first, then workers and clients; each release speaks
//! all minors from [`PROTOCOL_MINOR_LEAST`] on. A store is read by the release that wrote it and by newer
//! ones; an older one reads it as long as it has no record or critical extension that is unknown there.
//!
//! Tests hold the rule by golden files (`tests/golden`): one for the messages of each minor version, and
//! others for records, snapshots and states. Their lines never change and are never removed;
//! `BLESS=1 cargo test` adds new ones. `docs/design/extending.md` lists every place that a new field of a
//! job's spec touches.
//!
//! [`Hello`]: wire::Hello
//! [`Hello::agree`]: wire::Hello::agree
//! [`Features`]: wire::Features
//! [`Request`]: wire::Request
//! [`Request::KNOWN`]: wire::Request::KNOWN
//! [`Reply`]: wire::Reply
//! [`Message::since`]: wire::Message::since
//! [`ErrorCode::Unsupported`]: wire::ErrorCode::Unsupported
//! [`VARIANTS`]: durable::Durable::VARIANTS
//! [`PROTOCOL_MAJOR`]: wire::PROTOCOL_MAJOR
//! [`PROTOCOL_MINOR_LEAST`]: wire::PROTOCOL_MINOR_LEAST

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

extern crate alloc;

mod arg;
mod attempt;
pub mod audit;
mod blob;
pub mod budget;
pub mod durable;
mod explain;
mod extension;
pub mod frame;
mod function;
mod ids;
mod key;
mod lease;
mod limits;
mod log;
mod member;
mod metrics;
mod module;
mod outcome;
mod outstanding;
mod overview;
pub mod pace;
mod quota;
mod range;
pub mod reason;
mod record;
mod refusal;
mod rows;
mod segment;
mod snapshot;
mod spec;
mod status;
mod summary;
pub mod text;
mod units;
mod usage;
pub mod wire;
mod worker_counts;

pub use arg::Arg;
pub use attempt::{Attempt, Divergence, Divergences, TaskResult, TaskState, TaskStatus, Witness};
pub use audit::{Act, AuditAction, AuditEntry, AuditObject, AuditRecord, Caller};
pub use blob::{BLOB_BYTES_MAX, BLOB_NAME_BYTES, BLOBS_MAX, Blob, WITH};
pub use explain::{Explanation, LabelCount, NAMED_MAX, TenantShare, Wait, WaitReason};
pub use extension::{
    EXTENSIONS_BYTES_MAX, EXTENSIONS_MAX, Extension, Extensions, ExtensionsError, UnknownExtension,
};
pub use function::{
    FUNCTION_NAME_BYTES, FUNCTIONS_MAX, FunctionStatus, FunctionTerms, is_function_name,
};
pub use ids::{Digest, Epoch, JobId, LeaseId, ParseIdError, Seq, TaskId, WorkerId};
pub use key::{ApiKey, KeyError, KeyId, KeyKind, KeyStatus, Secret};
pub use lease::{LeaseProof, LeaseTag};
pub use limits::{Limit, Limits};
pub use log::{LogKind, LogRef};
pub use member::{MemberStatus, TokenGives, TokenState, TokenStatus};
pub use metrics::{
    AttemptMetrics, Histogram, JobMetrics, LeaseMetrics, Metrics, ServerMetrics, StoreMetrics,
    TaskMetrics, WorkerMetrics,
};
pub use module::ModuleStatus;
pub use outcome::{Outcome, OutcomeClass, TrapKind, Usage};
pub use outstanding::Outstanding;
pub use overview::{
    Attention, DiskUse, FailedKind, LastHour, Overview, SlotCounts, SlotsBucket, SlotsOverTime,
    Workers,
};
pub use quota::{Allowance, Resource, TenantStatus, Use};
pub use range::{RangeList, TaskRange};
pub use reason::Reason;
pub use record::{CommittedRun, DropReason, Dropped, Record, RetryCounter};
pub use refusal::{GrantFault, Refusal};
pub use rows::{JobRow, WorkerFilter, WorkerReport, WorkerRow};
pub use segment::{InputBlock, Parts, ResultBlock, ResultMeta, SegmentError};
pub use snapshot::{AttemptItem, JobItem, ProducerItem, SNAPSHOT_LIST, SnapshotItem, TaskSet};
pub use spec::{Grant, GrantError, JobSpec, ModuleInfo, ModuleKind, REQUIRES_MAX, TaskSpec};
pub use status::{
    Contest, FILTER_BYTES, Failing, JobCounts, JobFilter, JobState, JobStatus, RunningTask,
    VouchedLabels, WorkerCapacity, WorkerState, WorkerStatus,
};
pub use summary::{FailureCount, FailureGroup, JobSummary, Pace, Peak, Peaks, RateBucket, Rates};
pub use units::{ByteCount, Fuel, Micros, Millis, ParseUnitError};
pub use usage::{Cost, EndedTasks, TenantUsage, UsageTotal};
pub use worker_counts::{RunnerEnds, WorkerCounts};
