//! The `wasmgrid` binary as a user runs it, with a home of its own.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::SystemTime,
};

use walkdir::WalkDir;

use crate::repository;

/// Has a process end by a hangup, as it does by default: whoever runs the tests may do so under
/// `nohup`, and each process hands that on.
fn hear_hangups() -> io::Result<()> {
    // SAFETY: it takes no pointer, and sets no handler.
    match unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The binary of the profile that the tests run in. It is built with the workspace's tests
/// (`cargo test --workspace`): a build of its own here would choose other features for what the
/// engine rests on, and take as long as everything before.
///
/// # Panics
/// Where there is none, or one that is older than its sources.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let binary = env::current_exe()
            .ok()
            .and_then(|test| Some(test.parent()?.parent()?.join("wasmgrid")))
            .expect("tests run from target/PROFILE/deps");
        let built = modified(&binary);
        let host = repository().join("host");
        let newer = WalkDir::new(host)
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.path().components().any(|part| part.as_os_str() == "src"))
            .find(|entry| entry.file_type().is_file() && modified(entry.path()) > built);
        if let Some(source) = newer {
            panic!(
                "{} is missing or older than {}; `cargo test --workspace` builds it",
                binary.display(),
                source.path().display()
            );
        }
        binary
    })
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// Lets tasks at a file or folder, whatever the umask: as root runs them, they are another user's.
///
/// # Panics
/// Where it is not the test's own.
pub fn let_others_read(path: &Path) {
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the test's own");
}

/// A user's home on one machine: contexts, state and caches, gone with the value.
pub struct Home {
    dir: tempfile::TempDir,
    /// The network namespace that its commands run in, where it is not the test's own.
    namespace: Option<String>,
    /// How names are looked up there, if not as here.
    resolver: Option<PathBuf>,
}

/// A command that ended, with all it said.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output, as bytes.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// An empty home.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self { dir, namespace: None, resolver: None }
    }

    /// An empty home on another machine of the network: its commands run in this namespace.
    pub fn in_namespace(name: &str) -> Self {
        Self { namespace: Some(name.to_owned()), ..Self::new() }
    }

    /// The same, whose names are looked up as this file says, in place of `/etc/resolv.conf`.
    pub fn with_resolver(name: &str, file: PathBuf) -> Self {
        Self { resolver: Some(file), ..Self::in_namespace(name) }
    }

    /// Its folder, which is also where commands run.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a file there, which others may read.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the home")).expect("a folder");
        fs::write(&path, contents).expect("a file");
        for above in path.ancestors().take_while(|above| *above != self.path()) {
            let_others_read(above);
        }
        path
    }

    /// Reads a file there.
    pub fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The binary with these arguments, not yet started.
    pub fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Command {
        self.command_of(binary(), args)
    }

    /// Another program, or the binary by another name, as [`command`](Self::command) has it.
    pub fn command_of<I: IntoIterator<Item: AsRef<OsStr>>>(
        &self,
        program: &Path,
        args: I,
    ) -> Command {
        let mut command = match &self.namespace {
            None => Command::new(program),
            Some(name) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{name}"));
                if let Some(file) = &self.resolver {
                    let own = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
                    command.args(["unshare", "--mount", "sh", "-c", own]).arg(file);
                }
                command.arg(program);
                command
            }
        };
        command
            .args(args)
            .current_dir(self.path())
            .env("WASMGRID_HOME", self.path().join("home"))
            // Its port is the same for all schedulers of the machine.
            .env("WASMGRID_HTTP", "off")
            .env_remove("WASMGRID_LOG")
            .env_remove("WASMGRID_CONTEXT")
            .env_remove("FAILPOINTS")
            .env_remove("RUSTFLAGS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: a system call, between fork and exec.
        unsafe { command.pre_exec(hear_hangups) };
        command
    }

    /// Runs the binary to its end without any input.
    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Finished {
        self.run_with_stdin(args, b"")
    }

    /// Runs the binary to its end with these bytes on standard input.
    pub fn run_with_stdin<I: IntoIterator<Item: AsRef<OsStr>>>(
        &self,
        args: I,
        stdin: &[u8],
    ) -> Finished {
        Self::finish(self.command(args), stdin)
    }

    /// Runs a command to its end with these bytes on standard input.
    pub fn finish(mut command: Command, stdin: &[u8]) -> Finished {
        if !stdin.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("the binary starts");
        let pipe = child.stdin.take();
        thread::scope(|scope| {
            if let Some(mut pipe) = pipe {
                // The command may end before it has read everything.
                scope.spawn(move || drop(pipe.write_all(stdin)));
            }
            let output = child.wait_with_output().expect("the binary ends");
            Finished {
                code: output.status.code(),
                stdout: output.stdout,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }
        })
    }
}

impl Finished {
    /// Standard output as text, where the command succeeded.
    ///
    /// # Panics
    /// With all that it said, where it did not.
    pub fn ok(&self) -> &str {
        self.ok_bytes();
        self.text()
    }

    /// Standard output, where the command succeeded.
    ///
    /// # Panics
    /// As [`ok`](Self::ok).
    pub fn ok_bytes(&self) -> &[u8] {
        assert_eq!(self.code, Some(0), "{self}");
        &self.stdout
    }

    /// Standard output as text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.stdout).expect("standard output is text")
    }

    /// Fails unless it ended with this code and said each of these on standard error.
    pub fn fails_with(&self, code: i32, said: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        for text in said {
            assert!(self.stderr.contains(text), "{text:?} is not said in: {self}");
        }
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout);
        let shown: String = stdout.chars().take(2_000).collect();
        write!(f, "exit {:?}\n-- stdout\n{shown}\n-- stderr\n{}", self.code, self.stderr)
    }
}
