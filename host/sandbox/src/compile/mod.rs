//! Compiled code: made by a compiler, kept in memory and on disk, handed out as [`Prepared`].

mod child;
mod code;
mod disk;
mod encode;
mod loaded;
mod memory;
mod message;
mod process;
mod refused;
mod threads;
mod translate;
mod turns;

use std::{
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use wasmgrid_proto::{ByteCount, Digest, Millis, ModuleKind, text::Detail};
use wasmtime::Engine;

use self::{
    disk::DiskCache,
    memory::MemoryCache,
    process::{CompilerProcess, SpareCompiler},
    turns::Turns,
};
use crate::{
    Caps, Isolation, ModuleSource, PrepareError, Refusal, SandboxConfig, SandboxError, engine,
    jail::{CompilerLimits, warden::Warden},
    program,
    sealed::Sealed,
};

pub use child::compiler_main;
pub use code::Prepared;
pub(crate) use loaded::{Loaded, Program, Publisher, Unloadable, load};

/// Compilers at work at the same time, whatever the number of cores: each may take a gigabyte,
/// which the runners want too, and jobs rarely bring more than one new module at a time.
const COMPILERS_MAX: usize = 4;

/// The functions of a small module keep no more threads busy, and each takes memory of its own.
const THREADS_MAX: usize = 4;

/// How many compilers may be at work, and with how many threads each: not more of these in all
/// than there are cores, so that beside each runner there is one at most, which is nicer than it
/// is.
fn compilers() -> (usize, usize) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let compilers = (cores / 2).clamp(1, COMPILERS_MAX);
    (compilers, (cores / compilers).min(THREADS_MAX))
}

/// A refusal that took longer than this to find is remembered on disk too: a restart shall not pay
/// for it again. What is found faster costs less than a file.
const COSTLY: Duration = Duration::from_millis(100);

/// The longest that is worth remembering, and that any clock can count.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// Prepares modules; shared by all tasks of a worker.
#[derive(Debug)]
pub(crate) struct Compiler {
    fingerprint: String,
    memory: MemoryCache,
    disk: Option<Arc<DiskCache>>,
    backend: Backend,
    turns: Turns,
    /// What compiling may take: a refusal that is kept holds for no higher limits.
    limits: CompilerLimits,
    refusal_age: Duration,
}

/// Who has a module compiled.
#[derive(Clone, Copy, Debug)]
enum Asker<'a> {
    /// The worker, which has no name among tenants.
    Own,
    Tenant(&'a str),
}

impl<'a> Asker<'a> {
    const fn lane(self) -> &'a str {
        match self {
            Self::Own => "",
            Self::Tenant(tenant) => tenant,
        }
    }
}

/// Where modules are compiled.
#[derive(Debug)]
enum Backend {
    Process(CompilerProcess),
    InProcess { engine: Box<Engine>, caps: Caps },
}

impl Compiler {
    pub(crate) fn new(config: &SandboxConfig, warden: &Arc<Warden>) -> Result<Self, SandboxError> {
        let settings = config.engine_settings();
        let engine = Engine::new(&engine::compiler_config(&settings))
            .map_err(|error| SandboxError::Engine { reason: format!("{error:#}") })?;
        let fingerprint = engine::fingerprint(&engine);
        let disk = config
            .cache_dir
            .as_deref()
            .map(|root| {
                let rules = format!("{:?}", config.caps);
                DiskCache::open(root, &fingerprint, &rules, config.cache_bytes)
            })
            .transpose()?
            .map(Arc::new);
        let caps = config.caps.clone();
        let (permits, threads) = compilers();
        let limits = limits(config);
        let backend = match config.isolation {
            Isolation::Process | Isolation::Task => {
                let warden = Arc::clone(warden);
                Backend::Process(CompilerProcess {
                    program: config.program.clone(),
                    engine: settings,
                    caps,
                    limits,
                    threads,
                    warden,
                    kept: SpareCompiler::default(),
                })
            }
            Isolation::InProcess => Backend::InProcess { engine: Box::new(engine), caps },
        };
        let memory = MemoryCache::default();
        let refusal_age = Duration::from_millis(config.refusal_age.0.min(YEAR_MS));
        let turns = Turns::new(permits);
        Ok(Self { fingerprint, memory, disk, backend, turns, limits, refusal_age })
    }

    /// See [`engine::fingerprint`].
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Starts no more compilations; those under way come to their end.
    pub(crate) fn close(&self) {
        self.turns.close();
        if let Backend::Process(process) = &self.backend {
            process.kept.end();
        }
    }

