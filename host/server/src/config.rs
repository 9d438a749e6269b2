//! What a server is told when it starts.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use wasmgrid_core::GridConfig;
use wasmgrid_net::Authority;
use wasmgrid_proto::{ByteCount, Millis, ModuleInfo, Refusal, text::Detail};

use crate::{Blocking, driver::CheckTask, space::Space};

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
    /// Default 128 MiB, more than the inputs and results that one client has on their way.
    pub segment_cache: ByteCount,
    /// Bytes of results that are kept of all jobs that have ended, with the inputs of their tasks
    /// that may be run again; beyond it those of the job that ended first go first. Default no
    /// bound. It is passed by about a second's results.
    pub keep_bytes: Option<ByteCount>,
    /// Bytes of results that are kept of a running job whose inputs are not closed: beyond it its
    /// oldest results go, whether they were read or not. Default no bound. It is passed by about a
    /// second's results, and by part of one batch.
    pub keep_open_bytes: Option<ByteCount>,
    /// How long entries of the audit log are kept. Default 90 days. Beyond 100,000 entries the oldest
    /// are deleted in any case; the last one stays.
    pub audit_retention: Millis,
    /// How long a job whose submitter feeds it waits for one that is gone; then it is closed with
    /// the inputs that it has. Default 3 minutes: should be over the 2 minutes for which a client
    /// dials again, and the 20 s after which each side takes a silent link for lost.
    pub producer_grace: Millis,
    /// The space on the store's disk, of which some is reserved for work in progress. Default none:
    /// new work is taken until the disk is full.
    pub space: Option<Space>,
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
            segment_cache: ByteCount(128 << 20),
            keep_bytes: None,
            keep_open_bytes: None,
            audit_retention: Millis(90 * 24 * 60 * 60 * 1_000),
            producer_grace: Millis(180_000),
            space: None,
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
    /// How long a certificate is good for; members renew it after two thirds of that.
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

/// Reads a module and says what it is, or why it may not be run.
#[derive(Clone)]
pub enum Admit {
    /// In this process, which cannot end it: for a grid whose only client is whoever runs it.
    Here(Arc<AdmitHere>),
    /// Elsewhere: what was begun ends with the future, so that no module keeps this process.
    Apart(Arc<dyn Fn(Bytes) -> Admitting + Send + Sync>),
}

/// See [`Admit::Here`].
pub type AdmitHere = dyn Fn(&[u8]) -> Result<ModuleInfo, Refusal> + Send + Sync;

/// A module that is being looked at.
pub type Admitting =
    Pin<Box<dyn Future<Output = Result<ModuleInfo, NotAdmitted>> + Send + 'static>>;

/// Why a module was not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// It may not be run, and will not be when it is looked at again.
    Refused(Refusal),
    /// It could not be looked at now, with what this machine says.
    Unavailable(Detail),
}

/// What decides about modules; given from outside, so that the server names no engine.
#[derive(Clone)]
pub struct Admission {
    /// Called once for each module that is put, off the driver.
    pub admit: Admit,
    /// Called for each submit.
    pub check_task: CheckTask,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}
