//! The program that runners and compilers are: the file that this process itself runs. Another file
//! may take its place on disk at any time (an upgrade), and be of another build, which says other
//! things: so children are started from the file that is open, by no path of it.

use std::{
    env,
    ffi::{CString, OsStr},
    io::{self, Write as _},
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, ExitCode, ExitStatus},
};

/// The file that a process runs, whatever became of its name: the kernel resolves it in the child,
/// which runs its parent's file until it is another program.
pub(crate) const OWN: &str = "/proc/self/exe";

/// Names this build by its sources, in 32 hexadecimal digits.
pub(crate) const BUILD: &str = env!("WASMGRID_SANDBOX_BUILD");

/// The hidden subcommand of a process that compiles a module.
pub(crate) const COMPILER: &str = "compiler";

/// That of a process that runs tasks.
pub(crate) const RUNNER: &str = "runner";

/// How a child ends that is asked for by another build.
const OTHER_BUILD: u8 = 78;

/// Starts `program` in this role, without an environment.
pub(crate) fn command(program: &Path, role: &str) -> Command {
    let mut command = Command::new(program);
    if let (true, Some(name)) = (program == Path::new(OWN), env::args_os().next()) {
        // As this process is shown in lists of processes.
        command.arg0(name);
    }
    command.arg(role).arg(BUILD).env_clear();
    command
}

/// The child's first step: it takes the name it was called by, and looks whether it is of the
/// build that started it.
///
/// # Errors
/// How it is to end where it is not.
#[expect(clippy::disallowed_methods, reason = "this process is nobody's command")]
pub(crate) fn begin(role: &str) -> Result<(), ExitCode> {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    if let Some(name) =
        Path::new(&name).file_name().and_then(|name| CString::new(name.as_bytes()).ok())
    {
        // SAFETY: the kernel copies 15 bytes of a string at most, and keeps no pointer to it.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
    if arguments.nth(1).as_deref() == Some(OsStr::new(BUILD)) {
        return Ok(());
    }
    // An agent knows it by the exit code; this line is for whoever starts it by hand.
    let _ =
        writeln!(io::stderr(), "wasmgrid {role}: it is started by a worker of this build, {BUILD}");
    Err(ExitCode::from(OTHER_BUILD))
}

/// Whether a child ended because it is of another build.
pub(crate) fn is_other_build(status: ExitStatus) -> bool {
    status.code() == Some(OTHER_BUILD.into())
}
