//! Entries of the audit log.

use serde::Serialize;
use wasmgrid_proto::{AuditEntry, AuditObject, AuditRecord, Caller, wire::Role};

/// An entry of the audit log.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditView<'a> {
    /// Its place in the log, from 1.
    pub number: u64,
    /// When, by the scheduler's clock.
    pub at_us: u64,
    /// Who did it, or tried.
    pub who: CallerView<'a>,
    /// What: `cordon-worker`, `create-token` and the like.
    pub action: &'a str,
    /// On what.
    pub object: ObjectView<'a>,
    /// How, as `key=value` pairs; empty if the action has no parameters.
    pub parameters: &'a str,
    /// `ok`, or the name of the reason for which it was refused.
    pub outcome: &'a str,
    /// How many attempts the entry stands for.
    pub count: u64,
}

/// Who asked for something.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CallerView<'a> {
    /// Its name, unique within its role.
    pub name: &'a str,
    /// `operator`, `client` or `gateway`; `worker` if it said that it acts for a tenant.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub role: Role,
    /// Whose jobs are its own.
    pub tenant: &'a str,
    /// The serial number of its certificate, in hexadecimal; `null` inside the scheduler's own process.
    pub serial: Option<&'a str>,
    /// The gateway by way of which it asked, whose serial number that is; `null` if it asked itself. Its
    /// name is then that of a key.
    pub gateway: Option<String>,
}

/// What an action is about.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ObjectView<'a> {
    /// `job`, `worker`, `client`, `operator`, `gateway`, `token`, `key`, `tenant`, `authority`,
    /// `members`, `tokens`, `keys` or `audit`.
    pub kind: &'a str,
    /// A job's number, or a token's or a key's id; `null` for others.
    pub id: Option<&'a str>,
    /// Its name, if it has one.
    pub name: Option<&'a str>,
}

impl<'a> From<&'a AuditEntry> for AuditView<'a> {
    fn from(AuditEntry { number, record }: &'a AuditEntry) -> Self {
        let AuditRecord { at, by, act, outcome, count, .. } = record;
        Self {
            number: *number,
            at_us: at.0,
            who: CallerView { gateway: record.gateway().map(Into::into), ..by.into() },
            action: &act.action,
            object: (&act.object).into(),
            parameters: &act.parameters,
            outcome,
            count: *count,
        }
    }
}

impl<'a> From<&'a Caller> for CallerView<'a> {
    fn from(Caller { role, name, tenant, serial, gateway }: &'a Caller) -> Self {
        let gateway = gateway.clone().map(Into::into);
        Self { name, role: *role, tenant, serial: serial.as_deref(), gateway }
    }
}

impl<'a> From<&'a AuditObject> for ObjectView<'a> {
    fn from(AuditObject { kind, id, name }: &'a AuditObject) -> Self {
        let known = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        Self { kind, id: known(id), name: known(name) }
    }
}
