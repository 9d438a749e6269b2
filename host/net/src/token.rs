//! What a machine needs to join a grid, as one word that a person can copy.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use wasmgrid_proto::wire::Role;

/// Stands in front of every token and says its version.
const PREFIX: &str = "wgt1.";

/// How much of the checksum is kept: one mistyped token in four billion passes, and is then
/// refused by the scheduler.
const CHECKSUM_LEN: usize = 4;

/// A token is longer by no more than its addresses; this allows for dozens.
const TEXT_MAX: usize = 4 << 10;

/// The right to join a grid: where it is, how to know it, and a secret that is good a few times.
///
/// Its text is `wgt1.` and one word in base64url, which ends in a checksum.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The grid's name.
    pub grid: String,
    /// Where its scheduler may be reached, `HOST:PORT` each.
    pub addresses: Vec<String>,
    /// BLAKE3 of the certificate (DER) of the grid's authority.
    pub ca_hash: [u8; 32],
    /// The scheduler's number of this token.
    pub token: u64,
    /// What proves that this is the token.
    pub secret: [u8; 32],
    /// What it makes of a machine: so that one which wants to be something else does not use it up.
    pub role: Role,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin as tokens do.
    #[error("not a join token: it must begin with {PREFIX:?}")]
    Prefix,
    /// A character is wrong or missing.
    #[error("the join token is damaged or incomplete; copy all of it")]
    Damaged,
}

impl fmt::Debug for JoinToken {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("grid", &self.grid)
            .field("addresses", &self.addresses)
            .field("token", &self.token)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = postcard::to_allocvec(self).map_err(|_| fmt::Error)?;
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let word = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        if word.len() > TEXT_MAX {
            return Err(TokenError::Damaged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(word).map_err(|_| TokenError::Damaged)?;
        let (bytes, found) = bytes.split_last_chunk().ok_or(TokenError::Damaged)?;
        if checksum(bytes) != *found {
            return Err(TokenError::Damaged);
        }
        match postcard::take_from_bytes(bytes) {
            Ok((token, [])) => Ok(token),
            _ => Err(TokenError::Damaged),
        }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let hash = *blake3::hash(bytes).as_bytes();
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            grid: "home".into(),
            addresses: vec!["10.0.0.1:7001".into(), "grid.example:7001".into()],
            ca_hash: [7; 32],
            token: 42,
            secret: [9; 32],
            role: Role::Worker,
        }
    }

    #[test]
    fn a_token_survives_being_copied() {
        let text = token().to_string();
        assert!(text.starts_with("wgt1."));
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
    }

    #[test]
    fn a_mistyped_token_is_refused_wherever_the_mistake_is() {
        let text = token().to_string();
        for position in PREFIX.len()..text.len() {
            let mut typed = text.clone().into_bytes();
            typed[position] = if typed[position] == b'A' { b'B' } else { b'A' };
            let typed = String::from_utf8(typed).unwrap();
            assert_eq!(typed.parse::<JoinToken>(), Err(TokenError::Damaged), "{typed}");
        }
        assert_eq!(text[..text.len() - 1].parse::<JoinToken>(), Err(TokenError::Damaged));
        assert_eq!("wgt1.".parse::<JoinToken>(), Err(TokenError::Damaged));
        assert_eq!("hello".parse::<JoinToken>(), Err(TokenError::Prefix));
    }

    #[test]
    fn a_token_never_shows_its_secret_in_logs() {
        let shown = format!("{:?}", token());
        assert!(!shown.contains("secret") && !shown.contains("9, 9"), "{shown}");
    }
}
