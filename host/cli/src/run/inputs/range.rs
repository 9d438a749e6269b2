//! `--range`: a run of whole numbers, one a task. Not for reading or making the inputs.

use std::{fmt, num::IntErrorKind, str::FromStr};

use wasmgrid_proto::InputBlock;

/// Numbers from `start`, each `step` on from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start: i64,
    step: i64,
    count: u64,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is not `A..B`.
    #[error(
        "invalid range {found:?}: expected A..B, A..=B or A..B/STEP with 64-bit whole numbers, \
         such as 0..10, 1..=100 or 0..1000/10"
    )]
    Shape {
        /// What was there.
        found: String,
    },
    /// One of its numbers does not fit 64 bits.
    #[error(
        "invalid range {found:?}: {number} is out of bounds; numbers are from {least} to {most}",
        least = i64::MIN,
        most = i64::MAX
    )]
    Bounds {
        /// What was there.
        found: String,
        /// The number.
        number: String,
    },
    /// The step is 0.
    #[error("a range with step 0 never ends")]
    Step,
    /// Its end lies behind its start, seen from where it goes.
    #[error("{found} has no numbers: {end} is {place} {start}; write {instead}")]
    Backwards {
        /// What was there.
        found: String,
        /// Its first number.
        start: i64,
        /// Where it should end.
        end: i64,
        /// Where the end is.
        place: &'static str,
        /// What may have been meant.
        instead: String,
    },
    /// Its numbers cannot be counted in 64 bits.
    #[error("the range has more numbers than 64 bits can count")]
    Count,
}

impl Range {
    /// How many numbers it has.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// The number at this place of it.
    pub const fn at(self, place: u64) -> i64 {
        // Of a place within, the product and the sum are within 64 bits; else they are of no use.
        self.start.wrapping_add(self.step.wrapping_mul(place.cast_signed()))
    }

    /// The inputs of the range.
    pub const fn block(self) -> InputBlock {
        InputBlock::Numbers { start: self.start, step: self.step, count: self.count }
    }
}

impl fmt::Display for Range {
    /// As it may be written: the same numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, step, count } = *self;
        match count.checked_sub(1) {
            None => write!(f, "{start}..{start}/{step}"),
            Some(last) => write!(f, "{start}..={}/{step}", self.at(last)),
        }
    }
}

impl FromStr for Range {
    type Err = RangeError;

    /// Reads `A..B`, `A..=B`, each with an optional `/STEP`; a negative step counts down. A range may
    /// be empty (`5..5`, `1..=0`), as one is whose end was computed.
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let shape = || RangeError::Shape { found: text.into() };
        let number = |part: &str| {
            let part = part.trim();
            part.parse::<i64>().map_err(|error| match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                    RangeError::Bounds { found: text.into(), number: part.into() }
                }
                _ => shape(),
            })
        };
        let (bounds, step) = match text.split_once('/') {
            Some((bounds, step)) => (bounds, number(step)?),
            None => (text, 1),
        };
        let (start, end) = bounds.split_once("..").ok_or_else(shape)?;
        let (end, inclusive) = end.strip_prefix('=').map_or((end, false), |end| (end, true));
        let (start, end) = (number(start)?, number(end)?);
        let count = count(start, end, step, inclusive)?;
        count.map(|count| Self { start, step, count }).ok_or_else(|| {
            let dots = if inclusive { "..=" } else { ".." };
            let (place, instead) = if step > 0 {
                let (up, down) =
                    (format!("{end}{dots}{start}"), format!("{start}{dots}{end}/-{step}"));
                ("below", format!("{up}, or {down} to count down"))
            } else {
                ("above", format!("{start}{dots}{end}/{} to count up", step.unsigned_abs()))
            };
            RangeError::Backwards { found: text.into(), start, end, place, instead }
        })
    }
}

/// How many numbers there are; `None` where the end lies behind the start.
fn count(start: i64, end: i64, step: i64, inclusive: bool) -> Result<Option<u64>, RangeError> {
    if step == 0 {
        return Err(RangeError::Step);
    }
    let way = (i128::from(end) - i128::from(start)) * i128::from(step.signum());
    let length = way + i128::from(inclusive);
    if length < 0 {
        return Ok(None);
    }
    let stride = i128::from(step.unsigned_abs());
    u64::try_from((length + stride - 1) / stride).map(Some).map_err(|_| RangeError::Count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> (i64, i64, u64) {
        let range: Range = text.parse().expect(text);
        assert!(range.count == 0 || range.block().check().is_ok(), "{text}");
        assert_eq!(range.to_string().parse(), Ok(range), "{text}");
        (range.start, range.step, range.count)
    }

    #[test]
    fn the_end_is_left_out_unless_asked_for() {
        assert_eq!(numbers("0..10"), (0, 1, 10));
        assert_eq!(numbers("1..=100"), (1, 1, 100));
        assert_eq!(numbers("5..5"), (5, 1, 0));
        assert_eq!(numbers("5..=5"), (5, 1, 1));
        assert_eq!(numbers("1..=0"), (1, 1, 0));
    }

    #[test]
    fn a_step_skips_and_a_negative_one_counts_down() {
        assert_eq!(numbers("0..10/3"), (0, 3, 4));
        assert_eq!(numbers("0..=9/3"), (0, 3, 4));
        assert_eq!(numbers("0..9/3"), (0, 3, 3));
        assert_eq!(numbers("10..0/-1"), (10, -1, 10));
        assert_eq!(numbers("-5..=5/5"), (-5, 5, 3));
    }

    #[test]
    fn ranges_reach_both_ends_of_64_bits() {
        assert_eq!(numbers(&format!("{}..{}", i64::MIN, i64::MAX)).2, u64::MAX);
        assert_eq!(numbers(&format!("{0}..={0}", i64::MAX)).2, 1);
        assert_eq!(numbers(&format!("10..0/{}", i64::MIN)).2, 1);
        let all = format!("{}..={}", i64::MIN, i64::MAX);
        assert_eq!(all.parse::<Range>(), Err(RangeError::Count));
    }

    #[test]
    fn a_number_that_64_bits_do_not_hold_is_named_with_the_bounds() {
        for (text, number) in [
            ("0..18446744073709551615", "18446744073709551615"),
            ("-9223372036854775809..=0", "-9223372036854775809"),
            ("0..1/99999999999999999999", "99999999999999999999"),
        ] {
            let error = text.parse::<Range>().expect_err(text).to_string();
            let told =
                format!("{number} is out of bounds; numbers are from -9223372036854775808 to");
            assert!(error.contains(&told), "{error}");
        }
    }

    #[test]
    fn a_range_that_goes_the_other_way_is_refused_with_what_was_meant() {
        for (text, instead) in [
            ("3..1", "1 is below 3; write 1..3, or 3..1/-1 to count down"),
            ("3..=1/2", "1 is below 3; write 1..=3, or 3..=1/-2 to count down"),
            ("0..10/-1", "10 is above 0; write 0..10/1 to count up"),
        ] {
            let error = text.parse::<Range>().expect_err(text).to_string();
            assert_eq!(error, format!("{text} has no numbers: {instead}"));
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for bad in ["", "7", "..", "1..", "..2", "a..b", "1...2", "1..2/", "1..2/x", "0.5..2"] {
            let error = bad.parse::<Range>().expect_err(bad);
            assert!(error.to_string().contains("0..10"), "{bad}: {error}");
        }
        assert_eq!("1..2/0".parse::<Range>(), Err(RangeError::Step));
    }
}
