//! How a job stands, on stderr: a bar on a terminal, a line now and then elsewhere, or nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wasmgrid_proto::{JobCounts, JobStatus, Millis, text::counted};

use crate::print::{self, Frames, message};

/// Off a terminal a line is printed this often, and none before the first of them is due.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The pace is that of so long a time before: what a job did while its module was compiled says
/// nothing of how it goes on.
const PACE_OF: Duration = Duration::from_secs(30);

/// What is left is estimated where the pace is that of so long at least.
const PACE_LEAST: Duration = Duration::from_secs(2);

/// And where one in so many tasks has ended.
const PACE_PART: u64 = 1_000;

/// How often the pace is noted.
const PACE_NOTED: Duration = Duration::from_millis(500);

/// A bar is drawn so many times a second at most.
const FRAMES_PER_SECOND: u8 = 20;

/// Tells how a job stands.
pub struct Progress {
    mode: Mode,
    started: Instant,
    pace: Pace,
}

/// How many tasks had ended when, of late.
#[derive(Default)]
struct Pace {
    /// The first is the last before any more ended.
    notes: VecDeque<(Duration, u64)>,
}

enum Mode {
    Silent,
    Bar(ProgressBar),
    Lines { due: Instant },
}

impl Progress {
    /// `quiet` tells nothing.
    pub fn new(quiet: bool) -> Self {
        let started = Instant::now();
        let mode = if quiet {
            Mode::Silent
        } else if print::messages_on_terminal() {
            Mode::Bar(bar())
        } else {
            Mode::Lines { due: started + HEARTBEAT }
        };
        Self { mode, started, pace: Pace::default() }
    }

    /// Shows how the job stands now.
    pub fn update(&mut self, status: &JobStatus) {
        let elapsed = self.started.elapsed();
        let ended = status.counts.ended();
        self.pace.note(elapsed, ended);
        let left = status.closed.then(|| self.pace.left(elapsed, ended, status.counts.total));
        let line = || line(&status.counts, status.closed, elapsed, left.flatten());
        match &mut self.mode {
            Mode::Silent => {}
            Mode::Bar(bar) => {
                if status.closed {
                    bar.set_length(status.counts.total);
                } else {
                    bar.unset_length();
                }
                bar.set_position(ended);
                bar.set_message(line());
            }
            Mode::Lines { due } => {
                let now = Instant::now();
                if now >= *due {
                    *due = now + HEARTBEAT;
                    message!("{}", line());
                }
            }
        }
    }

    /// Prints while the bar is out of the way.
    pub fn around<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.mode {
            Mode::Bar(bar) => bar.suspend(print),
            Mode::Silent | Mode::Lines { .. } => print(),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Mode::Bar(bar) = &self.mode {
            bar.finish_and_clear();
        }
    }

    /// How long it has been.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24.cyan/dim} {percent:>3}% {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let target = ProgressDrawTarget::term_like_with_hz(Box::<Frames>::default(), FRAMES_PER_SECOND);
    let bar = ProgressBar::with_draw_target(None, target);
    bar.with_style(style.progress_chars("━━─"))
}

impl Pace {
    /// So many tasks have ended, so long after the start.
    fn note(&mut self, at: Duration, ended: u64) {
        match self.notes.back() {
            // Nothing has ended since: what came before counts from here on.
            Some((_, before)) if self.notes.len() == 1 && *before == ended => {
                self.notes.clear();
            }
            Some((last, _)) if at.saturating_sub(*last) < PACE_NOTED => return,
            _ => {}
        }
        self.notes.push_back((at, ended));
        while self.notes.len() > 2
            && self.notes.get(1).is_some_and(|(second, _)| *second + PACE_OF < at)
        {
            self.notes.pop_front();
        }
    }

    /// How many seconds the rest may take; `None` where too little has ended to say.
    fn left(&self, at: Duration, ended: u64, total: u64) -> Option<f64> {
        let (since, before) = *self.notes.front()?;
        let span = at.saturating_sub(since);
        let (done, rest) = (ended.saturating_sub(before), total.saturating_sub(ended));
        let is_too_early = rest / PACE_PART > ended;
        if span < PACE_LEAST || done == 0 || rest == 0 || is_too_early {
            return None;
        }
        Some(rest as f64 * span.as_secs_f64() / done as f64)
    }
}

/// Done, failed, on workers, rate, and how many seconds it may take.
fn line(counts: &JobCounts, closed: bool, elapsed: Duration, left: Option<f64>) -> String {
    let ended = counts.ended();
    let mut parts = vec![if closed {
        format!("{ended}/{}", counted(counts.total, "task"))
    } else {
        format!("{ended} of {} so far", counted(counts.total, "task"))
    }];
    if counts.failed > 0 {
        parts.push(format!("{} failed", counts.failed));
    }
    // Some of them wait there for a slot.
    parts.push(format!("{} given out", counts.running));
    let rate = rate(ended, elapsed);
    if rate > 0.0 {
        parts.push(shown_rate(rate));
    }
    if let Some(left) = left {
        parts.push(format!("{} left", shown_time(left)));
    }
    parts.join(" · ")
}

