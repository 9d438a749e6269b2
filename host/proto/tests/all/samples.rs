//! One of everything that is said or written down, with no two fields alike where that can be.

use std::sync::Arc;

use bytes::Bytes;
use wasmgrid_proto::{
    Act, Allowance, Attempt, AttemptItem, AttemptMetrics, AuditEntry, AuditRecord, Blob, ByteCount,
    Caller, CommittedRun, Contest, Cost, Digest, Divergence, Divergences, DropReason, Dropped,
    EndedTasks, Epoch, Explanation, Extension, Extensions, Failing, Fuel, FunctionStatus,
    FunctionTerms, Grant, Histogram, InputBlock, JobCounts, JobFilter, JobId, JobItem, JobMetrics,
    JobSpec, JobState, JobStatus, KeyId, KeyKind, KeyStatus, LabelCount, LeaseId, LeaseMetrics,
    LeaseProof, LeaseTag, Limit, Limits, MemberStatus, Metrics, Micros, Millis, ModuleKind,
    ModuleStatus, Outcome, OutcomeClass, ProducerItem, Reason, Record, Refusal, Resource,
    ResultBlock, ResultMeta, RetryCounter, RunningTask, Secret, ServerMetrics, SnapshotItem,
    StoreMetrics, TaskId, TaskMetrics, TaskRange, TaskResult, TaskSet, TaskSpec, TaskState,
    TaskStatus, TenantShare, TenantStatus, TenantUsage, TokenGives, TokenState, TokenStatus,
    TrapKind, Usage, UsageTotal, Use, VouchedLabels, Wait, WaitReason, Witness, WorkerCapacity,
    WorkerFilter, WorkerId, WorkerMetrics, WorkerReport, WorkerState, WorkerStatus,
    reason::{NotOpen, TokenProblem},
    wire::{
        ActFor, Alive, ApiError, Assign, AuthorityRequest, AuthorityStatus, Cancel, Committed,
        Compiled, Contested, Credit, Denied, Drain, Enroll, Enrolled, Features, FormerAuthority,
        FromClient, FromJoiner, FromWorker, Health, Heartbeat, HeldLease, Hello, Join, Joined,
        LeaseGrant, Leaving, MemberCertificate, Module, More, NeedModule, Overrun, Part, Preparing,
        Proofs, Refused, Renew, RenewSoon, Renewed, Reply, ReplyFrame, Request, RequestFrame,
        ResultsFrame, Returned, Revoke, Role, SignedBy, Submit, ToClient, ToJoiner, ToWorker,
        TokenRequest, Unable, Unwatch, Update, WatchEnded, WatchRequest, WorkerResults,
    },
};

use crate::counted;

pub fn from_worker() -> Vec<FromWorker> {
    vec![
        FromWorker::Join(Join {
            started: Micros(1_700_000_000_000_000),
            capacity: capacity(),
            held: vec![held()],
            proofs: vec![proof()],
        }),
        FromWorker::Heartbeat(Heartbeat { queued: 300, running: vec![running()] }),
        FromWorker::Results(WorkerResults { batch: 70_000, blocks: blocks() }),
        FromWorker::NeedModule(NeedModule { digest: digest() }),
        FromWorker::Returned(Returned {
            job: JobId(2),
            lease: LeaseId(3),
            tasks: vec![range()],
            reason: "revoked".into(),
        }),
        FromWorker::Leaving(Leaving { reason: "SIGTERM".into() }),
        FromWorker::Health(Health {
            unable: Some(Unable {
                part: Part::Compiler,
                reason: "no memory".into(),
                again: Millis(30_000),
            }),
        }),
        FromWorker::Alive(Alive { rival: 300 }),
        FromWorker::Preparing(Preparing {
            jobs: vec![JobId(7), JobId(300)],
            compiled: vec![Compiled { job: JobId(7), took_us: 6_700_000 }],
        }),
        FromWorker::Renew(Renew { csr: vec![0x30, 0x82] }),
        FromWorker::Report(worker_report()),
    ]
}

