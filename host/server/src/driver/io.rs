//! What goes into the driver, and what comes out of it.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use wasmgrid_net::{Peer, Reservation};
use wasmgrid_proto::{
    Act, Caller, Digest, JobId, KeyId, LogRef, Micros, Millis, Secret, TokenGives, TokenStatus,
    frame::Envelope,
    text::Name,
    wire::{
        ApiError, AuthorityRequest, FromClient, FromWorker, Renew, Renewed, Reply, Role, ToClient,
        ToWorker, TokenRequest,
    },
};
use wasmgrid_store::Entry;

use super::{
    audit::{AuditQuery, Expired, Expiry},
    batch::Batch,
    cache::Cached,
    comparison::{Compared, Pairs},
    content::Content,
    counted::Counted,
    given_inputs::{GivenInputs, InputReading},
    log_scan::{LogScan, Search},
    modules::{AdmissionResult, Put},
    outbox::{Closing, Freed, IdentityLinks, Outbox, Queued},
    retention::Measured,
    space::{Halt, Shortage},
};
use crate::{error::ServerError, members::MemberKey};

/// The number of a link; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// When a turn is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The grid's own time, which never goes back.
    pub time: Micros,
    /// The date by the machine's clock, for what people read.
    pub date: Micros,
}

/// Something that happened to a server.
#[derive(Debug)]
pub enum Event {
    /// A worker's link was given to the server.
    WorkerLinked {
        /// The link.
        link: LinkId,
        /// Who is at its other end.
        peer: Peer,
        /// What may wait to be sent on it.
        outbox: Outbox,
    },
    /// A worker said something.
    FromWorker {
        /// On which link.
        link: LinkId,
        /// What.
        envelope: Envelope<FromWorker>,
        /// The room that the message takes, free again when this is dropped.
        room: Option<Reservation>,
    },
    /// A client's link was given to the server.
    ClientLinked {
        /// The link.
        link: LinkId,
        /// Who is at its other end.
        peer: Peer,
        /// What may wait to be sent on it.
        outbox: Outbox,
    },
    /// A client said something.
    FromClient {
        /// On which link.
        link: LinkId,
        /// What.
        envelope: Envelope<FromClient>,
        /// The digest of its payload, if that is [to be hashed](Content::payload_of).
        content: Content,
        /// The room that the message takes, free again when this is dropped.
        room: Option<Reservation>,
    },
    /// A link has ended.
    Unlinked {
        /// The link.
        link: LinkId,
        /// Why.
        reason: String,
        /// What it shared with the other links of its identity.
        kin: Arc<IdentityLinks>,
    },
    /// What a link said last is being written, and the link is not read meanwhile.
    Staging {
        /// The link.
        link: LinkId,
    },
    /// A link's outbox, or those of its identity, have room again, as the driver had wanted to
    /// know.
    Room {
        /// The link.
        link: LinkId,
        /// Whose outboxes.
        freed: Freed,
    },
    /// All batches up to this one are durable.
    Committed {
        /// The last batch's number.
        number: u64,
    },
    /// Nothing is committed for now, for this reason; `None` once commits succeed again.
    StoreHalted(Option<Halt>),
    /// The disk has less space left than is reserved for the work in progress; `None` if it has
    /// enough again.
    SpaceShort(Option<Shortage>),
    /// A commit failed or its thread is gone; none will succeed.
    JournalFailed(ServerError),
    /// The store was measured: the answer to [`Effect::Measure`].
    Measured(Result<Measured, ServerError>),
    /// A segment was read: the answer to [`Effect::Read`].
    Loaded {
        /// What was asked for.
        place: LogRef,
        /// The segment that holds it.
        found: Result<Cached, ServerError>,
    },
    /// Inputs were read for a client: the answer to [`Effect::ReadInputs`].
    InputsRead {
        /// Whose link it is.
        link: LinkId,
        /// What was to be read.
        reading: InputReading,
        /// The inputs.
        found: Result<GivenInputs, ServerError>,
    },
    /// Results were compared: the answer to [`Effect::Compare`].
    Compared {
        /// Their job.
        job: JobId,
        /// What came of it.
        compared: Vec<Compared>,
    },
    /// A log was searched: the answer to [`Effect::LogScan`].
    Walked {
        /// The search with what it found; `None` if the log could not be read.
        search: Option<Search>,
        /// The value of [`LogScan::log_key`].
        log: Option<Bytes>,
    },
    /// A module was read for workers: the answer to [`Effect::ReadModule`].
    ModuleRead {
        /// Which.
        digest: Digest,
        /// Its bytes, if the store has it.
        found: Result<Option<Bytes>, ServerError>,
    },
    /// A module or a blob was looked at: the answer to [`Effect::Admit`].
    ModuleLooked {
        /// Who sent it.
        tenant: String,
        /// Which.
        digest: Digest,
        /// On which link it came.
        link: LinkId,
        /// In which request.
        id: u64,
        /// What became of it.
        looked: AdmissionResult,
    },
    /// A request that was worked on off the driver is done: the answer to most of [`Ask`].
    Answer {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// The answer.
        reply: Result<Reply, ApiError>,
    },
    /// The enroller refused an operator's request that belongs in the audit log.
    Refused {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// Who asked.
        by: Arc<Caller>,
        /// What for.
        act: Box<Act>,
        /// Why it was not done.
        error: ApiError,
    },
    /// The audit log was looked through: the answer to [`Effect::AgeAudit`].
    AuditAged(Expired),
    /// The answer to [`Ask::Tokens`].
    TokensRead {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// The tokens, by number.
        found: Result<Vec<TokenStatus>, ApiError>,
    },
    /// The answer to [`Ask::RenewWorker`].
    Renewed {
        /// Which worker's link.
        link: LinkId,
        /// Its next certificate.
        answer: Result<Renewed, ApiError>,
    },
    /// Workers of these names, or all, should renew their certificates soon.
    RenewSoon {
        /// Their names.
        names: Option<BTreeSet<String>>,
    },
    /// A member was removed, durably: the answer to [`Ask::Remove`].
    MemberRemoved {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// Who was removed.
        key: MemberKey,
    },
    /// A member that is no gateway said that it acts for somebody; there is no link.
    Impostor {
        /// Who it is, and what it said.
        peer: Box<Peer>,
    },
    /// A token vouches for labels of these keys.
    KeysVouched(Vec<String>),
}

