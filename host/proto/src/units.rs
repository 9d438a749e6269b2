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

/// An amount of memory or data; written with its unit: `B`, `KiB`, `MiB`, `GiB`, `TiB`, `kB`, `MB`,
/// `GB` or `TB`, in whatever case, or `K`, `M`, `G` and `T`, which are binary.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ByteCount(pub u64);

/// Wasmtime's deterministic instruction budget; written as a number, or with `k`, `M`, `G`, `T`, in
/// whatever case.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fuel(pub u64);

/// A text that is not the quantity it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUnitError {
    /// It is none at all.
    #[error("invalid {what} {found:?}: expected a value such as {example}")]
    Form {
        /// The quantity that was expected.
        what: &'static str,
        /// A text that would be right.
        example: &'static str,
        /// What was there.
        found: String,
    },
    /// It is a number, which could be of anything.
    #[error("{number} has no unit; write {number}{likely} or {number}{other}")]
    Bare {
        /// The quantity that was expected.
        what: &'static str,
        /// What was there.
        number: String,
        /// The unit that it has most often.
        likely: &'static str,
        /// Another one.
        other: &'static str,
    },
}

const BYTES: &str = "amount of bytes";
const BYTES_EXAMPLE: &str = "64MiB, 1GB or 512B";
const FUEL: &str = "amount of fuel";
const FUEL_EXAMPLE: &str = "2G, 500M or 1000000";
const TIME: &str = "span of time";
const TIME_EXAMPLE: &str = "250ms, 30s, 2m or 1h30m";

/// A letter alone is binary, as most programs that limit memory have it.
const BYTE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
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

/// A number and its unit; without one it is a number of `bare`.
fn parse_suffixed(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let text = text.trim();
    let (number, scale) = units
        .iter()
        .find_map(|(unit, scale)| Some((without_end(text, unit)?, *scale)))
        .unwrap_or((text, bare));
    scaled(number.trim_end(), scale)
}

/// `text` before `end`, in whatever case.
fn without_end<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let (start, found) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
    found.eq_ignore_ascii_case(end).then_some(start)
}

/// True for a number that has no unit, and is not nothing.
fn is_bare(text: &str) -> bool {
    scaled(text.trim(), 1).is_some_and(|number| number > 0)
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
        if is_bare(text) {
            let (number, likely, other) = (text.trim().into(), "MiB", "B");
            return Err(ParseUnitError::Bare { what: BYTES, number, likely, other });
        }
        parse_suffixed(text, BYTE_UNITS, 1).map(Self).ok_or_else(|| ParseUnitError::Form {
            what: BYTES,
            example: BYTES_EXAMPLE,
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
        parse_suffixed(text, FUEL_UNITS, 1).map(Self).ok_or_else(|| ParseUnitError::Form {
            what: FUEL,
            example: FUEL_EXAMPLE,
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
        if is_bare(text) {
            let (number, likely, other) = (text.trim().into(), "s", "m");
            return Err(ParseUnitError::Bare { what: TIME, number, likely, other });
        }
        if scaled(text.trim(), 1) == Some(0) {
            return Ok(Self(0));
        }
        sum_of_times(text.trim()).map(Self).ok_or_else(|| ParseUnitError::Form {
            what: TIME,
            example: TIME_EXAMPLE,
            found: text.into(),
        })
    }
}

/// The sum of all parts in milliseconds; `None` where one is no number with a unit.
fn sum_of_times(text: &str) -> Option<u64> {
    let (mut rest, mut total) = (text, None);
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let tail = tail.trim_start();
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, scale) = TIME_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        total = Some(total.unwrap_or(0_u64).checked_add(scaled(number, *scale)?)?);
        rest = tail.trim_start();
    }
    total
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
        for text in ["64MiB", "64mib", "64Mib", "64M", "64m", " 64 MiB", "65536KiB"] {
            assert_eq!(text.parse(), Ok(ByteCount(64 << 20)), "{text}");
        }
        assert_eq!("64mb".parse(), Ok(ByteCount(64_000_000)));
        assert_eq!("1.5kB".parse(), Ok(ByteCount(1_500)));
        assert_eq!("512B".parse(), Ok(ByteCount(512)));
        assert_eq!("2TiB".parse(), Ok(ByteCount(2 << 40)));
        assert_eq!("0".parse(), Ok(ByteCount(0)));
        for text in ["2G", "2g", "2000M", "2000000000"] {
            assert_eq!(text.parse(), Ok(Fuel(2_000_000_000)), "{text}");
        }
        for text in ["1h30m", "1H30M", "1h 30m", "1 h 30 m", "1.5h"] {
            assert_eq!(text.parse(), Ok(Millis(5_400_000)), "{text}");
        }
        assert_eq!("0.25s".parse(), Ok(Millis(250)));
        assert_eq!("0".parse(), Ok(Millis(0)));
    }

    #[test]
    fn a_number_without_its_unit_is_refused_with_the_forms_that_are() {
        let error = "64".parse::<ByteCount>().expect_err("of what?").to_string();
        let expected = "64 has no unit; write 64MiB or 64B";
        assert_eq!(error, expected);
        let error = "5".parse::<Millis>().expect_err("of what?").to_string();
        assert_eq!(error, "5 has no unit; write 5s or 5m");
        assert!("1.5".parse::<Millis>().is_err());
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for bad in
            ["", "MiB", "-1", "1e9", "12 parsecs", "99999999999GiB", ".5", "1.", "1iB", "\u{fc}B"]
        {
            let error = bad.parse::<ByteCount>().expect_err(bad);
            assert!(error.to_string().contains("64MiB"), "{bad:?}: {error}");
        }
        for bad in ["", " ", "5x", "s", "1s2", "99999999999999999999d", "1s,2m"] {
            let error = bad.parse::<Millis>().expect_err(bad);
            assert!(error.to_string().contains("1h30m"), "{bad:?}: {error}");
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