pub fn to_worker() -> Vec<ToWorker> {
    let grants = vec![
        grant(1, InputBlock::Numbers { start: -5, step: 2, count: 1_000 }),
        grant(9, InputBlock::Packed(vec![3, 0, 2])),
    ];
    vec![
        ToWorker::Joined(Joined { worker: WorkerId(4), epoch: Epoch(5), heartbeat: Millis(1_000) }),
        ToWorker::Assign(Assign { job: JobId(2), spec: task_spec().into(), leases: grants }),
        ToWorker::Cancel(Cancel { job: JobId(2), by: "ada".into() }),
        ToWorker::Revoke(Revoke { job: JobId(2), lease: LeaseId(3), tasks: vec![range()] }),
        ToWorker::Committed(Committed { batches: vec![1, 300] }),
        ToWorker::Module(Module { digest: digest(), size_bytes: 5 }),
        ToWorker::Drain(Drain { leave: true }),
        ToWorker::Contested(Contested { rival: 300, address: "10.0.0.9:4433".into() }),
        ToWorker::Refused(Refused { error: because(Reason::LabelVouched { key: "zone".into() }) }),
        ToWorker::Proofs(Proofs { proofs: vec![proof()] }),
        ToWorker::Overrun(Overrun {
            job: JobId(2),
            lease: LeaseId(3),
            reason: "held for too long".into(),
        }),
        ToWorker::Renewed(renewed()),
        ToWorker::NotRenewed(Denied { error: because(Reason::UnknownKey) }),
        ToWorker::RenewSoon(RenewSoon {}),
    ]
}

pub fn from_client() -> Vec<FromClient> {
    let request = |(id, request)| FromClient::Request(RequestFrame { id, request });
    let mut all: Vec<FromClient> = (1..)
        .zip(
            requests()
                .into_iter()
                .chain(requests_of_certificates_and_members())
                .chain(requests_of_keys())
                .chain(requests_of_modules()),
        )
        .map(request)
        .collect();
    all.push(FromClient::Credit(Credit { watch: 6, bytes: 65_536 }));
    all.push(FromClient::Unwatch(Unwatch { watch: 6 }));
    all
}

fn requests() -> Vec<Request> {
    let job = JobId(2);
    let watch = WatchRequest { watch: 6, cursor: 128, credit_bytes: 1 << 20 };
    let submit = Submit {
        spec: job_spec(),
        idempotency_key: Some("key".into()),
        inputs: InputBlock::Packed(vec![1, 4]),
        closed: true,
        watch: Some(watch),
    };
    vec![
        Request::HaveModule { digest: digest() },
        Request::PutModule { digest: digest(), size_bytes: 5 },
        Request::Submit(submit),
        Request::AppendAt { job, first: 20, inputs: InputBlock::Packed(vec![2, 3]) },
        Request::Close { job },
        Request::Cancel { job },
        Request::Job { job },
        Request::Watch { job, watch },
        Request::Drain { name: "worker-1".into() },
        Request::Task { job, index: 12 },
        Request::Divergences { job },
        Request::Cordon { name: "worker-1".into(), cordoned: true },
        Request::Explain { job },
        Request::Append {
            job,
            producer: 0x1234_5678_9abc_def0,
            number: 3,
            inputs: InputBlock::Packed(vec![2, 3]),
        },
        Request::Retry {
            job,
            limits: Some(Limits::default()),
            idempotency_key: Some("key".into()),
        },
        Request::JobPage {
            before: Some(job),
            limit: 50,
            filter: JobFilter {
                states: vec![JobState::Active, JobState::Failed],
                name: Some("train*".into()),
                tenant: Some("ada".into()),
            },
        },
        Request::WorkerPage { after: Some(WorkerId(4)), all: true },
        Request::Attend { job },
        Request::Contests,
        Request::Skip { job, first: 20, count: 1 << 33 },
        Request::CreateToken {
            token: TokenRequest { role: Role::Worker, ttl: Millis(3_600_000), uses: 2 },
            gives: token_gives(),
        },
        Request::VouchedPage { after: Some(WorkerId(4)) },
        Request::Tenants { after: Some("ada".into()) },
        Request::SetQuota {
            tenant: "ada".into(),
            resource: Resource::Bytes,
            allowed: Allowance::Most(1 << 30),
        },
    ]
}

fn requests_of_certificates_and_members() -> Vec<Request> {
    vec![
        Request::Renew(Renew { csr: vec![0x30, 0x82] }),
        Request::Authority(AuthorityRequest::Certificates {
            after: Some((Role::Client, "ada".into())),
        }),
        Request::Authority(AuthorityRequest::Replace),
        Request::Authority(AuthorityRequest::Retire { force: true }),
        Request::HaveBlob { digest: digest() },
        Request::PutBlob { digest: digest(), size_bytes: 6 },
        Request::Tokens { after: Some(7) },
        Request::RevokeToken { token: 7 },
        Request::Members { after: Some((Role::Client, "ada".into())) },
        Request::RemoveMember { role: Role::Worker, name: "worker-1".into() },
        Request::Worker { name: "worker-1".into() },
        Request::WorkerNames { workers: vec![WorkerId(4)] },
        Request::Intake,
        Request::Metrics,
        Request::Usage { after: Some("ada".into()) },
        Request::Inputs { job: JobId(7), tasks: range() },
        Request::Audit { after: 7, since: Some(Micros(4_000)), who: Some("ada".into()) },
        Request::JobSummary { job: JobId(7) },
        Request::Overview,
        Request::JobRows { before: Some(JobId(7)), limit: 50, filter: JobFilter::default() },
        Request::WorkerRows {
            after: Some(WorkerId(4)),
            limit: 50,
            filter: WorkerFilter {
                states: vec!["ready".into(), "gone".into()],
                name: Some("rack1*".into()),
                label: Some(("zone".into(), "a".into())),
            },
        },
        Request::DeployFunction { name: "squares".into(), spec: function_spec() },
        Request::Functions { after: Some("squares".into()) },
        Request::DeleteFunction { name: "squares".into() },
        Request::Call {
            name: "squares".into(),
            module: Some(digest()),
            producer: 1 << 40,
            number: 7,
            inputs: InputBlock::Packed(vec![1, 0, 3]),
        },
    ]
}

