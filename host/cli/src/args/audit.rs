//! The flags of `wasmgrid audit`.

use std::str::FromStr;

use clap::Args;
use wasmgrid_proto::{Micros, Millis};

use super::AskArgs;

/// What is in the log, for the command's `--help`.
const AUDIT_HELP: &str = r#"The log has what operators did: cordons and drains, tokens created and revoked, members
removed, the authority replaced and retired, quotas set; and jobs of others cancelled, retried, fed and
closed. It also has what was refused: of each caller the first 10 refusals of a day, and the number of
the others in one entry. Secrets are never in it. Only operators can read it.

With --output json, each line is one entry:
  {"number":7,"at_us":1764500000000000,
   "who":{"name":"olga","role":"operator","tenant":"operator/olga",
          "serial":"4a0c..."},
   "action":"cordon-worker","object":{"kind":"worker","id":null,"name":"w1"},
   "parameters":"","outcome":"ok","count":1}"#;

/// `wasmgrid audit`.
#[derive(Args, Debug)]
#[command(after_long_help = AUDIT_HELP)]
pub struct AuditArgs {
    /// Only entries from this time on: a date (2026-11-30), a time in UTC (2026-11-30T18:00Z), or a
    /// duration before now (2h, 7d)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Only entries of callers of this name
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    /// Which cluster, and how its answer is printed.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long before now.
    Ago(Millis),
    /// From this date on.
    At(Micros),
}

impl Since {
    /// As a date, if it is `now`.
    pub const fn date(self, now: Micros) -> Micros {
        match self {
            Self::Ago(span) => Micros(now.0.saturating_sub(span.0.saturating_mul(1_000))),
            Self::At(at) => at,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(at) = date(text) {
            return Ok(Self::At(at));
        }
        text.parse().map(Self::Ago).map_err(|_| {
            format!(
                "invalid time {text:?}: expected a duration such as 2h or 7d, a date such as \
                 2026-11-30, or a time in UTC such as 2026-11-30T18:00Z"
            )
        })
    }
}

/// Reads `2026-11-30`, `2026-11-30T18:00Z` or `2026-11-30T18:00:30Z`; `None` if it is none of these, or
/// no day of the calendar.
fn date(text: &str) -> Option<Micros> {
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    let number = |text: &str, at: usize, length: usize| -> Option<u64> {
        let digits = text.get(at..at + length)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, of_month) = (number(day, 0, 4)?, number(day, 5, 2)?, number(day, 8, 2)?);
    let (hour, minute, second) = (number(&time, 0, 2)?, number(&time, 3, 2)?, number(&time, 6, 2)?);
    // Years that begin in March: the leap day is the last of one.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + of_month;
    let days = days.checked_sub(719_469)?;
    let at = Micros((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000);
    // What is no date, or written otherwise, is another date when it is written.
    (at.to_string() == format!("{day}T{time}Z")).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_duration_before_now_or_a_date() {
        let since = |text: &str| text.parse::<Since>();
        assert_eq!(since("2h"), Ok(Since::Ago(Millis(7_200_000))));
        assert_eq!(since("1970-01-01"), Ok(Since::At(Micros(0))));
        assert_eq!(since("2000-02-29"), Ok(Since::At(Micros(951_782_400_000_000))));
        let at = |text| since(text).map(|since| since.date(Micros(0)).to_string());
        assert_eq!(at("2026-11-30T18:05Z").as_deref(), Ok("2026-11-30T18:05:00Z"));
        assert_eq!(at("2027-01-02T03:04:05Z").as_deref(), Ok("2027-01-02T03:04:05Z"));
        let ago = Since::Ago(Millis(1_000)).date(Micros(3_000_000));
        assert_eq!(ago, Micros(2_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused_with_examples() {
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "2026-11-30T25:00Z",
            "2026-11-30T18:00",
            "yesterday",
            "5",
            "",
            "1969-12-31",
            "2026/11/30",
            "2026-11-30T18:0Z",
        ] {
            let error = text.parse::<Since>().expect_err(text);
            assert!(error.contains("2026-11-30T18:00Z"), "{error}");
        }
    }
}