/// What was done in how long, for the end.
pub fn summary(counts: &JobCounts, elapsed: Duration) -> String {
    let parts = [
        (counts.ok, "ok"),
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.expired, "expired"),
        (counts.skipped, "skipped"),
        (counts.retried, "attempts more"),
    ];
    let shown = parts.iter().filter(|(count, _)| *count > 0);
    let shown: Vec<String> = shown.map(|(count, name)| format!("{count} {name}")).collect();
    let shown = if shown.is_empty() { "nothing to do".into() } else { shown.join(", ") };
    let elapsed_ms = Millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
    // Those that were cancelled or skipped took no time.
    let rate = rate(counts.ok + counts.failed, elapsed);
    let tasks = counted(counts.total, "task");
    format!("{tasks}: {shown} in {elapsed_ms}, {}", shown_rate(rate))
}

fn rate(ended: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { ended as f64 / seconds } else { 0.0 }
}

fn shown_rate(rate: f64) -> String {
    match rate {
        rate if rate >= 10_000.0 => format!("{:.0}k/s", rate / 1_000.0),
        rate if rate >= 10.0 => format!("{rate:.0}/s"),
        rate => format!("{rate:.1}/s"),
    }
}

/// A span in seconds to two units: more would be false precision.
fn shown_time(seconds: f64) -> String {
    let seconds =
        Duration::try_from_secs_f64(seconds).map_or(u64::MAX / 1_000, |time| time.as_secs());
    let rounded = match seconds {
        0..3_600 => seconds,
        3_600..86_400 => seconds - seconds % 60,
        _ => seconds - seconds % 3_600,
    };
    Millis(rounded * 1_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: JobCounts = JobCounts {
        total: 1_000,
        queued: 492,
        running: 8,
        ok: 498,
        failed: 2,
        cancelled: 0,
        expired: 0,
        skipped: 0,
        retried: 0,
        discarded: 0,
    };

    #[test]
    fn the_line_tells_failures_rate_and_what_is_left() {
        let shown = line(&COUNTS, true, Duration::from_secs(5), Some(5.0));
        assert_eq!(shown, "500/1000 tasks · 2 failed · 8 given out · 100/s · 5s left");
    }

    #[test]
    fn nothing_is_foretold_while_inputs_may_come() {
        let shown = line(&COUNTS, false, Duration::from_secs(5), None);
        assert_eq!(shown, "500 of 1000 tasks so far · 2 failed · 8 given out · 100/s");
    }

    /// What is left of 1,000 tasks, of which so many had ended after each of these seconds.
    fn left_after(ended: impl IntoIterator<Item = (u64, u64)>) -> Option<u64> {
        let (mut pace, mut left) = (Pace::default(), None);
        for (seconds, ended) in ended {
            let at = Duration::from_secs(seconds);
            pace.note(at, ended);
            left = pace.left(at, ended, 1_000);
        }
        left.map(|seconds| seconds.round() as u64)
    }

    #[test]
    fn what_is_left_goes_by_the_pace_and_not_by_how_long_a_module_took_to_compile() {
        let compiling = |until| (0..until).map(|second| (second, 0));
        assert_eq!(left_after(compiling(60)), None);
        assert_eq!(left_after(compiling(60).chain([(60, 1)])), None, "one task says little");
        let running = (60..70).map(|second| (second, (second - 59) * 10));
        assert_eq!(left_after(compiling(60).chain(running)), Some(90));
    }

    #[test]
    fn what_is_left_goes_by_the_pace_of_late() {
        let slow = (0..1_000).map(|second| (second, second / 10));
        let fast = (1_000..1_040).map(|second| (second, (second - 1_000) * 10 + 100));
        assert_eq!(left_after(slow.clone()), Some(9_310));
        let left = left_after(slow.chain(fast)).expect("some tasks ended");
        assert!((45..=60).contains(&left), "{left}");
        assert_eq!(left_after([(0, 0), (5, 1_000)]), None, "nothing is left");
    }

    #[test]
    fn the_summary_leaves_out_what_did_not_happen() {
        let shown = summary(&COUNTS, Duration::from_millis(5_250));
        assert_eq!(shown, "1000 tasks: 498 ok, 2 failed in 5s250ms, 95/s");
        assert!(summary(&JobCounts::default(), Duration::ZERO).contains("nothing to do"));
        let cut_off = JobCounts { cancelled: 500, ..COUNTS };
        let shown = summary(&cut_off, Duration::from_secs(5));
        assert_eq!(shown, "1000 tasks: 498 ok, 2 failed, 500 cancelled in 5s, 100/s");
    }

    #[test]
    fn long_spans_are_rounded() {
        assert_eq!(shown_time(59.9), "59s");
        assert_eq!(shown_time(4_000.0), "1h6m");
        assert_eq!(
            shown_time(f64::INFINITY),
            Millis(u64::MAX / 1_000 / 3_600 * 3_600_000).to_string()
        );
    }
}