fn requests_of_keys() -> Vec<Request> {
    vec![
        Request::CreateKey {
            tenant: "ada".into(),
            role: Role::Operator,
            name: Some("ci".into()),
            ttl: Some(Millis(3_600_000)),
        },
        Request::Keys { after: Some(KeyId(7)) },
        Request::RevokeKey { id: KeyId(300) },
        Request::CheckKey { id: KeyId(300), secret: Secret([9; 32]) },
        Request::CreateLogin,
        Request::Login { code: Secret([8; 32]) },
    ]
}

fn requests_of_modules() -> Vec<Request> {
    vec![Request::Modules { after: Some(digest()), limit: 50, tenant: Some("ada".into()) }]
}

fn key_status() -> KeyStatus {
    KeyStatus {
        id: KeyId(300),
        tenant: "ada".into(),
        role: Role::Client,
        name: "ci".into(),
        created: Micros(4_000),
        expires: Some(Micros(6_000)),
        last_used_day: Some(20_000),
        kind: KeyKind::Session,
        revoked: true,
    }
}

fn function_spec() -> JobSpec {
    let terms = FunctionTerms { concurrency: Some(4), calls: 300 };
    let spec = JobSpec { extensions: Extensions::NONE, ..job_spec() };
    spec.of_function(terms).expect("encodes")
}

fn function() -> FunctionStatus {
    FunctionStatus {
        name: "squares".into(),
        tenant: "ada".into(),
        module: digest(),
        job: JobId(2),
        terms: FunctionTerms { concurrency: Some(4), calls: 300 },
        deployed: Micros(3_000),
        called: 70_000,
        open: 3,
    }
}

fn module_status() -> ModuleStatus {
    ModuleStatus {
        digest: digest(),
        size: ByteCount(70_000),
        kind: ModuleKind::Task,
        stored: Some(Micros(3_000)),
        tenants: vec!["ada".into()],
        tenant_count: 1,
        jobs: 300,
        functions: 2,
        extensions: extended(false),
    }
}

fn token_gives() -> TokenGives {
    TokenGives {
        labels: vec![("zone".into(), "secure".into())],
        name: Some("ada".into()),
        tenant: Some("team".into()),
    }
}

pub fn to_client() -> Vec<ToClient> {
    let reply = |(id, reply)| ToClient::Reply(ReplyFrame { id, reply });
    let answers = replies().into_iter().chain(other_replies());
    let mut all: Vec<ToClient> = (1..).zip(answers).map(reply).collect();
    all.push(ToClient::Results(ResultsFrame { watch: 6, first_cursor: 128, blocks: blocks() }));
    all.push(ToClient::Update(Update { watch: 6, status: job_status() }));
    let error = because(Reason::JobDeleted { job: JobId(7) });
    all.push(ToClient::WatchEnded(WatchEnded { watch: 6, cursor: 9, error }));
    all
}

fn because(reason: Reason) -> ApiError {
    reason.into()
}

fn replies() -> Vec<Result<Reply, ApiError>> {
    let job = JobId(7);
    let errors = [
        Reason::Gap { job, first: 9, next: 4 },
        Reason::NoJob { job },
        Reason::NotAdmitted { refusal: Box::new(Refusal::ValueMissing) },
        Reason::OthersJob { job, own: "ada".into() },
        Reason::JobClosed { job, why: NotOpen::Closed { at: 4 } },
        Reason::DiskFull,
        Reason::InputsDeleted { job },
        Reason::UnknownRequest { number: 77, ours: "0.1.0".into(), theirs: "0.2.0".into() },
    ];
    let errors = errors.map(|reason| Err(because(reason)));
    let replies = [
        Reply::Done,
        Reply::Module { present: true },
        Reply::Job(job_status()),
        Reply::Token("wgt1.x".into()),
    ];
    let pages = [
        Reply::JobPage { jobs: vec![job_status()], next: Some(JobId(7)), more: More::AtMost(3) },
        Reply::WorkerPage { workers: vec![worker_status()], more: 3, hidden: 2 },
    ];
    replies.map(Ok).into_iter().chain(errors).chain(pages.map(Ok)).collect()
}

