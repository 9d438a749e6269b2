//! Admission of modules that others bring, for a scheduler: each is looked at in a process of its
//! own, which has entered its jail before it reads a byte of it, and has limits on its time and
//! memory. One such process waits ahead, so that a small module does not wait for its start.

mod child;
mod message;
mod process;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use wasmgrid_proto::{ByteCount, Millis, ModuleInfo};

use self::process::{Ended, Started};
use crate::{
    Caps, Refusal, SandboxError,
    jail::{CompilerLimits, warden::Warden},
    program,
};

pub use child::admission_main;

/// The hidden subcommand.
pub(crate) const ROLE: &str = "admission";

/// How a scheduler looks at modules.
#[derive(Clone, Debug)]
pub struct AdmissionConfig {
    /// What a module may look like.
    pub caps: Caps,
    /// Looks at modules only where each layer of the jail is there; else a missing one is told and
    /// left out. Default off.
    pub require_jail: bool,
    /// What is started as `wasmgrid admission`; of the same build as this process. Default: the
    /// file that this process runs, also once another has its name.
    pub program: PathBuf,
    /// The time that looking at one module may take of a core, counted in whole seconds. Default
    /// 5 s: the caps keep it under one, and this is for what they do not know of.
    pub cpu: Millis,
    /// The memory that it may take beside the module itself. Default 512 MiB; a file of 64 MiB
    /// that is at every cap takes 200.
    pub memory: ByteCount,
}

impl AdmissionConfig {
    /// The defaults, under these caps.
    #[must_use]
    pub fn new(caps: Caps) -> Self {
        Self {
            caps,
            require_jail: false,
            program: program::OWN.into(),
            cpu: Millis(5_000),
            memory: ByteCount(512 << 20),
        }
    }
}

/// Looks at modules; cheap to clone. Dropped, with all its clones, it ends its processes.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: AdmissionConfig,
    limits: CompilerLimits,
    warden: Warden,
    /// Waits for a module.
    ahead: Mutex<Option<Started>>,
}

/// Why a module was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// It is refused, and would be again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This machine could not look at it now.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

impl Admission {
    /// Has a first process start; see [`Admission::proven`]. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// Where no process can be started.
    pub async fn start(config: AdmissionConfig) -> Result<Self, SandboxError> {
        let memory = ByteCount(config.memory.0.saturating_add(config.caps.module_bytes));
        let limits = CompilerLimits { cpu: config.cpu, memory };
        let warden = Warden::of_scheduler(config.require_jail);
        let admission = Self(Arc::new(Inner { config, limits, warden, ahead: Mutex::default() }));
        let first = admission.0.begin().await?;
        admission.0.keep(first);
        Ok(admission)
    }

    /// Waits until the first process has said which jail it is in; what is missing is told.
    ///
    /// # Errors
    /// Where it has not entered one, or not the one that is required.
    pub async fn proven(&self) -> Result<(), SandboxError> {
        let mut first = match self.0.take() {
            Some(first) => first,
            None => self.0.begin().await?,
        };
        self.0.prove(&mut first).await?;
        self.0.keep(first);
        Ok(())
    }

    /// What `module` is, or why it is none. Cancel safe: a process whose answer nobody waits for
    /// is ended.
    ///
    /// # Errors
    /// See [`AdmissionError`]; a refusal holds for this module under these caps.
    pub async fn admit(&self, module: &Bytes) -> Result<ModuleInfo, AdmissionError> {
        let ahead = self.0.take();
        let was_ahead = ahead.is_some();
        let started = match ahead {
            Some(started) => started,
            None => self.0.begin().await?,
        };
        let ended = match self.0.look(started, module).await {
            // One that has waited may have been ended meanwhile, which is not this module's fault.
            Ended::Strange(_) if was_ahead => self.0.look(self.0.begin().await?, module).await,
            ended => ended,
        };
        // Whoever asked does not wait for the next one's process.
        tokio::spawn({
            let inner = Arc::clone(&self.0);
            async move { inner.prepare().await }
        });
        match ended {
            Ended::Said(reply) => Ok(reply?),
            Ended::Strange(error) => Err(error),
        }
    }
}

impl Inner {
    fn take(&self) -> Option<Started> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Has this process wait for the next module.
    fn keep(&self, started: Started) {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).replace(started);
    }

    /// Has one wait for the next module, where none does.
    async fn prepare(&self) {
        let has_one = || self.ahead.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !has_one()
            // What cannot be started now is started when it is needed, which says why not.
            && let Ok(started) = self.begin().await
        {
            self.keep(started);
        }
    }
}
