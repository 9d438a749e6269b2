//! The agent's end of a compiler: starts it, gives it the module, and kills it at its limits.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::{Child, Command},
    time::{Instant, timeout},
};
use wasmgrid_proto::{Millis, ModuleKind};

use super::{
    code::Code,
    message::{self, Reply, Request},
};
use crate::{Caps, EngineSettings, PrepareError, Refusal, SandboxError};

/// From the start of a compiler to its reply. The largest honest modules known take 6 s on one
/// core; this leaves room for a machine that is ten times as slow or as busy.
const COMPILE_TIME: Duration = Duration::from_secs(60);

/// The hidden subcommand.
const ROLE: &str = "compiler";

/// Starts compilers.
#[derive(Debug)]
pub(crate) struct CompilerProcess {
    pub(crate) program: PathBuf,
    pub(crate) engine: EngineSettings,
    pub(crate) caps: Caps,
}

impl CompilerProcess {
    /// Compiles `module` in a process of its own, which ends before this does.
    pub(crate) async fn compile(
        &self,
        module: &Bytes,
    ) -> Result<(ModuleKind, Arc<Code>), PrepareError> {
        let file = Code::create()?;
        let output = file.try_clone().map_err(SandboxError::Memory)?;
        let (mut child, mut stream) = self.start(output.into())?;
        let started = Instant::now();
        let conversation = timeout(COMPILE_TIME, self.converse(&mut stream, module)).await;
        let Ok(conversation) = conversation else {
            // What cannot be killed has ended by itself.
            let _ = child.kill().await;
            return Err(Refusal::CompileTime {
                used: millis(started.elapsed()),
                allowed: millis(COMPILE_TIME),
            }
            .into());
        };
        let kind = match conversation {
            Ok(reply) => reply?,
            Err(error) => return Err(broke_off(&mut child, &error).await),
        };
        // It has said its last word; one that lingers is ended with its handle.
        let _ = timeout(GOODBYE_TIME, child.wait()).await;
        Ok((kind, Arc::new(Code::seal(file)?)))
    }

    /// A child without an environment, with a socket as its standard input.
    fn start(&self, output: OwnedFd) -> Result<(Child, UnixStream), SandboxError> {
        let failed =
            |source| SandboxError::Start { program: self.program.clone(), role: ROLE, source };
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let stream = UnixStream::from_std(ours).map_err(failed)?;
        let child = Command::new(&self.program)
            .arg(ROLE)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(output))
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            // An interrupt at the terminal is for the agent; it ends its children itself.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok((child, stream))
    }

    async fn converse(&self, stream: &mut UnixStream, module: &Bytes) -> io::Result<Reply> {
        let request = Request {
            engine: self.engine.clone(),
            caps: self.caps.clone(),
            module_bytes: module.len() as u64,
        };
        stream.write_all(&message::encode(&request)?).await?;
        stream.write_all(module).await?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).await?;
        let mut body = vec![0; message::body_length(length)?];
        stream.read_exact(&mut body).await?;
        message::decode(&body)
    }
}

/// What a broken conversation means: a compiler that crashed or was killed (for its memory) died
/// of the module; one that was asked to end, or left in order, says nothing about it.
async fn broke_off(child: &mut Child, error: &io::Error) -> PrepareError {
    let status = match timeout(GOODBYE_TIME, child.wait()).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return child_error(error.to_string()),
        Err(_) => {
            let _ = child.kill().await;
            return child_error(format!("it neither answered nor ended ({error})"));
        }
    };
    match died(status) {
        Some(reason) => Refusal::CompilerDied { reason }.into(),
        None => child_error(format!("it ended ({status}) without an answer")),
    }
}

/// For a process whose socket is closed to be gone.
const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// The signals that ask a process to end, by their numbers on Linux.
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

fn died(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.signal(), status.code()) {
        (Some(SIGHUP | SIGINT | SIGTERM), _) => None,
        (Some(signal), _) => Some(format!("it was ended by signal {signal}")),
        (None, Some(PANICKED)) => Some("it panicked".into()),
        _ => None,
    }
}

fn child_error(reason: String) -> PrepareError {
    SandboxError::Child { role: ROLE, reason }.into()
}

fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
