//! Keys, by which whoever has no certificate asks a grid by way of a gateway. A key is an id, which
//! everybody may see, and a secret.

use alloc::string::String;
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Micros,
    text::Name,
    wire::{ActFor, Role},
};

/// Stands in front of every key and says its version.
const PREFIX: &str = "wgk1_";

/// Microseconds of a day.
const DAY_US: u64 = 24 * 60 * 60 * 1_000_000;

/// By what a key is listed and revoked. Its text is 16 hexadecimal digits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct KeyId(pub u64);

/// A secret of 32 random bytes. Its text is base64url without padding; logs show nothing of it.
///
/// Two are compared in constant time.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Secret(pub [u8; Secret::BYTES]);

/// A key as its holder has it: `wgk1_ID_SECRET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Which key it is.
    pub id: KeyId,
    /// What proves that this is the key.
    pub secret: Secret,
}

/// How a key came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyKind {
    /// Somebody made it for programs.
    Key,
    /// A login made it, for one browser.
    Session,
}

/// What is known of a key besides its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// Its id.
    pub id: KeyId,
    /// Whose jobs it sees and submits.
    pub tenant: Name,
    /// What it may do: what a client may, or what an operator may.
    pub role: Role,
    /// Its name, under which the audit log has what is done with it.
    pub name: Name,
    /// When it was made.
    pub created: Micros,
    /// Until when it is good; `None` if that has no end.
    pub expires: Option<Micros>,
    /// The last day on which it was used, in days since 1970; `None` if it was not.
    pub last_used_day: Option<u64>,
    /// How it came to be.
    pub kind: KeyKind,
    /// True if it was taken back.
    pub revoked: bool,
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not begin as keys do.
    #[error("not a key: it must begin with {PREFIX:?}")]
    Prefix,
    /// It has no id of 16 digits.
    #[error("not the id of a key: expected 16 hexadecimal digits, such as 00c0ffee00c0ffee")]
    Id,
    /// Characters of the secret are wrong or missing.
    #[error("the secret is damaged or incomplete; copy all of it")]
    Secret,
}

/// The letters of base64url (RFC 4648, section 5), each at the place of its value.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn letter(value: u32) -> char {
    let at = usize::try_from(value).unwrap_or_default();
    LETTERS.get(at).copied().map_or('A', char::from)
}

fn value(letter: u8) -> Option<u32> {
    let at = LETTERS.iter().position(|one| *one == letter)?;
    u32::try_from(at).ok()
}

impl KeyId {
    /// Digits of its text.
    const DIGITS: usize = 16;
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // What the parser of numbers takes besides, such as a sign, is no id.
        let is_id = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_id.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(KeyError::Id)
    }
}

impl Secret {
    /// Its length.
    pub const BYTES: usize = 32;

    /// That of its text.
    const LETTERS: usize = 43;

    /// Its hash, by which it is kept.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Its text, for its holder alone.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(Self::LETTERS);
        for group in self.0.chunks(3) {
            let bits = group.iter().fold(0, |bits, byte| (bits << 8) | u32::from(*byte));
            let bits = bits << (8 * (3 - group.len()));
            for at in 0..=group.len() {
                text.push(letter((bits >> (18 - 6 * at)) & 0x3f));
            }
        }
        text
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.digest().equals_in_constant_time(&other.digest())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl FromStr for Secret {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (mut bytes, mut left) = ([0; Self::BYTES], text.bytes());
        let mut next = || left.next().and_then(value).ok_or(KeyError::Secret);
        // Bits that were read and are in no byte yet, and how many there are.
        let (mut bits, mut count) = (0_u32, 0);
        for byte in &mut bytes {
            while count < 8 {
                bits = (bits << 6) | next()?;
                count += 6;
            }
            count -= 8;
            *byte = u8::try_from((bits >> count) & 0xff).unwrap_or_default();
            bits &= (1 << count) - 1;
        }
        // Another text would be read as the same secret.
        let is_whole = bits == 0 && left.next().is_none();
        is_whole.then_some(Self(bytes)).ok_or(KeyError::Secret)
    }
}

impl ApiKey {
    /// Its text, for its holder alone.
    #[must_use]
    pub fn text(&self) -> String {
        alloc::format!("{PREFIX}{}_{}", self.id, self.secret.text())
    }
}

impl FromStr for ApiKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(KeyError::Prefix)?;
        let (id, secret) = rest.split_once('_').ok_or(KeyError::Secret)?;
        Ok(Self { id: id.parse()?, secret: secret.parse()? })
    }
}

impl KeyKind {
    /// Its name as the command line and JSON output have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl KeyStatus {
    /// Whom a gateway speaks for that was shown this key.
    #[must_use]
    pub fn act_for(&self) -> ActFor {
        ActFor { tenant: self.tenant.clone(), role: self.role, name: self.name.clone() }
    }

    /// On which day a date is, as [`Self::last_used_day`] counts days.
    #[must_use]
    pub const fn day_of(date: Micros) -> u64 {
        date.0 / DAY_US
    }

    /// When the day began on which it was used last.
    #[must_use]
    pub fn last_used(&self) -> Option<Micros> {
        self.last_used_day.map(|day| Micros(day.saturating_mul(DAY_US)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned as _, format, string::ToString as _};

    use super::*;

    fn key() -> ApiKey {
        ApiKey { id: KeyId(0xc0_ffee), secret: Secret([0xfb; Secret::BYTES]) }
    }

    #[test]
    fn a_key_survives_being_copied() {
        let text = key().text();
        assert!(text.starts_with("wgk1_0000000000c0ffee_"), "{text}");
        let read: ApiKey = format!(" {text}\n").parse().expect("a key");
        assert_eq!(read, key());
        // The alphabet of base64url has the character that parts the id from the secret.
        assert!(key().secret.text().contains("_") || key().secret.text().contains("-"));
    }

    #[test]
    fn a_secret_is_written_in_base64url() {
        let mut bytes = [0; Secret::BYTES];
        bytes.iter_mut().zip(0..).for_each(|(byte, at)| *byte = at * 8);
        let text = "AAgQGCAoMDhASFBYYGhweICIkJigqLC4wMjQ2ODo8Pg";
        assert_eq!(Secret(bytes).text(), text);
        assert_eq!(text.parse(), Ok(Secret(bytes)));
        assert_eq!(Secret([0xff; Secret::BYTES]).text(), "_".repeat(42) + "8");
    }

    #[test]
    fn what_is_not_exactly_a_key_is_refused() {
        let text = key().text();
        for wrong in [
            "",
            "wgk1_",
            "wgt1.x",
            "wgk1_0000000000c0ffee",
            "wgk1_0000000000c0ffee_",
            "wgk1_c0ffee_AAAA",
            "wgk1_+00000000c0ffee0_AAAA",
            &text[..text.len() - 1],
            &format!("{text}A"),
            &format!("{text}="),
            &text.replace('-', "+"),
            // Its last letter has bits that belong to no byte.
            &(text[..text.len() - 1].to_owned() + "t"),
        ] {
            assert!(wrong.parse::<ApiKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_not_in_what_is_logged() {
        assert_eq!(format!("{:?}", key()), "ApiKey { id: KeyId(12648430), secret: Secret(..) }");
    }

    #[test]
    fn a_day_begins_at_midnight() {
        let day = KeyStatus::day_of(Micros(DAY_US * 3 - 1));
        assert_eq!((day, KeyStatus::day_of(Micros(DAY_US * 3))), (2, 3));
        assert_eq!(KeyId(7).to_string().parse(), Ok(KeyId(7)));
    }
}
