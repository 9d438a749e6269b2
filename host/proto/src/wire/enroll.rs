//! Between a machine that has no certificate yet and the scheduler.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::wire::{ApiError, Body, Unsendable, messages};

messages! {
    /// What a joining machine says.
    FromJoiner {
        /// Please sign.
        0x0501 Enroll(Enroll),
    }
}

messages! {
    /// What the scheduler answers it.
    ToJoiner {
        /// Signed.
        0x0601 Enrolled(Enrolled),
        /// Not signed, and why.
        0x0602 Denied(Denied),
    }
}

/// What they say has bounds of its own, far below a frame's.
impl Unsendable for FromJoiner {}
impl Unsendable for ToJoiner {}

/// See [`FromJoiner::Enroll`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enroll {
    /// The token's number.
    pub token: u64,
    /// The token's secret.
    pub secret: [u8; 32],
    /// The name the machine wants; made unique by the scheduler. Empty if it wants none but the one
    /// that it had, by `former`.
    pub name: String,
    /// A certificate signing request in DER. Only its public key is used.
    pub csr: Vec<u8>,
    /// The certificate in DER that the machine has for the same key, where it joins again; it may have
    /// ended. Its name is then kept.
    pub former: Option<Vec<u8>>,
}

/// See [`ToJoiner::Enrolled`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The role it was given.
    pub role: Role,
    /// The name it was given.
    pub name: String,
    /// Its certificate in DER.
    pub certificate: Vec<u8>,
    /// The certificate of the authority that signed it, in DER.
    pub authority: Vec<u8>,
}

/// See [`ToJoiner::Denied`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// Why.
    pub error: ApiError,
}

impl Body for Enroll {}
impl Body for Enrolled {}
impl Body for Denied {}

/// What a certificate allows its holder to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Schedules.
    Scheduler,
    /// Runs tasks.
    Worker,
    /// Submits jobs and reads their results.
    Client,
    /// What a client may, and drains workers and makes tokens.
    Operator,
    /// Speaks for tenants whose keys it was shown, and for itself asks little more than whether keys
    /// are good.
    Gateway,
}

impl Role {
    /// The role's name, as it stands in certificates.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Operator => "operator",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        [Self::Scheduler, Self::Worker, Self::Client, Self::Operator, Self::Gateway]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| UnknownRole { found: text.into() })
    }
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid role {found:?}: expected scheduler, worker, client, operator or gateway")]
pub struct UnknownRole {
    /// What was there.
    pub found: String,
}
