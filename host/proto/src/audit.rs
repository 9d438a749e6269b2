//! The audit log: what operators do to a grid, and what others were not allowed to do. Its entries
//! hold names and settings; no token, key or input of a task is ever in one.

use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Allowance, Extensions, JobId, KeyId, Micros, Millis, Resource, TokenGives, UnknownExtension,
    text::{Detail, Name},
    wire::{ActFor, Role, TokenRequest},
};

/// The outcome of an act that was done; every other outcome is the name of a
/// [reason](crate::Reason).
pub const DONE: &str = "ok";

/// Who asks something of the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Its role.
    pub role: Role,
    /// Its name, unique within its role.
    pub name: Name,
    /// Whose jobs are its own.
    pub tenant: Name,
    /// The serial number of its certificate, in hexadecimal; `None` of a caller in the scheduler's own
    /// process, which shows no certificate.
    pub serial: Option<Name>,
    /// The gateway by way of which it asks, of a caller that has shown it a key; its own certificate is
    /// then the gateway's. It is no part of an encoded caller: an entry of the audit log has it as an
    /// extension.
    #[serde(skip)]
    pub gateway: Option<Name>,
}

impl Caller {
    /// The scheduler itself: what it does on its own is nobody's act.
    #[must_use]
    pub fn scheduler() -> Self {
        let name = Name::from(Role::Scheduler.name());
        Self { role: Role::Scheduler, tenant: name.clone(), name, serial: None, gateway: None }
    }
}

impl Caller {
    /// As whom it is counted among those of its role: by its name, or if that is a key's, which are
    /// unique within no role, by its tenant and name.
    #[must_use]
    pub fn known_as(&self) -> Name {
        match self.gateway {
            None => self.name.clone(),
            Some(_) => Name::from(format!("{}/{}", self.tenant, self.name)),
        }
    }
}

/// Declares the actions with their names.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What can be in an audit log. In an entry it is its name, so that readers need not know it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum AuditAction { $($(#[$doc])* $variant,)* }

        impl AuditAction {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, which stays the same.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

actions! {
    /// A member that is no gateway says that it acts for a tenant.
    ActForTenant = "act-for-tenant",
    /// Inputs are added to another tenant's job, or indices of it are left out.
    AppendToJob = "append-to-job",
    /// Another tenant's job is cancelled.
    CancelJob = "cancel-job",
    /// A member that is no gateway asks whether a key or a login is good.
    CheckKey = "check-key",
    /// The inputs of another tenant's job are closed.
    CloseJob = "close-job",
    /// A worker gets nothing new.
    CordonWorker = "cordon-worker",
    /// A key is made, or a session.
    CreateKey = "create-key",
    /// A code to log in with is asked for by whom it is not made for.
    CreateLogin = "create-login",
    /// A token is made.
    CreateToken = "create-token",
    /// A worker gets nothing new and gives back what it has not begun.
    DrainWorker = "drain-worker",
    /// Keys are listed.
    ListKeys = "list-keys",
    /// Clients and operators are listed.
    ListMembers = "list-members",
    /// Tokens are listed.
    ListTokens = "list-tokens",
    /// The audit log is read.
    ReadAudit = "read-audit",
    /// A client is taken out of the grid.
    RemoveClient = "remove-client",
    /// A gateway is taken out of the grid.
    RemoveGateway = "remove-gateway",
    /// An operator is taken out of the grid.
    RemoveOperator = "remove-operator",
    /// A worker is taken out of the grid.
    RemoveWorker = "remove-worker",
    /// The grid gets another authority.
    ReplaceAuthority = "replace-authority",
    /// The former authority is trusted no more.
    RetireAuthority = "retire-authority",
    /// The failed tasks of another tenant's job are run again.
    RetryJob = "retry-job",
    /// A key is revoked, with those that were made with it.
    RevokeKey = "revoke-key",
    /// A token is revoked.
    RevokeToken = "revoke-token",
    /// A tenant's quota is set.
    SetQuota = "set-quota",
    /// A cordon or a drain is taken back.
    UncordonWorker = "uncordon-worker",
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What somebody asks for: which action, on what, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The name of an [`AuditAction`].
    pub action: Name,
    /// On what.
    pub object: AuditObject,
    /// How, as `key=value` pairs; empty if the action has no parameters.
    pub parameters: Detail,
}

/// What an act is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditObject {
    /// `job`, `worker`, `client`, `operator`, `gateway`, `token`, `key`, `tenant`, `authority`,
    /// `members`, `tokens`, `keys` or `audit`.
    pub kind: Name,
    /// Its number, or the like, if it has one.
    pub id: Name,
    /// Its name, if it has one.
    pub name: Name,
}

impl Act {
    /// An action on something that has this kind, id and name; the last two may be empty.
    #[must_use]
    pub fn new(action: AuditAction, (kind, id, name): (&str, &str, &str)) -> Self {
        let object = AuditObject { kind: kind.into(), id: id.into(), name: name.into() };
        Self { action: action.name().into(), object, parameters: Detail::default() }
    }

    /// With parameters.
    #[must_use]
    pub fn with(self, parameters: impl Into<Detail>) -> Self {
        Self { parameters: parameters.into(), ..self }
    }

