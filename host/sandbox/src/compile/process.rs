//! The agent's end of a compiler: starts it, gives it the module, hears what it says, and finds
//! out what it died of. It has its limits from itself; the agent ends one that is stuck.

use std::{io, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{io::AsyncWriteExt as _, net::UnixStream, process::Child, time::timeout};
use wasmgrid_proto::{Millis, ModuleKind};

use super::{
    ROLE,
    code::Code,
    message::{Reply, Request},
};
use crate::{
    Caps, EngineSettings, PrepareError, Refusal, SandboxError,
    child::{self, Death},
    jail::{CompilerLimits, Report, warden::Warden},
    program,
};

/// How much more than its time on a core a compiler may take from its start to its reply: with
/// its niceness it gets a tenth of a core that others want too, and twice that is given. Behind
/// the limit on time it is for a compiler that waits for something.
const PATIENCE: u32 = 20;

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
        let (mut child, mut stream) =
            child::start(&self.program, ROLE, OwnedFd::from(output).into(), &[])?;
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
        let _ = timeout(child::GOODBYE_TIME, child.wait()).await;
        Ok((kind, Arc::new(Code::seal(file)?)))
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
        stream.write_all(&child::encode(&request)?).await?;
        let report: Report = child::hear(stream).await?;
        self.warden.hear(&report).map_err(Broken::Jail)?;
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
            return SandboxError::Build { program: self.program.clone(), role: ROLE }.into();
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

fn child_error(reason: String) -> PrepareError {
    SandboxError::Child { role: ROLE, reason }.into()
}

fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
