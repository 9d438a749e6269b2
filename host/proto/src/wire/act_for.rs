//! For whom a gateway speaks. It says so in the hello of a link, before anything else, and the link
//! stays the link of that tenant.

use serde::{Deserialize, Serialize};

use crate::{text::Name, wire::Role};

/// Whom a gateway speaks for on one link. The scheduler takes the link for one of that tenant with
/// that role; what is done on it is in the audit log as done by the key, by way of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActFor {
    /// Whose jobs are its own.
    pub tenant: Name,
    /// A client's or an operator's.
    pub role: Role,
    /// The name of the key that the gateway was shown.
    pub name: Name,
}

/// Why a gateway cannot speak for somebody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActForError {
    /// Nobody asks a grid in that role.
    #[error("a gateway acts for a client or an operator, not for a {0}")]
    Role(Role),
    /// The tenant's name or the key's is none.
    #[error("the {what} for which a gateway acts has an empty name, or one that cannot be printed")]
    Name {
        /// Whose name it is.
        what: &'static str,
    },
}

impl ActFor {
    /// Refuses what no key stands for.
    ///
    /// # Errors
    /// [`ActForError`].
    pub fn check(&self) -> Result<(), ActForError> {
        let Self { tenant, role, name } = self;
        if !matches!(role, Role::Client | Role::Operator) {
            return Err(ActForError::Role(*role));
        }
        for (what, name) in [("tenant", tenant), ("key", name)] {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(ActForError::Name { what });
            }
        }
        Ok(())
    }
}
