//! Between a client and the scheduler.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Allowance, Contest, Digest, Divergences, Explanation, InputBlock, JobFilter, JobId, JobSpec,
    JobStatus, Limits, MemberStatus, Millis, Resource, ResultBlock, TaskStatus, TenantStatus,
    TokenGives, TokenStatus, VouchedLabels, WorkerId, WorkerStatus,
    frame::FrameError,
    wire::{
        AuthorityRequest, AuthorityStatus, Payload, Renew, Renewed, Role, Unsendable, bounded,
        messages,
    },
};

messages! {
    /// What a client says.
    FromClient {
        /// A question; answered by one [`ToClient::Reply`] with the same number.
        0x0301 Request(RequestFrame),
        /// More room for results of a watch.
        0x0302 Credit(Credit),
        /// Send no more of a watch.
        0x0303 Unwatch(Unwatch),
    }
}

messages! {
    /// What the scheduler says to a client.
    ToClient {
        /// The answer to a request.
        0x0401 Reply(ReplyFrame),
        /// Results of a watched job, in the order of its result log.
        0x0402 Results(ResultsFrame),
        /// How a watched job stands; sent when it changes, a few times a second at most, and
        /// once for its end, after its last result.
        0x0403 Update(Update),
        /// A watch ends early: nothing more comes of it.
        0x0404 WatchEnded(WatchEnded),
    }
}

/// A request is measured before it is sent, where there is somebody to be told.
impl Unsendable for FromClient {}

impl Unsendable for ToClient {
    fn instead(&self, why: &FrameError) -> Option<Self> {
        let error = |what: &str| ApiError {
            code: ErrorCode::Gone,
            message: format!("{what} cannot be sent: {why}"),
        };
        match self {
            Self::Reply(frame) => {
                let reply = Err(error("the answer"));
                Some(Self::Reply(ReplyFrame { id: frame.id, reply }))
            }
            Self::Results(frame) => {
                let (watch, cursor) = (frame.watch, frame.first_cursor);
                let error = error(&format!("the results from {cursor} on"));
                Some(Self::WatchEnded(WatchEnded { watch, cursor, error }))
            }
            Self::Update(_) | Self::WatchEnded(_) => None,
        }
    }
}

/// See [`FromClient::Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// The client's own number of this request.
    pub id: u64,
    /// What it asks.
    pub request: Request,
}

/// What a client can ask. What changes something is durable when it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "a few exist at a time; a box would cost an allocation"
)]
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
    /// Append inputs to an open job; the payload has their bytes. Answered by [`Reply::Done`].
    Append {
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
    /// The newest jobs, as many as fit one answer; [`Request::JobPage`] says how many do not.
    /// Answered by [`Reply::Jobs`].
    Jobs {
        /// At most so many.
        limit: u32,
    },
    /// Send a job's results and how it stands. Answered by [`Reply::Job`].
    Watch {
        /// The job.
        job: JobId,
        /// From where, and how much.
        watch: WatchRequest,
    },
    /// Workers, as many as fit one answer; [`Request::WorkerPage`] says how many do not. Answered
    /// by [`Reply::Workers`].
    Workers,
    /// Give a worker nothing new; operators only. Answered by [`Reply::Done`].
    Drain {
        /// The worker's name.
        name: String,
    },
    /// Make a token with which machines join; operators only. Answered by [`Reply::Token`].
    CreateToken(TokenRequest),
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
    /// Append inputs behind whatever an open job has, beside others who do the same; the payload
    /// has their bytes. Answered by [`Reply::Appended`].
    Extend {
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
    /// Jobs, the newest first, as many as fit one answer. Answered by [`Reply::JobPage`].
    JobPage {
        /// Only those submitted before this one; `None` from the newest on.
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
        /// The first index without a task; as in [`Request::Append`].
        first: u64,
        /// How many.
        count: u64,
    },
    /// Make a token that gives a name, a tenant or labels; from then on the grid counts only labels
    /// of certificates for the labels' keys. Operators only. Answered by [`Reply::Token`].
    CreateTokenWith {
        /// The token. Only a worker has labels, and no worker is a tenant.
        token: TokenRequest,
        /// What those who join with it get.
        gives: TokenGives,
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

/// See [`FromClient::Credit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Which watch.
    pub watch: u64,
    /// How many more bytes.
    pub bytes: u64,
}

/// See [`FromClient::Unwatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwatch {
    /// Which watch.
    pub watch: u64,
}

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
    /// Jobs.
    Jobs(#[serde(deserialize_with = "bounded")] Vec<JobStatus>),
    /// Workers.
    Workers(#[serde(deserialize_with = "bounded")] Vec<WorkerStatus>),
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
        /// How many there are behind the last of these; at most so many, if a name was asked for
        /// and they are too many to look at at once. 0 only if there are none.
        more: u64,
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
}

/// See [`ToClient::Results`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultsFrame {
    /// Which watch.
    pub watch: u64,
    /// The first result's position in the job's result log.
    pub first_cursor: u64,
    /// The results; their payloads stand one behind the other.
    #[serde(deserialize_with = "bounded")]
    pub blocks: Vec<ResultBlock>,
}

impl ResultsFrame {
    /// What one result counts against a watch's credit beside its bytes: about what it takes in
    /// memory. Without it a flood of empty results would be free.
    pub const RESULT_COST: u64 = 128;

    /// How much of a watch's credit the frame uses up, in bytes. Both sides count by it.
    #[must_use]
    pub fn credit_bytes(&self) -> u64 {
        let results: u64 = self.blocks.iter().map(|block| block.results.len() as u64).sum();
        self.payload_len() + results * Self::RESULT_COST
    }
}

/// See [`ToClient::Update`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which watch.
    pub watch: u64,
    /// How the job stands.
    pub status: JobStatus,
}

