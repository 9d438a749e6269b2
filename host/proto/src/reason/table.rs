//! The reasons, each with its data, its category, its stable name, and its text, which says what its
//! fields are. New reasons are appended, and so are new fields of a reason.

use alloc::boxed::Box;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Action, Count, ErrorCode, Excess, Indices, KeyFault, KeyUse, Length, NAME_MAX, Names, NotOpen,
    TEXT_MAX, TokenFault, TokenProblem, Upload,
};
use crate::{
    ByteCount, Digest, DropReason, JobId, JobState, KeyId, Micros, Millis, ModuleKind, Refusal,
    text::{Detail, Name, Text},
    wire::Role,
};

/// A reason as the reference lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its category.
    pub code: ErrorCode,
    /// What it means.
    pub meaning: &'static str,
}

/// Makes [`Reason`] of a table: of each its meaning, its fields, and `code, name, text`.
macro_rules! reasons {
    ($(
        $(#[doc = $meaning:literal])+
        $variant:ident $({ $($field:ident: $type:ty),* })? = $code:ident, $name:literal, $text:literal;
    )*) => {
        /// Why a request was refused. `Display` is the text with the values of the fields.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the text beside each reason says what its fields are")]
        pub enum Reason {
            /// A reason of a newer release: its category, its name and its text.
            Unknown { code: ErrorCode, name: Text<NAME_MAX>, text: Text<TEXT_MAX> },
            $(
                $(#[doc = $meaning])+
                #[doc = concat!("\n\n`", $name, "`: ", $text)]
                $variant $({ $($field: $type),* })?,
            )*
        }

        impl Reason {
            /// All that are known here, in the order of the table.
            pub const ALL: &[Entry] = &[
                $(Entry {
                    name: $name,
                    code: ErrorCode::$code,
                    meaning: concat!($($meaning),+),
                },)*
            ];

            /// The name that stays the same, in `snake_case`.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    Self::Unknown { name, .. } => name,
                    $(Self::$variant $({ $($field: _),* })? => $name,)*
                }
            }

            /// Its category.
            #[must_use]
            pub const fn code(&self) -> ErrorCode {
                match self {
                    Self::Unknown { code, .. } => *code,
                    $(Self::$variant $({ $($field: _),* })? => ErrorCode::$code,)*
                }
            }
        }

        impl fmt::Display for Reason {
            #[allow(unused_variables, reason = "not every text shows all that a reason has")]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Unknown { text, .. } => text.fmt(f),
                    $(Self::$variant $({ $($field),* })? => write!(f, $text),)*
                }
            }
        }
    };
}

