//! Lines over time: rates, latencies, memory.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;
use wasmgrid_proto::{ByteCount, Micros};

use super::short;
use crate::{
    number::{When, float, separated, took, whole},
    text::escaped,
};

/// What the height means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Axis {
    /// A number from 0 to the next round one above the largest value.
    Number,
    /// A number from 0 to this.
    Upto(u64),
    /// Bytes from 0 to this.
    Bytes(u64),
    /// Microseconds, logarithmic.
    LogTime,
}

/// One line or two over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it shows, in words.
    pub label: String,
    /// What the height means.
    pub axis: Axis,
    /// When the first value was.
    pub from: Micros,
    /// When the last one was.
    pub to: Micros,
    /// The values at equal distances; `None` where none is known.
    pub values: Vec<Option<f64>>,
    /// A second line, dashed.
    pub second: Vec<Option<f64>>,
    /// A line of failures, red.
    pub failed: Vec<Option<f64>>,
    /// How many times stand below it.
    pub times: u64,
    /// Half as high.
    pub low: bool,
}

impl Line {
    /// A line of these values, with three times below it.
    pub fn new(
        label: impl Into<String>,
        axis: Axis,
        (from, to): (Micros, Micros),
        values: Vec<Option<f64>>,
    ) -> Self {
        let (second, failed) = (Vec::new(), Vec::new());
        Self { label: label.into(), axis, from, to, values, second, failed, times: 3, low: false }
    }

    /// With a second, dashed line.
    #[must_use]
    pub fn with_second(self, second: Vec<Option<f64>>) -> Self {
        Self { second, ..self }
    }

    /// With a red line of failures.
    #[must_use]
    pub fn with_failed(self, failed: Vec<Option<f64>>) -> Self {
        Self { failed, ..self }
    }

    /// Half as high.
    #[must_use]
    pub fn low(self) -> Self {
        Self { low: true, ..self }
    }

    /// For the width of a page: more times below it.
    #[must_use]
    pub fn wide(self) -> Self {
        Self { times: 6, ..self }
    }

    fn scale(&self) -> Scale {
        let all = || self.values.iter().chain(&self.second).chain(&self.failed).flatten().copied();
        let largest = all().fold(0.0, f64::max);
        match self.axis {
            Axis::Number => Scale::Linear { top: round_above(largest), bytes: false },
            Axis::Upto(top) => Scale::Linear { top: float(top.max(1)), bytes: false },
            Axis::Bytes(top) => Scale::Linear { top: float(top.max(1)), bytes: true },
            Axis::LogTime => {
                let least = all().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
                let low = if least.is_finite() { least.log10().floor() } else { 3.0 };
                let high = if largest > 1.0 { largest.log10().ceil() } else { 4.0 };
                let high = high.max(low + 1.0);
                let step = ((high - low) / 3.0).ceil();
                Scale::Log { low, step, steps: ((high - low) / step).ceil() }
            }
        }
    }
}

enum Scale {
    Linear { top: f64, bytes: bool },
    Log { low: f64, step: f64, steps: f64 },
}

impl Scale {
    /// From 0 at the top to 100 at the bottom.
    fn y(&self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { top, .. } => value / top,
            Self::Log { low, step, steps } => (value.max(1.0).log10() - low) / (step * steps),
        };
        100.0 - share.clamp(0.0, 1.0) * 100.0
    }

    /// The rules, from the top, each with its words.
    fn rules(&self) -> Vec<(f64, String)> {
        match *self {
            Self::Linear { top, bytes } => [(0.0, top), (50.0, top / 2.0), (100.0, 0.0)]
                .map(|(y, value)| {
                    let text = match value {
                        value if value <= 0.0 => "0".into(),
                        value if bytes => ByteCount(whole(value)).to_string(),
                        value if value.fract() > 0.0 => short(value),
                        value => separated(whole(value)),
                    };
                    (y, text)
                })
                .into(),
            Self::Log { low, step, steps } => (0..=whole(steps))
                .rev()
                .map(|at| {
                    let share = float(at) / steps;
                    let us = 10_f64.powf(step.mul_add(float(at), low));
                    (100.0 - share * 100.0, decade(us))
                })
                .collect(),
        }
    }
}

/// `10ms`, `1s`; below a millisecond in tenths of it.
fn decade(us: f64) -> String {
    match whole(us) {
        us @ 0..100 => format!("{}ms", float(us) / 1_000.0),
        us => took(us),
    }
}

/// The next of 1, 2, 4, 5 and 10 times a power of ten, so that its half is round too.
fn round_above(value: f64) -> f64 {
    if value <= 1.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(power * 10.0)
}