fn other_replies() -> Vec<Result<Reply, ApiError>> {
    let divergences = Divergences {
        count: 17,
        list: vec![divergence()],
        workers: vec![(WorkerId(4), "worker-1".into())],
    };
    vec![
        Ok(Reply::Task(task_status())),
        Ok(Reply::Divergences(divergences)),
        Ok(Reply::Explanation(explanation())),
        Ok(Reply::Appended { first: 10 }),
        Ok(Reply::Contests(vec![Contest {
            name: "worker-1".into(),
            address: "10.0.0.9:4433".into(),
            at: Micros(4_000),
        }])),
        Ok(Reply::VouchedPage {
            keys: vec!["zone".into()],
            workers: vec![VouchedLabels {
                worker: WorkerId(4),
                labels: vec![("zone".into(), "secure".into())],
            }],
            more: 3,
        }),
        Ok(Reply::Tenants { tenants: vec![tenant_status()], more: 3 }),
        Ok(Reply::Renewed(renewed())),
        Ok(Reply::Authority(authority_status())),
        Ok(Reply::Tokens { tokens: tokens(), more: 3 }),
        Ok(Reply::Members {
            members: vec![MemberStatus {
                role: Role::Client,
                name: "ada-2".into(),
                tenant: "ada".into(),
                machine: "laptop".into(),
                joined_at: Micros(4_000),
                links: 5,
                seen_at: Some(Micros(6_000)),
            }],
            more: 3,
        }),
        Ok(Reply::Worker(worker_status())),
        Ok(Reply::WorkerNames(vec![(WorkerId(4), "worker-1".into())])),
        Ok(Reply::Intake { refusal: Some(because(Reason::DiskFull)) }),
        Ok(Reply::Metrics(Box::new(metrics()))),
        Ok(Reply::Usage {
            tenants: vec![TenantUsage {
                name: "ada".into(),
                usage: usage(),
                extensions: extended(false),
            }],
            more: 3,
        }),
        Ok(Reply::Inputs { first: 10, inputs: InputBlock::Packed(vec![1, 0, 3]) }),
        Ok(Reply::AuditPage { entries: vec![audit_entry()], next: Some(300) }),
        Ok(Reply::Key { status: key_status(), secret: Secret([9; 32]) }),
        Ok(Reply::Keys { keys: vec![key_status()], more: 3 }),
        Ok(Reply::KeyChecked(key_status())),
        Ok(Reply::Login { code: Secret([8; 32]), expires: Micros(6_000) }),
        Ok(Reply::JobSummary(Box::new(counted::job_summary()))),
        Ok(Reply::Overview(Box::new(counted::overview()))),
        Ok(Reply::JobRows {
            jobs: vec![counted::job_row()],
            next: Some(JobId(7)),
            more: More::Exactly(3),
        }),
        Ok(Reply::WorkerRows { workers: vec![counted::worker_row()], next: Some(WorkerId(4)) }),
        Ok(Reply::Function(function())),
        Ok(Reply::Functions { functions: vec![function()], more: 7 }),
        Ok(Reply::Called { job: JobId(2), first: 70_000, cursor: 128 }),
        Ok(Reply::Modules { modules: vec![module_status()], next: Some(digest()) }),
    ]
}

pub fn metrics() -> Metrics {
    let mut task_us = Histogram::default();
    [3, 70_000, 1 << 33].into_iter().for_each(|duration_us| task_us.count(duration_us));
    Metrics {
        usage: usage(),
        attempts: AttemptMetrics {
            given: 310,
            app_retries: 2,
            host_loss_retries: 3,
            infra_retries: 4,
            late: 5,
            diverged: 6,
        },
        leases: LeaseMetrics { granted: 70, returned: 2, lost: 3, expired: 4, held: 5 },
        tasks: TaskMetrics { queued: 300, assigned: 7 },
        jobs: JobMetrics { submitted: 15, active: 2, ok: 3, failed: 4, cancelled: 5, expired: 1 },
        workers: WorkerMetrics {
            ready: 9,
            draining: 2,
            drained: 3,
            cordoned: 4,
            failing: 5,
            gone: 6,
            slots: 72,
            free_slots: 7,
        },
        store: StoreMetrics {
            log_bytes: 1 << 20,
            module_bytes: 1 << 21,
            snapshot_bytes: 1 << 22,
            journal_bytes: 1 << 23,
        },
        server: ServerMetrics {
            commits: 11,
            committed_items: 12,
            committed_bytes: 13,
            commit_us: Histogram::default(),
            uncommitted_items: 14,
            uncommitted_bytes: 15,
            inbox_messages: 16,
            worker_links: 17,
            client_links: 18,
            watches: 19,
            requests: 20,
            requests_refused: 21,
            links_refused: 22,
            task_us,
        },
        extensions: Extensions::NONE,
    }
}

