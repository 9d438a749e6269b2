//! The one place through which this program prints. All that it is given may have text from outside in
//! it, and is shown as such ([`Outside`]), but for JSON and what tasks put out. It knows two rules more. Data, on standard output,
//! is what was asked for: where it cannot be written the command ends with an error ([`data!`]).
//! Messages, on standard error, are about that: where they cannot be written they are dropped, and
//! nothing else changes ([`message!`]).
//!
//! A reader that closes standard output has seen enough, as `head` has: a command that only shows
//! something then ends quietly, and as if all had been read ([`is_enough`]). A command that has made
//! something that nobody can now know of says so, with an exit code of its own
//! ([`WithExit`](crate::exit::WithExit)).

mod frame;
mod json;
mod stderr;
mod stdout;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    env, fmt,
    io::{IsTerminal, Write as _},
    os::fd::BorrowedFd,
    panic, process,
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    stdio,
};

pub use frame::Frames;
pub use json::{JsonLog, messages_in_json};
pub use stderr::{HeldMessages, Log, finish};
pub use stdout::Stdout;

use crate::{
    escape::{self, Lines, Outside},
    exit::Exit,
};

/// How long the end of the process waits for what is being written.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Held while a part of something is written whose rest must follow.
static UNBROKEN: Mutex<()> = Mutex::new(());

/// Prints a line of data on standard output; gives a `Result` with [`Unwritten`].
macro_rules! data {
    ($($text:tt)*) => {
        $crate::print::data_line(format_args!($($text)*))
    };
}
pub(crate) use data;

/// Prints a line on standard error, after the program's name.
macro_rules! message {
    ($($text:tt)*) => {
        $crate::print::our_message(format_args!($($text)*))
    };
}
pub(crate) use message;

/// Data could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write to standard output")]
pub struct Unwritten(#[source] std::io::Error);

impl Unwritten {
    /// True where nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == std::io::ErrorKind::BrokenPipe
    }
}

/// True for an error that only says that the reader of the output has closed it.
pub fn is_enough(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Unwritten>().is_some_and(Unwritten::is_closed)
}

/// The same, where it is no error that a reader has had enough.
///
/// # Errors
/// Any other.
pub fn unless_enough(printed: anyhow::Result<()>) -> anyhow::Result<()> {
    printed.or_else(|error| if is_enough(&error) { Ok(()) } else { Err(error) })
}

/// Prints a line of data, whole or not at all as far as the system does so; a text of several lines as
/// an indented block. See [`data!`].
///
/// # Errors
/// Where it cannot be written.
pub fn data_line(line: fmt::Arguments<'_>) -> Result<(), Unwritten> {
    lines(&Outside::new(line.to_string()).block())
}

/// Prints lines of data at once.
///
/// # Errors
/// Where they cannot be written.
pub fn lines(lines: &Lines) -> Result<(), Unwritten> {
    exactly(&format!("{lines}\n"))
}

/// Prints data as it is: a document of JSON.
///
/// # Errors
/// Where it cannot be written.
pub fn exactly(text: &str) -> Result<(), Unwritten> {
    exactly_bytes(text.as_bytes())
}

/// Prints bytes as they are: a task's output.
///
/// # Errors
/// Where they cannot be written.
pub fn exactly_bytes(bytes: &[u8]) -> Result<(), Unwritten> {
    Stdout.write_all(bytes).map_err(Unwritten)
}

/// Prints a line after the program's name, or where all messages are JSON an object. See [`message!`].
pub fn our_message(line: fmt::Arguments<'_>) {
    match json::message(line) {
        Some(object) => stderr::say(object.into_bytes()),
        None => message_line(format_args!("wasmgrid: {line}")),
    }
}

/// Prints a line on standard error; a text of several lines as an indented block.
pub fn message_line(line: fmt::Arguments<'_>) {
    message_exactly(&Outside::new(line.to_string()).block().to_string());
}

/// Prints lines on standard error, the first after the program's name.
pub fn message_lines(lines: &Lines) {
    message_exactly(&format!("wasmgrid: {lines}"));
}

/// Prints a line on standard error as it is: a document of JSON.
pub fn message_exactly(line: &str) {
    stderr::say(format!("{line}\n").into_bytes());
}

/// True where data shows on a terminal.
pub fn data_on_terminal() -> bool {
    stdio::stdout().is_terminal()
}

/// True where keys come from a terminal.
pub fn keys_from_terminal() -> bool {
    stdio::stdin().is_terminal()
}

/// True where messages show on a terminal.
pub fn messages_on_terminal() -> bool {
    stdio::stderr().is_terminal()
}

/// True where messages may be coloured.
pub fn messages_in_colour() -> bool {
    messages_on_terminal() && colour_is_wanted()
}

fn colour_is_wanted() -> bool {
    env::var_os("NO_COLOR").is_none() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Prints what the command line's parser says in place of a command: help or a version, which were
/// asked for, or what is wrong with the flags.
///
/// # Errors
/// Where help or a version cannot be written.
pub fn parsed(said: &clap::Error) -> anyhow::Result<Exit> {
    let shown = said.render();
    if said.use_stderr() {
        let quotes_outside =
            env::args_os().any(|word| word.to_string_lossy().chars().any(escape::misleads));
        if quotes_outside {
            message_line(format_args!("{shown}"));
        } else {
            let coloured = messages_in_colour();
            let shown = if coloured { shown.ansi().to_string() } else { shown.to_string() };
            message_exactly(shown.trim_end());
        }
        return Ok(Exit::Usage);
    }
    let coloured = data_on_terminal() && colour_is_wanted();
    exactly(&if coloured { shown.ansi().to_string() } else { shown.to_string() })?;
    Ok(Exit::Ok)
}

/// Has a panic say so as a message: what the standard library does waits for a terminal that has
/// stopped.
pub fn watch_for_panics() {
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name").to_owned();
        let trace = Backtrace::capture();
        match trace.status() {
            BacktraceStatus::Captured => message!("thread {name} {panic}\n{trace}"),
            _ => message!("thread {name} {panic}\nRUST_BACKTRACE=1 shows where it came from"),
        }
    }));
}

/// As long as this is held, a polite end of the process waits, though not for long: a file that is
/// written must not end within a line.
pub fn unbroken() -> MutexGuard<'static, ()> {
    // Nothing is behind it that a panic could have spoilt.
    UNBROKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process once what is [`unbroken`] is whole, and all messages are written.
pub fn end(exit: Exit) -> ! {
    let patience = Instant::now() + LAST_WRITES;
    while UNBROKEN.try_lock().is_err_and(|why| matches!(why, TryLockError::WouldBlock))
        && Instant::now() < patience
    {
        thread::sleep(LAST_WRITES / 100);
    }
    finish();
    process::exit(i32::from(exit as u8))
}

/// Writes some of `bytes`, waiting where another process has made the descriptor one that does not
/// wait.
fn write_some(to: BorrowedFd<'_>, bytes: &[u8]) -> std::io::Result<usize> {
    loop {
        match rustix::io::write(to, bytes) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&to, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            written => return Ok(written?),
        }
    }
}
