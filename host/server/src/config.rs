//! What a server is told when it starts.

use std::{fmt, sync::Arc, time::Duration};

use wasmgrid_core::GridConfig;
use wasmgrid_net::Authority;
use wasmgrid_proto::{ByteCount, Grant, Millis, ModuleInfo};

use crate::Blocking;

/// How a server behaves. Limits of single tasks are in each job's spec.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The grid's name, which join tokens carry.
    pub grid_name: String,
    /// The scheduler core's own settings.
    pub grid: GridConfig,
    /// How often workers are asked for a heartbeat. Default 1 s; must be well under
    /// [`GridConfig::worker_timeout`], or workers are given up while they live.
    pub heartbeat: Millis,
    /// Memory for recent inputs and results, each: what is in it needs no read when it is sent.
    /// Default 256 MiB.
    pub segment_cache: ByteCount,
    /// Bytes of results that are kept of all jobs that have ended, with the inputs of their tasks
    /// that may be run again; beyond it those of the job that ended first go first. Default no
    /// bound. It is passed by about a second's results.
    pub keep_bytes: Option<ByteCount>,
    /// Bytes of results that are kept of a running job whose inputs are not closed: beyond it its
    /// oldest results go, whether they were read or not. Default no bound. It is passed by about a
    /// second's results, and by part of one batch.
    pub keep_open_bytes: Option<ByteCount>,
    /// With it, machines may join by token; without, they are denied.
    pub enrollment: Option<Enrollment>,
    /// Where it does what blocks. Default [`Blocking::Threads`].
    pub blocking: Blocking,
}

impl ServerConfig {
    /// The defaults for the grid of this name, without enrollment.
    #[must_use]
    pub fn new(grid_name: impl Into<String>) -> Self {
        Self {
            grid_name: grid_name.into(),
            grid: GridConfig::default(),
            heartbeat: Millis(1_000),
            segment_cache: ByteCount(256 << 20),
            keep_bytes: None,
            keep_open_bytes: None,
            enrollment: None,
            blocking: Blocking::default(),
        }
    }
}

/// What a server needs to let machines join.
#[derive(Clone)]
pub struct Enrollment {
    /// Signs their certificates.
    pub authority: Arc<Authority>,
    /// Where the server is reached; goes into the tokens.
    pub addresses: Vec<String>,
    /// How long a certificate is good for; a machine joins again with a new token after that.
    pub validity: Duration,
}

impl fmt::Debug for Enrollment {
    /// Leaves the authority out: it holds a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrollment")
            .field("addresses", &self.addresses)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// Reads a module and says what it is, or why it may not be run. May take milliseconds.
pub type Admit = Arc<dyn Fn(&[u8]) -> Result<ModuleInfo, String> + Send + Sync>;

/// Says whether these grants cover what the module asks for. Quick: it compares names.
pub type CheckGrants = Arc<dyn Fn(&ModuleInfo, &[Grant]) -> Result<(), String> + Send + Sync>;

/// What decides about modules; given from outside, so that the server names no engine.
#[derive(Clone)]
pub struct Admission {
    /// Called once for each module that is put, off the driver.
    pub admit: Admit,
    /// Called for each submit.
    pub check_grants: CheckGrants,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}
