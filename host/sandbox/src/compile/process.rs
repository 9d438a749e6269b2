//! The agent's end of a compiler: starts it, gives it the module, hears what it says, and finds
//! out what it died of. It has its limits from itself; the agent ends one that is stuck.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixStream,
    process::Child,
    time::{sleep, timeout},
};
use wasmgrid_proto::{Millis, ModuleKind};

use super::message::{ModuleBytes, Reply, Request};
use crate::{
    Caps, EngineSettings, PrepareError, Refusal, SandboxError,
    child::{self, Death},
    jail::{CompilerLimits, Report, warden::Warden},
    program,
    sealed::Sealed,
};

/// How much more than its time on a core a compiler may take from its start to its reply: with
/// its niceness it gets a tenth of a core that others want too, and twice that is given. Behind
/// the limit on time it is for a compiler that waits for something.
const PATIENCE: u32 = 20;

/// How long the compiler of the trial waits for a first module: that of the command that it was
/// started by comes at once, and who waits for longer does not count milliseconds.
const KEPT_TIME: Duration = Duration::from_secs(5);

/// Starts compilers.
#[derive(Debug)]
pub(super) struct CompilerProcess {
    pub(super) program: PathBuf,
    pub(super) engine: EngineSettings,
    pub(super) caps: Caps,
    pub(super) limits: CompilerLimits,
    /// How many threads compile.
    pub(super) threads: usize,
    pub(super) warden: Arc<Warden>,
    pub(super) kept: SpareCompiler,
}

/// A compiler that has compiled nothing but a module of our own, for the next who needs one.
#[derive(Clone, Debug, Default)]
pub(super) struct SpareCompiler(Arc<Mutex<Option<Started>>>);

/// A compiler that waits for a module.
#[derive(Debug)]
struct Started {
    child: Child,
    stream: UnixStream,
    file: File,
    /// It has said which jail it is in.
    is_proven: bool,
}

impl SpareCompiler {
    /// Keeps `started` for a while.
    fn keep(&self, started: Started) {
        *self.lock() = Some(started);
        let kept = self.clone();
        tokio::spawn(async move {
            sleep(KEPT_TIME).await;
            kept.end();
        });
    }

    fn take(&self) -> Option<Started> {
        let mut started = self.lock().take()?;
        // One that has ended is of no use, and its end says nothing about the next module.
        matches!(started.child.try_wait(), Ok(None)).then_some(started)
    }

    /// Ends the one that is kept; it goes with its handle.
    pub(super) fn end(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Started>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CompilerProcess {
    /// Compiles `module` in a process that sees no other tenant's, and ends before this does.
    pub(super) async fn compile(
        &self,
        module: &Bytes,
    ) -> Result<(ModuleKind, Arc<Sealed>), PrepareError> {
        let started = match self.kept.take() {
            Some(started) => started,
            None => self.start().await?,
        };
        let (kind, Started { mut child, stream, file, .. }) = self.ask(started, module).await?;
        drop(stream);
        // It has said its last word; one that lingers is ended with its handle.
        let _ = timeout(child::GOODBYE_TIME, child.wait()).await;
        Ok((kind, Arc::new(Sealed::seal(file)?)))
    }

    /// Compiles a module of our own, in a process that is kept for a first one of a tenant.
    pub(super) async fn compile_own(
        &self,
        module: &Bytes,
    ) -> Result<(ModuleKind, Arc<Sealed>), PrepareError> {
        let (kind, mut started) = self.ask(self.start().await?, module).await?;
        let code = Sealed::take_from(&mut started.file)?;
        self.kept.keep(started);
        Ok((kind, Arc::new(code)))
    }

    async fn start(&self) -> Result<Started, SandboxError> {
        let failed = |source| SandboxError::Start {
            program: self.program.clone(),
            role: program::COMPILER,
            source,
        };
        let file = Sealed::create()?;
        let output = file.try_clone().map_err(SandboxError::Memory)?;
        let request = child::encode(&Request {
            engine: self.engine.clone(),
            caps: self.caps.clone(),
            limits: self.limits,
            threads: u32::try_from(self.threads).unwrap_or(1),
            require_jail: self.warden.requires(),
        });
        let request = request.map_err(failed)?;
        let output = OwnedFd::from(output).into();
        let (child, stream) =
            child::start(&self.program, program::COMPILER, output, &request).await?;
        Ok(Started { child, stream, file, is_proven: false })
    }

    async fn ask(
        &self,
        mut started: Started,
        module: &Bytes,
    ) -> Result<(ModuleKind, Started), PrepareError> {
        let allowed = Duration::from_millis(self.limits.cpu.0) * PATIENCE;
        let conversation = timeout(allowed, self.converse(&mut started, module)).await;
        let Ok(conversation) = conversation else {
            // What cannot be killed has ended by itself.
            let _ = started.child.kill().await;
            let allowed = millis(allowed);
            return Err(Refusal::CompileTime { used: allowed, allowed }.into());
        };
        match conversation {
            Ok(reply) => Ok((reply?, started)),
            Err(Broken::Jail(error)) => Err(error.into()),
            Err(Broken::Off(error)) => Err(self.broke_off(started.child, &error).await),
        }
    }

    async fn converse(&self, started: &mut Started, module: &Bytes) -> Result<Reply, Broken> {
        let stream = &mut started.stream;
        if !started.is_proven {
            let report: Report = child::hear(stream).await?;
            self.warden.hear(&report).map_err(Broken::Jail)?;
            started.is_proven = true;
        }
        let bytes: ModuleBytes = module.len() as u64;
        stream.write_all(&child::encode(&bytes)?).await?;
        stream.write_all(module).await?;
        Ok(child::hear(stream).await?)
    }

    /// What a broken conversation means: a compiler that crashed or reached a limit died of the
    /// module; one that was asked to end, or left in order, says nothing about it.
    async fn broke_off(&self, mut child: Child, error: &io::Error) -> PrepareError {
        let status = match timeout(child::GOODBYE_TIME, child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return child_error(error.to_string()),
            Err(_) => {
                let _ = child.kill().await;
                return child_error(format!("it neither answered nor ended ({error})"));
            }
        };
        if program::is_other_build(status) {
            return SandboxError::Build { program: self.program.clone(), role: program::COMPILER }
                .into();
        }
        let words = child::last_words(&mut child).await;
        match child::died(status, &words) {
            Death::Time => {
                let allowed = Millis(self.limits.cpu_seconds().saturating_mul(1_000));
                Refusal::CompileTime { used: allowed, allowed }.into()
            }
            Death::Memory => {
                let allowed = self.limits.memory;
                Refusal::CompileMemory { used: allowed, allowed }.into()
            }
            Death::OfModule(reason) => Refusal::CompilerDied { reason: reason.into() }.into(),
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

fn child_error(reason: String) -> PrepareError {
    SandboxError::Child { role: program::COMPILER, reason }.into()
}

fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
