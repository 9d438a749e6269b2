//! The worker's way in: starts the slots and makes modules ready to run.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;
use wasmgrid_proto::{
    ByteCount, Digest, Fuel, Grant, GrantFault, Limits, Millis, RunnerEnds, TaskSpec,
    text::{Detail, Name},
};

#[cfg(feature = "simulated")]
use crate::pool::simulated::Simulation;
use crate::{
    Condition, Inability, Isolation, ModuleSource, PrepareError, Prepared, Refusal, SandboxConfig,
    SandboxError, Slot,
    blobs::Blobs,
    compile::Compiler,
    jail::{Layer, warden::Warden},
    pool::{Ends, Pool, PoolConfig},
    program,
};

/// A worker's sandbox; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sandbox {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Real(Arc<Inner>),
    #[cfg(feature = "simulated")]
    Simulated(Arc<Simulation>),
}

#[derive(Debug)]
struct Inner {
    compiler: Arc<Compiler>,
    blobs: Blobs,
    pool: Pool,
    max_limits: Limits,
    allow_dirs: Vec<PathBuf>,
    isolation: Isolation,
    warden: Arc<Warden>,
    ends: Arc<Ends>,
}

impl Sandbox {
    /// Opens the cache of compiled code and starts the slots with their runners. Whether these can
    /// run tasks is known a little later, see [`Sandbox::proven`]. To be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// Where the engine cannot be made with these settings, or the cache cannot be used; where the
    /// jail is required and can be seen from here to be incomplete.
    pub fn start(config: SandboxConfig) -> Result<(Self, Vec<Slot>), SandboxError> {
        if config.isolation != Isolation::InProcess && config.program == Path::new(program::OWN) {
            std::fs::read_link(program::OWN).map_err(SandboxError::NoProc)?;
        }
        let warden = Arc::new(Warden::start(&config)?);
        let compiler = Arc::new(Compiler::new(&config, &warden)?);
        let ends = Arc::new(Ends::default());
        let pool = PoolConfig {
            slots: config.slots,
            isolation: config.isolation,
            engine: config.engine_settings(),
            warden: Arc::clone(&warden),
            allow_dirs: config.allow_dirs.clone(),
            program: config.program,
            runner_tasks: config.runner_tasks,
            runner_age: config.runner_age,
            ends: Arc::clone(&ends),
        };
        let (pool, slots) = Pool::start(pool, &compiler);
        let (allow_dirs, isolation) = (config.allow_dirs, config.isolation);
        let (blobs, max_limits) = (Blobs::default(), config.max_limits);
        let inner =
            Inner { compiler, blobs, pool, max_limits, allow_dirs, isolation, warden, ends };
        Ok((Self { kind: Kind::Real(Arc::new(inner)) }, slots))
    }

    /// A sandbox of so many slots that run `model` instead of WebAssembly, in the time of the
    /// tokio runtime it is called in. It starts no process and no thread.
    #[cfg(feature = "simulated")]
    #[must_use]
    pub fn simulated(slots: u32, model: Arc<dyn crate::simulated::Model>) -> (Self, Vec<Slot>) {
        let (simulation, slots) = Simulation::start(slots, model);
        (Self { kind: Kind::Simulated(Arc::new(simulation)) }, slots)
    }

    /// Whether tasks can be run here, now and whenever that changes.
    #[must_use]
    pub fn condition(&self) -> watch::Receiver<Condition> {
        match &self.kind {
            Kind::Real(inner) => inner.pool.condition(),
            #[cfg(feature = "simulated")]
            Kind::Simulated(simulation) => simulation.condition(),
        }
    }

