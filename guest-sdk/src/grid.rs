//! The task on a grid: the export that the grid calls, and the context that asks it.

use std::io::{self as stdio, Write as _};

use crate::host::{Host, Info, Task};
use crate::{Context, Level};

use crate::bindings::wasi::logging::logging;
use crate::bindings::wasmgrid::task::{context, io, value};

pub use crate::bindings::exports::wasmgrid::task::guest::{Failure, Guest};

/// Runs one task for the grid.
pub fn run<T: Task>(mut input: Vec<u8>) -> Result<Vec<u8>, Failure> {
    // A task without a context gets the fake one: it cannot look at it, and with the grid's the
    // component would import interfaces that it never calls.
    let given = if T::TAKES_VALUE { value::read() } else { Vec::new() };
    let result = if T::TAKES_CONTEXT {
        T::run(&mut input, &given, &mut Context::new(Box::new(Grid)))
    } else {
        T::run(&mut input, &given, Context::fake().context())
    };
    // The instance ends with its task, and what stands in a buffer with it.
    let _ = stdio::stdout().flush();
    result.map_err(|error| {
        let message = error.message().to_owned();
        if error.is_retry() { Failure::Retry(message) } else { Failure::Rejected(message) }
    })
}

/// The grid, as the task's imports show it.
struct Grid;

impl Host for Grid {
    fn info(&self) -> Info {
        let context::TaskInfo { index, seed, fuel_limit, memory_limit } = context::info();
        Info { index, seed, fuel_limit, memory_limit_bytes: memory_limit }
    }

    fn fuel_left(&self) -> u64 {
        context::fuel_left()
    }

    fn emit(&mut self, bytes: &[u8]) {
        io::emit(bytes);
    }

    fn progress(&mut self, done: u64, total: u64) {
        io::progress(done, total);
    }

    fn cancelled(&self) -> bool {
        io::cancelled()
    }

    fn log(&mut self, level: Level, message: &str) {
        let level = match level {
            Level::Trace => logging::Level::Trace,
            Level::Debug => logging::Level::Debug,
            Level::Info => logging::Level::Info,
            Level::Warn => logging::Level::Warn,
            Level::Error => logging::Level::Error,
            Level::Critical => logging::Level::Critical,
        };
        // The grid knows which task speaks; there is no other group of messages.
        logging::log(level, "", message);
    }
}
