//! A context without a grid: it records what the task says. Tests look at the recording, the
//! command line prints it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::host::{Host, Info, task_seed};
use crate::{Context, Level};

/// A [`Context`] for tests, and the recording of what was done with it.
///
/// ```
/// let mut fake = wasmgrid::Context::fake().with_index(3);
/// assert_eq!(fake.context().index(), 3);
/// ```
#[derive(Debug)]
pub struct Fake {
    info: Info,
    cancelled: bool,
    recording: Rc<RefCell<Recording>>,
    context: Context,
}

/// What a task said, in order.
#[derive(Debug, Default)]
struct Recording {
    records: Vec<Vec<u8>>,
    log: Vec<(Level, String)>,
    progress: Option<(u64, u64)>,
}

impl Fake {
    /// Task 0 of a job with seed 0 and no limits.
    pub(crate) fn new() -> Self {
        let info = Info {
            index: 0,
            seed: task_seed(0, 0),
            fuel_limit: u64::MAX,
            memory_limit_bytes: u64::MAX,
        };
        Self::from_parts(info, false)
    }

    fn from_parts(info: Info, cancelled: bool) -> Self {
        let recording = Rc::<RefCell<Recording>>::default();
        let recorder = Recorder { info, cancelled, recording: Rc::clone(&recording) };
        let context = Context::new(Box::new(recorder));
        Self { info, cancelled, recording, context }
    }

    /// The same as task `index` of a job with seed 0, as `cargo run` numbers its lines.
    #[must_use]
    pub fn with_index(self, index: u64) -> Self {
        let info = Info { index, seed: task_seed(0, index), ..self.info };
        Self::from_parts(info, self.cancelled)
    }

    /// The same with this seed of the task, instead of the one made of its index.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self::from_parts(Info { seed, ..self.info }, self.cancelled)
    }

    /// The same with these limits, of fuel and of memory in bytes. Nothing enforces them.
    #[must_use]
    pub fn with_limits(self, fuel: u64, memory_bytes: u64) -> Self {
        let info = Info { fuel_limit: fuel, memory_limit_bytes: memory_bytes, ..self.info };
        Self::from_parts(info, self.cancelled)
    }

    /// The same, of a job that has been cancelled.
    #[must_use]
    pub fn with_cancel(self) -> Self {
        Self::from_parts(self.info, true)
    }

    /// What the task is called with.
    pub fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    /// The records that were emitted, in order.
    pub fn emitted(&self) -> Vec<Vec<u8>> {
        self.recording.borrow().records.clone()
    }

    /// The lines that were logged, in order.
    pub fn logged(&self) -> Vec<(Level, String)> {
        self.recording.borrow().log.clone()
    }

    /// The latest progress told: done and total.
    pub fn progress(&self) -> Option<(u64, u64)> {
        self.recording.borrow().progress
    }
}

struct Recorder {
    info: Info,
    cancelled: bool,
    recording: Rc<RefCell<Recording>>,
}

impl Host for Recorder {
    fn info(&self) -> Info {
        self.info
    }

    fn fuel_left(&self) -> u64 {
        self.info.fuel_limit
    }

    fn emit(&mut self, bytes: &[u8]) {
        self.recording.borrow_mut().records.push(bytes.to_vec());
    }

    fn progress(&mut self, done: u64, total: u64) {
        self.recording.borrow_mut().progress = Some((done, total));
    }

    fn cancelled(&self) -> bool {
        self.cancelled
    }

    fn log(&mut self, level: Level, message: &str) {
        self.recording.borrow_mut().log.push((level, message.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_says_is_recorded_in_order() {
        let mut fake = Context::fake();
        let context = fake.context();
        context.emit("text").unwrap();
        context.emit_bytes("text");
        context.log(Level::Info, "hello");
        context.progress(1, 4);
        context.progress(2, 4);
        assert_eq!(fake.emitted(), [b"\"text\"".to_vec(), b"text".to_vec()]);
        assert_eq!(fake.logged(), [(Level::Info, "hello".to_owned())]);
        assert_eq!(fake.progress(), Some((2, 4)));
    }

    #[test]
    fn a_task_sees_what_the_test_set() {
        let mut fake = Context::fake().with_index(5).with_limits(10, 20).with_cancel();
        let context = fake.context();
        assert_eq!(context.index(), 5);
        assert_eq!(context.seed(), task_seed(0, 5));
        assert_eq!(
            (context.fuel_left(), context.fuel_limit(), context.memory_limit()),
            (10, 10, 20)
        );
        assert!(context.cancelled());
        assert_eq!(Context::fake().with_seed(9).context().seed(), 9);
    }

    #[test]
    fn random_numbers_repeat_with_the_seed_and_differ_between_calls() {
        let draw = |index| {
            let mut fake = Context::fake().with_index(index);
            let context = fake.context();
            (context.rng().u64(..), context.rng().u64(..))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1).0, draw(1).1);
    }
}
