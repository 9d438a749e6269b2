//! Quantities with their units: bytes, fuel and times, as people write them.

use alloc::{
    format,
    string::{String, ToString},
};
use core::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A point in time for the scheduler: microseconds since the Unix epoch, as its driver says.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Micros(pub u64);

impl Micros {
    /// This time and `span` later; the end of time where it would overflow.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0.saturating_mul(1_000)))
    }

    /// Whole milliseconds from `earlier` to this time; 0 where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0) / 1_000)
    }
}

impl fmt::Display for Micros {
    /// To the second, in UTC: `2026-03-01T09:05:30Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000;
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        // Years begin in March here, so that the leap day is the last of one, and each month of
        // the five from March on has (153 * month + 2) / 5 days before it.
        let from_0000 = days + 719_468;
        let (era, of_era) = (from_0000 / 146_097, from_0000 % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = year + era * 400 + carry;
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A span of time in milliseconds; written `250ms`, `30s`, `2m`, `1h`, `7d` or sums (`1h30m`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub u64);

impl Millis {
    /// The same span for the standard library.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// An amount of memory or data; written in bytes, or with `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ByteCount(pub u64);

/// Wasmtime's deterministic instruction budget; written as a number, or with `k`, `M`, `G`, `T`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fuel(pub u64);

/// A text that is not the quantity it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {what}; write it like {example}")]
pub struct ParseUnitError {
    /// The quantity that was expected.
    pub what: &'static str,
    /// A text that would be right.
    pub example: &'static str,
    /// What was there.
    pub found: String,
}

const BYTE_UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];
const FUEL_UNITS: &[(&str, u64)] =
    &[("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];
const TIME_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// `text` as a decimal number times `scale`, exactly; `None` where it is neither or overflows.
fn scaled(text: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || (text.contains('.') && (!digits(fraction) || fraction.len() > 9)) {
        return None;
    }
    let base = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if fraction.is_empty() {
        return Some(base);
    }
    let denominator = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let extra = fraction.parse::<u128>().ok()? * u128::from(scale) / denominator;
    base.checked_add(u64::try_from(extra).ok()?)
}

fn parse_suffixed(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, scale) = units
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)))
        .unwrap_or((text, 1));
    scaled(number.trim_end(), scale)
}

/// The largest of `units` that divides `value` without a rest, for an exact text.
fn display_suffixed(value: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, scale)| value != 0 && value.is_multiple_of(*scale))
        .map_or_else(|| value.to_string(), |(unit, scale)| format!("{}{unit}", value / scale))
}

impl FromStr for ByteCount {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        parse_suffixed(text, BYTE_UNITS).map(Self).ok_or_else(|| ParseUnitError {
            what: "amount of bytes",
            example: "64MiB, 1GB or 65536",
            found: text.into(),
        })
    }
}

impl fmt::Display for ByteCount {
    /// Exact where a binary unit fits (`64MiB`), else with one decimal (`1.4MiB`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match binary.iter().find(|(_, scale)| self.0 >= *scale) {
            None => write!(f, "{}B", self.0),
            Some((unit, scale)) if self.0.is_multiple_of(*scale) => {
                write!(f, "{}{unit}", self.0 / scale)
            }
            Some((unit, scale)) => {
                let tenths = u128::from(self.0) * 10 / u128::from(*scale);
                write!(f, "{}.{}{unit}", tenths / 10, tenths % 10)
            }
        }
    }
}

impl FromStr for Fuel {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        parse_suffixed(text, FUEL_UNITS).map(Self).ok_or_else(|| ParseUnitError {
            what: "amount of fuel",
            example: "2G, 500M or 1000000",
            found: text.into(),
        })
    }
}

impl fmt::Display for Fuel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&display_suffixed(self.0, FUEL_UNITS))
    }
}

impl FromStr for Millis {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        let error = || ParseUnitError {
            what: "span of time",
            example: "250ms, 30s, 2m or 1h30m",
            found: text.into(),
        };
        let mut rest = text.trim();
        let mut total = 0u64;
        while !rest.is_empty() {
            let number_end =
                rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let (number, tail) = rest.split_at(number_end);
            let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let (_, scale) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
            let part = scaled(number, *scale).ok_or_else(error)?;
            total = total.checked_add(part).ok_or_else(error)?;
            rest = tail;
        }
        if text.trim().is_empty() { Err(error()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, scale) in TIME_UNITS.iter().rev() {
            if rest >= *scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_to_the_second() {
        let text = |seconds: u64| Micros(seconds * 1_000_000 + 999_999).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(text(951_868_800), "2000-03-01T00:00:00Z");
        assert_eq!(text(1_798_761_599), "2026-12-31T23:59:59Z");
    }

    #[test]
    fn a_quantity_is_read_as_people_write_it() {
        assert_eq!("64MiB".parse(), Ok(ByteCount(64 << 20)));
        assert_eq!("1.5kB".parse(), Ok(ByteCount(1_500)));
        assert_eq!("512".parse(), Ok(ByteCount(512)));
        assert_eq!("2G".parse(), Ok(Fuel(2_000_000_000)));
        assert_eq!("1h30m".parse(), Ok(Millis(5_400_000)));
        assert_eq!("0.25s".parse(), Ok(Millis(250)));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for bad in ["", "MiB", "-1", "1e9", "12 parsecs", "99999999999GiB", ".5", "1."] {
            assert!(bad.parse::<ByteCount>().is_err(), "{bad:?}");
        }
        for bad in ["", "5", "1x", "s", "1s2", "99999999999999999999d"] {
            let error = bad.parse::<Millis>().expect_err(bad);
            assert!(error.to_string().contains("1h30m"));
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for value in [0, 1, 999, 1_000, 60_000, 5_400_000, 86_461_001] {
            assert_eq!(Millis(value).to_string().parse(), Ok(Millis(value)));
        }
        for value in [0, 7, 1_000, 2_500_000, 100_000_000_000] {
            assert_eq!(Fuel(value).to_string().parse(), Ok(Fuel(value)));
        }
        assert_eq!(ByteCount(64 << 20).to_string(), "64MiB");
        assert_eq!(ByteCount(1_500_000).to_string(), "1.4MiB");
    }
}
