//! What was asked for on the command line.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long the whole may take; what has not begun by then is left out, and said so. The longest
/// part takes three minutes.
const TIME: Duration = Duration::from_secs(12 * 60);

/// The same with `--quick`.
const TIME_QUICK: Duration = Duration::from_secs(150);

/// What to run, and how much of it.
pub struct Options {
    /// A tenth of the tasks, once.
    pub quick: bool,
    /// Where the figures go for programs.
    pub json: Option<PathBuf>,
    /// Names of sections, or what they begin with; all where there is none.
    pub only: Vec<String>,
    begun: Instant,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The usage, where they are none.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { quick: false, json: None, only: Vec::new(), begun: Instant::now() };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // Cargo says it to every benchmark.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--json" => options.json = Some(args.next().ok_or("--json wants a file")?.into()),
                flag if flag.starts_with('-') => return Err(format!("{flag} is no flag")),
                _ => options.only.push(arg),
            }
        }
        Ok(options)
    }

    /// Whether a section was asked for.
    pub fn wants(&self, section: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| section.starts_with(name.as_str()))
    }

    /// Whether no more is to begin.
    pub fn is_over(&self) -> bool {
        self.elapsed() > if self.quick { TIME_QUICK } else { TIME }
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// `full`, or a tenth of it.
    pub const fn scaled(&self, full: u64) -> u64 {
        if self.quick { full / 10 } else { full }
    }

    /// How often what is compared is run; the median counts.
    pub const fn rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }
}
