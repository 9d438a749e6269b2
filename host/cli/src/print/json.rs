//! Standard error as JSON, for programs: what parts log and what the command itself has to say, an
//! object a line, with the same keys.

use std::{
    fmt,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime as _, SystemTime},
};

use super::stderr::Log;
use crate::escape;

static MESSAGES: AtomicBool = AtomicBool::new(false);

/// Has messages be JSON too from now on.
pub fn messages_in_json() {
    MESSAGES.store(true, Ordering::Relaxed);
}

/// A message of the command itself, which it ends with or panics with; as a line of the log.
#[derive(Serialize)]
struct Message {
    timestamp: String,
    level: &'static str,
    message: String,
    target: &'static str,
}

/// A message as an object on a line, where messages are JSON.
pub fn message(text: fmt::Arguments<'_>) -> Option<String> {
    if !MESSAGES.load(Ordering::Relaxed) {
        return None;
    }
    let mut timestamp = String::new();
    // It is left out where the clock makes no sense.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let message =
        Message { timestamp, level: "ERROR", message: text.to_string(), target: "wasmgrid" };
    let object = serde_json::to_string(&message).ok()?;
    Some(escape::json(&object) + "\n")
}

/// Takes log lines that are JSON, each with one write; nobody waits for them.
#[derive(Debug)]
pub struct JsonLog;

impl Write for JsonLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let escaped = escape::json(text.trim_end_matches('\n')) + "\n";
        Log.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
