//! What the scheduler answers a client.

use alloc::{boxed::Box, string::String, vec::Vec};

use bytes::BytesMut;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use crate::wire::ToClient;
use crate::{
    AuditEntry, Contest, Digest, Divergences, Explanation, FunctionStatus, InputBlock, JobId,
    JobRow, JobStatus, JobSummary, KeyStatus, MemberStatus, Metrics, Micros, ModuleStatus,
    Overview, Secret, TaskStatus, TenantStatus, TenantUsage, TokenStatus, VouchedLabels, WorkerId,
    WorkerRow, WorkerStatus,
    wire::{ApiError, AuthorityStatus, Body, Renewed, bounded, from_bytes, to_bytes},
};

/// See [`ToClient::Reply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyFrame {
    /// The request's number.
    pub id: u64,
    /// The answer.
    pub reply: Result<Reply, ApiError>,
}

/// What the scheduler answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "a few exist at a time; a box would cost an allocation"
)]
pub enum Reply {
    /// It is done, and durable.
    Done,
    /// Whether the module or the blob is here.
    Module {
        /// True where it is.
        present: bool,
    },
    /// A job.
    Job(JobStatus),
    /// A token, as it is given to `wasmgrid join`.
    Token(String),
    /// A task.
    Task(TaskStatus),
    /// The divergences of a job.
    Divergences(Divergences),
    /// Why a job's tasks wait.
    Explanation(Explanation),
    /// The inputs are appended, and durable.
    Appended {
        /// The index that the first of them got.
        first: u64,
    },
    /// Some jobs.
    JobPage {
        /// The newest first.
        #[serde(deserialize_with = "bounded")]
        jobs: Vec<JobStatus>,
        /// Where the list goes on: the `before` of the next page. `None` if there is nothing more.
        /// Any page may have fewer jobs than were asked for, or none.
        next: Option<JobId>,
        /// How many wanted jobs there are from there on.
        more: More,
    },
    /// Some workers.
    WorkerPage {
        /// By number.
        #[serde(deserialize_with = "bounded")]
        workers: Vec<WorkerStatus>,
        /// How many there are behind the last of these.
        more: u64,
        /// How many there are in all that are gone for so long that only those who ask for all are
        /// told of them.
        hidden: u64,
    },
    /// Processes that were refused since the scheduler started, the last for each worker.
    Contests(#[serde(deserialize_with = "bounded")] Vec<Contest>),
    /// Labels that certificates have.
    VouchedPage {
        /// The keys of which only labels of certificates count.
        #[serde(deserialize_with = "bounded")]
        keys: Vec<String>,
        /// By number, those that have any.
        #[serde(deserialize_with = "bounded")]
        workers: Vec<VouchedLabels>,
        /// How many there are behind the last of these.
        more: u64,
    },
    /// Some tenants.
    Tenants {
        /// By name.
        #[serde(deserialize_with = "bounded")]
        tenants: Vec<TenantStatus>,
        /// How many there are behind the last of these.
        more: u64,
    },
    /// A new certificate.
    Renewed(Renewed),
    /// The grid's authority, and certificates that were given.
    Authority(AuthorityStatus),
    /// Some tokens.
    Tokens {
        /// By number.
        #[serde(deserialize_with = "bounded")]
        tokens: Vec<TokenStatus>,
        /// How many there are behind the last of these.
        more: u64,
    },
    /// Some clients and operators.
    Members {
        /// By role and name.
        #[serde(deserialize_with = "bounded")]
        members: Vec<MemberStatus>,
        /// How many there are behind the last of these.
        more: u64,
    },
    /// A worker.
    Worker(WorkerStatus),
    /// The names of those workers that ever were.
    WorkerNames(#[serde(deserialize_with = "bounded")] Vec<(WorkerId, String)>),
    /// Whether new work is taken. Since minor 1.
    Intake {
        /// Why none is taken, if so.
        refusal: Option<ApiError>,
    },
    /// What the scheduler counts. Since minor 2.
    Metrics(Box<Metrics>),
    /// What the tasks of some tenants have used. Since minor 2.
    Usage {
        /// By name.
        #[serde(deserialize_with = "bounded")]
        tenants: Vec<TenantUsage>,
        /// How many there are behind the last of these.
        more: u64,
    },
    /// Inputs of neighbouring tasks; the payload has their bytes. Since minor 2.
    Inputs {
        /// The index of the first of them: of the tasks that were asked for, the first one whose input
        /// is stored. Those before it have none, or it was deleted.
        first: u64,
        /// The inputs. None if none of those that were asked for is stored.
        inputs: InputBlock,
    },
    /// Some entries of the audit log. Since minor 2.
    AuditPage {
        /// By number.
        #[serde(deserialize_with = "bounded")]
        entries: Vec<AuditEntry>,
        /// Where the log goes on: the `after` of the next page. `None` if there is nothing more. Any
        /// page may have fewer entries than are there, or none.
        next: Option<u64>,
    },
    /// A key that was made, with its secret, which is told this once. Since minor 3.
    Key {
        /// The key.
        status: KeyStatus,
        /// By which it is known.
        secret: Secret,
    },
    /// Some keys. Since minor 3.
    Keys {
        /// By id.
        #[serde(deserialize_with = "bounded")]
        keys: Vec<KeyStatus>,
        /// How many there are behind the last of these.
        more: u64,
    },
    /// The key is good, and whose it is. Since minor 3.
    KeyChecked(KeyStatus),
    /// A code with which the asker logs in once. Since minor 3.
    Login {
        /// The code.
        code: Secret,
        /// Until when it is good.
        expires: Micros,
    },
    /// A job with what the scheduler counted of it. Since minor 3.
    JobSummary(Box<JobSummary>),
    /// How the grid is. Since minor 3.
    Overview(Box<Overview>),
    /// Some jobs. Since minor 3.
    JobRows {
        /// The newest first.
        #[serde(deserialize_with = "bounded")]
        jobs: Vec<JobRow>,
        /// Where the list goes on, as in [`Reply::JobPage`].
        next: Option<JobId>,
        /// How many wanted jobs there are from there on.
        more: More,
    },
    /// Some workers. Since minor 3.
    WorkerRows {
        /// By number.
        #[serde(deserialize_with = "bounded")]
        workers: Vec<WorkerRow>,
        /// Where the list goes on: the `after` of the next page. `None` if there is nothing more. Any
        /// page may have fewer workers than were asked for, or none.
        next: Option<WorkerId>,
    },
    /// A function. Since minor 3.
    Function(FunctionStatus),
    /// Some functions. Since minor 3.
    Functions {
        /// By name.
        #[serde(deserialize_with = "bounded")]
        functions: Vec<FunctionStatus>,
        /// How many there are behind the last of these.
        more: u64,
    },
    /// Calls are taken, and durable. Since minor 3.
    Called {
        /// The job that has them.
        job: JobId,
        /// The index that the first of them got.
        first: u64,
        /// A position in the job's result log before their results.
        cursor: u64,
    },
    /// Some modules. Since minor 3.
    Modules {
        /// By digest.
        #[serde(deserialize_with = "bounded")]
        modules: Vec<ModuleStatus>,
        /// Where the list goes on: the `after` of the next page. `None` if there is nothing more. Any
        /// page may have fewer modules than were asked for, or none.
        next: Option<Digest>,
    },
    /// Stands for an answer that this release cannot read. It stays the last variant, has no number
    /// of its own, and nobody sends it but tests.
    #[serde(skip)]
    Unreadable,
}

impl Reply {
    /// The first minor version of the protocol that knows the answer.
    #[must_use]
    pub const fn since(&self) -> u16 {
        match self {
            Self::Intake { .. } => 1,
            Self::Metrics(_)
            | Self::Usage { .. }
            | Self::Inputs { .. }
            | Self::AuditPage { .. } => 2,
            Self::Key { .. } | Self::Keys { .. } | Self::KeyChecked(_) | Self::Login { .. } => 3,
            Self::JobSummary(_)
            | Self::Overview(_)
            | Self::JobRows { .. }
            | Self::WorkerRows { .. } => 3,
            Self::Function(_) | Self::Functions { .. } | Self::Called { .. } => 3,
            Self::Modules { .. } => 3,
            _ => 0,
        }
    }
}

/// How many jobs of a list are behind one of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum More {
    /// So many.
    Exactly(u64),
    /// At most so many: jobs of other names among them were counted too.
    AtMost(u64),
    /// More than one request counts.
    Many,
}

impl Default for More {
    /// None.
    fn default() -> Self {
        Self::Exactly(0)
    }
}

/// First the request's number, then the answer: so that an answer which cannot be read here is known
/// to be one, and its request is not asked for ever.
impl Body for ReplyFrame {
    fn payload_len(&self) -> u64 {
        match &self.reply {
            Ok(Reply::Inputs { inputs, .. }) => inputs.payload_len(),
            _ => 0,
        }
    }

    fn since(&self) -> u16 {
        self.reply.as_ref().map_or(0, Reply::since)
    }

    fn write(&self, out: &mut BytesMut) -> Result<(), postcard::Error> {
        match self.reply {
            // What is read can be written, and is read as the same.
            Ok(Reply::Unreadable) => to_bytes(&(self.id, 0_u8, u32::MAX), out),
            _ => to_bytes(self, out),
        }
    }

    fn read(meta: &[u8]) -> Result<Self, postcard::Error> {
        let (id, body) = postcard::take_from_bytes(meta)?;
        Ok(Self { id, reply: from_bytes(body).unwrap_or(Ok(Reply::Unreadable)) })
    }
}
