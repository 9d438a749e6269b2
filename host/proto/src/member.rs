//! What the grid tells of who has joined it, and of the tokens by which more may.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Micros,
    wire::{Role, bounded},
};

/// A client or operator that has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// A client's or an operator's.
    pub role: Role,
    /// The name in its certificate, unique among those of its role.
    pub name: String,
    /// Who it is as an owner of jobs: those of one tenant see each other's.
    pub tenant: String,
    /// What its machine is called, as that said when it joined; empty where it was not asked.
    pub machine: String,
    /// When it joined, or was first seen where it did not join with a token.
    pub joined_at: Micros,
    /// Its links now.
    pub links: u64,
    /// When it was last linked since the scheduler started.
    pub seen_at: Option<Micros>,
}

/// A token by which machines or people may join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Its number; the secret is told once, to whoever made it.
    pub token: u64,
    /// What those who join with it become.
    pub role: Role,
    /// What is given to them.
    pub gives: TokenGives,
    /// Whether it is good.
    pub state: TokenState,
    /// How often it may still be used.
    pub uses_left: u32,
    /// Until when it is good.
    pub expires: Micros,
}

/// What those who join with a token get beside their role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGives {
    /// `key=value` labels of the certificates of workers.
    #[serde(deserialize_with = "bounded")]
    pub labels: Vec<(String, String)>,
    /// The name of the first who joins; a number is put behind that of those who follow. `None`
    /// where each says its own.
    pub name: Option<String>,
    /// Who they are as owners of jobs; `None` where that goes by their names.
    pub tenant: Option<String>,
}

impl TokenGives {
    /// True where it gives nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.labels.is_empty() && self.name.is_none() && self.tenant.is_none()
    }
}

/// Whether a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TokenState {
    /// It is.
    Good,
    /// It was used as often as it may be.
    UsedUp,
    /// An operator took it back.
    Revoked,
    /// Its time is over.
    Expired,
}

impl TokenState {
    /// Its name as the command line and JSON output have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::UsedUp => "used-up",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for TokenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
