//! The agent's end of a compiler: starts it, gives it the module, hears what it says, and finds
//! out what it died of. It has its limits from itself; the agent ends one that is stuck.

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
    time::timeout,
};
use wasmgrid_proto::{Millis, ModuleKind};

use super::{
    ROLE,
    code::Code,
    message::{self, Reply, Request},
};
use crate::{
    Caps, EngineSettings, PrepareError, Refusal, SandboxError,
    jail::{CompilerLimits, Report, warden::Warden},
    program,
};

/// How much more than its time on a core a compiler may take from its start to its reply: with
/// its niceness it gets a tenth of a core that others want too, and twice that is given. Behind
/// the limit on time it is for a compiler that waits for something.
const PATIENCE: u32 = 20;

/// Read of what a compiler says as it dies.
const LAST_WORDS_BYTES: u64 = 4 << 10;

/// Starts compilers.
#[derive(Debug)]
pub(crate) struct CompilerProcess {
    pub(crate) program: PathBuf,
    pub(crate) engine: EngineSettings,
    pub(crate) caps: Caps,
    pub(crate) limits: CompilerLimits,
    /// How many threads compile.
    pub(crate) threads: usize,
    pub(crate) warden: Arc<Warden>,
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
        let allowed = Duration::from_millis(self.limits.cpu.0) * PATIENCE;
        let conversation = timeout(allowed, self.converse(&mut stream, module)).await;
        let Ok(conversation) = conversation else {
            // What cannot be killed has ended by itself.
            let _ = child.kill().await;
            let allowed = millis(allowed);
            return Err(Refusal::CompileTime { used: allowed, allowed }.into());
        };
        let kind = match conversation {
            Ok(reply) => reply?,
            Err(Broken::Jail(error)) => return Err(error.into()),
            Err(Broken::Off(error)) => return Err(self.broke_off(child, &error).await),
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
        let child = Command::from(program::command(&self.program, ROLE))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(output))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // An interrupt at the terminal is for the agent; it ends its children itself.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok((child, stream))
    }

    async fn converse(&self, stream: &mut UnixStream, module: &Bytes) -> Result<Reply, Broken> {
        let request = Request {
            engine: self.engine.clone(),
            caps: self.caps.clone(),
            limits: self.limits,
            threads: u32::try_from(self.threads).unwrap_or(1),
            require_jail: self.warden.requires(),
            module_bytes: module.len() as u64,
        };
        stream.write_all(&message::encode(&request)?).await?;
        let report: Report = message::decode(&read(stream).await?)?;
        self.warden.hear(&report).map_err(Broken::Jail)?;
        stream.write_all(module).await?;
        Ok(message::decode(&read(stream).await?)?)
    }

    /// What a broken conversation means: a compiler that crashed or reached a limit died of the
    /// module; one that was asked to end, or left in order, says nothing about it.
    async fn broke_off(&self, mut child: Child, error: &io::Error) -> PrepareError {
        let status = match timeout(GOODBYE_TIME, child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return child_error(error.to_string()),
            Err(_) => {
                let _ = child.kill().await;
                return child_error(format!("it neither answered nor ended ({error})"));
            }
        };
        if program::is_other_build(status) {
            return SandboxError::Build { program: self.program.clone(), role: ROLE }.into();
        }
        let words = last_words(&mut child).await;
        match died(status, &words) {
            Death::Time => {
                let allowed = Millis(self.limits.cpu_seconds().saturating_mul(1_000));
                Refusal::CompileTime { used: allowed, allowed }.into()
            }
            Death::Memory => {
                let allowed = self.limits.memory;
                Refusal::CompileMemory { used: allowed, allowed }.into()
            }
            Death::OfModule(reason) => Refusal::CompilerDied { reason }.into(),
            Death::Other => {
                let words = if words.is_empty() { String::new() } else { format!(": {words}") };
                child_error(format!("it ended ({status}) without an answer{words}"))
            }
        }
    }
}

/// How a conversation ended before its end.
enum Broken {
    /// The compiler's jail lacks what it must have.
    Jail(SandboxError),
    /// The compiler is gone, or says nonsense.
    Off(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Off(error)
    }
}

async fn read(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0; message::body_length(length)?];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// What a compiler that has ended had said on its standard error, on one line.
async fn last_words(child: &mut Child) -> String {
    let mut words = Vec::new();
    if let Some(said) = child.stderr.take() {
        let reading = said.take(LAST_WORDS_BYTES);
        tokio::pin!(reading);
        // The pipe is closed with the process; what cannot be read is not said.
        let _ = timeout(GOODBYE_TIME, reading.read_to_end(&mut words)).await;
    }
    let words = String::from_utf8_lossy(&words);
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// For a process whose socket is closed to be gone.
const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// The signals that ask a process to end, those of its limits and that of `abort`, by their
/// numbers on Linux.
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGXCPU: i32 = 24;
const SIGABRT: i32 = 6;

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// What the standard library says before it aborts for want of memory.
const NO_MEMORY: &str = "memory allocation of";

/// What a compiler died of.
#[derive(Debug, PartialEq, Eq)]
enum Death {
    Time,
    Memory,
    OfModule(String),
    Other,
}

fn died(status: ExitStatus, words: &str) -> Death {
    use std::os::unix::process::ExitStatusExt as _;
    let saying = if words.is_empty() { String::new() } else { format!(", saying: {words}") };
    match (status.signal(), status.code()) {
        (Some(SIGHUP | SIGINT | SIGTERM), _) => Death::Other,
        (Some(SIGXCPU), _) => Death::Time,
        (Some(SIGABRT), _) if words.contains(NO_MEMORY) => Death::Memory,
        (Some(signal), _) => Death::OfModule(format!("it was ended by signal {signal}{saying}")),
        (None, Some(PANICKED)) => Death::OfModule(format!("it panicked{saying}")),
        _ => Death::Other,
    }
}

fn child_error(reason: String) -> PrepareError {
    SandboxError::Child { role: ROLE, reason }.into()
}

fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn by_signal(signal: i32) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    #[test]
    fn what_a_compiler_died_of_is_told_apart() {
        assert_eq!(died(by_signal(SIGXCPU), ""), Death::Time);
        let words = "memory allocation of 68719476736 bytes failed";
        assert_eq!(died(by_signal(SIGABRT), words), Death::Memory);
        let words = "thread 'main' has overflowed its stack";
        let Death::OfModule(reason) = died(by_signal(SIGABRT), words) else { panic!("its own") };
        assert!(reason.contains("signal 6") && reason.contains("overflowed"), "{reason}");
        assert_eq!(died(by_signal(SIGTERM), ""), Death::Other);
    }
}
