//! Counts, rates, shares, times and spans as the pages write them: sizes and spans as flags take them,
//! counts with separators. What proto writes the same way (`ByteCount`, `Fuel`, `Millis`) is used as it
//! is.

use std::fmt;

use askama::filters::HtmlSafe;
use wasmgrid_proto::{Micros, Millis};

/// From here on a count is rounded in lists, with the exact one in its title.
const ROUNDED_FROM: u64 = 1_000_000_000_000;

/// A count of things; muted if it is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("<span class=\"zero\">0</span>"),
            ROUNDED_FROM.. => {
                write!(f, "<span title=\"{}\">{}</span>", separated(self.0), rounded(self.0))
            }
            count => f.write_str(&separated(count)),
        }
    }
}

impl HtmlSafe for Count {}

/// `1.84e19`.
fn rounded(count: u64) -> String {
    let exponent = count.ilog10();
    let hundredths = u128::from(count) * 100 / 10_u128.pow(exponent);
    format!("{}.{:02}e{exponent}", hundredths / 100, hundredths % 100)
}

/// A count with separators, exact however large.
#[must_use]
pub fn separated(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count where it stands beside a more exact one: `19.4 M`.
#[must_use]
pub fn short(count: u64) -> String {
    let scales = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M")];
    match scales.iter().find(|(scale, _)| count >= *scale) {
        None => separated(count),
        Some((scale, letter)) => {
            let tenths = count / (scale / 10);
            format!("{}.{} {letter}", separated(tenths / 10), tenths % 10)
        }
    }
}

/// A number of things: `1 worker`, `24 workers`.
#[must_use]
pub fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", separated(count), if count == 1 { "" } else { "s" })
}

/// A count as a float, for pictures and shares.
#[expect(clippy::cast_precision_loss, reason = "what a picture shows is rounded anyway")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// Things per second; below ten with a tenth.
#[must_use]
pub fn rate(per_second: f64) -> String {
    let is_small = per_second < 9.95;
    match per_second {
        value if !value.is_finite() || value <= 0.0 => "0".into(),
        value if value < 0.05 => "<0.1".into(),
        value if is_small => {
            let text = format!("{value:.1}");
            text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
        }
        value => separated(whole(value)),
    }
}

