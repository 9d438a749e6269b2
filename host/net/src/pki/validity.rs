//! For how long a certificate is good, and what is to be done about its end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmgrid_proto::{Micros, Millis};
use x509_parser::{
    extensions::ParsedExtension,
    prelude::{FromDer as _, X509Certificate},
};

use crate::error::IdentityError;

/// Certificates begin so much in the past, for clocks that differ, and those that were set wrong
/// for a while: a grid with one such machine, be it the scheduler's, works as before.
pub(super) const SKEW: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before its end a certificate is warned of, where it lives long enough: a month.
const WARN_BEFORE: Millis = Millis(30 * 24 * 60 * 60 * 1_000);

/// When a certificate was made and when it ends, by date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// When it was made.
    pub issued: Micros,
    /// When it ends.
    pub ends: Micros,
}

impl Validity {
    /// When its holder renews it: after two thirds of its life.
    #[must_use]
    pub fn renew_at(&self) -> Micros {
        self.issued.after(Millis(self.life().0 / 3 * 2))
    }

    /// From when on people are warned: a month before its end, or in the last third of a shorter
    /// life. Who renews in time never gets there.
    #[must_use]
    pub fn warn_at(&self) -> Micros {
        let before = WARN_BEFORE.min(Millis(self.life().0 / 3)).0.saturating_mul(1_000);
        Micros(self.ends.0.saturating_sub(before))
    }

    /// True where a certificate is good at a date.
    #[must_use]
    pub fn is_good(&self, date: Micros) -> bool {
        let skew = u64::try_from(SKEW.as_micros()).unwrap_or(u64::MAX);
        self.issued.0.saturating_sub(skew) <= date.0 && date < self.ends
    }

    /// What is left of it at a date.
    #[must_use]
    pub fn left(&self, date: Micros) -> Millis {
        self.ends.since(date)
    }

    fn life(&self) -> Millis {
        self.ends.since(self.issued)
    }
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// For how long it is good.
    pub validity: Validity,
    /// Its serial number, in hexadecimal without separators.
    pub serial: String,
    /// The number of the key that signed it; empty where it does not say so.
    pub(crate) signed_by: Vec<u8>,
}

impl Certificate {
    /// Reads one in DER. Says nothing of who signed it.
    pub(crate) fn read(der: &[u8]) -> Result<Self, IdentityError> {
        let unreadable = |reason: String| IdentityError::Unreadable { reason };
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
        let date = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000);
        let from = date(parsed.validity().not_before.timestamp());
        let ends = date(parsed.validity().not_after.timestamp());
        let skew = u64::try_from(SKEW.as_micros()).unwrap_or(u64::MAX);
        // Of one that somebody else made nobody knows whether it begins in the past.
        let issued = Some(from.saturating_add(skew)).filter(|at| *at < ends).unwrap_or(from);
        let signed_by = parsed.extensions().iter().find_map(|one| match one.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(key) => {
                key.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => None,
        });
        let validity = Validity { issued: Micros(issued), ends: Micros(ends) };
        let serial = parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { validity, serial, signed_by: signed_by.unwrap_or_default() })
    }
}

/// The number of the key that a certificate in DER is for, as an authority's certificate says it.
pub(super) fn key_number(der: &[u8]) -> Vec<u8> {
    let Ok((_, parsed)) = X509Certificate::from_der(der) else { return Vec::new() };
    let number = parsed.extensions().iter().find_map(|one| match one.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    number.unwrap_or_default()
}

/// The date by this machine's clock.
pub(crate) fn today() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60 * 1_000_000;

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_and_warned_of_a_month_before_its_end() {
        let year = Validity { issued: Micros(10 * DAY), ends: Micros(375 * DAY) };
        assert_eq!(year.renew_at().0 / DAY, 10 + 365 * 2 / 3);
        assert_eq!(year.warn_at(), Micros(345 * DAY));
        let short = Validity { issued: Micros(0), ends: Micros(30_000_000) };
        assert_eq!((short.renew_at(), short.warn_at()), (Micros(20_000_000), Micros(20_000_000)));
        assert_eq!(short.left(Micros(29_000_000)), Millis(1_000));
        assert_eq!(short.left(Micros(31_000_000)), Millis(0));
    }
}
