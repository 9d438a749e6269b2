//! How a gateway reaches its grid, and what it must know of keys. Whoever makes a gateway implements
//! [`Grid`]: over links in the process, over QUIC, or against a scheduler that a test plays.

use std::{fmt, pin::Pin};

use wasmgrid_client::{Client, ClientConfig, ClientError};
use wasmgrid_proto::{ByteCount, Micros, Millis};

pub use wasmgrid_proto::wire::ActFor;

/// An answer to come.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send + 'a>>;

/// How the gateway reaches its grid.
pub trait Grid: Send + Sync + 'static {
    /// A client that acts for nobody: it may check keys and logins, and read metrics.
    fn own(&self) -> Asked<'_, Client>;

    /// A client that acts for a tenant.
    fn acting(&self, act_for: ActFor) -> Asked<'_, Client>;

    /// Whose key this is; `None` if there is no such key, it was revoked or its time is over.
    fn check_key(&self, key: KeyText) -> Asked<'_, Option<CheckedKey>>;
}

/// A key as it was presented: its number and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    /// Its number: 16 hexadecimal digits.
    pub id: String,
    /// Its secret: base64url without padding.
    pub secret: String,
}

/// A key that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedKey {
    /// Its number.
    pub id: String,
    /// Whom it speaks for.
    pub act_for: ActFor,
    /// When it ends, if ever.
    pub expires: Option<Micros>,
}

/// What stands before a key's number.
const PREFIX: &str = "wgk1_";

/// Digits of a key's number.
const ID_DIGITS: usize = 16;

/// Characters of a secret at most: 32 bytes take 43.
const SECRET_MAX: usize = 128;

impl KeyText {
    /// Reads `wgk1_<id>_<secret>`; `None` if the text has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_id = id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let is_secret = (1..=SECRET_MAX).contains(&secret.len()) && secret.bytes().all(plain);
        (is_id && is_secret).then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }
}

impl fmt::Debug for KeyText {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyText").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How a gateway's clients behave: each open answer holds so much of results that its reader has not
/// taken, and a lost link is dialled again for long enough that a scheduler can be started again.
#[must_use]
pub const fn client_config() -> ClientConfig {
    ClientConfig { window: ByteCount(1 << 20), patience: Millis(120_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_form_and_its_secret_is_not_shown() {
        let key = KeyText::parse("wgk1_0123456789abcdef_a-b_c").expect("a key");
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("0123456789abcdef", "a-b_c"));
        assert!(!format!("{key:?}").contains("a-b_c"));
        let long = format!("wgk1_0123456789abcdef_{}", "x".repeat(SECRET_MAX + 1));
        for text in
            ["", "wgk1_", "wgk1_0123456789abcdef_", "wgk1_0123_x", "wgk2_0123456789abcdef_x", &long]
        {
            assert_eq!(KeyText::parse(text), None, "{text}");
        }
    }
}
