//! The end of the process that looks at a module: what `wasmgrid admission` does. One module, one
//! reply, and out.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
};

use wasmgrid_proto::ByteCount;

use super::{
    ROLE,
    message::{Follows, Reply, Request, reply_bytes},
};
use crate::{
    admit::admit,
    child,
    jail::{self, Inmate, Jail, Layer},
    program,
};

/// Against a scheduler of niceness 0 on the same core it gets a third of it.
const NICENESS: i32 = 5;

/// The process: standard input is a socket to the scheduler, on which all is said. It enters its
/// jail and takes on its limits before a module is there.
///
/// Called by the hidden subcommand `wasmgrid admission`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this process is nobody's command")]
pub fn admission_main() -> ExitCode {
    if let Err(code) = program::begin(ROLE) {
        return code;
    }
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The scheduler sees the socket close; this line is for whoever starts it by hand.
            let _ =
                writeln!(io::stderr(), "wasmgrid admission: {error}; it is started by a scheduler");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let jail = Jail::prepare();
    rustix::process::nice(NICENESS)?;
    let mut scheduler = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let request: Request = child::read(&mut scheduler)?;
    let report = jail.enter(Inmate::Compiler { limits: request.limits, stacks: ByteCount(0) });
    let sealed = report.entered.contains(&Layer::Seccomp);
    let incomplete = !report.missing.is_empty();
    child::write(&mut scheduler, &report)?;
    if request.require_jail && incomplete {
        return Ok(());
    }
    // It starts none.
    jail::threads_complete(sealed)?;
    let Follows { module_bytes } = child::read(&mut scheduler)?;
    let mut module = Vec::new();
    (&mut scheduler).take(module_bytes).read_to_end(&mut module)?;
    let reply: Reply = admit(&module, &request.caps);
    let reply = child::encode_within(&reply, reply_bytes(module.len()))?;
    scheduler.write_all(&reply)
}
