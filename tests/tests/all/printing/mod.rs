//! What is printed where it cannot be, by every command: data ends it with an error, messages are
//! dropped and change nothing. The commands are those that the binary's own help lists, so that a
//! new one cannot be forgotten here.

mod commands;
mod daemons;
mod terminal;

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use wasmgrid_tests::{Finished, Home};

/// What an output of a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    /// A pipe that is read to its end.
    Read,
    /// A file on a disk that is full.
    Full,
    /// A pipe whose reader has gone.
    Unread,
    /// Nothing: it was closed before the command began.
    Closed,
}

const STDOUT: i32 = 1;
const STDERR: i32 = 2;

/// Has a command's outputs go there.
fn send(command: &mut Command, stdout: Sink, stderr: Sink) {
    command.stdout(stdio(stdout)).stderr(stdio(stderr));
    for (descriptor, sink) in [(STDOUT, stdout), (STDERR, stderr)] {
        if sink == Sink::Closed {
            // SAFETY: a system call, between fork and exec.
            unsafe {
                command.pre_exec(move || {
                    libc::close(descriptor);
                    Ok(())
                })
            };
        }
    }
}

fn stdio(sink: Sink) -> Stdio {
    match sink {
        Sink::Read => Stdio::piped(),
        Sink::Full => full_disk().into(),
        Sink::Unread => {
            let (reader, writer) = io::pipe().expect("a pipe");
            drop(reader);
            writer.into()
        }
        Sink::Closed => Stdio::null(),
    }
}

fn full_disk() -> File {
    File::options().write(true).open("/dev/full").expect("/dev/full is there")
}

/// Runs the binary to its end with its outputs going there.
fn run(home: &Home, args: &[String], stdout: Sink, stderr: Sink) -> Finished {
    let mut command = home.command(args);
    send(&mut command, stdout, stderr);
    let output = command.output().expect("the binary runs");
    Finished {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
