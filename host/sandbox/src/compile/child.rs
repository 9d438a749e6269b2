//! The compiler's own end: what `wasmgrid compiler` does. One module, one reply, and out.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
};

use wasmtime::Engine;

use super::{
    message::{self, Reply, Request},
    translate::{Translated, translate},
};
use crate::engine;

/// The compiler process: standard input is a socket to the agent, on which the request comes and
/// the reply goes; standard output is the file for the code. The agent kills it at its limits.
///
/// Called by the hidden subcommand `wasmgrid compiler`.
#[must_use]
pub fn compiler_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The agent sees the socket close; this line is for whoever starts it by hand.
            let _ = writeln!(io::stderr(), "wasmgrid compiler: {error}; it is started by a worker");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let mut agent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut code_file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let request: Request = message::read(&mut agent)?;
    let mut module = Vec::new();
    (&mut agent).take(request.module_bytes).read_to_end(&mut module)?;
    let engine =
        Engine::new(&engine::compiler_config(&request.engine)).map_err(io::Error::other)?;
    let reply: Reply = match translate(&engine, &request.caps, &module) {
        Ok(Translated { kind, code }) => {
            code_file.write_all(&code)?;
            Ok(kind)
        }
        Err(refusal) => Err(refusal),
    };
    message::write(&mut agent, &reply)
}