/// Something that the driver wants done. Effects are carried out in their order.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most are messages, and a box for each would cost more than room that is used again"
)]
pub enum Effect {
    /// Says something to a worker.
    ToWorker(LinkId, Queued<ToWorker>),
    /// Says something to a client.
    ToClient(LinkId, Queued<ToClient>),
    /// Ends a link; what was not sent yet is not sent.
    Close {
        /// The link.
        link: LinkId,
        /// Why, and what the peer is told.
        closing: Closing,
    },
    /// Ends a link once all that was said on it is sent.
    HangUp {
        /// The link.
        link: LinkId,
    },
    /// Makes a batch durable, after all that were handed over before. [`Event::Committed`] follows.
    Commit(Batch),
    /// Makes these entries durable, in the order of the batches. Nobody waits for it, and if the
    /// disk is full it need not be done.
    Keep(Vec<Entry>),
    /// Nothing was to be committed for a while: the store may do what it put off.
    Tidy,
    /// Reads the segment that holds this place. [`Event::Loaded`] follows.
    Read(LogRef),
    /// Reads inputs for a client; no other reading of its goes on. [`Event::InputsRead`] follows.
    ReadInputs {
        /// Whose link it is.
        link: LinkId,
        /// What to read.
        reading: InputReading,
    },
    /// Reads a module or a blob for workers; no other reading of it goes on. [`Event::ModuleRead`]
    /// follows.
    ReadModule {
        /// Which.
        digest: Digest,
    },
    /// Measures the store. [`Event::Measured`] follows.
    Measure {
        /// Bytes of one result log beyond which it is said where to cut it.
        keep_open: Option<u64>,
    },
    /// Looks for entries of the audit log that are not kept any longer. [`Event::AuditAged`]
    /// follows.
    AgeAudit(Expiry),
    /// Reads the audit log for a client. [`Event::Answer`] follows.
    ReadAudit {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// Which entries.
        query: AuditQuery,
    },
    /// Searches a log. [`Event::Walked`] follows.
    LogScan(LogScan),
    /// Compares results. [`Event::Compared`] follows.
    Compare(Pairs),
    /// Looks at a module or a blob, and keeps it if it may be kept. [`Event::ModuleLooked`]
    /// follows.
    Admit(Put),
    /// Adds what is counted around the driver, and answers with it: [`Event::Answer`] follows.
    Count {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// What the driver counts.
        counted: Counted,
    },
    /// Asks the enroller.
    Enroll(Ask),
}