/// See [`ToClient::WatchEnded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEnded {
    /// Which watch.
    pub watch: u64,
    /// The position behind the last result that was sent; frames of these may come later.
    pub cursor: u64,
    /// Why.
    pub error: ApiError,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What sort of reason.
    pub code: ErrorCode,
    /// What is wrong, and what would help.
    pub message: String,
}

/// The sorts of reasons for which a request is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The request makes no sense as it is.
    Invalid,
    /// There is no such job, worker or module.
    NotFound,
    /// The module or the job is not accepted.
    Refused,
    /// The asker's role does not allow it.
    Forbidden,
    /// The state of the job does not allow it (it is closed, or has ended).
    Conflict,
    /// Not now: the store cannot write, or the scheduler is stopping. Nothing was done.
    Unavailable,
    /// It was there and is dropped: results beyond what the grid keeps.
    Gone,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Gone => "gone",
        })
    }
}

impl Payload for Credit {}
impl Payload for Unwatch {}
impl Payload for ReplyFrame {}
impl Payload for Update {}
impl Payload for WatchEnded {}

impl Payload for RequestFrame {
    fn payload_len(&self) -> u64 {
        match &self.request {
            Request::PutModule { size_bytes, .. } | Request::PutBlob { size_bytes, .. } => {
                *size_bytes
            }
            Request::Submit(submit) => submit.inputs.payload_len(),
            Request::Append { inputs, .. } | Request::Extend { inputs, .. } => inputs.payload_len(),
            _ => 0,
        }
    }
}

impl Payload for ResultsFrame {
    fn payload_len(&self) -> u64 {
        self.blocks.iter().map(ResultBlock::payload_len).sum()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{JobId, LeaseId, Outcome, ResultMeta, Usage, WorkerId};

    #[test]
    fn results_use_credit_for_their_bytes_and_for_their_number() {
        let meta = |output_len| ResultMeta {
            index: 0,
            outcome: Outcome::Ok,
            usage: Usage::default(),
            output_len,
            record_lens: vec![1, 2],
            log_len: 4,
            log_dropped: 99,
        };
        let block = |results| ResultBlock {
            job: JobId(1),
            lease: LeaseId(1),
            worker: WorkerId(1),
            attempt: 1,
            results,
        };
        let blocks = vec![block(vec![meta(10), meta(0)]), block(vec![meta(0)])];
        let frame = ResultsFrame { watch: 1, first_cursor: 0, blocks };
        assert_eq!(frame.credit_bytes(), 10 + 3 * 7 + 3 * ResultsFrame::RESULT_COST);
    }
}