fn audit_entry() -> AuditEntry {
    let token = TokenRequest { role: Role::Worker, ttl: Millis(3_600_000), uses: 2 };
    let by = Caller {
        gateway: None,
        role: Role::Operator,
        name: "olga".into(),
        tenant: "operator/olga".into(),
        serial: Some("4a01".into()),
    };
    let act = Act::new_token(&token, &token_gives()).of_token(7);
    let record = AuditRecord::done(Micros(3_000), Micros(4_000), by, act);
    let outcome = "token_request_invalid".into();
    let record = AuditRecord { outcome, count: 2, extensions: extended(false), ..record };
    AuditEntry { number: 300, record }
}

/// A token in every state.
fn tokens() -> Vec<TokenStatus> {
    let states = [TokenState::Good, TokenState::UsedUp, TokenState::Revoked, TokenState::Expired];
    let token = |(token, state)| TokenStatus {
        token,
        role: Role::Client,
        gives: token_gives(),
        state,
        uses_left: 2,
        expires: Micros(5_000),
    };
    (7..).zip(states).map(token).collect()
}

fn tenant_status() -> TenantStatus {
    let uses = Resource::ALL.map(|resource| Use {
        resource,
        used: 3,
        allowed: (resource != Resource::WaitingTasks).then_some(1 << 20),
        own: resource == Resource::Bytes,
    });
    TenantStatus { name: "ada".into(), uses: uses.to_vec() }
}

fn renewed() -> Renewed {
    Renewed { certificate: vec![0x30, 0x81], authority: vec![0x30, 0x83] }
}

fn authority_status() -> AuthorityStatus {
    let (issued, ends) = (Micros(1_700_000_000_000_000), Micros(1_731_536_000_000_000));
    AuthorityStatus {
        fingerprint: [7; 32],
        ends: Micros(2_015_360_000_000_000),
        former: Some(FormerAuthority { fingerprint: [6; 32], ends }),
        certificates: vec![MemberCertificate {
            role: Role::Worker,
            name: "worker-1".into(),
            issued,
            ends,
            signed_by: SignedBy::Former,
        }],
        more: 3,
    }
}

pub fn from_joiner() -> Vec<FromJoiner> {
    vec![FromJoiner::Enroll(Enroll {
        token: 7,
        secret: [8; 32],
        name: "worker-1".into(),
        csr: vec![0x30, 0x82],
        former: Some(vec![0x30, 0x80]),
    })]
}

pub fn to_joiner() -> Vec<ToJoiner> {
    vec![
        ToJoiner::Enrolled(Enrolled {
            role: Role::Worker,
            name: "worker-1".into(),
            certificate: vec![0x30, 0x81],
            authority: vec![0x30, 0x83],
        }),
        ToJoiner::Denied(Denied {
            error: because(Reason::BadToken { problem: TokenProblem::UsedUp }),
        }),
    ]
}

pub fn records() -> Vec<Record> {
    let (job, at) = (JobId(2), Micros(1_700_000_000_000_000));
    vec![
        Record::EpochStarted { epoch: Epoch(5), at },
        Record::JobSubmitted {
            job,
            spec: Box::new(job_spec()),
            idempotency_key: Some("key".into()),
            digest: digest(),
            at,
        },
        Record::InputsAppended { job, tasks: range(), bytes: 0 },
        Record::InputsClosed { job },
        Record::CancelRequested { job, by: "ada".into(), at },
        Record::Committed {
            job,
            first_cursor: 128,
            runs: vec![CommittedRun { tasks: range(), class: OutcomeClass::Ok }],
            cost: Cost::default(),
        },
        Record::Ended { job, tasks: vec![range()], class: OutcomeClass::Skipped },
        Record::JobEnded { job, state: JobState::Failed, at },
        Record::WorkerKnown { worker: WorkerId(4), name: "worker-1".into() },
        Record::AttemptsFailed {
            job,
            tasks: vec![range()],
            attempt: 2,
            counter: RetryCounter::Infra,
            worker: WorkerId(4),
            at,
            reason: "no module".into(),
            last: true,
        },
        Record::Diverged { job, divergence: Box::new(divergence()) },
        Record::WorkerCordoned { worker: WorkerId(4), cordoned: true },
        Record::ProducerNoted { job, producer: 0x1234_5678_9abc_def0, number: 3, first: 10 },
        Record::InputsTaken { job, of: JobId(1), tasks: vec![range()] },
        Record::InputsDigest { job, tasks: range(), digest: digest() },
        Record::InputsDropped { job, tasks: vec![range()] },
        Record::ResultsDropped { job, dropped: dropped() },
        Record::JobForgotten { job },
        Record::TimePassed { time: Micros(5_000), date: at },
        Record::IndicesSkipped { job, tasks: range() },
        Record::QuotaSet {
            tenant: "ada".into(),
            resource: Resource::OpenJobs,
            allowed: Allowance::Unbounded,
        },
        Record::FuelUsed { tenant: "ada".into(), day: 20_000, fuel: Fuel(1 << 40) },
        Record::WorkerRemoved { worker: WorkerId(4) },
        Record::WorkerDrained { worker: WorkerId(4), process: Some(Micros(1_000)) },
        Record::FunctionSet {
            tenant: "ada".into(),
            name: "squares".into(),
            job: Some(job),
            called: 70_000,
            deployed: at,
        },
    ]
}