/// The nearest whole number, if it is none below zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
pub(crate) const fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// A part of a whole, to a tenth of a percent. It is `0 %` and `100 %` only if that is exact.
#[must_use]
pub fn percent(part: u64, of: u64) -> String {
    if part == 0 || of == 0 {
        return "0 %".into();
    }
    if part >= of {
        return "100 %".into();
    }
    match u128::from(part) * 1_000 / u128::from(of) {
        0 => "<0.1 %".into(),
        tenths => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// A small part of a whole, such as that which failed, to two digits: `0.032 %`.
#[must_use]
pub fn small_percent(part: u64, of: u64) -> String {
    let share = if of == 0 { 0.0 } else { float(part) / float(of) * 100.0 };
    match share {
        share if part == 0 || share <= 0.0 => "0 %".into(),
        share if share < 0.001 => "<0.001 %".into(),
        share if share < 0.0995 => format!("{share:.3} %"),
        share if share < 0.995 => format!("{share:.2} %"),
        _ => percent(part, of),
    }
}

/// A span of time to two units at most, as flags take it: `1m26s`, `3h39m`.
#[must_use]
pub fn span(of: Millis) -> String {
    let unit = match of.0 {
        0..10_000 => 1,
        10_000..3_600_000 => 1_000,
        3_600_000..86_400_000 => 60_000,
        86_400_000..864_000_000 => 3_600_000,
        _ => 86_400_000,
    };
    Millis(of.0 / unit * unit).to_string()
}

/// A span to the second: what goes on is not said in milliseconds.
#[must_use]
pub fn seconds(of: Millis) -> String {
    if of.0 < 1_000 { "0s".into() } else { span(Millis(of.0 / 1_000 * 1_000)) }
}

/// How long a task took, from microseconds: `4.2ms`, `38ms`, `1s204ms`.
#[must_use]
pub fn took(us: u64) -> String {
    match us {
        0 => "0ms".into(),
        1..100 => "<0.1ms".into(),
        100..10_000 => {
            let tenths = us / 100;
            match tenths % 10 {
                0 => format!("{}ms", tenths / 10),
                tenth => format!("{}.{tenth}ms", tenths / 10),
            }
        }
        _ => match us / 1_000 {
            ms @ 0..60_000 => Millis(ms).to_string(),
            ms => span(Millis(ms)),
        },
    }
}

/// A point in time. It is in UTC; the pages' script puts it into the reader's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    at: Micros,
    to: To,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Minute,
    Second,
    Milli,
    DaySecond,
    Day,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl When {
    /// `14:28`.
    #[must_use]
    pub const fn minute(at: Micros) -> Self {
        Self { at, to: To::Minute }
    }

    /// `14:28:12`.
    #[must_use]
    pub const fn second(at: Micros) -> Self {
        Self { at, to: To::Second }
    }

    /// `14:28:12.204`.
    #[must_use]
    pub const fn milli(at: Micros) -> Self {
        Self { at, to: To::Milli }
    }

    /// `30 Nov 14:28:12`.
    #[must_use]
    pub const fn day_second(at: Micros) -> Self {
        Self { at, to: To::DaySecond }
    }

    /// `12 Feb 2027`.
    #[must_use]
    pub const fn day(at: Micros) -> Self {
        Self { at, to: To::Day }
    }

    /// As near as it is of use `now`: the time if it is less than 20 hours off, else the day with it.
    #[must_use]
    pub fn near(at: Micros, now: Micros) -> Self {
        let off = now.since(at).0.max(at.since(now).0);
        if off < 20 * 3_600_000 { Self::second(at) } else { Self::day_second(at) }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iso = self.at.to_string();
        let part = |range: std::ops::Range<usize>| iso.get(range).unwrap_or_default().to_owned();
        let milli = format!("{:03}", self.at.0 / 1_000 % 1_000);
        let month = part(5..7).parse::<usize>().unwrap_or(1).saturating_sub(1);
        let day = || {
            let month = MONTHS.get(month).copied().unwrap_or_default();
            format!("{} {month}", part(8..10).trim_start_matches('0'))
        };
        let (style, text) = match self.to {
            To::Minute => ("m", part(11..16)),
            To::Second => ("s", part(11..19)),
            To::Milli => ("f", format!("{}.{milli}", part(11..19))),
            To::DaySecond => ("d", format!("{} {}", day(), part(11..19))),
            To::Day => ("y", format!("{} {}", day(), part(0..4))),
        };
        let iso = iso.trim_end_matches('Z');
        match self.to {
            To::Milli => write!(f, "<time datetime=\"{iso}.{milli}Z\"")?,
            _ => write!(f, "<time datetime=\"{iso}Z\"")?,
        }
        write!(f, " data-t=\"{style}\">{text}</time>")
    }
}

impl HtmlSafe for When {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_separated_and_large_ones_are_rounded_with_the_exact_one_beside() {
        assert_eq!(Count(10_000_000).to_string(), "10,000,000");
        assert_eq!(Count(0).to_string(), "<span class=\"zero\">0</span>");
        let largest = Count(u64::MAX).to_string();
        assert_eq!(largest, "<span title=\"18,446,744,073,709,551,615\">1.84e19</span>");
        assert_eq!((short(19_412_008).as_str(), short(2_566).as_str()), ("19.4 M", "2,566"));
        assert_eq!(counted(1, "worker") + &counted(2, "job"), "1 worker2 jobs");
    }

    #[test]
    fn a_share_is_all_or_nothing_only_if_it_is() {
        assert_eq!(percent(7_304_118, 10_000_000), "73.0 %");
        assert_eq!(percent(9_999_999, 10_000_000), "99.9 %");
        assert_eq!(percent(1, u64::MAX), "<0.1 %");
        assert_eq!((percent(3, 3), percent(0, 3)), ("100 %".into(), "0 %".into()));
        assert_eq!(percent(0, 0), "0 %");
        assert_eq!(small_percent(2_354, 7_304_118), "0.032 %");
        assert_eq!(small_percent(1, 10), "10.0 %");
    }

    #[test]
    fn spans_and_rates_are_written_as_flags_take_them() {
        for (ms, text) in [
            (86_000, "1m26s"),
            (13_140_000, "3h39m"),
            (6_011, "6s11ms"),
            (812, "812ms"),
            (235_400, "3m55s"),
            (0, "0s"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(span(Millis(ms)), text);
            assert!(text.parse::<Millis>().is_ok(), "{text}");
        }
        assert_eq!([took(4_213), took(38_400), took(1_204_000)], ["4.2ms", "38ms", "1s204ms"]);
        assert_eq!([rate(31_480.2), rate(9.41), rate(2.0), rate(0.0)], ["31,480", "9.4", "2", "0"]);
    }

    #[test]
    fn a_time_is_there_for_programs_and_for_people() {
        let at = Micros(1_796_048_892_204_000);
        let fine = When::milli(at).to_string();
        assert!(fine.starts_with("<time datetime=\"2026-11-30T14:28:12.204Z\""), "{fine}");
        assert!(fine.ends_with(">14:28:12.204</time>"), "{fine}");
        assert!(When::day_second(at).to_string().contains(">30 Nov 14:28:12<"));
        assert!(When::near(at, Micros(at.0 + 1)).to_string().contains(">14:28:12<"));
    }
}
