//! The scheduler's end of a process that looks at a module.

use std::{io, process::Stdio, time::Duration};

use bytes::Bytes;
use tokio::{io::AsyncWriteExt as _, net::UnixStream, process::Child, time::timeout};
use wasmgrid_proto::Millis;

use super::{
    AdmissionError, Inner, ROLE,
    message::{Follows, Reply, Request, reply_bytes},
};
use crate::{
    Refusal, SandboxError,
    child::{self, Death},
    jail::Report,
    program,
};

/// How much more than its time on a core a process may take for one module: with its niceness it
/// gets a third of a core that others want too, and there may be several of those.
const PATIENCE: u32 = 12;

/// A process that was started and has no module yet.
#[derive(Debug)]
pub(super) struct Started {
    child: Child,
    stream: UnixStream,
    /// It was asked, and has said which jail it is in.
    is_proven: bool,
}

/// How one process ended.
pub(super) enum Ended {
    /// With an answer, or at a limit of its own.
    Said(Reply),
    /// In another way.
    Strange(AdmissionError),
}

/// How a conversation ended before its end.
enum Broken {
    /// The process's jail lacks what it must have.
    Jail(SandboxError),
    /// The process is gone, or says nonsense.
    Off(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Off(error)
    }
}

impl Inner {
    /// Starts a process, which gets ready for a module meanwhile.
    pub(super) async fn begin(&self) -> Result<Started, SandboxError> {
        let failed = |source| SandboxError::Start {
            program: self.config.program.clone(),
            role: ROLE,
            source,
        };
        let request = Request {
            caps: self.config.caps.clone(),
            limits: self.limits,
            require_jail: self.warden.requires(),
        };
        let request = child::encode(&request).map_err(failed)?;
        let (child, stream) =
            child::start(&self.config.program, ROLE, Stdio::null(), &request).await?;
        Ok(Started { child, stream, is_proven: false })
    }

    /// Hears which jail a process is in.
    pub(super) async fn prove(&self, started: &mut Started) -> Result<(), SandboxError> {
        match self.hear(started).await {
            Ok(()) => Ok(()),
            Err(Broken::Jail(error)) => Err(error),
            Err(Broken::Off(error)) => match self.broke_off(&mut started.child, &error).await {
                Ended::Strange(AdmissionError::Sandbox(error)) => Err(error),
                Ended::Strange(AdmissionError::Refused(refusal)) | Ended::Said(Err(refusal)) => {
                    Err(strange(refusal.to_string()))
                }
                Ended::Said(Ok(_)) => Err(strange("it answered what it was not asked".into())),
            },
        }
    }

    async fn hear(&self, started: &mut Started) -> Result<(), Broken> {
        if !started.is_proven {
            let report: Report = child::hear(&mut started.stream).await?;
            self.warden.hear(&report).map_err(Broken::Jail)?;
            started.is_proven = true;
        }
        Ok(())
    }

    /// Has a process look at `module`; it has ended when this does.
    pub(super) async fn look(&self, mut started: Started, module: &Bytes) -> Ended {
        let allowed = Duration::from_millis(self.limits.cpu.0) * PATIENCE;
        let Ok(conversation) = timeout(allowed, self.converse(&mut started, module)).await else {
            // What cannot be killed has ended by itself.
            let _ = started.child.kill().await;
            let allowed = Millis(u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX));
            return Ended::Said(Err(Refusal::AdmissionTime { allowed }));
        };
        match conversation {
            Ok(reply) => {
                // It has said its last word; one that lingers is ended with its handle.
                let _ = timeout(child::GOODBYE_TIME, started.child.wait()).await;
                Ended::Said(reply)
            }
            Err(Broken::Jail(error)) => Ended::Strange(error.into()),
            Err(Broken::Off(error)) => self.broke_off(&mut started.child, &error).await,
        }
    }

    async fn converse(&self, started: &mut Started, module: &Bytes) -> Result<Reply, Broken> {
        self.hear(started).await?;
        let follows = child::encode(&Follows { module_bytes: module.len() as u64 })?;
        started.stream.write_all(&follows).await?;
        started.stream.write_all(module).await?;
        Ok(child::hear_within(&mut started.stream, reply_bytes(module.len())).await?)
    }

    /// What a broken conversation means: one that reached a limit is about the module, and so is a
    /// crash of one that was fresh.
    async fn broke_off(&self, child: &mut Child, error: &io::Error) -> Ended {
        let status = match timeout(child::GOODBYE_TIME, child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Ended::Strange(strange(error.to_string()).into()),
            Err(_) => {
                let _ = child.kill().await;
                let reason = format!("it neither answered nor ended ({error})");
                return Ended::Strange(strange(reason).into());
            }
        };
        if program::is_other_build(status) {
            let program = self.config.program.clone();
            return Ended::Strange(SandboxError::Build { program, role: ROLE }.into());
        }
        let words = child::last_words(child).await;
        match child::died(status, &words) {
            Death::Time => {
                let allowed = Millis(self.limits.cpu_seconds().saturating_mul(1_000));
                Ended::Said(Err(Refusal::AdmissionTime { allowed }))
            }
            Death::Memory => {
                Ended::Said(Err(Refusal::AdmissionMemory { allowed: self.limits.memory }))
            }
            Death::OfModule(reason) => {
                Ended::Strange(Refusal::AdmissionDied { reason: reason.into() }.into())
            }
            Death::Other => {
                let words = if words.is_empty() { String::new() } else { format!(": {words}") };
                let reason = format!("it ended ({status}) without an answer{words}");
                Ended::Strange(strange(reason).into())
            }
        }
    }
}

fn strange(reason: String) -> SandboxError {
    SandboxError::Child { role: ROLE, reason }
}
