//! What a task can ask and say while it runs.

use std::cell::OnceCell;
use std::fmt;

use fastrand::Rng;
use serde::Serialize;

use crate::host::{Host, Info};
use crate::{Error, Fake, returned};

/// The running task's link to whoever runs it: a grid, a command line or a test.
///
/// A task that wants one takes `&mut Context` as its second parameter. It is a `&mut` and not a
/// value so that a test still holds it after the call; and exclusive because records and log
/// lines have an order.
///
/// ```
/// use wasmgrid::Context;
///
/// fn countdown(from: u64, context: &mut Context) -> Result<u64, wasmgrid::Error> {
///     for n in (1..=from).rev() {
///         context.emit(&n)?;
///     }
///     Ok(from)
/// }
///
/// let mut fake = Context::fake();
/// assert_eq!(countdown(2, fake.context()).unwrap(), 2);
/// assert_eq!(fake.emitted(), ["2", "1"].map(|line| line.as_bytes().to_vec()));
/// ```
pub struct Context {
    host: Box<dyn Host>,
    info: OnceCell<Info>,
    rng: Option<Rng>,
}

impl Context {
    /// A context for tests: nothing leaves it, and what the task emits and logs can be looked at.
    pub fn fake() -> Fake {
        Fake::new()
    }

    pub(crate) fn new(host: Box<dyn Host>) -> Self {
        Self { host, info: OnceCell::new(), rng: None }
    }

    /// Appends one record to the job's results: `value` as JSON, text included. Records are
    /// kept in order, and stand before the task's result; they count only if the task succeeds.
    ///
    /// # Errors
    /// Rejected, if JSON cannot hold the value (a map whose keys are not text, say).
    pub fn emit<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let record = returned::json(value)?;
        self.host.emit(&record);
        Ok(())
    }

    /// Appends one record to the job's results: these bytes (or this text), as they are.
    pub fn emit_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.host.emit(bytes.as_ref());
    }

    /// Writes one line to the task's log.
    ///
    /// ```
    /// # use wasmgrid::{Context, Level};
    /// # let mut fake = Context::fake();
    /// # let context = fake.context();
    /// context.log(Level::Warn, format_args!("{} rows skipped", 3));
    /// # assert_eq!(fake.logged(), [(Level::Warn, "3 rows skipped".to_owned())]);
    /// ```
    pub fn log(&mut self, level: Level, message: impl fmt::Display) {
        self.host.log(level, &message.to_string());
    }

    /// Tells how far the task has come, in units of its own choice. Only the latest call counts.
    pub fn progress(&mut self, done: u64, total: u64) {
        self.host.progress(done, total);
    }

    /// True once the job is cancelled. A long task that asks now and then can end in its own
    /// way; after a grace period it is stopped.
    pub fn cancelled(&self) -> bool {
        self.host.cancelled()
    }

    /// Which input of the job this is, counted from 0.
    pub fn index(&self) -> u64 {
        self.info().index
    }

    /// A number made of the job's seed and the index alone: the same on every attempt and host.
    pub fn seed(&self) -> u64 {
        self.info().seed
    }

    /// A generator of random numbers that is seeded by [`Context::seed`]. Each call gives
    /// another one; the n-th call of a task always gives the same.
    ///
    /// It is `fastrand`'s (wyrand): quick, good for simulations, not for secrets. Its sequence is
    /// part of the compiled task and so never changes under a `.wasm`.
    pub fn rng(&mut self) -> Rng {
        let seed = self.seed();
        self.rng.get_or_insert_with(|| Rng::with_seed(seed)).fork()
    }

    /// The fuel that is left: about one unit an instruction. Without a grid it is the limit.
    pub fn fuel_left(&self) -> u64 {
        self.host.fuel_left()
    }

    /// The fuel the task may use in all; `u64::MAX` without a grid.
    pub fn fuel_limit(&self) -> u64 {
        self.info().fuel_limit
    }

    /// The memory the task may use, in bytes; `u64::MAX` without a grid.
    pub fn memory_limit(&self) -> u64 {
        self.info().memory_limit_bytes
    }

    fn info(&self) -> &Info {
        self.info.get_or_init(|| self.host.info())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("info", self.info()).finish_non_exhaustive()
    }
}

/// How grave a log line is, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What happens inside the program, step by step.
    Trace,
    /// What helps to find faults.
    Debug,
    /// What is worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
    /// The program cannot go on.
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}
