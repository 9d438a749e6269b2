//! Schedulers and workers whose log cannot be written, or is not read.

use std::{
    fs::File,
    io::{self, PipeReader},
    os::fd::{AsRawFd as _, OwnedFd},
    process::Command,
};

use wasmgrid_tests::{Grid, Home, guest, wait_until};

use super::{Sink, run, send};

/// Starts the scheduler and its worker again with another log, and has the grid do all it does.
fn is_as_good_as_any(log: impl Fn(&mut Command)) {
    let mut grid = Grid::start(1, 1);
    grid.scheduler.interrupt();
    grid.restart_scheduler_with(&log);
    grid.wait_for_worker("w1", "ready");
    grid.workers[0].process.interrupt();
    grid.restart_unheard_worker(0, 1, &log);
    // Somebody new joins, and jobs run on both.
    grid.add_worker(1);
    let expected: String = (0..200).map(|n| format!("{n}\n")).collect();
    assert_eq!(grid.run(&["run", &guest("noop"), "--range", "0..200"]).ok(), expected);
    assert_eq!(grid.workers[0].process.interrupt().code(), Some(0));
    assert_eq!(grid.scheduler.interrupt().code(), Some(0));
}

#[test]
fn a_grid_goes_on_where_its_logs_cannot_be_written() {
    for stderr in [Sink::Full, Sink::Unread, Sink::Closed] {
        is_as_good_as_any(|command| send(command, Sink::Read, stderr));
    }
}

#[test]
fn a_grid_goes_on_and_ends_where_nobody_reads_its_logs() {
    let unread = UnreadPipe::new();
    is_as_good_as_any(|command| {
        send(command, Sink::Read, Sink::Read);
        command.stderr(unread.writer()).env("WASMGRID_LOG", "trace");
    });
    // It took no more, so that each would have waited for its reader for ever.
    wait_until("the pipe to be full", || unread.is_full());
}

#[test]
fn a_grid_whose_token_cannot_be_printed_does_not_come_up() {
    for stdout in [Sink::Full, Sink::Unread, Sink::Closed] {
        let home = Home::new();
        let args = ["up", "--no-worker", "--listen", "127.0.0.1:0"].map(Into::into);
        run(&home, &args, stdout, Sink::Read).fails_with(
            1,
            &[
                "the token for joining machines could not be printed",
                "failed to write to standard output",
            ],
        );
    }
}

/// A small pipe whose reader is there and reads nothing.
struct UnreadPipe {
    _reader: PipeReader,
    writer: OwnedFd,
}

const PIPE_BYTES: libc::c_int = 4_096;

impl UnreadPipe {
    fn new() -> Self {
        let (reader, writer) = io::pipe().expect("a pipe");
        // SAFETY: a system call on a pipe of ours.
        let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
        assert!(size >= PIPE_BYTES, "{}", io::Error::last_os_error());
        Self { _reader: reader, writer: writer.into() }
    }

    fn writer(&self) -> File {
        self.writer.try_clone().expect("it is open").into()
    }

    /// True where who writes has to wait.
    fn is_full(&self) -> bool {
        let mut asked =
            libc::pollfd { fd: self.writer.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one entry is there, and stays until the call is done.
        let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
        assert!(ready >= 0, "{}", io::Error::last_os_error());
        ready == 0
    }
}
