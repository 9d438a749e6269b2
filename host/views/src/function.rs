//! Functions and their calls.

use serde::Serialize;
use wasmgrid_proto::{FunctionStatus, JobId, ResultMeta, SegmentError};

use crate::{Data, ResultBytes, SpentView, error};

/// A function.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FunctionView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whose it is.
    pub tenant: &'a str,
    /// The digest of the module that runs; with the name it is the function's version.
    pub module: String,
    /// The job that takes new calls.
    pub job: u64,
    /// How many calls may run at once; `null` if as many as there is room for.
    pub concurrency: Option<u32>,
    /// How many calls may run or wait.
    pub max_calls: u32,
    /// When it was deployed last.
    pub deployed_us: u64,
    /// Its calls so far, also of earlier deployments.
    pub called: u64,
    /// Those that have not ended.
    pub open: u64,
}

impl<'a> From<&'a FunctionStatus> for FunctionView<'a> {
    fn from(status: &'a FunctionStatus) -> Self {
        Self {
            name: &status.name,
            tenant: &status.tenant,
            module: status.module.to_string(),
            job: status.job.0,
            concurrency: status.terms.concurrency,
            max_calls: status.terms.calls,
            deployed_us: status.deployed.0,
            called: status.called,
            open: status.open,
        }
    }
}

/// How a call ended.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CallView<'a> {
    /// The job that had the call.
    pub job: u64,
    /// The call's task in it.
    pub index: u64,
    /// How it ended, by the outcome's name.
    pub outcome: &'static str,
    /// False if the outcome depends on time or on the machine.
    pub deterministic: bool,
    /// What it returned and emitted.
    #[serde(flatten)]
    pub bytes: ResultBytes<'a>,
    /// Fuel, memory and time.
    pub usage: SpentView,
    /// What went wrong; `null` if nothing did.
    pub error: Option<String>,
    /// What it logged.
    pub log: Data<'a>,
    /// Bytes of the log that were dropped.
    pub log_dropped: u64,
}

impl<'a> CallView<'a> {
    /// Of a result and its bytes.
    ///
    /// # Errors
    /// [`SegmentError`], if there are not as many as it says.
    pub fn new(job: JobId, meta: &'a ResultMeta, bytes: &'a [u8]) -> Result<Self, SegmentError> {
        let parts = meta.parts(bytes)?;
        Ok(Self {
            job: job.0,
            index: meta.index,
            outcome: meta.outcome.name(),
            deterministic: meta.outcome.is_deterministic(),
            bytes: ResultBytes {
                output: Data::from(parts.output),
                records: parts.records.map(Data::from).collect(),
            },
            usage: meta.usage.into(),
            error: error(&meta.outcome),
            log: Data::from(parts.log),
            log_dropped: meta.log_dropped,
        })
    }
}
