//! Every type that crosses a boundary of the grid: between processes, onto the wire, into the
//! journal. It contains data types and their checks; it decides nothing and does no IO.
//!
//! Types are plain data with `serde` derives, encoded with
//! [postcard](https://postcard.jamesmunns.com). The large bytes of a message travel beside it as a
//! *payload*, so that they are never copied or scanned on the way (see [`wire`]). Enums are only
//! ever appended to.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

extern crate alloc;

mod arg;
mod attempt;
mod blob;
pub mod budget;
mod explain;
pub mod frame;
mod ids;
mod lease;
mod limits;
mod member;
mod outcome;
mod quota;
mod range;
mod record;
mod segment;
mod snapshot;
mod spec;
mod status;
pub mod text;
mod units;
pub mod wire;

pub use arg::Arg;
pub use attempt::{Attempt, Divergence, Divergences, TaskResult, TaskState, TaskStatus, Witness};
pub use blob::{BLOB_BYTES_MAX, BLOB_NAME_BYTES, BLOBS_MAX, Blob, WITH};
pub use explain::{Explanation, LabelCount, NAMED_MAX, Reason, TenantShare, Wait};
pub use ids::{Digest, Epoch, JobId, LeaseId, ParseIdError, Seq, TaskId, WorkerId};
pub use lease::{LeaseProof, LeaseTag};
pub use limits::{Limit, Limits};
pub use member::{MemberStatus, TokenGives, TokenState, TokenStatus};
pub use outcome::{Outcome, OutcomeClass, TrapKind, Usage};
pub use quota::{Allowance, Resource, TenantStatus, Use};
pub use range::{RangeList, TaskRange};
pub use record::{CommittedRun, DropReason, Dropped, Record, RetryCounter};
pub use segment::{InputBlock, Parts, ResultBlock, ResultMeta, SegmentError};
pub use snapshot::{AttemptItem, JobItem, SNAPSHOT_LIST, SnapshotItem, TaskSet};
pub use spec::{Grant, GrantError, JobSpec, ModuleInfo, ModuleKind, REQUIRES_MAX, TaskSpec};
pub use status::{
    Contest, FILTER_BYTES, Failing, JobCounts, JobFilter, JobState, JobStatus, RunningTask,
    VouchedLabels, WorkerCapacity, WorkerState, WorkerStatus,
};
pub use units::{ByteCount, Fuel, Micros, Millis, ParseUnitError};