    /// An action on a job.
    #[must_use]
    pub fn on_job(action: AuditAction, job: JobId, name: &str) -> Self {
        Self::new(action, ("job", &format!("{job}"), name))
    }

    /// An operator cordons a worker, or takes that back.
    #[must_use]
    pub fn cordon(name: &str, cordoned: bool) -> Self {
        let taken_back = AuditAction::UncordonWorker;
        let action = if cordoned { AuditAction::CordonWorker } else { taken_back };
        Self::new(action, ("worker", "", name))
    }

    /// An operator drains a worker.
    #[must_use]
    pub fn drain(name: &str) -> Self {
        Self::new(AuditAction::DrainWorker, ("worker", "", name))
    }

    /// An operator takes a member out of the grid.
    #[must_use]
    pub fn removal(role: Role, name: &str) -> Self {
        let action = match role {
            Role::Worker | Role::Scheduler => AuditAction::RemoveWorker,
            Role::Client => AuditAction::RemoveClient,
            Role::Operator => AuditAction::RemoveOperator,
            Role::Gateway => AuditAction::RemoveGateway,
        };
        Self::new(action, (role.name(), "", name))
    }

    /// An operator says how much of something a tenant may have.
    #[must_use]
    pub fn quota(tenant: &str, resource: Resource, allowed: Allowance) -> Self {
        let amount = match allowed {
            Allowance::Default => String::from("default"),
            Allowance::Most(most) => resource.amount(most),
            Allowance::Unbounded => String::from("unbounded"),
        };
        let act = Self::new(AuditAction::SetQuota, ("tenant", "", tenant));
        act.with(format!("{resource}={amount}"))
    }

    /// An operator makes a token. Its number is not known yet, and its secret is not told here.
    #[must_use]
    pub fn new_token(token: &TokenRequest, gives: &TokenGives) -> Self {
        let TokenGives { labels, name, tenant } = gives;
        let TokenRequest { role, ttl, uses } = token;
        let mut parameters = format!("role={role} ttl={ttl} uses={uses}");
        let labels = labels.iter().map(|(key, value)| ("label", format!("{key}={value}")));
        let names = [("name", name), ("tenant", tenant)];
        let names = names.into_iter().filter_map(|(key, name)| Some((key, name.clone()?)));
        for (key, value) in names.chain(labels) {
            let part = format!("{key}={}", plain(&value));
            parameters.push(' ');
            parameters.push_str(&part);
        }
        Self::new(AuditAction::CreateToken, ("token", "", "")).with(parameters)
    }

    /// Somebody makes a key. Its id is not known yet, and its secret is not told here.
    #[must_use]
    pub fn new_key(tenant: &str, role: Role, name: Option<&str>, ttl: Option<Millis>) -> Self {
        let mut parameters = format!("role={role} tenant={}", plain(tenant));
        if let Some(ttl) = ttl {
            parameters.push_str(&format!(" ttl={ttl}"));
        }
        let name = name.unwrap_or_default();
        Self::new(AuditAction::CreateKey, ("key", "", name)).with(parameters)
    }

    /// The same of a key that has this id and name.
    #[must_use]
    pub fn of_key(mut self, id: KeyId, name: &Name) -> Self {
        self.object.id = Name::of(&id);
        self.object.name = name.clone();
        self
    }

    /// An action on a key.
    #[must_use]
    pub fn on_key(action: AuditAction, id: KeyId) -> Self {
        Self::new(action, ("key", &format!("{id}"), ""))
    }

    /// A member says that it acts for a tenant.
    #[must_use]
    pub fn acting_for(act_for: &ActFor) -> Self {
        let ActFor { tenant, role, name } = act_for;
        let act = Self::new(AuditAction::ActForTenant, ("tenant", "", tenant));
        act.with(format!("role={role} key={}", plain(name)))
    }

    /// An action on a token.
    #[must_use]
    pub fn on_token(action: AuditAction, token: u64) -> Self {
        Self::new(action, ("token", &format!("{token:016x}"), ""))
    }

    /// The same, on the token that has this number.
    #[must_use]
    pub fn of_token(mut self, token: u64) -> Self {
        self.object.id = format!("{token:016x}").into();
        self
    }
}

/// A value as parameters have it: in quotes, unless it is a plain word. Names in a refused request were
/// not checked, and must not be taken for other parameters.
fn plain(value: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-=/:".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{value:?}"))
    }
}

/// One entry of the audit log, as the store has it under a number of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When, by the grid's own time: its age.
    pub time: Micros,
    /// When, by the scheduler's clock.
    pub at: Micros,
    /// Who.
    pub by: Caller,
    /// What.
    pub act: Act,
    /// [`DONE`], or the name of the reason for which it was refused.
    pub outcome: Name,
    /// How many attempts the entry stands for: more than 1 only of refused ones, of which the entry
    /// has the last.
    pub count: u64,
    /// What later releases add.
    pub extensions: Extensions,
}

