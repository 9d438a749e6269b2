//! What a client can ask of the scheduler.

use alloc::{string::String, vec::Vec};

use bytes::BytesMut;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use crate::wire::{ErrorCode, FromClient, Reply};
use crate::{
    Allowance, Digest, InputBlock, JobFilter, JobId, JobSpec, KeyId, Limits, Micros, Millis,
    Resource, Secret, TaskRange, TokenGives, WorkerFilter, WorkerId,
    text::Name,
    wire::{AuthorityRequest, Body, Renew, Role, bounded, from_bytes, to_bytes},
};

/// See [`FromClient::Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// The client's own number of this request.
    pub id: u64,
    /// What it asks.
    pub request: Request,
}

/// A request with a producer's number is not repeated for longer than this after it was sent first: what was
/// done under it is remembered longer.
pub const REPEATED_FOR: Millis = Millis(150_000);

/// What a client can ask. What changes something is durable when it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Is this module here? Answered by [`Reply::Module`].
    HaveModule {
        /// Which.
        digest: Digest,
    },
    /// Keep this module, which is the payload. Refused where it is no task. Answered by
    /// [`Reply::Done`].
    PutModule {
        /// Its digest.
        digest: Digest,
        /// The payload's length.
        size_bytes: u64,
    },
    /// Make a job. Answered by [`Reply::Job`].
    Submit(Submit),
    /// Append inputs to an open job at an index; the payload has their bytes. Answered by
    /// [`Reply::Done`].
    AppendAt {
        /// The job.
        job: JobId,
        /// The index the first of them gets. Where it is below the job's count, the request must
        /// repeat an append that was done, by its content; anything else is a conflict.
        first: u64,
        /// The inputs.
        inputs: InputBlock,
    },
    /// No more inputs come. Answered by [`Reply::Done`].
    Close {
        /// The job.
        job: JobId,
    },
    /// Stop a job; after the answer nothing of it commits. Answered by [`Reply::Done`].
    Cancel {
        /// The job.
        job: JobId,
    },
    /// One job. Answered by [`Reply::Job`].
    Job {
        /// The job.
        job: JobId,
    },
    /// Send a job's results and how it stands. Answered by [`Reply::Job`].
    Watch {
        /// The job.
        job: JobId,
        /// From where, and how much.
        watch: WatchRequest,
    },
    /// Give a worker nothing new; operators only. Answered by [`Reply::Done`].
    Drain {
        /// The worker's name.
        name: String,
    },
    /// Make a token with which machines join; operators only. If it gives labels, from then on the
    /// grid counts only labels of certificates for the labels' keys. Answered by [`Reply::Token`].
    CreateToken {
        /// The token. Only a worker has labels, and no worker is a tenant.
        token: TokenRequest,
        /// What those get who join with it, beside their role.
        gives: TokenGives,
    },
    /// One task. Answered by [`Reply::Task`].
    Task {
        /// The job.
        job: JobId,
        /// The task's index.
        index: u64,
    },
    /// Results of a job that differ and should not. Answered by [`Reply::Divergences`].
    Divergences {
        /// The job.
        job: JobId,
    },
    /// Give a worker nothing new until it is uncordoned, but leave it what it has; operators
    /// only. Answered by [`Reply::Done`].
    Cordon {
        /// The worker's name.
        name: String,
        /// False to take a cordon or a drain back.
        cordoned: bool,
    },
    /// Why a job's tasks wait. Answered by [`Reply::Explanation`].
    Explain {
        /// The job.
        job: JobId,
    },
    /// Append inputs at the end of an open job, beside others who do the same; the payload has their
    /// bytes. Answered by [`Reply::Appended`].
    Append {
        /// The job.
        job: JobId,
        /// The asker's own number as a producer of this job: one that nobody else will make up.
        producer: u64,
        /// Counts the producer's requests from 1; one that repeats the last is done once.
        number: u64,
        /// The inputs.
        inputs: InputBlock,
    },
    /// Make a job of the tasks of an ended one that did not end ok: with their inputs, under their
    /// indices, with its spec. Answered by [`Reply::Job`].
    Retry {
        /// The ended job.
        job: JobId,
        /// The limits of each task, where they are to be others.
        limits: Option<Limits>,
        /// As in [`Submit`].
        idempotency_key: Option<String>,
    },
    /// Jobs, the newest first, as many as fit one answer and are found among those that one request
    /// looks at. Answered by [`Reply::JobPage`].
    JobPage {
        /// Only those submitted before this one: the `next` of the page before; `None` from the newest
        /// on.
        before: Option<JobId>,
        /// At most so many.
        limit: u32,
        /// Only those that meet it.
        filter: JobFilter,
    },
    /// Workers by number, as many as fit one answer. Answered by [`Reply::WorkerPage`].
    WorkerPage {
        /// Only those behind this one; `None` from the first on.
        after: Option<WorkerId>,
        /// Also those that are gone for long, or did not come back to this scheduler.
        all: bool,
    },
    /// The asker feeds this job, which is [attached](JobSpec::attached) to it: as long as the
    /// question is open, the job waits for inputs. Answered by [`Reply::Done`] once the job takes
    /// no more.
    Attend {
        /// The job.
        job: JobId,
    },
    /// Which workers' identities others have too. Answered by [`Reply::Contests`].
    Contests,
    /// Leave indices of an open job out: it has no tasks there. Answered by [`Reply::Done`].
    Skip {
        /// The job.
        job: JobId,
        /// The first index without a task; as in [`Request::AppendAt`].
        first: u64,
        /// How many.
        count: u64,
    },
    /// Which labels of workers are vouched for, by worker, as many as fit one answer. Answered by
    /// [`Reply::VouchedPage`].
    VouchedPage {
        /// Only those behind this one; `None` from the first on.
        after: Option<WorkerId>,
    },
    /// Tenants by name, as many as fit one answer, with what they have and may have; of a client
    /// itself alone. Answered by [`Reply::Tenants`].
    Tenants {
        /// Only those behind this one; `None` from the first on.
        after: Option<String>,
    },
    /// Say how much a tenant may have of something; operators only. Answered by [`Reply::Done`].
    SetQuota {
        /// Whose.
        tenant: String,
        /// Of what.
        resource: Resource,
        /// How much.
        allowed: Allowance,
    },
    /// A new certificate for the asker. Answered by [`Reply::Renewed`].
    Renew(Renew),
    /// About the grid's authority and the certificates that it gave. Answered by
    /// [`Reply::Authority`].
    Authority(AuthorityRequest),
    /// Has the asker given this blob? Who has not given it cannot name it. Answered by
    /// [`Reply::Module`].
    HaveBlob {
        /// Which.
        digest: Digest,
    },
    /// Keep this blob, which is the payload, for jobs of the asker's. Answered by [`Reply::Done`].
    PutBlob {
        /// Its digest.
        digest: Digest,
        /// The payload's length: above 0, and at most
        /// [`BLOB_BYTES_MAX`](crate::BLOB_BYTES_MAX).
        size_bytes: u64,
    },
    /// Tokens by number, as many as fit one answer; operators only. Answered by [`Reply::Tokens`].
    Tokens {
        /// Only those behind this one; `None` from the first on.
        after: Option<u64>,
    },
    /// Take a token back: nobody joins with it any more. Operators only. Answered by
    /// [`Reply::Done`].
    RevokeToken {
        /// Its number.
        token: u64,
    },
    /// Clients and operators, as many as fit one answer; operators only. Answered by
    /// [`Reply::Members`].
    Members {
        /// Only those behind this one; `None` from the first on.
        after: Option<(Role, String)>,
    },
    /// Take a worker, client or operator away: its links end, and its certificate is good for
    /// nothing any more. Operators only. Answered by [`Reply::Done`].
    RemoveMember {
        /// Its role.
        role: Role,
        /// Its name.
        name: String,
    },
    /// One worker. Answered by [`Reply::Worker`].
    Worker {
        /// Its name.
        name: String,
    },
    /// The names of workers, also of those that were taken away. Answered by
    /// [`Reply::WorkerNames`].
    WorkerNames {
        /// Whose.
        #[serde(deserialize_with = "bounded")]
        workers: Vec<WorkerId>,
    },
    /// Whether the scheduler takes new work now. Answered by [`Reply::Intake`]. Since minor 1.
    Intake,
    /// What the scheduler counts; operators only. Answered by [`Reply::Metrics`]. Since minor 2.
    Metrics,
    /// What the tasks of tenants have used, by name, as many as fit one answer; of a client itself
    /// alone. Answered by [`Reply::Usage`]. Since minor 2.
    Usage {
        /// Only those behind this one; `None` from the first on.
        after: Option<String>,
    },
    /// Inputs of a job that are stored, of a run of its tasks: as many as fit one answer. Answered by
    /// [`Reply::Inputs`]. Since minor 2.
    Inputs {
        /// The job.
        job: JobId,
        /// Which tasks' inputs are wanted.
        tasks: TaskRange,
    },
    /// Entries of the audit log, the oldest first, as many as fit one answer and are found among those
    /// that one request looks at; operators only. Answered by [`Reply::AuditPage`]. Since minor 2.
    Audit {
        /// Only those with higher numbers: the `next` of the page before; 0 from the oldest on.
        after: u64,
        /// Only those from this date on.
        since: Option<Micros>,
        /// Only those of callers of this name.
        who: Option<String>,
    },
    /// Make a key of a tenant: an operator's right, and a client's for its own tenant and the role
    /// client. Answered by [`Reply::Key`]. Since minor 3.
    CreateKey {
        /// Whose jobs it sees and submits.
        tenant: Name,
        /// A client's or an operator's.
        role: Role,
        /// Its name; `None` if that is its id.
        name: Option<Name>,
        /// For how long it is good; `None` if that has no end.
        ttl: Option<Millis>,
    },
    /// Keys by id, as many as fit one answer; of a client those of its tenant. Answered by
    /// [`Reply::Keys`]. Since minor 3.
    Keys {
        /// Only those behind this one; `None` from the first on.
        after: Option<KeyId>,
    },
    /// Take a key back, and all that were made with it; of a client those of its tenant. Answered by
    /// [`Reply::Done`]. Since minor 3.
    RevokeKey {
        /// Which.
        id: KeyId,
    },
    /// Is this key good? Gateways only. Answered by [`Reply::KeyChecked`], or refused with
    /// [`Reason::BadKey`](crate::Reason::BadKey). Since minor 3.
    CheckKey {
        /// Which key it says it is.
        id: KeyId,
        /// By which it is that.
        secret: Secret,
    },
    /// Make a code by which the asker logs in once at a gateway, soon. Answered by
    /// [`Reply::Login`]. Since minor 3.
    CreateLogin,
    /// Make a session for whom this code was made; gateways only. Answered by [`Reply::Key`], or
    /// refused with [`Reason::BadLogin`](crate::Reason::BadLogin). Since minor 3.
    Login {
        /// The code.
        code: Secret,
    },
    /// One job with what the scheduler counted of it. Answered by [`Reply::JobSummary`]. Since minor 3.
    JobSummary {
        /// The job.
        job: JobId,
    },
    /// How the grid is; of a client its own tenant's part. Answered by [`Reply::Overview`]. Since
    /// minor 3.
    Overview,
    /// As [`Request::JobPage`], with what the scheduler counts of each job. Answered by
    /// [`Reply::JobRows`]. Since minor 3.
    JobRows {
        /// Only those submitted before this one: the `next` of the page before; `None` from the newest
        /// on.
        before: Option<JobId>,
        /// How many at most.
        limit: u32,
        /// Which.
        filter: JobFilter,
    },
    /// Workers by number, with what the scheduler counts of each, also those that are gone for long.
    /// Answered by [`Reply::WorkerRows`]. Since minor 3.
    WorkerRows {
        /// Only those behind this one: the `next` of the page before; `None` from the first on.
        after: Option<WorkerId>,
        /// How many at most.
        limit: u32,
        /// Which.
        filter: WorkerFilter,
    },
    /// Make a function of the asker's, or give it another job: new calls go to a job of this spec. Answered
    /// by [`Reply::Function`]. Since minor 3.
    DeployFunction {
        /// Its name.
        name: String,
        /// Its job; [`JobSpec::function`] has the terms of its calls.
        spec: JobSpec,
    },
    /// Functions by name, as many as fit one answer: the asker's own. Answered by [`Reply::Functions`].
    /// Since minor 3.
    Functions {
        /// Only those behind this one; `None` from the first on.
        after: Option<String>,
    },
    /// Take a function of the asker's away; calls that it has still run. Answered by [`Reply::Done`].
    /// Since minor 3.
    DeleteFunction {
        /// Its name.
        name: String,
    },
    /// Call a function of the asker's, once with each input; the payload has their bytes. Answered by
    /// [`Reply::Called`]. Since minor 3.
    Call {
        /// Its name.
        name: String,
        /// Refused unless it runs this module.
        module: Option<Digest>,
        /// The asker's own number as a producer, as in [`Request::Append`].
        producer: u64,
        /// Counts the producer's requests from 1; one that repeats the last is done once. A producer counts
        /// on if the function gets another job; it may begin anew at any time under another number.
        number: u64,
        /// The inputs.
        inputs: InputBlock,
    },
    /// Stored modules, by digest, as many as fit one answer and are found among those that one request
    /// looks at: of a client those of its tenant. Answered by [`Reply::Modules`]. Since minor 3.
    Modules {
        /// Only those behind this one: the `next` of the page before; `None` from the first on.
        after: Option<Digest>,
        /// At most so many.
        limit: u32,
        /// Only those of this tenant; `None` those of all tenants that the asker may know of.
        tenant: Option<String>,
    },
    /// Stands for a request that this release does not know. It stays the last variant, has no number
    /// of its own, and nobody asks it but tests. Answered by [`ErrorCode::Unsupported`].
    #[serde(skip)]
    Unknown {
        /// The request's number.
        number: u32,
    },
}