    /// Whether the module's compiled code is at hand, in memory or on disk.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.memory.has(digest) || self.disk.as_ref().is_some_and(|disk| disk.has(digest))
    }

    /// The module's compiled code: from memory, else from disk, else compiled of `source` in the
    /// tenant's turn. Those who ask for one module at the same time wait for one compilation. Also
    /// says for how long it was compiled for this one.
    pub(crate) async fn prepare(
        &self,
        tenant: &str,
        digest: Digest,
        source: &ModuleSource,
    ) -> (Result<Prepared, PrepareError>, Duration) {
        self.prepare_for(Asker::Tenant(tenant), digest, source).await
    }

    async fn prepare_for(
        &self,
        asker: Asker<'_>,
        digest: Digest,
        source: &ModuleSource,
    ) -> (Result<Prepared, PrepareError>, Duration) {
        let mut took = Duration::ZERO;
        let cell = self.memory.cell(digest);
        let made = cell.get_or_try_init(async || {
            // Whoever waited while it was refused hears that here.
            if let Some(refusal) = self.memory.refusal(digest) {
                return Err(refusal.into());
            }
            let made = self.make(asker, digest, source, &mut took).await;
            if let Err(PrepareError::Refused(refusal)) = &made {
                self.memory.refuse(digest, refusal.clone(), self.refusal_age);
            }
            made
        });
        (made.await.cloned(), took)
    }

    /// The code of a module that does nothing, made by a compiler where `anew` or where it is not
    /// kept; `None` where the operator's limits or caps let nothing be compiled, which jobs are then
    /// told by name.
    ///
    /// # Errors
    /// Where this machine cannot compile.
    pub(crate) async fn trial(
        &self,
        module: &'static [u8],
        anew: bool,
    ) -> Result<Option<Prepared>, SandboxError> {
        let module = Bytes::from_static(module);
        let digest = Digest::of(&module);
        let made = if anew {
            let turn = self.turns.acquire(Asker::Own.lane()).await;
            let _permit = turn.ok_or(SandboxError::Stopped)?;
            let compiled = self.backend.compile(Asker::Own, &module).await;
            compiled.map(|(kind, code)| Prepared::new(digest, kind, code))
        } else {
            self.prepare_for(Asker::Own, digest, &ModuleSource::Bytes(module)).await.0
        };
        match made {
            Ok(prepared) => Ok(Some(prepared)),
            Err(PrepareError::Sandbox(error)) => Err(error),
            // Not of this module.
            Err(PrepareError::Refused(Refusal::CompilerDied { reason })) => {
                Err(SandboxError::Child { role: program::COMPILER, reason: reason.into() })
            }
            Err(_) => Ok(None),
        }
    }

    async fn make(
        &self,
        asker: Asker<'_>,
        digest: Digest,
        source: &ModuleSource,
        took: &mut Duration,
    ) -> Result<Prepared, PrepareError> {
        match self.load(digest).await? {
            Some(Ok(prepared)) => return Ok(prepared),
            Some(Err(refusal)) => return Err(refusal.into()),
            None => {}
        }
        let ModuleSource::Bytes(module) = source else {
            return Err(PrepareError::NeedsModule { digest });
        };
        let found = Digest::of(module);
        if found != digest {
            return Err(PrepareError::WrongModule { expected: digest, found });
        }
        let turn = self.turns.acquire(asker.lane()).await;
        let permit = turn.ok_or(SandboxError::Stopped)?;
        let began = Instant::now();
        let compiled = self.backend.compile(asker, module).await;
        *took = began.elapsed();
        drop(permit);
        if let Err(PrepareError::Refused(refusal)) = &compiled
            && *took >= COSTLY
        {
            self.keep_refusal(digest, refusal.clone()).await?;
        }
        let (kind, code) = compiled?;
        self.keep(digest, kind, &code).await?;
        Ok(Prepared::new(digest, kind, code))
    }

    /// What is on disk: code, or a refusal that still holds.
    async fn load(
        &self,
        digest: Digest,
    ) -> Result<Option<Result<Prepared, Refusal>>, SandboxError> {
        let Some(disk) = self.disk.clone() else { return Ok(None) };
        let limits = self.limits;
        blocking(move || {
            let Some((kind, code)) = disk.load(digest) else {
                return Ok(disk.load_refusal(digest, limits).map(Err));
            };
            Ok(Some(Ok(Prepared::new(digest, kind, Arc::new(Sealed::from_bytes(&code)?)))))
        })
        .await
    }

    async fn keep_refusal(&self, digest: Digest, refusal: Refusal) -> Result<(), SandboxError> {
        let Some(disk) = self.disk.clone() else { return Ok(()) };
        let (limits, span) = (self.limits, self.refusal_age);
        blocking(move || {
            disk.keep_refusal(digest, &refusal, limits, span);
            Ok(())
        })
        .await
    }

    async fn keep(
        &self,
        digest: Digest,
        kind: ModuleKind,
        code: &Arc<Sealed>,
    ) -> Result<(), SandboxError> {
        let Some(disk) = self.disk.clone() else { return Ok(()) };
        let code = Arc::clone(code);
        blocking(move || {
            let code = code.read().map_err(SandboxError::Memory)?;
            disk.keep(digest, kind, &code);
            Ok(())
        })
        .await
    }
}

/// What compiling may take; a thread of this process is not bounded.
fn limits(config: &SandboxConfig) -> CompilerLimits {
    match config.isolation {
        Isolation::Process | Isolation::Task => {
            CompilerLimits { cpu: config.compile_cpu, memory: config.compile_memory }
        }
        Isolation::InProcess => {
            CompilerLimits { cpu: Millis(u64::MAX), memory: ByteCount(u64::MAX) }
        }
    }
}

impl Backend {
    async fn compile(
        &self,
        asker: Asker<'_>,
        module: &Bytes,
    ) -> Result<(ModuleKind, Arc<Sealed>), PrepareError> {
        match self {
            Self::Process(process) => match asker {
                Asker::Own => process.compile_own(module).await,
                Asker::Tenant(_) => process.compile(module).await,
            },
            Self::InProcess { engine, caps } => {
                let (engine, caps, module) = (engine.clone(), caps.clone(), module.clone());
                let translated =
                    spawn_blocking(move || translate::translate(&engine, &caps, &module))
                        .await
                        .map_err(|error| Refusal::CompilerDied { reason: Detail::of(&error) })??;
                let code = Sealed::from_bytes(&translated.code)?;
                Ok((translated.kind, Arc::new(code)))
            }
        }
    }
}

/// Runs what reads and writes files off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    spawn_blocking(work)
        .await
        .map_err(|error| SandboxError::Child { role: "cache", reason: error.to_string() })?
}
