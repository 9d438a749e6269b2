//! The sandbox's child processes as a program: what the hidden subcommands of `wasmgrid` are, for
//! the tests of this crate, which comes before that one. And a prisoner, who tries from inside the
//! jail what a guest that broke out of the engine would.

use std::{
    ffi::{CStr, c_long},
    fs::File,
    io::{self, Write as _},
    process::ExitCode,
};

use wasmgrid_sandbox::{Layer, enter_jail_but};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("compiler") => wasmgrid_sandbox::compiler_main(),
        Some("runner") => wasmgrid_sandbox::runner_main(),
        Some("admission") => wasmgrid_sandbox::admission_main(),
        Some("prisoner") => {
            let left_out: Vec<String> = arguments.collect();
            if try_all(&left_out).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        _ => ExitCode::from(2),
    }
}

/// The layers that a prisoner can be told to leave out.
const LAYERS: [Layer; 9] = [
    Layer::Descriptors,
    Layer::Limits,
    Layer::Namespaces,
    Layer::Root,
    Layer::Capabilities,
    Layer::User,
    Layer::Attributes,
    Layer::Landlock,
    Layer::Seccomp,
];

/// Enters the jail, tries, and writes to the socket, which was standard input, a line for each try:
/// its name and the error, 0 where it was done; and `missing` with a layer that the machine lacks.
fn try_all(left_out: &[String]) -> io::Result<()> {
    let parent = c_long::from(std::os::unix::process::parent_id().cast_signed());
    let left_out: Vec<Layer> =
        LAYERS.into_iter().filter(|layer| left_out.iter().any(|at| at == layer.name())).collect();
    let (socket, missing) = enter_jail_but(&left_out)?;
    // Before those that a try might open.
    let descriptors = descriptors();
    let mut said = Vec::new();
    for layer in missing {
        writeln!(said, "missing {layer}")?;
    }
    for (name, call) in calls(parent) {
        writeln!(said, "{name} {}", errno(done(call)))?;
    }
    writeln!(said, "connect {}", errno(connect()))?;
    writeln!(said, "variables {}", std::env::vars_os().count())?;
    writeln!(said, "descriptors {descriptors}")?;
    File::from(socket).write_all(&said)
}

/// A call's number and arguments.
type Call = (c_long, [c_long; 6]);

fn calls(parent: c_long) -> Vec<(&'static str, Call)> {
    let at = |text: &'static CStr| text.as_ptr() as c_long;
    let here = c_long::from(libc::AT_FDCWD);
    let directory = c_long::from(libc::O_RDONLY | libc::O_DIRECTORY);
    let create = c_long::from(libc::O_WRONLY | libc::O_CREAT);
    let executable = c_long::from(libc::PROT_READ | libc::PROT_EXEC);
    let anonymous = c_long::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let stream = c_long::from(libc::SOCK_STREAM);
    vec![
        ("open-file", (libc::SYS_openat, [here, at(c"/etc/passwd"), 0, 0, 0, 0])),
        ("open-environment", (libc::SYS_openat, [here, at(c"/proc/self/environ"), 0, 0, 0, 0])),
        ("list-root", (libc::SYS_openat, [here, at(c"/"), directory, 0, 0, 0])),
        ("list-proc", (libc::SYS_openat, [here, at(c"/proc"), directory, 0, 0, 0])),
        ("make-file", (libc::SYS_openat, [here, at(c"/tmp/escaped"), create, 0o600, 0, 0])),
        ("chroot", (libc::SYS_chroot, [at(c"/"), 0, 0, 0, 0, 0])),
        ("mount", (libc::SYS_mount, [at(c"x"), at(c"/"), at(c"tmpfs"), 0, 0, 0])),
        ("socket-unix", (libc::SYS_socket, [libc::AF_UNIX.into(), stream, 0, 0, 0, 0])),
        ("socket-inet", (libc::SYS_socket, [libc::AF_INET.into(), stream, 0, 0, 0, 0])),
        ("fork", (libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0, 0])),
        ("exec", (libc::SYS_execve, [at(c"/bin/true"), 0, 0, 0, 0, 0])),
        ("ptrace-parent", (libc::SYS_ptrace, [PTRACE_ATTACH, parent, 0, 0, 0, 0])),
        ("kill-parent", (libc::SYS_kill, [parent, 0, 0, 0, 0, 0])),
        ("read-parent", (libc::SYS_process_vm_readv, [parent, 0, 0, 0, 0, 0])),
        ("become-root", (libc::SYS_setresuid, [0, 0, 0, 0, 0, 0])),
        ("leave-groups", (libc::SYS_setgroups, [0, 0, 0, 0, 0, 0])),
        ("unshare", (libc::SYS_unshare, [libc::CLONE_NEWNET.into(), 0, 0, 0, 0, 0])),
        ("executable", (libc::SYS_mmap, [0, 4_096, executable, anonymous, -1, 0])),
        ("bpf", (libc::SYS_bpf, [0, 0, 0, 0, 0, 0])),
        ("perf", (libc::SYS_perf_event_open, [0, 0, -1, -1, 0, 0])),
        ("io-uring", (libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0])),
        ("keys", (libc::SYS_keyctl, [0, -3, 0, 0, 0, 0])),
        ("userfaultfd", (libc::SYS_userfaultfd, [0, 0, 0, 0, 0, 0])),
    ]
}

const PTRACE_ATTACH: c_long = 16;

fn done((number, [a, b, c, d, e, f]): Call) -> c_long {
    // SAFETY: pointers among the arguments are to texts that live for ever; the child of a fork
    // leaves at once, and an address that is mapped anew is one the kernel chose.
    unsafe {
        let result = libc::syscall(number, a, b, c, d, e, f);
        if number == libc::SYS_clone && result == 0 {
            libc::_exit(0);
        }
        result
    }
}

/// To this machine's own loopback: where there is a network, the port is closed.
fn connect() -> c_long {
    let stream = c_long::from(libc::SOCK_STREAM);
    let socket = done((libc::SYS_socket, [libc::AF_INET.into(), stream, 0, 0, 0, 0]));
    if socket < 0 {
        return socket;
    }
    let address = libc::sockaddr_in {
        sin_family: 2,
        sin_port: 1_u16.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let length = size_of_val(&address) as c_long;
    done((libc::SYS_connect, [socket, &raw const address as c_long, length, 0, 0, 0]))
}

fn errno(result: c_long) -> i32 {
    if result >= 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) }
}

/// How many are open.
fn descriptors() -> usize {
    let open = |number: &c_long| done((libc::SYS_fcntl, [*number, F_GETFD, 0, 0, 0, 0])) >= 0;
    (0..DESCRIPTORS_MAX).filter(open).count()
}

const F_GETFD: c_long = libc::F_GETFD as c_long;
const DESCRIPTORS_MAX: c_long = 4_096;