impl Request {
    /// How many requests this release knows: the number that the next new one gets.
    pub const KNOWN: u32 = 54;

    /// The first minor version of the protocol that knows the request.
    #[must_use]
    pub const fn since(&self) -> u16 {
        match self {
            Self::Intake => 1,
            Self::Metrics | Self::Usage { .. } | Self::Inputs { .. } | Self::Audit { .. } => 2,
            // A role that earlier releases do not know.
            Self::CreateToken { token: TokenRequest { role: Role::Gateway, .. }, .. }
            | Self::RemoveMember { role: Role::Gateway, .. }
            | Self::Members { after: Some((Role::Gateway, _)) }
            | Self::CreateKey { .. }
            | Self::Keys { .. }
            | Self::RevokeKey { .. }
            | Self::CheckKey { .. }
            | Self::CreateLogin
            | Self::Login { .. } => 3,
            Self::JobSummary { .. }
            | Self::Overview
            | Self::JobRows { .. }
            | Self::WorkerRows { .. } => 3,
            Self::DeployFunction { .. }
            | Self::Functions { .. }
            | Self::DeleteFunction { .. }
            | Self::Call { .. } => 3,
            Self::Modules { .. } => 3,
            _ => 0,
        }
    }
}

/// See [`Request::Submit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// The job.
    pub spec: JobSpec,
    /// A submit that repeats a key gets the first one's job, where it asks for the same with the
    /// same inputs; else it is a conflict. A key is forgotten with its job.
    pub idempotency_key: Option<String>,
    /// Its first inputs; the payload has their bytes.
    pub inputs: InputBlock,
    /// True where no more inputs come.
    pub closed: bool,
    /// Watch it from the start, which saves a round trip.
    pub watch: Option<WatchRequest>,
}