/// Records with all extensions that they can have.
pub fn extended_records() -> Vec<Record> {
    let (job, runs) = (JobId(2), vec![CommittedRun { tasks: range(), class: OutcomeClass::Ok }]);
    vec![
        Record::InputsAppended { job, tasks: range(), bytes: 70_000 },
        Record::Committed { job, first_cursor: 128, runs, cost: usage().cost },
    ]
}

pub fn snapshot() -> Vec<SnapshotItem> {
    let mut items = first_items();
    items.extend(callers());
    items
}

/// Those that remember who asked.
fn callers() -> Vec<SnapshotItem> {
    let job = JobId(2);
    let producer = ProducerItem {
        producer: 0x1234_5678_9abc_def0,
        number: 3,
        job,
        first: 10,
        at: Micros(5_000),
    };
    vec![
        SnapshotItem::Appenders { job, producers: vec![producer] },
        SnapshotItem::Callers {
            tenant: "ada".into(),
            name: "squares".into(),
            producers: vec![producer, producer],
        },
    ]
}

fn first_items() -> Vec<SnapshotItem> {
    let job = JobId(2);
    let note = AttemptItem {
        attempt: 2,
        counter: RetryCounter::Infra,
        worker: WorkerId(4),
        at: Micros(1_000),
        reason: "no module".into(),
    };
    let item = JobItem {
        job,
        spec: job_spec(),
        idempotency_key: Some("key".into()),
        digest: digest(),
        epoch: Epoch(5),
        submitted_at: Micros(1_000),
        submitted: Micros(900),
        cancelled_by: Some("ada".into()),
        state: JobState::Cancelled,
        ended_at: Some(Micros(2_000)),
        ended: Some(Micros(1_900)),
        closed: true,
        results: 128,
        dropped: Some(dropped()),
        source: Some(JobId(1)),
        next_index: 130,
        not_ok_overflown: true,
        counts: job_status().counts,
    };
    vec![
        SnapshotItem::Grid { epoch: Epoch(5), last_job: job, last_worker: WorkerId(4) },
        SnapshotItem::Worker {
            worker: WorkerId(4),
            name: "worker-1".into(),
            cordoned: true,
            drained: Some(Micros(1_000)),
        },
        SnapshotItem::Job(item),
        SnapshotItem::Tasks { job, set: TaskSet::InputsSpent, tasks: vec![range()] },
        SnapshotItem::Attempts { job, index: 12, app: 1, host_losses: 2, infra: 3 },
        SnapshotItem::Inputs { job, segments: vec![(range(), true)] },
        SnapshotItem::Appends { job, appends: vec![(range(), digest())] },
        SnapshotItem::Producers { job, producers: vec![(0x1234_5678_9abc_def0, 3, 10)] },
        SnapshotItem::Notes { job, index: 12, lost: true, dropped: 2, notes: vec![note] },
        SnapshotItem::Divergences { job, divergences: vec![divergence()] },
        SnapshotItem::Terms { job, terms: vec![(12, Epoch(7)), (300, Epoch(9))] },
        SnapshotItem::Time { time: Micros(5_000), date: Micros(1_700_000_000_000_000) },
        SnapshotItem::Quota {
            tenant: "ada".into(),
            resource: Resource::Jobs,
            allowed: Allowance::Most(7),
        },
        SnapshotItem::FuelUsed { tenant: "ada".into(), day: 20_000, fuel: Fuel(1 << 40) },
        SnapshotItem::FormerWorker { worker: WorkerId(4), name: "worker-1".into() },
        SnapshotItem::Usage { tenant: "ada".into(), usage: usage() },
        SnapshotItem::Function {
            tenant: "ada".into(),
            name: "squares".into(),
            job: JobId(2),
            before: Some(JobId(1)),
            called: 70_000,
            deployed: Micros(3_000),
        },
    ]
}

