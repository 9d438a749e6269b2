//! The compiler's own end: what `wasmgrid compiler` does. A module, a reply, until its agent has no
//! more.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
};

use wasmtime::Engine;

use super::{
    message::{ModuleBytes, Reply, Request},
    threads,
    translate::{Translated, translate},
};
use crate::{
    child, engine,
    jail::{self, Inmate, Jail, Layer},
    program,
};

/// Against a runner of niceness 0 on the same core it gets a tenth of it.
const NICENESS: i32 = 10;

/// The compiler process: standard input is a socket to the agent, on which the request comes and
/// the replies go; standard output is the file for the code. Once it has its engine it enters its
/// jail and takes on its limits, and only then reads a module.
///
/// Called by the hidden subcommand `wasmgrid compiler`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this process is nobody's command")]
pub fn compiler_main() -> ExitCode {
    if let Err(code) = program::begin(program::COMPILER) {
        return code;
    }
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
    let jail = Jail::prepare();
    // Those who run tasks go first; a compiler takes what they leave.
    rustix::process::nice(NICENESS)?;
    let mut agent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut code_file = File::from(rustix::stdio::stdout().try_clone_to_owned()?);
    let request: Request = child::read(&mut agent)?;
    let mut config = engine::compiler_config(&request.engine);
    config.parallel_compilation(true);
    let engine = Engine::new(&config).map_err(io::Error::other)?;
    threads::share_memory();
    let stacks = threads::stacks(request.threads);
    let report = jail.enter(Inmate::Compiler { limits: request.limits, stacks });
    let sealed = report.entered.contains(&Layer::Seccomp);
    let incomplete = !report.missing.is_empty();
    child::write(&mut agent, &report)?;
    if request.require_jail && incomplete {
        return Ok(());
    }
    threads::start(request.threads)?;
    jail::threads_complete(sealed)?;
    while let Some(module) = next_module(&mut agent)? {
        let reply: Reply = match translate(&engine, &request.caps, &module) {
            Ok(Translated { kind, code }) => {
                code_file.write_all(&code)?;
                Ok(kind)
            }
            Err(refusal) => Err(refusal),
        };
        child::write(&mut agent, &reply)?;
    }
    Ok(())
}

/// `None` where the agent has no more.
fn next_module(agent: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let bytes: ModuleBytes = match child::read(agent) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut module = Vec::new();
    agent.take(bytes).read_to_end(&mut module)?;
    Ok(Some(module))
}
