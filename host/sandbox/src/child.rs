//! A child process that looks at one module, as its agent has it: how it is started, what the two
//! say to each other (each message a length and a postcard body), and what the child died of. It
//! has its limits from itself; the agent ends one that is stuck.

use std::{
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::AsyncReadExt as _,
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};

use crate::{SandboxError, program, starter};

/// Read of what a child says as it dies.
const LAST_WORDS_BYTES: u64 = 4 << 10;

/// A child without an environment, with a socket as its standard input, on which `first` was said:
/// little enough for the socket to take it at once.
pub(crate) async fn start(
    program: &Path,
    role: &'static str,
    output: Stdio,
    first: &[u8],
) -> Result<(Child, UnixStream), SandboxError> {
    let failed = |source| SandboxError::Start { program: program.into(), role, source };
    let (mut ours, theirs) = StdStream::pair().map_err(failed)?;
    ours.write_all(first).map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let stream = UnixStream::from_std(ours).map_err(failed)?;
    let mut command = Command::from(program::command(program, role));
    command
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(output)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // An interrupt at the terminal is for the agent; it ends its children itself.
        .process_group(0);
    let child = starter::start(command).await.map_err(failed)?;
    Ok((child, stream))
}

/// No request comes near it, and a refusal is a few lines; a child that says more is broken.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// `message` with its length before it.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    encode_within(message, MAX_MESSAGE_BYTES)
}

/// The same of one that may have `most` bytes.
pub(crate) fn encode_within<T: Serialize>(message: &T, most: usize) -> io::Result<Vec<u8>> {
    let body = postcard::to_allocvec(message).map_err(io::Error::other)?;
    if body.len() > most {
        return Err(io::Error::other("a message over its bound"));
    }
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(body);
    Ok(bytes)
}

/// How many bytes of body follow a message's length; an error where these are more than `most`.
fn body_length(length: [u8; 4], most: usize) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > most {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    Ok(length)
}

/// The message in `body`.
fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(io::Error::other)
}

/// Reads one message, blocking.
pub(crate) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = vec![0; body_length(length, MAX_MESSAGE_BYTES)?];
    from.read_exact(&mut body)?;
    decode(&body)
}

/// Writes one message, blocking.
pub(crate) fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    to.write_all(&encode(message)?)?;
    to.flush()
}

/// Hears one message of a child's.
pub(crate) async fn hear<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    hear_within(stream, MAX_MESSAGE_BYTES).await
}

/// The same of one that may have `most` bytes.
pub(crate) async fn hear_within<T: DeserializeOwned>(
    stream: &mut UnixStream,
    most: usize,
) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0; body_length(length, most)?];
    stream.read_exact(&mut body).await?;
    decode(&body)
}

/// What a child that has ended had said on its standard error, on one line.
pub(crate) async fn last_words(child: &mut Child) -> String {
    let mut words = Vec::new();
    if let Some(said) = child.stderr.take() {
        let reading = said.take(LAST_WORDS_BYTES);
        tokio::pin!(reading);
        // The pipe is closed with the process; what cannot be read is not said.
        let _ = timeout(GOODBYE_TIME, reading.read_to_end(&mut words)).await;
    }
    let words = String::from_utf8_lossy(&words);
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// For a process whose socket is closed to be gone.
pub(crate) const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// The signals that ask a process to end, those of its limits and that of `abort`, by their
/// numbers on Linux.
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGXCPU: i32 = 24;
const SIGABRT: i32 = 6;

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// What the standard library says before it aborts for want of memory.
const NO_MEMORY: &str = "memory allocation of";

/// What a child died of that was given a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Its limit on time.
    Time,
    /// Its limit on memory.
    Memory,
    /// Something in the module; how.
    OfModule(String),
    /// Something else: it was asked to end, or left in order.
    Other,
}

/// What a child died of, by its status and its last words.
pub(crate) fn died(status: ExitStatus, words: &str) -> Death {
    use std::os::unix::process::ExitStatusExt as _;
    let saying = if words.is_empty() { String::new() } else { format!(", saying: {words}") };
    match (status.signal(), status.code()) {
        (Some(SIGHUP | SIGINT | SIGTERM), _) => Death::Other,
        (Some(SIGXCPU), _) => Death::Time,
        (Some(SIGABRT), _) if words.contains(NO_MEMORY) => Death::Memory,
        (Some(signal), _) => Death::OfModule(format!("it was ended by signal {signal}{saying}")),
        (None, Some(PANICKED)) => Death::OfModule(format!("it panicked{saying}")),
        _ => Death::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn by_signal(signal: i32) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    #[test]
    fn what_a_compiler_died_of_is_told_apart() {
        assert_eq!(died(by_signal(SIGXCPU), ""), Death::Time);
        let words = "memory allocation of 68719476736 bytes failed";
        assert_eq!(died(by_signal(SIGABRT), words), Death::Memory);
        let words = "thread 'main' has overflowed its stack";
        let Death::OfModule(reason) = died(by_signal(SIGABRT), words) else { panic!("its own") };
        assert!(reason.contains("signal 6") && reason.contains("overflowed"), "{reason}");
        assert_eq!(died(by_signal(SIGTERM), ""), Death::Other);
    }
}