const fn usage() -> UsageTotal {
    UsageTotal {
        ended: EndedTasks { ok: 300, failed: 2, lost: 3, cancelled: 4, expired: 5, skipped: 6 },
        cost: Cost { fuel: 1 << 40, wall_us: 70_000, bytes: 1 << 20 },
        input_bytes: 400,
    }
}

const fn dropped() -> Dropped {
    Dropped { before: 7, why: DropReason::JobBytes, at: Micros(3_000) }
}

/// Every state of a worker.
pub fn worker_states() -> Vec<WorkerState> {
    let failing = Failing { until: Some(Micros(5_000)), reason: "lost".into() };
    vec![
        WorkerState::Ready,
        WorkerState::Draining,
        WorkerState::Gone,
        WorkerState::Cordoned,
        WorkerState::Failing(failing),
        WorkerState::Drained,
    ]
}

/// Reasons to wait that an [`explanation`] does not have.
pub fn other_reasons() -> Vec<Wait> {
    vec![
        Wait::Unable { workers: 3, unable: 2, name: "worker-1".into(), reason: "no memory".into() },
        Wait::Failing { workers: 2, until: Micros(5_000) },
        Wait::Elsewhere { workers: 4 },
        Wait::Quota { resource: Resource::Bytes, used: 5, allowed: 4 },
        Wait::Preparing { workers: 6 },
    ]
}

/// Bytes for a message's payload.
pub fn payload(length: u64) -> Bytes {
    (0..length).map(|k| k as u8).collect()
}

/// Every outcome there is, in one block for one worker and the rest in another.
fn blocks() -> Vec<Arc<ResultBlock>> {
    let outcomes = [
        Outcome::Ok,
        Outcome::Rejected("bad".into()),
        Outcome::Retry("busy".into()),
        Outcome::Exit(-3),
        Outcome::Trap { kind: TrapKind::Stack, backtrace: "main".into() },
        Outcome::Limit { limit: Limit::Memory, used: 65, allowed: 64 },
        Outcome::Refused("no".into()),
        Outcome::Cancelled("ada".into()),
        Outcome::Lost("gone".into()),
    ];
    let result = |(index, outcome)| ResultMeta {
        index,
        outcome,
        usage: Usage { fuel: 1_000, memory_bytes: 65_536, wall_us: 7 },
        output_len: 2,
        record_lens: vec![1, 0],
        log_len: 3,
        log_dropped: 4,
    };
    let results = (10..).zip(outcomes).map(result).collect();
    let block = |lease, results| ResultBlock {
        job: JobId(2),
        lease: LeaseId(lease),
        worker: WorkerId(4),
        attempt: 1,
        results,
        extensions: extensions(),
    };
    vec![block(3, results).into(), block(300, Vec::new()).into()]
}

fn grant(first: u64, inputs: InputBlock) -> LeaseGrant {
    LeaseGrant { lease: LeaseId(3), attempt: 2, first, inputs }
}

fn held() -> HeldLease {
    HeldLease { job: JobId(2), lease: LeaseId(3), attempt: 1, tasks: vec![range()] }
}

const fn proof() -> LeaseProof {
    LeaseProof { lease: LeaseId(3), tasks: range(), tag: LeaseTag([9; 16]) }
}

const fn range() -> TaskRange {
    TaskRange { first: 10, count: 200 }
}

fn running() -> RunningTask {
    let task = TaskId { job: JobId(2), index: 11 };
    RunningTask { task, elapsed_ms: 250, progress: Some((1, 4)) }
}

fn capacity() -> WorkerCapacity {
    WorkerCapacity {
        slots: 8,
        memory: ByteCount(1 << 30),
        labels: vec![("zone".into(), "a".into())],
        engine: "engine 1".into(),
    }
}

fn digest() -> Digest {
    Digest::of(b"module")
}

fn task_spec() -> TaskSpec {
    TaskSpec {
        module: digest(),
        kind: ModuleKind::Command,
        args: vec!["-v".into()],
        limits: Limits { fuel: Fuel(2_000_000_000), ..Limits::default() },
        seed: 42,
        grants: vec![Grant::Clock, Grant::Random],
        tenant: "ada".into(),
        program: "squares".into(),
        ok_exits: vec![1, 300],
        blobs: vec![Blob { name: "with".into(), digest: digest() }],
        extensions: extensions(),
    }
}