    /// Waits until it is known whether this machine can run tasks: until a first runner has run one
    /// that does nothing. That takes no longer than the first task would wait for the runner.
    ///
    /// # Errors
    /// Why it cannot. The sandbox goes on trying.
    pub async fn proven(&self) -> Result<(), Inability> {
        let mut condition = self.condition();
        let known = condition.wait_for(|condition| !matches!(condition, Condition::Trying)).await;
        match known.as_deref() {
            Ok(Condition::Unable { why, .. }) => Err(why.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(SandboxError::Stopped.into()),
        }
    }

    /// Names what results depend on beside the task: the build of the sandbox, the engine and its
    /// settings. Workers of one fingerprint agree on results and fuel.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        match &self.kind {
            Kind::Real(inner) => inner.compiler.fingerprint(),
            #[cfg(feature = "simulated")]
            Kind::Simulated(_) => "simulated",
        }
    }

    /// The boundary around tasks, and the layers of the jail that were found missing so far.
    #[must_use]
    pub fn confinement(&self) -> (&'static str, Vec<&'static str>) {
        match &self.kind {
            Kind::Real(inner) => {
                let missing = inner.warden.missing().into_iter().map(Layer::name).collect();
                (inner.isolation.name(), missing)
            }
            #[cfg(feature = "simulated")]
            Kind::Simulated(_) => ("simulated", Vec::new()),
        }
    }

    /// The runners that ended while their slots went on.
    #[must_use]
    pub fn runner_ends(&self) -> RunnerEnds {
        match &self.kind {
            Kind::Real(inner) => inner.ends.counted(),
            #[cfg(feature = "simulated")]
            Kind::Simulated(_) => RunnerEnds::default(),
        }
    }

    /// Whether [`Sandbox::prepare`] will need the module's bytes no more.
    #[must_use]
    pub fn has(&self, module: Digest) -> bool {
        match &self.kind {
            Kind::Real(inner) => inner.compiler.has(module),
            #[cfg(feature = "simulated")]
            Kind::Simulated(simulation) => simulation.has(module),
        }
    }

    /// Makes the module of `spec` ready to run, with the blobs that it names; at once where it is
    /// compiled already and they are here. Cancel safe: a compilation that nobody waits for any more
    /// is ended.
    ///
    /// # Errors
    /// See [`PrepareError`]; a refusal holds for this module or job on every worker like this.
    pub async fn prepare(
        &self,
        spec: &TaskSpec,
        source: ModuleSource,
    ) -> Result<Prepared, PrepareError> {
        self.prepare_timed(spec, source).await.0
    }

    /// As [`Sandbox::prepare`]; also says for how long something was compiled for this call, whatever
    /// came of it.
    pub async fn prepare_timed(
        &self,
        spec: &TaskSpec,
        source: ModuleSource,
    ) -> (Result<Prepared, PrepareError>, Duration) {
        let inner = match &self.kind {
            Kind::Real(inner) => inner,
            #[cfg(feature = "simulated")]
            Kind::Simulated(simulation) => {
                return (simulation.prepare(spec, source).await, Duration::ZERO);
            }
        };
        let checked = check_limits(&spec.limits, &inner.max_limits)
            .and_then(|()| check_dirs(&spec.grants, &inner.allow_dirs));
        if let Err(refusal) = checked {
            return (Err(refusal.into()), Duration::ZERO);
        }
        let source = match inner.blobs.take(spec, source).await {
            Ok(source) => source,
            Err(error) => return (Err(error), Duration::ZERO),
        };
        let (prepared, took) = inner.compiler.prepare(&spec.tenant, spec.module, &source).await;
        if matches!(&prepared, Err(PrepareError::Sandbox(error)) if !matches!(error, SandboxError::Stopped))
        {
            inner.pool.doubt_compilers();
        }
        let fitting = prepared.and_then(|prepared| {
            if prepared.kind() == spec.kind {
                return Ok(prepared.with_blobs(inner.blobs.of(spec)?));
            }
            let (found, asked) = (prepared.kind(), spec.kind);
            Err(Refusal::OtherKind { found, said: asked }.into())
        });
        (fitting, took)
    }

    /// Ends all runners, and what they run, and waits for their end. Modules that are not being
    /// compiled yet are compiled no more.
    pub async fn shutdown(&self) {
        match &self.kind {
            Kind::Real(inner) => {
                inner.compiler.close();
                inner.pool.shutdown().await;
            }
            #[cfg(feature = "simulated")]
            Kind::Simulated(simulation) => simulation.shutdown().await,
        }
    }
}

/// Writes a limit's value with its unit.
type Show = fn(u64) -> String;

/// Refuses limits above the operator's maxima.
///
/// # Errors
/// [`Refusal::Maximum`] names the first that is.
pub fn check_limits(asked: &Limits, max: &Limits) -> Result<(), Refusal> {
    let bytes = |value| ByteCount(value).to_string();
    let plain = |value: u64| value.to_string();
    let limits: [(&str, u64, u64, Show); 7] = [
        ("fuel", asked.fuel.0, max.fuel.0, |value| Fuel(value).to_string()),
        ("deadline", asked.deadline.0, max.deadline.0, |value| Millis(value).to_string()),
        ("memory", asked.memory.0, max.memory.0, bytes),
        ("table", asked.table_elements, max.table_elements, plain),
        ("output", asked.output.0, max.output.0, bytes),
        ("record", asked.record.0, max.record.0, bytes),
        ("log", asked.log.0, max.log.0, bytes),
    ];
    match limits.into_iter().find(|(_, asked, max, _)| asked > max) {
        None => Ok(()),
        Some((limit, asked, max, show)) => {
            let (asked, allowed) = (show(asked).into(), show(max).into());
            Err(Refusal::Maximum { limit: limit.into(), asked, allowed })
        }
    }
}

/// Refuses directories that are not beneath one that the operator allows, symbolic links resolved.
fn check_dirs(grants: &[Grant], allowed: &[PathBuf]) -> Result<(), Refusal> {
    for grant in grants {
        let Grant::Dir { host, .. } = grant else { continue };
        let refused = |fault| Err(Refusal::Grant { grant: Name::of(grant), fault });
        let path = || Name::from(host.as_str());
        let real = match Path::new(host).canonicalize() {
            Ok(real) if real.is_dir() => real,
            Ok(_) => return refused(GrantFault::NoDirectory { path: path() }),
            Err(error) => {
                let reason = Detail::of(&error);
                return refused(GrantFault::Unreadable { path: path(), reason });
            }
        };
        let covers = |dir: &PathBuf| dir.canonicalize().is_ok_and(|dir| real.starts_with(dir));
        if !allowed.iter().any(covers) {
            return refused(GrantFault::NotAllowed { path: Name::of(&real.display()) });
        }
    }
    Ok(())
}
