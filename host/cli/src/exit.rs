//! Exit codes: the documented numbers, and how an error gets one. Not for the wording of errors.

use std::{error::Error, fmt, process::ExitCode};

use wasmgrid_client::ClientError;
use wasmgrid_net::NetError;
use wasmgrid_proto::{
    Reason,
    wire::{ApiError, ErrorCode},
};
use wasmgrid_worker::GaveUp;

use crate::words;

/// How the process ends. The numbers are a public interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done; of a job, every task ended ok. Also where the reader of the output had
    /// enough before the end, and nothing had failed by then.
    Ok = 0,
    /// Some task failed, or something went wrong that has no number of its own, as where the output
    /// cannot be written.
    Failed = 1,
    /// The command line, an input, a file or a job named on it makes no sense, or not now.
    Usage = 2,
    /// Refused before anything ran: no task, an import without its grant, a role that may not, a
    /// machine that cannot run tasks or lacks the jail that is required.
    Refused = 3,
    /// The grid cannot be reached, or does not accept who asks: an identity or a token.
    Unreachable = 4,
    /// The job's deadline passed first.
    Deadline = 5,
    /// The job was cancelled.
    Cancelled = 6,
    /// Ctrl-C: on a cluster the job keeps running.
    Interrupted = 130,
}

/// The table of exit codes, as `--help` shows it.
pub const HELP: &str = "\
Exit codes:
  0    all ok; also if the reader of the output closed it early, as `head`
       does, and no task had failed by then
  1    some task failed, or the output could not be written, or something else
       went wrong
  2    usage: an invalid flag, input, file or job, or a request that the job's
       state does not allow
  3    refused before running: not a task, an import without its grant,
       insufficient permissions, or a machine that cannot run tasks or lacks a
       required jail
  4    the grid cannot be reached, or does not accept this identity or token
  5    the job's deadline passed
  6    the job was cancelled
  130  interrupted (on a cluster the job keeps running; its id is printed)";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code; it reads as the error within.
#[derive(Debug)]
struct Coded {
    exit: Exit,
    error: anyhow::Error,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Coded {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Gives errors their exit code.
pub trait WithExit<T> {
    /// The same result, whose error ends the process with `exit`.
    ///
    /// # Errors
    /// Where there was one.
    fn exit(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithExit<T> for Result<T, E> {
    fn exit(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| Coded { exit, error: error.into() }.into())
    }
}

/// This error, which ends the process with `exit`.
pub fn coded(exit: Exit, error: impl Into<anyhow::Error>) -> anyhow::Error {
    Coded { exit, error: error.into() }.into()
}

/// A usage error with this message.
pub fn usage(message: impl fmt::Display) -> anyhow::Error {
    Coded { exit: Exit::Usage, error: anyhow::anyhow!("{message}") }.into()
}

/// A refusal with this message.
pub fn refused(message: impl fmt::Display) -> anyhow::Error {
    Coded { exit: Exit::Refused, error: anyhow::anyhow!("{message}") }.into()
}

/// The same error, with what would help behind it.
pub fn hinting(error: &anyhow::Error, hint: impl fmt::Display) -> anyhow::Error {
    Coded { exit: of(error), error: anyhow::anyhow!("{}; {hint}", chain(error)) }.into()
}

/// The exit code of an error: the outermost one it was given, else what its cause means.
pub fn of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(known).unwrap_or(Exit::Failed)
}

fn known(cause: &(dyn Error + 'static)) -> Option<Exit> {
    if let Some(coded) = cause.downcast_ref::<Coded>() {
        return Some(coded.exit);
    }
    if let Some(error) = cause.downcast_ref::<NetError>() {
        return Some(of_link(error));
    }
    if let Some(error) = cause.downcast_ref::<GaveUp>() {
        return Some(match error {
            GaveUp::Refused(error) => of_answer(error),
            GaveUp::Unreachable(error) => of_link(error),
            GaveUp::Removed(_) | GaveUp::Misunderstood(_) => Exit::Unreachable,
        });
    }
    cause.downcast_ref::<ClientError>().map(|error| match error {
        ClientError::Api(error) => of_answer(error),
        ClientError::Unreachable(_)
        | ClientError::Misunderstood { .. }
        | ClientError::Unanswered { .. }
        | ClientError::Unsupported { .. }
        | ClientError::Unreadable { .. }
        | ClientError::Extension(_)
        | ClientError::Lost
        | ClientError::Removed(_)
        | ClientError::Protocol(_) => Exit::Unreachable,
        ClientError::Random(_) | ClientError::NoRoom { .. } | ClientError::Stopped => Exit::Failed,
    })
}

fn of_link(error: &NetError) -> Exit {
    match error.telling() {
        NetError::Token(_) => Exit::Usage,
        NetError::Denied { error, .. } => of_answer(error),
        _ => Exit::Unreachable,
    }
}

/// The exit code of an answer, whichever way it came: to a request, to a machine that joins, or to a
/// worker that connects.
fn of_answer(error: &ApiError) -> Exit {
    let reason: &Reason = &error.reason;
    if is_of_who_asks(reason) {
        return Exit::Unreachable;
    }
    match error.code {
        ErrorCode::Invalid | ErrorCode::NotFound | ErrorCode::Conflict | ErrorCode::Gone => {
            Exit::Usage
        }
        ErrorCode::Refused | ErrorCode::Forbidden => Exit::Refused,
        ErrorCode::Unavailable | ErrorCode::Unsupported => Exit::Unreachable,
    }
}

/// Whether the grid does not accept who asks. A service is started again after that, as an operator
/// may remove the cause elsewhere.
const fn is_of_who_asks(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::BadToken { .. }
            | Reason::UnknownKey
            | Reason::Removed { .. }
            | Reason::IdentityInUse { .. }
    )
}

/// The error's causes on one line, outermost first, and what would help.
pub fn chain(error: &anyhow::Error) -> String {
    words::advised(format!("{error:#}"), words::help(error))
}

/// What is found first among an error's causes, outermost first, those that have an exit code
/// included.
pub fn find<T>(
    error: &anyhow::Error,
    wanted: &dyn Fn(&(dyn Error + 'static)) -> Option<T>,
) -> Option<T> {
    error.chain().find_map(|cause| {
        let within = || find(&cause.downcast_ref::<Coded>()?.error, wanted);
        wanted(cause).or_else(within)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_keeps_its_code_under_more_context() {
        let error = Err::<(), _>(usage("no such file"))
            .context("failed to read inputs")
            .expect_err("is an error");
        assert_eq!(of(&error), Exit::Usage);
        assert_eq!(chain(&error), "failed to read inputs: no such file");
    }

    #[test]
    fn a_code_does_not_repeat_the_error_within() {
        let inner = anyhow::anyhow!("deepest").context("outer");
        let error = Err::<(), _>(inner).exit(Exit::Refused).expect_err("is an error");
        assert_eq!(chain(&error), "outer: deepest");
    }

    #[test]
    fn an_error_without_a_code_is_a_plain_failure() {
        assert_eq!(of(&anyhow::anyhow!("disk on fire")), Exit::Failed);
    }
}
