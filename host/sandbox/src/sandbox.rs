//! The worker's way in: makes modules ready to run.

use std::sync::Arc;

use bytes::Bytes;
use wasmgrid_proto::{ByteCount, Digest, Fuel, Limits, Millis, TaskSpec};

use crate::{PrepareError, Prepared, Refusal, SandboxConfig, SandboxError, compile::Compiler};

/// A worker's sandbox; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sandbox {
    compiler: Arc<Compiler>,
    max_limits: Limits,
}

/// Where a module's bytes are.
#[derive(Clone, Debug)]
pub enum ModuleSource {
    /// Nowhere here: prepared code from memory or disk must do.
    Cached,
    /// Here, as they were submitted.
    Bytes(Bytes),
}

impl Sandbox {
    /// Makes the sandbox of a worker; opens its cache of compiled code.
    ///
    /// # Errors
    /// Where the engine cannot be made with these settings, or the cache cannot be used.
    pub fn new(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let compiler = Arc::new(Compiler::new(config)?);
        Ok(Self { compiler, max_limits: config.max_limits })
    }

    /// Whether [`Sandbox::prepare`] will need the module's bytes no more.
    #[must_use]
    pub fn has(&self, module: Digest) -> bool {
        self.compiler.has(module)
    }

    /// Makes the module of `spec` ready to run; at once where it is compiled already. Cancel safe:
    /// a compilation that nobody waits for any more is ended.
    ///
    /// # Errors
    /// See [`PrepareError`]; a refusal holds for this module or job on every worker like this.
    pub async fn prepare(
        &self,
        spec: &TaskSpec,
        source: ModuleSource,
    ) -> Result<Prepared, PrepareError> {
        check_limits(&spec.limits, &self.max_limits)?;
        let prepared = self.compiler.prepare(spec.module, &source).await?;
        if prepared.kind() != spec.kind {
            let (found, asked) = (prepared.kind(), spec.kind);
            let reason = format!("the job says that its module is a {asked}, and it is a {found}");
            return Err(Refusal::Mismatch { reason }.into());
        }
        Ok(prepared)
    }
}

/// Refuses limits above the operator's maxima.
fn check_limits(asked: &Limits, max: &Limits) -> Result<(), Refusal> {
    let bytes = |value| ByteCount(value).to_string();
    let plain = |value: u64| value.to_string();
    let limits: [(&str, u64, u64, fn(u64) -> String); 7] = [
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
        Some((limit, asked, max, show)) => Err(Refusal::Maximum {
            limit: limit.into(),
            asked: show(asked),
            allowed: show(max),
        }),
    }
}