pub fn job_spec() -> JobSpec {
    JobSpec {
        name: "squares".into(),
        task: task_spec(),
        priority: -1,
        retries: 3,
        max_failures: Some(10),
        deadline: Some(Millis(60_000)),
        requires: vec![("gpu".into(), "yes".into()), ("zone".into(), "b".into())],
        attached: true,
        extensions: extensions(),
    }
}

/// An extension that earlier releases do not know and may ignore.
pub fn extensions() -> Extensions {
    extended(false)
}

/// One extension that no release knows.
pub fn extended(critical: bool) -> Extensions {
    let list = vec![Extension { id: 0x1234, critical, bytes: vec![1, 2, 3] }];
    Extensions::new(list).expect("one is not too many")
}

/// What each side says first.
pub fn hello() -> Hello {
    Hello { features: Features(5), extensions: extensions(), ..Hello::new("1.2.3") }
}

/// The same of a gateway that acts for somebody.
pub fn acting_hello() -> Hello {
    let act_for = ActFor { tenant: "ada".into(), role: Role::Operator, name: "ci".into() };
    hello().acting_for(&act_for)
}

/// Every reason to wait there is.
fn explanation() -> Explanation {
    let tenants = || vec![TenantShare { tenant: "bob".into(), weight: 3, tasks: 8 }];
    let (until, needed) = (Micros(1_700_000_000_000_000), ByteCount(1 << 30));
    let label = LabelCount { key: "zone".into(), value: "b".into(), workers: 0 };
    let waits = [
        Wait::Recovering { until },
        Wait::NoWorker,
        Wait::Labels { required: vec![label] },
        Wait::Memory { needed, largest: ByteCount(1 << 29) },
        Wait::NotTaking { cordoned: 1, draining: 2 },
        Wait::MemoryTaken { needed, free: ByteCount(7) },
        Wait::Busy { workers: 2, slots: 16, tenants: tenants() },
        Wait::Share { tenants: tenants() },
        Wait::Priority { jobs: 3, first: JobId(1) },
        Wait::Paused { until },
        Wait::Suspects { workers: 4 },
        Wait::OpenInputs,
        Wait::DiskFull,
        Wait::Ready,
    ];
    let reasons = (1..).zip(waits).map(|(tasks, wait)| WaitReason { tasks, wait }).collect();
    let JobStatus { job, state, counts, .. } = job_status();
    Explanation { job, tenant: "ada".into(), state, counts, reasons }
}

pub fn job_status() -> JobStatus {
    JobStatus {
        job: JobId(2),
        spec: job_spec(),
        state: JobState::Active,
        closed: false,
        counts: JobCounts {
            total: 36,
            queued: 1,
            running: 2,
            ok: 3,
            failed: 4,
            cancelled: 5,
            expired: 6,
            skipped: 15,
            retried: 8,
            discarded: 9,
        },
        results: 12,
        submitted_at: Micros(1_000),
        ended_at: Some(Micros(2_000)),
    }
}

fn divergence() -> Divergence {
    let witness =
        |attempt, bytes| Witness { worker: WorkerId(4), attempt, digest: Digest::of(bytes) };
    let at = Micros(1_700_000_000_000_000);
    Divergence { index: 12, at, committed: witness(2, b"one"), late: witness(1, b"other") }
}

fn task_status() -> TaskStatus {
    let attempt = Attempt {
        attempt: 1,
        counter: RetryCounter::HostLoss,
        worker: "worker-1".into(),
        at: Micros(3_000),
        reason: "silent".into(),
    };
    let result = TaskResult {
        cursor: 128,
        outcome: Outcome::Lost("gone".into()),
        usage: Usage { fuel: 1_000, memory_bytes: 65_536, wall_us: 7 },
        output_bytes: 2,
        records: 3,
        log_bytes: 4,
    };
    TaskStatus {
        task: TaskId { job: JobId(2), index: 12 },
        state: TaskState::Ended,
        attempt: 2,
        worker: "worker-2".into(),
        suspect: true,
        attempts: vec![attempt],
        attempts_dropped: 5,
        result: Some(result),
        log: vec![0x6c, 0x6f, 0x67],
    }
}

pub fn worker_report() -> WorkerReport {
    WorkerReport {
        isolation: "process".into(),
        jail_lacks: vec!["cgroup".into(), "user".into()],
        extensions: extensions(),
    }
}

pub fn worker_status() -> WorkerStatus {
    WorkerStatus {
        worker: WorkerId(4),
        name: "worker-1".into(),
        address: "127.0.0.1:9".into(),
        state: WorkerState::Draining,
        capacity: capacity(),
        assigned: 16,
        committed: 17,
        heard_at: Micros(3_000),
        running: vec![running()],
    }
}