/// A path through the values; it begins anew behind what is not known.
fn path(values: &[Option<f64>], width: f64, y: impl Fn(f64) -> f64) -> String {
    // One value is a level line.
    if let [Some(value)] = values {
        let y = short(y(*value));
        return format!("M0 {y}L{} {y}", short(width));
    }
    let last = float(values.len().saturating_sub(1).max(1) as u64);
    let mut path = String::new();
    let mut is_down = false;
    for (at, value) in values.iter().enumerate() {
        if let Some(value) = value {
            let command = if is_down { 'L' } else { 'M' };
            let (x, y) = (short((float(at as u64) / last * width).round()), short(y(*value)));
            // Writing to a string cannot fail.
            let _ = write!(path, "{command}{x} {y}");
        }
        is_down = value.is_some();
    }
    path
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = self.scale();
        let rules = scale.rules();
        f.write_str(if self.low { "<div class=\"chart low\">" } else { "<div class=\"chart\">" })?;
        f.write_str("<svg viewBox=\"0 0 600 100\" preserveAspectRatio=\"none\" role=\"img\" ")?;
        f.write_str("aria-label=\"")?;
        escaped(f, &self.label)?;
        f.write_str("\">")?;
        for (y, _) in &rules {
            write!(f, "<path class=\"rule\" d=\"M0 {}h600\"/>", short(*y))?;
        }
        let line = |values: &[_]| path(values, 600.0, |value| scale.y(value));
        let first = line(&self.values);
        let is_whole = self.values.iter().all(Option::is_some);
        if !first.is_empty() && is_whole && self.axis != Axis::LogTime {
            write!(f, "<path class=\"area\" d=\"{first}V100H0z\"/>")?;
        }
        for (class, d) in
            [("line", first), ("line two", line(&self.second)), ("line bad", line(&self.failed))]
        {
            if !d.is_empty() {
                write!(f, "<path class=\"{class}\" d=\"{d}\"/>")?;
            }
        }
        f.write_str("</svg><div class=\"y\" aria-hidden=\"true\">")?;
        for (_, text) in &rules {
            write!(f, "<span>{text}</span>")?;
        }
        f.write_str("</div>")?;
        times(f, self.from, self.to, self.times)?;
        f.write_str("</div>")
    }
}

impl HtmlSafe for Line {}

/// Times at equal distances below a picture.
pub(super) fn times(
    f: &mut fmt::Formatter<'_>,
    from: Micros,
    to: Micros,
    count: u64,
) -> fmt::Result {
    let length = to.0.saturating_sub(from.0);
    let steps = count.max(2) - 1;
    f.write_str("<div class=\"x\" aria-hidden=\"true\">")?;
    for step in 0..=steps {
        let at = Micros(from.0 + length / steps * step);
        let at = if length < 240_000_000 { When::second(at) } else { When::minute(at) };
        write!(f, "<span>{at}</span>")?;
    }
    f.write_str("</div>")
}

/// A line without words beside it, for a row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Spark {
    /// What it shows, in words.
    pub label: String,
    /// The values at equal distances.
    pub values: Vec<Option<f64>>,
}

impl fmt::Display for Spark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = self.values.iter().flatten().copied().fold(0.0, f64::max);
        let top = if largest > 0.0 { largest } else { 1.0 };
        let d = path(&self.values, 100.0, |value| 18.8 - value.clamp(0.0, top) / top * 17.5);
        f.write_str("<svg class=\"spark\" viewBox=\"0 0 100 20\" preserveAspectRatio=\"none\" ")?;
        f.write_str("role=\"img\" aria-label=\"")?;
        escaped(f, &self.label)?;
        write!(f, "\"><path class=\"line\" d=\"{d}\"/></svg>")
    }
}

impl HtmlSafe for Spark {}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(axis: Axis, values: Vec<Option<f64>>) -> Line {
        Line::new("a \"line\"", axis, (Micros(0), Micros(600_000_000)), values)
    }

    #[test]
    fn the_height_begins_at_zero_and_ends_at_a_round_number() {
        for (largest, top) in [(41_270.0, 50_000.0), (31_480.0, 40_000.0), (0.0, 1.0), (9.4, 10.0)]
        {
            assert_eq!(round_above(largest), top);
        }
        let drawn = line(Axis::Number, vec![Some(0.0), Some(41_270.0)]).to_string();
        assert!(drawn.contains("<span>50,000</span><span>25,000</span><span>0</span>"), "{drawn}");
        assert!(drawn.contains("d=\"M0 100L600 17.5\""), "{drawn}");
        assert!(drawn.contains("aria-label=\"a &quot;line&quot;\""), "{drawn}");
    }

    #[test]
    fn times_of_tasks_have_a_rule_for_each_decade() {
        let values = vec![Some(6_900.0), Some(38_000.0), Some(830_000.0)];
        let drawn = line(Axis::LogTime, values).to_string();
        let words = "<span>1s</span><span>100ms</span><span>10ms</span><span>1ms</span>";
        assert!(drawn.contains(words), "{drawn}");
    }

    #[test]
    fn what_is_not_known_is_not_drawn() {
        let drawn = line(Axis::Upto(10), vec![Some(5.0), None, Some(5.0)]).to_string();
        assert!(drawn.contains("d=\"M0 50M600 50\"") && !drawn.contains("area"), "{drawn}");
        let empty = line(Axis::LogTime, Vec::new()).to_string();
        assert!(!empty.contains("class=\"line") && !empty.contains("NaN"), "{empty}");
    }
}
