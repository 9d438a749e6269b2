//! Messages on standard error. One thread writes them, so that a terminal that was stopped, or a
//! pipe that nobody reads, holds up that thread and neither a scheduler nor a worker. What finds no
//! room, or cannot be written, is dropped and counted.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::stdio;
use wasmgrid_proto::text::counted;

/// Bytes of messages that may wait: a few thousand lines.
const WAITING_BYTES: usize = 1 << 20;

/// For how long a message that somebody waits for may take to be written.
const PATIENCE: Duration = Duration::from_secs(1);

static MESSAGES: Messages = Messages {
    state: Mutex::new(State {
        waiting: VecDeque::new(),
        bytes: 0,
        taken: 0,
        done: 0,
        dropped: 0,
        is_stalled: false,
        is_held: false,
        has_writer: false,
    }),
    added: Condvar::new(),
    written: Condvar::new(),
};

struct Messages {
    state: Mutex<State>,
    added: Condvar,
    written: Condvar,
}

struct State {
    waiting: VecDeque<Vec<u8>>,
    /// In those that wait.
    bytes: usize,
    /// Messages that were ever put behind the others, and those that have left.
    taken: u64,
    done: u64,
    /// Messages that were lost since one was written.
    dropped: u64,
    /// Somebody has lost patience since a message was written: nobody else waits.
    is_stalled: bool,
    /// Something else is shown on the terminal: they wait.
    is_held: bool,
    has_writer: bool,
}

/// Prints a message, and waits until it is written, so that it stands before what is printed next;
/// not for long, and not where another was waited for in vain.
pub fn say(message: Vec<u8>) {
    MESSAGES.add(message);
    MESSAGES.settle();
}

/// Shows something that is worth nothing later: nothing where there are messages that wait.
pub fn show(frame: Vec<u8>) {
    if MESSAGES.lock().is_idle() {
        say(frame);
    }
}

/// As long as this lives, messages wait if they would show on a terminal: a program that draws on all of
/// it has no place for them.
#[derive(Debug)]
pub struct HeldMessages(());

impl HeldMessages {
    /// Holds them.
    pub fn hold() -> Self {
        MESSAGES.settle();
        MESSAGES.lock().is_held = super::messages_on_terminal();
        Self(())
    }
}

impl Drop for HeldMessages {
    fn drop(&mut self) {
        MESSAGES.lock().is_held = false;
        MESSAGES.added.notify_one();
        MESSAGES.settle();
    }
}

/// Waits until all messages are written; not for long.
pub fn finish() {
    MESSAGES.settle();
}

/// Takes log lines, each with one write; nobody waits for them.
#[derive(Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        MESSAGES.add(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    const fn is_idle(&self) -> bool {
        self.done == self.taken && !self.is_stalled && !self.is_held
    }
}

impl Messages {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic is done under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&'static self, message: Vec<u8>) {
        let mut state = self.lock();
        if state.bytes + message.len() > WAITING_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += message.len();
        state.taken += 1;
        state.waiting.push_back(message);
        if !state.has_writer {
            let writer = thread::Builder::new().name("messages".into());
            state.has_writer = writer.spawn(|| self.write_all()).is_ok();
        }
        let has_writer = state.has_writer;
        drop(state);
        if has_writer {
            self.added.notify_one();
        } else {
            // On a machine that allows no more threads, what is wrong must be said all the same.
            while let Some((message, dropped)) = self.take() {
                self.write(&message, dropped);
            }
        }
    }

    fn settle(&self) {
        let mut state = self.lock();
        let last = state.taken;
        if state.is_stalled || state.is_held {
            return;
        }
        let waits = |state: &mut State| state.done < last && !state.is_stalled;
        (state, _) = self
            .written
            .wait_timeout_while(state, PATIENCE, waits)
            .unwrap_or_else(PoisonError::into_inner);
        state.is_stalled = state.done < last;
    }

    fn write_all(&self) {
        loop {
            while let Some((message, dropped)) = self.take() {
                self.write(&message, dropped);
            }
            let state = self.lock();
            let is_empty = |state: &mut State| state.waiting.is_empty() || state.is_held;
            drop(self.added.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The next message, and how many were lost before it.
    fn take(&self) -> Option<(Vec<u8>, u64)> {
        let mut state = self.lock();
        if state.is_held {
            return None;
        }
        let message = state.waiting.pop_front()?;
        state.bytes -= message.len();
        Some((message, std::mem::take(&mut state.dropped)))
    }

    fn write(&self, message: &[u8], dropped: u64) {
        let told = if dropped == 0 { Ok(()) } else { write(lost(dropped).as_bytes()) };
        let written = write(message);
        let mut state = self.lock();
        state.done += 1;
        state.is_stalled = false;
        state.dropped += u64::from(written.is_err()) + if told.is_err() { dropped } else { 0 };
        drop(state);
        self.written.notify_all();
    }
}

fn lost(messages: u64) -> String {
    let messages = counted(messages, "message");
    format!("wasmgrid: {messages} before this could not be written here\n")
}

fn write(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = super::write_some(stdio::stderr(), bytes)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}