impl AuditRecord {
    /// What was done now, once.
    #[must_use]
    pub fn done(time: Micros, at: Micros, mut by: Caller, act: Act) -> Self {
        let gateway = by.gateway.take().map(|gateway| Extensions::one(Self::GATEWAY, &gateway));
        // A name has an encoding.
        let extensions = gateway.and_then(Result::ok).unwrap_or_default();
        Self { time, at, by, act, outcome: DONE.into(), count: 1, extensions }
    }

    /// The name of the gateway by way of which the caller asked, if it did.
    #[must_use]
    pub fn gateway(&self) -> Option<Name> {
        self.extensions.read(Self::GATEWAY).ok().flatten()
    }

    /// The number of the extension that names the gateway.
    const GATEWAY: u16 = 1;

    /// True if it was done, false if it was refused.
    #[must_use]
    pub fn is_done(&self) -> bool {
        &*self.outcome == DONE
    }

    /// Its bytes.
    ///
    /// # Errors
    /// As the encoder says.
    pub fn encode(&self) -> postcard::Result<Vec<u8>> {
        postcard::to_allocvec(self)
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, AuditError> {
        let record: Self = crate::wire::from_bytes(bytes)?;
        record.extensions.check("an entry of the audit log", &[])?;
        Ok(record)
    }
}

/// Why an entry cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Its bytes are not what was written.
    #[error("an entry of the audit log cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    /// It has an extension that must not be ignored.
    #[error(transparent)]
    Extension(#[from] UnknownExtension),
}

/// An entry of the audit log, with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its place in the log, from 1.
    pub number: u64,
    /// What it says.
    pub record: AuditRecord,
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, vec};

    use super::*;
    use crate::Extension;

    #[test]
    fn actions_have_kebab_case_names_of_their_own() {
        let names: BTreeSet<&str> = AuditAction::ALL.iter().map(|action| action.name()).collect();
        assert_eq!(names.len(), AuditAction::ALL.len());
        let is_kebab = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(names.iter().all(is_kebab), "{names:?}");
    }

    #[test]
    fn texts_of_an_act_are_bounded() {
        let long = "x".repeat(100_000);
        let act = Act::new(AuditAction::CordonWorker, (&long, &long, &long)).with(long.as_str());
        let by = Caller { name: long.as_str().into(), ..Caller::scheduler() };
        let record = AuditRecord::done(Micros(1), Micros(2), by, act);
        assert!(record.encode().expect("encodes").len() < 4 << 10);
    }

    #[test]
    fn a_token_is_described_by_what_it_gives() {
        let token = TokenRequest { role: Role::Worker, ttl: Millis(60_000), uses: 2 };
        let labels = vec![("zone".into(), "a".into())];
        let gives = TokenGives { labels, name: Some("box".into()), tenant: None };
        let act = Act::new_token(&token, &gives).of_token(0x2a);
        assert_eq!(&*act.parameters, "role=worker ttl=1m uses=2 name=box label=zone=a");
        assert_eq!(&*act.object.id, "000000000000002a");
    }

    #[test]
    fn an_entry_names_the_gateway_by_way_of_which_somebody_asked() {
        let by = Caller { gateway: Some("gw1".into()), ..Caller::scheduler() };
        let record = AuditRecord::done(Micros(1), Micros(2), by, Act::drain("w1"));
        let read = AuditRecord::decode(&record.encode().expect("encodes")).expect("decodes");
        assert_eq!((&read, read.gateway()), (&record, Some("gw1".into())));
        let own = AuditRecord::done(Micros(1), Micros(2), Caller::scheduler(), Act::drain("w1"));
        assert_eq!(own.gateway(), None);
    }

    #[test]
    fn a_key_is_described_by_whose_it_is() {
        let ttl = Some(Millis(60_000));
        let act = Act::new_key("a b", Role::Client, None, ttl).of_key(KeyId(0x2a), &"ci".into());
        assert_eq!(&*act.parameters, r#"role=client tenant="a b" ttl=1m"#);
        assert_eq!((&*act.object.id, &*act.object.name), ("000000000000002a", "ci"));
    }

    #[test]
    fn a_value_that_is_no_word_is_quoted() {
        let token = TokenRequest { role: Role::Client, ttl: Millis(1_000), uses: 1 };
        let name = Some("ada uses=9\n".into());
        let gives = TokenGives { labels: Vec::new(), name, tenant: None };
        let act = Act::new_token(&token, &gives);
        assert_eq!(&*act.parameters, r#"role=client ttl=1s uses=1 name="ada uses=9\n""#);
    }

    #[test]
    fn an_unknown_critical_extension_of_an_entry_is_refused_and_another_is_kept() {
        let read = |critical| {
            let list = vec![Extension { id: 7, critical, bytes: vec![1] }];
            let extensions = Extensions::new(list).expect("one");
            let act = Act::drain("w1");
            let record = AuditRecord::done(Micros(1), Micros(2), Caller::scheduler(), act);
            let record = AuditRecord { extensions, ..record };
            (AuditRecord::decode(&record.encode().expect("encodes")), record)
        };
        let (kept, written) = read(false);
        assert_eq!(kept, Ok(written));
        assert!(matches!(read(true).0, Err(AuditError::Extension(_))));
    }
}