/// A reader of one job's result log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRequest {
    /// The client's own number of this watch.
    pub watch: u64,
    /// The first result wanted: a position in the job's result log, from 0.
    pub cursor: u64,
    /// How many bytes of results may be sent before more credit comes; one frame may exceed it.
    pub credit_bytes: u64,
}

/// See [`Request::CreateToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// What those who join with it become.
    pub role: Role,
    /// How long it is good for.
    pub ttl: Millis,
    /// How often it may be used.
    pub uses: u32,
}

/// First the client's number of the request, then the request's own number, then its fields: so that
/// a request which is not known here can be answered.
impl Body for RequestFrame {
    fn payload_len(&self) -> u64 {
        match &self.request {
            Request::PutModule { size_bytes, .. } | Request::PutBlob { size_bytes, .. } => {
                *size_bytes
            }
            Request::Submit(submit) => submit.inputs.payload_len(),
            Request::AppendAt { inputs, .. }
            | Request::Append { inputs, .. }
            | Request::Call { inputs, .. } => inputs.payload_len(),
            _ => 0,
        }
    }

    fn since(&self) -> u16 {
        self.request.since()
    }

    fn is_unknown(&self) -> bool {
        matches!(self.request, Request::Unknown { .. })
    }

    fn write(&self, out: &mut BytesMut) -> Result<(), postcard::Error> {
        match self.request {
            Request::Unknown { number } => to_bytes(&(self.id, number), out),
            _ => to_bytes(self, out),
        }
    }

    fn read(meta: &[u8]) -> Result<Self, postcard::Error> {
        let (id, body) = postcard::take_from_bytes(meta)?;
        let (number, _) = postcard::take_from_bytes(body)?;
        if number >= Request::KNOWN {
            return Ok(Self { id, request: Request::Unknown { number } });
        }
        Ok(Self { id, request: from_bytes(body)? })
    }
}
