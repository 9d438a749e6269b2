//! What an agent and its runner say to each other over their socket, in the frames of
//! [`proto::frame`](wasmgrid_proto::frame). Both are of one build, which is looked at before either
//! says a word ([`program`](crate::program)), so there are no versions here.

use std::sync::Arc;

use bytes::BytesMut;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasmgrid_proto::{
    ByteCount, InputBlock, JobId, LeaseId, ResultBlock, TaskRange, TaskSpec, WorkerId,
    wire::{Message, shared},
};

use crate::{EngineSettings, SandboxError, jail::Report};

/// To the runner.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ToRunner {
    /// The first message. A descriptor comes along: the board.
    Hello(Hello),
    /// Tasks to run. Descriptors come along: the compiled code, and the blobs of the spec.
    Run(Box<RunBatch>),
    /// Stop the job's tasks.
    Cancel(Cancel),
    /// Give back what has not begun.
    Revoke(Revoke),
}

/// From the runner.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FromRunner {
    /// The first message, once it is in its jail and has its threads: it can run tasks.
    Ready(Report),
    /// The first message, and the last: it can run none.
    Unfit(Unfit),
    /// Results of a batch, in order.
    Results(Results),
    /// Tasks that were revoked before they began.
    Returned(Returned),
}

/// Why a runner can run no tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Unfit {
    /// It could not make its engine.
    Engine {
        reason: String,
        /// How much address space it may have, where that is limited.
        address_space: Option<ByteCount>,
    },
    /// It could not start its threads.
    Threads { reason: String },
}

impl Unfit {
    /// What a process of this `role` failed at.
    pub(crate) fn error(self, role: &'static str) -> SandboxError {
        match self {
            Self::Engine { reason, address_space: Some(limit) } => {
                SandboxError::AddressSpace { limit, reason }
            }
            Self::Engine { reason, address_space: None } => SandboxError::Engine { reason },
            Self::Threads { reason } => SandboxError::Threads { role, reason },
        }
    }
}

/// See [`ToRunner::Hello`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) engine: EngineSettings,
    /// Each task is run in a process of its own, forked from the runner.
    pub(crate) forks: bool,
    /// Run nothing unless each layer of the jail is there.
    pub(crate) require_jail: bool,
    /// Directories that jobs may be granted to read, by their real paths.
    pub(crate) allow_dirs: Vec<String>,
}

/// See [`ToRunner::Run`]. The payload has the inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunBatch {
    /// The agent's number of the batch, from 1.
    pub(crate) batch: u64,
    pub(crate) job: JobId,
    pub(crate) lease: LeaseId,
    pub(crate) attempt: u32,
    pub(crate) worker: WorkerId,
    #[serde(with = "shared")]
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) first: u64,
    pub(crate) inputs: InputBlock,
}

/// See [`ToRunner::Cancel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cancel {
    pub(crate) job: JobId,
    pub(crate) by: String,
}

/// See [`ToRunner::Revoke`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Revoke {
    pub(crate) job: JobId,
    pub(crate) lease: LeaseId,
    pub(crate) tasks: Vec<TaskRange>,
}

/// See [`FromRunner::Results`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) batch: u64,
    pub(crate) block: ResultBlock,
}

/// See [`FromRunner::Returned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Returned {
    pub(crate) batch: u64,
    pub(crate) tasks: Vec<TaskRange>,
}

const HELLO: u16 = 1;
const RUN: u16 = 2;
const CANCEL: u16 = 3;
const REVOKE: u16 = 4;
const RESULTS: u16 = 1;
const RETURNED: u16 = 2;
const READY: u16 = 3;
const UNFIT: u16 = 4;

impl Message for ToRunner {
    fn kind(&self) -> u16 {
        match self {
            Self::Hello(_) => HELLO,
            Self::Run(_) => RUN,
            Self::Cancel(_) => CANCEL,
            Self::Revoke(_) => REVOKE,
        }
    }

    fn payload_len(&self) -> u64 {
        match self {
            Self::Run(run) => run.inputs.payload_len(),
            Self::Hello(_) | Self::Cancel(_) | Self::Revoke(_) => 0,
        }
    }

    fn encode_meta(&self, out: &mut BytesMut) -> Result<(), postcard::Error> {
        match self {
            Self::Hello(hello) => encode(hello, out),
            Self::Run(run) => encode(&**run, out),
            Self::Cancel(cancel) => encode(cancel, out),
            Self::Revoke(revoke) => encode(revoke, out),
        }
    }

    fn decode_meta(kind: u16, meta: &[u8]) -> Result<Option<Self>, postcard::Error> {
        Ok(Some(match kind {
            HELLO => Self::Hello(decode(meta)?),
            RUN => Self::Run(Box::new(decode(meta)?)),
            CANCEL => Self::Cancel(decode(meta)?),
            REVOKE => Self::Revoke(decode(meta)?),
            _ => return Ok(None),
        }))
    }
}

impl Message for FromRunner {
    fn kind(&self) -> u16 {
        match self {
            Self::Ready(_) => READY,
            Self::Unfit(_) => UNFIT,
            Self::Results(_) => RESULTS,
            Self::Returned(_) => RETURNED,
        }
    }

    fn payload_len(&self) -> u64 {
        match self {
            Self::Results(results) => results.block.payload_len(),
            Self::Ready(_) | Self::Unfit(_) | Self::Returned(_) => 0,
        }
    }

    fn encode_meta(&self, out: &mut BytesMut) -> Result<(), postcard::Error> {
        match self {
            Self::Ready(report) => encode(report, out),
            Self::Unfit(unfit) => encode(unfit, out),
            Self::Results(results) => encode(results, out),
            Self::Returned(returned) => encode(returned, out),
        }
    }

    fn decode_meta(kind: u16, meta: &[u8]) -> Result<Option<Self>, postcard::Error> {
        Ok(Some(match kind {
            READY => Self::Ready(decode(meta)?),
            UNFIT => Self::Unfit(decode(meta)?),
            RESULTS => Self::Results(decode(meta)?),
            RETURNED => Self::Returned(decode(meta)?),
            _ => return Ok(None),
        }))
    }
}

fn encode<T: Serialize>(value: &T, out: &mut BytesMut) -> Result<(), postcard::Error> {
    out.extend_from_slice(&postcard::to_allocvec(value)?);
    Ok(())
}

fn decode<T: DeserializeOwned>(meta: &[u8]) -> Result<T, postcard::Error> {
    let (value, rest) = postcard::take_from_bytes(meta)?;
    if rest.is_empty() { Ok(value) } else { Err(postcard::Error::SerdeDeCustom) }
}