/// What the driver asks the enroller. Each is answered by an event.
#[derive(Debug)]
pub enum Ask {
    /// Write down a member whom nobody knew. There is no answer.
    Note {
        /// Who it is.
        key: MemberKey,
    },
    /// Make a worker's next certificate.
    RenewWorker {
        /// Its link.
        link: LinkId,
        /// Who it is.
        peer: Peer,
        /// What it asked for.
        renew: Renew,
    },
    /// Make a client's next certificate.
    RenewClient {
        /// Its link.
        link: LinkId,
        /// Its request.
        id: u64,
        /// Who it is.
        peer: Peer,
        /// What it asked for.
        renew: Renew,
    },
    /// Something about the grid's authority.
    Authority {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// Who asks.
        peer: Peer,
        /// The same for the audit log.
        by: Arc<Caller>,
        /// What.
        asked: AuthorityRequest,
    },
    /// Make a token.
    CreateToken {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// Who asks.
        by: Arc<Caller>,
        /// For whom.
        token: TokenRequest,
        /// What those get who join with it.
        gives: TokenGives,
    },
    /// List the tokens.
    Tokens {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// The number after which the list begins.
        after: Option<u64>,
    },
    /// Revoke a token.
    RevokeToken {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// Who asks.
        by: Arc<Caller>,
        /// The token's number.
        token: u64,
    },
    /// Something about keys.
    Key {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// Who asks.
        by: Arc<Caller>,
        /// What.
        asked: KeyAsk,
    },
    /// Remove a member. The answer is [`Event::MemberRemoved`], or [`Event::Refused`].
    Remove {
        /// Whose request.
        link: LinkId,
        /// Its number.
        id: u64,
        /// Who asks.
        by: Arc<Caller>,
        /// Whom.
        key: MemberKey,
        /// The grid knows it though it may not have joined with a token.
        is_known: bool,
    },
}

/// What can be asked of keys; who may ask it was checked.
#[derive(Debug)]
pub enum KeyAsk {
    /// Make one.
    Create {
        /// Of which tenant.
        tenant: Name,
        /// For what role.
        role: Role,
        /// Its name; `None` if that is its id.
        name: Option<Name>,
        /// For how long it is good; `None` if that has no end.
        ttl: Option<Millis>,
    },
    /// List them.
    List {
        /// The id after which the list begins.
        after: Option<KeyId>,
    },
    /// Take one back.
    Revoke {
        /// Which.
        key: KeyId,
    },
    /// Check one.
    Check {
        /// Which it is said to be.
        key: KeyId,
        /// What proves it.
        secret: Secret,
    },
    /// Make a code to log in with.
    CreateLogin,
    /// Log in with a code.
    Login {
        /// The code.
        code: Secret,
    },
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
