//! What was used of each limit, as a table of a job's or a task's page.

use wasmgrid_proto::{ByteCount, Fuel, Limits, Micros};

use crate::{Bar, Fill, Tone, number};

/// The most that one task used of each limit, or what one task used; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Fuel.
    pub fuel: Option<u64>,
    /// Wall time, in microseconds.
    pub wall_us: Option<u64>,
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Bytes of output.
    pub output: Option<u64>,
    /// Bytes of one record.
    pub record: Option<u64>,
    /// Bytes of log.
    pub log: Option<u64>,
}

/// How many tasks reached each limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Fuel.
    pub fuel: u64,
    /// Time.
    pub time: u64,
    /// Memory.
    pub memory: u64,
    /// Output.
    pub output: u64,
    /// A record.
    pub record: u64,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct LimitRow {
    pub(crate) word: &'static str,
    pub(crate) used: String,
    pub(crate) allowed: String,
    pub(crate) bar: Bar,
    pub(crate) tone: Tone,
    pub(crate) note: String,
}

/// The rows, with how many tasks reached each limit; `reached` is nothing for a single task.
pub(crate) fn rows(limits: &Limits, used: &Used, reached: Option<&Reached>) -> Vec<LimitRow> {
    let bytes = |amount: u64| ByteCount(amount).to_string();
    let fuel = |amount: u64| fuel(amount);
    let time = |us: u64| number::took(us);
    let reached = reached.copied();
    let of = |count: fn(&Reached) -> u64| reached.as_ref().map(count);
    let deadline = Micros(0).after(limits.deadline).0;
    vec![
        row("fuel", used.fuel, limits.fuel.0, fuel, of(|at| at.fuel)),
        row("time", used.wall_us, deadline, time, of(|at| at.time)),
        row("memory", used.memory, limits.memory.0, bytes, of(|at| at.memory)),
        row("output", used.output, limits.output.0, bytes, of(|at| at.output)),
        row("record", used.record, limits.record.0, bytes, of(|at| at.record)),
        log(used.log, limits.log.0),
    ]
}

/// Fuel as flags take it where that is exact, else with separators.
fn fuel(amount: u64) -> String {
    match Fuel(amount).to_string() {
        text if text.ends_with(|c: char| c.is_ascii_digit()) => number::separated(amount),
        text => text,
    }
}

fn row(
    word: &'static str,
    used: Option<u64>,
    allowed: u64,
    text: impl Fn(u64) -> String,
    reached: Option<u64>,
) -> LimitRow {
    let is_reached = reached.map_or_else(|| used.is_some_and(|used| used >= allowed), |at| at > 0);
    let note = match reached {
        Some(tasks) if tasks > 0 => format!("reached by {}", number::counted(tasks, "task")),
        None if is_reached => "reached".into(),
        _ => String::new(),
    };
    let fill = if is_reached { Fill::Bad } else { Fill::Run };
    let tone = if is_reached { Tone::Bad } else { Tone::Rest };
    filled(word, used, allowed, text, (fill, tone, note))
}

/// A log that reaches its limit is cut, which is no failure.
fn log(used: Option<u64>, allowed: u64) -> LimitRow {
    let is_cut = used.is_some_and(|used| used >= allowed && allowed > 0);
    let kind = if is_cut {
        (Fill::Warn, Tone::Warn, "reached: the rest was dropped".to_owned())
    } else {
        (Fill::Run, Tone::Rest, String::new())
    };
    filled("log", used, allowed, |amount| ByteCount(amount).to_string(), kind)
}

fn filled(
    word: &'static str,
    used: Option<u64>,
    allowed: u64,
    text: impl Fn(u64) -> String,
    (fill, tone, note): (Fill, Tone, String),
) -> LimitRow {
    let allowed_text = text(allowed);
    let used_text = used.map_or_else(|| "–".to_owned(), text);
    let label = format!("{used_text} of {allowed_text}");
    let bar = Bar::of(label, fill, used.unwrap_or_default().min(allowed), allowed);
    LimitRow { word, used: used_text, allowed: allowed_text, bar, tone, note }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::Millis;

    use super::*;

    #[test]
    fn limits_are_written_as_flags_take_them_and_say_who_reached_them() {
        let limits =
            Limits { fuel: Fuel(2_000_000_000), deadline: Millis(10_000), ..Limits::default() };
        let used = Used {
            fuel: Some(2_000_000_000),
            wall_us: Some(4_213),
            memory: Some(40_000_000),
            log: Some(256 << 10),
            ..Used::default()
        };
        let rows = rows(&limits, &used, Some(&Reached { fuel: 388, ..Reached::default() }));
        let said: Vec<_> = rows
            .iter()
            .map(|row| format!("{} {} {} {}", row.word, row.used, row.allowed, row.note))
            .collect();
        assert_eq!(
            said,
            [
                "fuel 2G 2G reached by 388 tasks",
                "time 4.2ms 10s ",
                "memory 38.1MiB 64MiB ",
                "output – 16MiB ",
                "record – 1MiB ",
                "log 256KiB 256KiB reached: the rest was dropped",
            ]
        );
        assert_eq!(fuel(11_204_118), "11,204,118");
    }
}
