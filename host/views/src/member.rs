//! Clients, operators, the tokens with which members join, and the keys of tenants.

use serde::Serialize;
use wasmgrid_proto::{KeyStatus, MemberStatus, TokenGives, TokenStatus, wire::Role};

use crate::written;

/// A client, an operator or a gateway.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ClientView<'a> {
    /// Its name, unique within its role.
    pub name: &'a str,
    /// `client`, `operator` or `gateway`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub role: Role,
    /// Whose jobs it sees.
    pub tenant: &'a str,
    /// What its machine calls itself; empty if it did not join with a token.
    pub machine: &'a str,
    /// When it joined.
    pub joined_at_us: u64,
    /// How many links it has now.
    pub links: u64,
    /// When it was linked last; `null` if it was not since the scheduler started.
    pub seen_at_us: Option<u64>,
}

/// A token in a list.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenView<'a> {
    /// Its id, by which it is revoked: [`token_id`].
    pub id: String,
    /// What those become who join with it.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub role: Role,
    /// `good`, `used-up`, `revoked` or `expired`.
    pub state: &'static str,
    /// How many can still join with it.
    pub uses_left: u32,
    /// When it expires.
    pub expires_at_us: u64,
    /// The name of those who join with it; `null` if they choose their own.
    pub name: Option<&'a str>,
    /// Whose jobs they see; `null` if that follows from their names.
    pub tenant: Option<&'a str>,
    /// Labels that the certificates of workers get, `KEY=VALUE`.
    pub labels: Vec<String>,
}

/// A key, or a session of a browser.
#[derive(Debug, Serialize)]
pub struct KeyView<'a> {
    /// Its id, by which it is revoked.
    pub id: String,
    /// Whose jobs it sees and submits.
    pub tenant: &'a str,
    /// `client` or `operator`: what it may do.
    pub role: Role,
    /// Its name, under which the audit log has what is done with it.
    pub name: &'a str,
    /// `key` or `session`.
    pub kind: &'static str,
    /// When it was made.
    pub created_at_us: u64,
    /// When it expires; `null` if never.
    pub expires_at_us: Option<u64>,
    /// When the day began (UTC) on which it was used last; `null` if it was not used.
    pub last_used_day_us: Option<u64>,
    /// True if it was taken back.
    pub revoked: bool,
}

/// The id by which a token is listed and revoked.
#[must_use]
pub fn token_id(token: u64) -> String {
    format!("{token:016x}")
}

impl<'a> From<&'a MemberStatus> for ClientView<'a> {
    fn from(member: &'a MemberStatus) -> Self {
        let MemberStatus { role, name, tenant, machine, joined_at, links, seen_at } = member;
        Self {
            name,
            role: *role,
            tenant,
            machine,
            joined_at_us: joined_at.0,
            links: *links,
            seen_at_us: seen_at.map(|at| at.0),
        }
    }
}

impl<'a> From<&'a KeyStatus> for KeyView<'a> {
    fn from(status: &'a KeyStatus) -> Self {
        let KeyStatus { id, tenant, role, name, created, expires, kind, revoked, .. } = status;
        Self {
            id: id.to_string(),
            tenant,
            role: *role,
            name,
            kind: kind.name(),
            created_at_us: created.0,
            expires_at_us: expires.map(|at| at.0),
            last_used_day_us: status.last_used().map(|at| at.0),
            revoked: *revoked,
        }
    }
}

impl<'a> From<&'a TokenStatus> for TokenView<'a> {
    fn from(status: &'a TokenStatus) -> Self {
        let TokenGives { labels, name, tenant } = &status.gives;
        Self {
            id: token_id(status.token),
            role: status.role,
            state: status.state.name(),
            uses_left: status.uses_left,
            expires_at_us: status.expires.0,
            name: name.as_deref(),
            tenant: tenant.as_deref(),
            labels: written(labels),
        }
    }
}