reasons! {
    /// There is no such job: it never existed, or was deleted some time after it ended.
    NoJob { job: JobId } = NotFound, "no_such_job", "there is no job {job}";
    /// The job has no task of this index.
    NoTask { job: JobId, index: u64 } = NotFound, "no_such_task", "there is no task {job}/{index}";
    /// The job retries some tasks of another job, and this one is not among them.
    NotRetried { job: JobId, index: u64, of: JobId, nearest: Indices } = NotFound, "task_not_retried",
        "there is no task {job}/{index}: job {job} runs some of the tasks of job {of} again, under their \
         indices; the nearest it has: {nearest}";
    /// No worker of this name is known.
    NoWorker { name: Name } = NotFound, "no_such_worker", "the grid has no worker called {name:?}";
    /// No worker of this name is connected.
    WorkerAway { name: Name } = NotFound, "worker_not_connected",
        "no worker called {name:?} is connected";
    /// No member of this role and name has joined, or it was removed.
    NoMember { role: Role, name: Name } = NotFound, "no_such_member",
        "the grid has no {role} called {name:?}";
    /// The member was removed earlier.
    AlreadyRemoved { role: Role, name: Name, at: Micros } = NotFound, "member_already_removed",
        "the grid has no {role} called {name:?}; one was removed on {at}";
    /// No member of this role has the name, but one of another role has it.
    OtherRole { role: Role, name: Name, other: Role } = NotFound, "member_of_other_role",
        "the grid has no {role} called {name:?}, but there is a member of that name with the role {other}";
    /// There is no such token, or it has expired.
    NoToken { token: u64 } = NotFound, "no_such_token",
        "there is no token {token:016x}, or it has expired";
    /// The module of a job was not sent before the job.
    NoModule { digest: Digest } = NotFound, "no_such_module",
        "module {digest} is not here; expected it before the job that names it";
    /// A blob of a job was not sent by the job's tenant before the job.
    NoBlob { tenant: Name, name: Name, digest: Digest } = NotFound, "no_such_blob",
        "tenant {tenant} has not sent the blob {digest}, which the job names {name}; expected it before the \
         job";

    /// Inputs appended by index leave a gap after the job's inputs.
    Gap { job: JobId, first: u64, next: u64 } = Invalid, "input_gap",
        "inputs from {first} leave a gap in job {job}, which has {next}; append there";
    /// Inputs appended by index differ from the job's inputs at these indices.
    Overlap { job: JobId, first: u64, next: u64 } = Conflict, "inputs_differ",
        "job {job} has {next} inputs, and those from {first} on differ from these, or were appended too long \
         ago to compare; append new inputs at {next}";
    /// Inputs are appended by index to a job to which others append too.
    Shared { job: JobId, first: u64 } = Invalid, "job_is_shared",
        "inputs from {first} cannot be appended to job {job} by their index, since others append to it as \
         well; append at its end instead";
    /// A producer's request does not follow its last one.
    OutOfOrder { job: JobId, number: u64, last: u64 } = Invalid, "producer_out_of_order",
        "request {number} of this producer does not follow its last one for job {job}, {last}; restart as a new \
         producer";
    /// The job takes no more inputs.
    JobClosed { job: JobId, why: NotOpen } = Conflict, "job_not_open",
        "job {job} takes no more inputs: {why}";
    /// The job has ended and can no longer be changed.
    JobEnded { job: JobId, state: JobState } = Conflict, "job_ended",
        "job {job} has already ended: {state}";
    /// The job has not ended yet.
    JobActive { job: JobId } = Conflict, "job_active",
        "job {job} has not ended, and more of its tasks may fail";
    /// A job cannot be retried, because all its tasks ended ok.
    NothingFailed { job: JobId } = Conflict, "nothing_failed",
        "nothing of job {job} has failed: all its tasks ended ok";
    /// A job cannot be retried, because its failed tasks lie in too many separate ranges.
    TooScattered { job: JobId } = Conflict, "failures_too_scattered",
        "too many separate tasks of job {job} failed to retry them as one job; its results list them";
    /// A job cannot be retried, because its inputs were deleted.
    InputsDeleted { job: JobId } = Gone, "inputs_deleted",
        "the inputs of job {job} were deleted together with its results; submit the failed ones again";
    /// The idempotency key belongs to a job with another spec or other inputs.
    KeyInUse { job: JobId, with: KeyUse } = Conflict, "idempotency_key_in_use",
        "the idempotency key belongs to job {job}, which {with}; use another key for another job";
    /// The job would have too many inputs.
    TooManyInputs { inputs: u64, allowed: u64 } = Invalid, "too_many_inputs",
        "a job has at most {allowed} inputs, not {inputs}; split it";
    /// One input has too many bytes.
    InputTooLarge { index: u64, allowed: u64 } = Invalid, "input_too_large",
        "input {index} has more than {allowed} bytes; split it";
    /// The lengths of inputs do not match their bytes.
    BadInputs { reason: Detail } = Invalid, "inputs_malformed", "the inputs: {reason}";

    /// A text of a request is too long.
    TooLong { what: Length, found: u64, allowed: u64 } = Invalid, "text_too_long",
        "the {what} takes {found} bytes, {allowed} allowed; shorten it, or use an input instead";
    /// A job has too many arguments, labels, grants, exit codes or blobs.
    TooMany { what: Count, found: u64, allowed: u64 } = Invalid, "too_many_items",
        "the job has {found} {what}, {allowed} allowed; use fewer";
    /// A required label has no key.
    NoLabelKey = Invalid, "label_without_key",
        "a label that the job requires has no key; write KEY=VALUE";
    /// An argument is not text, which the module's kind requires.
    ArgumentNotText { number: u64, kind: ModuleKind } = Invalid, "argument_not_text",
        "argument {number} is not valid UTF-8, which a {kind} requires; use text, or build the command for \
         WASI preview 1";
    /// A job has exit codes, but its module is not a command.
    NoExitCodes { kind: ModuleKind } = Invalid, "no_exit_codes",
        "only commands have exit codes, and the module is a {kind}; leave them out";
    /// A blob's name is invalid.
    BlobName { number: u64, bytes: u64, allowed: u64 } = Invalid, "blob_name_invalid",
        "blob {number} has an invalid name of {bytes} bytes; expected 1 to {allowed} of a-z, 0-9 and ._-";
    /// Two blobs of a job have the same name.
    BlobTwice { name: Name } = Invalid, "blob_name_twice",
        "the job has two blobs named {name}; leave one out";
    /// A blob is empty or too large.
    BlobSize { bytes: u64, allowed: u64 } = Invalid, "blob_size",
        "the blob has {bytes} bytes; 1 to {allowed} are allowed";
    /// The bytes that were sent do not have the stated digest.
    WrongDigest { what: Upload, said: Digest, found: Digest } = Invalid, "digest_mismatch",
        "the {what}'s digest is {found}, not {said}; send it again";
    /// A request does not fit into one message.
    RequestTooLarge { reason: Detail } = Invalid, "request_too_large",
        "the request cannot be sent: it is too large for one message, split it: {reason}";
    /// A request's lengths do not match the bytes that came with it.
    RequestLengths { declared: u64, present: u64 } = Invalid, "request_lengths",
        "the request cannot be sent: its lengths sum to {declared} bytes, and {present} bytes came with it";

    /// The module, or a job with it, is not accepted.
    NotAdmitted { refusal: Box<Refusal> } = Refused, "module_refused", "{refusal}";
    /// A job states a wrong kind for its module.
    OtherKind { digest: Digest, found: ModuleKind, said: ModuleKind } = Refused, "module_of_other_kind",
        "module {digest:.12} is a {found}, but the job says {said}; correct its kind";
    /// Checking a module or a blob was interrupted.
    CheckInterrupted { what: Upload, digest: Digest } = Refused, "check_interrupted",
        "{what} {digest:.12} could not be checked: the check was interrupted";
    /// A tenant would exceed its quota.
    OverQuota { tenant: Name, excess: Excess } = Refused, "quota_exceeded", "tenant {tenant} {excess}";
    /// A tenant's jobs would need too many different combinations of labels and memory.
    TooManyDemands { tenant: Name, used: u64, allowed: u64 } = Refused, "too_many_demands",
        "tenant {tenant} has jobs with {used} of {allowed} different needs (labels and memory) that its jobs \
         may have at a time, and this takes 1 more; use the labels and memory of one of them, or let jobs end";
    /// A tenant has the maximum number of blobs.
    TooManyBlobs { tenant: Name, allowed: u64 } = Refused, "too_many_blobs",
        "{tenant} has {allowed} blobs here, the maximum; blobs that no job names are deleted after an hour";
    /// A tenant has the maximum number of modules.
    TooManyModules { tenant: Name, allowed: u64 } = Refused, "too_many_modules",
        "{tenant} has {allowed} modules here, the maximum; modules that no job names are deleted after an hour";
    /// A quota is set for a tenant whose name is empty or too long.
    TenantName { bytes: u64, allowed: u64 } = Invalid, "tenant_name_invalid",
        "a tenant's name has 1 to {allowed} bytes, but this one has {bytes}";
    /// The maximum number of tenants have quotas of their own.
    TooManyQuotas { allowed: u64 } = Invalid, "too_many_quotas",
        "{allowed} tenants already have quotas of their own, the maximum; give some the default again";

    /// The caller's role does not allow it.
    NotAllowed { role: Role, name: Name, action: Action } = Forbidden, "role_not_allowed",
        "insufficient permissions: {role} {name} may not {action}; use an operator's certificate";
    /// The job belongs to another tenant.
    OthersJob { job: JobId, own: Name } = Forbidden, "job_of_other_tenant",
        "job {job} is another tenant's, and you are {own}; only its tenant and operators may read or change \
         it";
    /// A client asks for a list of another tenant's jobs.
    OthersJobs { own: Name, wanted: Name } = Forbidden, "jobs_of_other_tenant",
        "you are {own} and can list only your own jobs, not those of {wanted:?}; ask an operator";
    /// The member was removed from the grid.
    Removed { role: Role, name: Name } = Forbidden, "member_removed",
        "an operator removed the {role} {name:?} from the grid";
    /// A token is not accepted.
    BadToken { problem: TokenProblem } = Forbidden, "token_not_accepted", "{problem}";
    /// A machine joins again with an unknown key.
    UnknownKey = Forbidden, "key_unknown",
        "this grid does not know the key of the machine that joins again";

    /// A request for a token asks for something that no token can give.
    TokenRequest { fault: TokenFault } = Invalid, "token_request_invalid", "{fault}";
    /// A name cannot be used in a certificate.
    BadName { reason: Detail } = Invalid, "name_invalid", "{reason}";
    /// Labels cannot be used in a certificate.
    BadLabels { reason: Detail } = Invalid, "labels_invalid", "{reason}";
    /// The grid has no authority, so no machine can join it.
    NoAuthority = Invalid, "no_authority", "this grid has no authority; machines cannot join it";
    /// A link without a certificate asks for a new one.
    NoCertificate = Invalid, "no_certificate", "a link without a certificate has none to renew";
    /// A scheduler cannot be removed.
    SchedulerStays = Invalid, "scheduler_not_removable",
        "a scheduler cannot be removed; stop its process instead";
    /// An operator cannot remove itself.
    OwnRemoval { role: Role, name: Name } = Conflict, "own_removal",
        "you are the {role} {name:?} and cannot remove yourself; another operator can";
    /// The scheduler's own worker cannot be removed.
    BuiltInWorker { name: Name } = Conflict, "built_in_worker",
        "the worker {name:?} runs in the scheduler's own process and has no certificate to revoke; start the \
         grid without it";
    /// Too many machines want the same name.
    NameTaken { name: Name, allowed: u64 } = Conflict, "name_taken",
        "more than {allowed} machines are called {name:?}; choose another name";
    /// Tokens vouch for labels of the maximum number of keys.
    TooManyLabelKeys { allowed: u64 } = Conflict, "too_many_label_keys",
        "tokens already vouch for labels with {allowed} keys, the maximum; use one of those";
    /// There is no former authority to retire.
    NoFormerAuthority = Conflict, "no_former_authority", "no former authority is trusted";
    /// The caller's own certificate was signed by the authority to be retired.
    OwnCertificateFormer = Conflict, "own_certificate_former",
        "your own certificate is of the former authority; renew it first";
    /// Members still have certificates signed by the authority to be retired.
    MembersLockedOut { names: Names } = Conflict, "members_locked_out",
        "members with certificates of the former authority would be locked out: {names}; wait until they have \
         renewed";
    /// The authority cannot be replaced now.
    AuthorityInUse { reason: Detail } = Conflict, "authority_not_replaceable", "{reason}";
    /// A signing request or a certificate cannot be used.
    BadCertificate { reason: Detail } = Refused, "certificate_not_accepted",
        "the request for a certificate: {reason}";
    /// Another process has the worker's identity and is connected.
    IdentityInUse { name: Name, address: Name, linked_for: Millis } = Conflict, "identity_in_use",
        "another process with the identity of worker {name:?} has been connected from {address} for \
         {linked_for}; an identity is for one machine, and its folder or disk was probably copied";
    /// A worker sets a label whose key its certificate already has.
    LabelVouched { key: Name } = Invalid, "label_vouched",
        "the worker's certificate has a label with the key {key:?}, so the worker must not set one itself";
    /// A worker has too many labels, or too long ones.
    WorkerTexts { bytes: u64, allowed: u64 } = Invalid, "worker_labels_too_long",
        "the worker has too many labels, or too long ones ({bytes} bytes, {allowed} allowed); give it fewer";

    /// The scheduler is stopping.
    Stopping = Unavailable, "scheduler_stopping", "the scheduler is stopping; try again";
    /// The scheduler's disk is full.
    DiskFull = Unavailable, "disk_full",
        "the scheduler's disk is full; free space there and try again";
    /// The rest of the scheduler's disk is reserved for work in progress.
    DiskReserved { free: ByteCount, reserve: ByteCount } = Unavailable, "disk_reserved",
        "the scheduler's disk has {free} left, and {reserve} are reserved for the work in progress; free space \
         there and try again";
    /// The scheduler's store failed.
    StoreFailed { reason: Detail } = Unavailable, "store_failed", "{reason}; try again";
    /// The scheduler cannot read what it stored.
    Unreadable { key: Name, reason: Detail } = Unavailable, "stored_value_unreadable",
        "failed to read the stored value {key:?}: {reason}; was it written by a newer version?";
    /// The scheduler's machine cannot check modules now.
    CheckFailed { reason: Detail } = Unavailable, "check_failed",
        "the scheduler failed to check the module: {reason}; try again, or ask its operator";
    /// The authority's files cannot be used.
    AuthorityFailed { reason: Detail } = Unavailable, "authority_failed", "{reason}";
    /// The scheduler's machine provides no random numbers.
    NoRandom { reason: Detail } = Unavailable, "no_random_numbers",
        "no random numbers available: {reason}";
    /// The scheduler cannot encode a value of its own.
    Internal { reason: Detail } = Unavailable, "internal_error",
        "the scheduler cannot encode a value of its own: {reason}";
    /// The client has the maximum number of open requests.
    TooManyRequests { allowed: u64 } = Unavailable, "too_many_requests",
        "more than {allowed} requests are open; wait for answers";
    /// The maximum number of bytes of unread answers waits on the client's links.
    UnreadAnswers { bytes: u64, allowed: u64 } = Unavailable, "answers_unread",
        "{bytes} bytes of unread answers wait on your links, {allowed} allowed; read some first";
    /// The maximum number of requests about single tasks are waiting.
    TooManyLookups { allowed: u64 } = Unavailable, "too_many_lookups",
        "{allowed} questions about single tasks wait already; ask again after some are answered";
    /// The maximum number of the tenant's modules or blobs are waiting to be checked.
    UploadsWait { what: Upload } = Unavailable, "uploads_waiting",
        "too many {what}s of yours wait for admission; send this one again after others are answered";
    /// The maximum number of all tenants' modules or blobs are waiting to be checked.
    AllUploadsWait { what: Upload } = Unavailable, "all_uploads_waiting",
        "too many {what}s of all tenants wait for admission; send this one again after others are answered";
    /// The maximum number of unexpired tokens exist.
    TooManyTokens { allowed: u64 } = Unavailable, "too_many_tokens",
        "there are {allowed} unexpired tokens, the maximum; create them for a shorter time, or wait until some \
         expire";
    /// The watch's number is in use, or the maximum number of watches are open.
    TooManyWatches { watch: u64, allowed: u64 } = Invalid, "too_many_watches",
        "watch {watch} is in use, or {allowed} are open; end one first";

    /// The job was deleted while it was watched.
    JobDeleted { job: JobId } = Gone, "job_deleted", "job {job} ended too long ago and was deleted";
    /// All results of the job from this position on were deleted.
    ResultsDeleted { job: JobId, cursor: u64, last: u64, why: DropReason } = Gone, "results_deleted",
        "results {cursor} to {last} of job {job} were deleted: {why}; none is left; submit the job again";
    /// The requested results were deleted; later ones are available.
    ResultsSkipped { job: JobId, cursor: u64, last: u64, why: DropReason, next: u64 } = Gone, "results_skipped",
        "results {cursor} to {last} of job {job} were deleted: {why}; results from {next} on are available";
    /// The answer does not fit into one message.
    AnswerTooLarge { reason: Detail } = Gone, "answer_too_large", "the answer cannot be sent: {reason}";
    /// The scheduler does not know the request, because the client is newer.
    UnknownRequest { number: u32, ours: Name, theirs: Name } = Unsupported, "request_unknown",
        "the scheduler runs {ours} and does not know request {number} of {theirs}; upgrade the scheduler";
    /// A request has an extension that the scheduler does not know and must not ignore.
    UnknownExtension { what: Name, id: u16 } = Unsupported, "extension_unknown",
        "{what} has the extension {id}, which this release does not know and must not ignore; run a release \
         that knows it";
    /// Results do not fit into one message.
    ResultsTooLarge { cursor: u64, reason: Detail } = Gone, "results_too_large",
        "the results from {cursor} on cannot be sent: {reason}";
    /// The scheduler's store does not say whether its last commit is durable.
    StoreInDoubt = Unavailable, "store_in_doubt",
        "the scheduler's store does not answer, so nothing can be stored; check the disk that it is on, and try \
         again";
    /// There is no such key, or it is another tenant's.
    NoKey { id: KeyId } = NotFound, "no_such_key", "there is no key {id} of yours";
    /// A key is not known, was revoked, or has expired.
    BadKey = Forbidden, "key_not_accepted", "the key is not known, was revoked, or has expired";
    /// A login code is not known, was used, or is too old.
    BadLogin = Forbidden, "login_not_accepted",
        "the login code is not known, was used, or is older than two minutes; make another one";
    /// A client makes a key of another tenant.
    OthersKey { own: Name, wanted: Name } = Forbidden, "key_of_other_tenant",
        "you are {own} and can make keys for yourself alone, not for {wanted:?}; ask an operator";
    /// A request for a key asks for something that no key can be.
    KeyRequest { fault: KeyFault } = Invalid, "key_request_invalid", "{fault}";
    /// A tenant has the maximum number of keys.
    TooManyKeys { tenant: Name, allowed: u64 } = Refused, "too_many_keys",
        "tenant {tenant} has {allowed} keys, the maximum; revoke one that is not needed";
    /// All tenants together have the maximum number of keys.
    TooManyKeysInAll { allowed: u64 } = Refused, "too_many_keys_in_all",
        "the grid has {allowed} keys, the maximum; revoke some that are not needed";
    /// A member that is no gateway says that it acts for a tenant.
    NoGateway { role: Role, name: Name } = Forbidden, "not_a_gateway",
        "only a gateway acts for tenants, and {role} {name} is none";
    /// A member that is no gateway asks whether a key or a login is good.
    GatewaysOnly { role: Role, name: Name } = Forbidden, "gateways_only",
        "only a gateway checks keys and logins, and {role} {name} is none";
    /// A gateway asks for itself what only a tenant or an operator may ask.
    ActsForNobody { name: Name } = Forbidden, "gateway_acts_for_nobody",
        "the gateway {name} has said for no tenant that it acts, and may ask that only for one";
    /// A login code is asked for by way of a gateway, or by who is no client and no operator.
    NoOwnLogin { name: Name } = Forbidden, "login_not_own",
        "{name} asks by way of a gateway; only a client or an operator with a certificate makes a login code, \
         for itself";
    /// A function cannot have this name.
    FunctionName { name: Detail } = Invalid, "function_name_invalid",
        "invalid function name {name:?}: expected 1 to 64 of a-z, 0-9, '-', '_' and '.', the first a letter or a digit";
    /// There is no such function of the tenant's.
    NoFunction { name: Name } = NotFound, "function_not_found", "there is no function {name:?}";
    /// The function runs another module than the one that was asked for.
    FunctionVersion { name: Name, wanted: Digest, found: Digest } = Conflict, "function_version",
        "function {name:?} runs {found} now, not {wanted}; deploy that version again, or call without one";
    /// The maximum number of calls of the function have not ended.
    FunctionBusy { name: Name, allowed: u64 } = Unavailable, "function_busy",
        "{allowed} calls of function {name:?} have not ended, the maximum; call again after some have";
    /// The tenant has the maximum number of functions.
    TooManyFunctions { allowed: u64 } = Refused, "too_many_functions",
        "there are {allowed} functions, the maximum; delete one first";
    /// The job of a function is submitted by deploying the function, and by nothing else.
    NoFunctionJob = Invalid, "function_job",
        "only deploying a function makes a job that takes its calls";
    /// Too many producers appended to the job, or called its function, lately: each may repeat its last
    /// request still, and is remembered so that it is done once.
    TooManyProducers { job: JobId, allowed: u64, within: Millis } = Unavailable, "too_many_producers",
        "more than {allowed} producers appended to job {job} within {within}, the maximum; append less often \
         with more inputs each, or let one producer make several requests";
    /// A client asks for a list of another tenant's modules.
    OthersModules { own: Name, wanted: Name } = Forbidden, "modules_of_other_tenant",
        "you are {own} and can list only your own modules, not those of {wanted:?}; ask an operator";
}
