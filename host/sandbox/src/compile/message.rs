//! What the agent and a compiler say to each other: one request, what the compiler's jail is, one
//! reply, each a length and a postcard body. The module follows the request; the code goes to a
//! file of the agent's.

use serde::{Deserialize, Serialize};
use wasmgrid_proto::ModuleKind;

use crate::{Caps, EngineSettings, Refusal, jail::CompilerLimits};

/// What a compiler is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The settings of the engine that will run the code.
    pub(super) engine: EngineSettings,
    /// What the module may look like.
    pub(super) caps: Caps,
    /// What compiling may take.
    pub(super) limits: CompilerLimits,
    /// How many threads compile.
    pub(super) threads: u32,
    /// Look at no module unless each layer of the jail is there.
    pub(super) require_jail: bool,
    /// How many bytes of module follow.
    pub(super) module_bytes: u64,
}

/// What it says at last, once all code is in the file. Its jail's report has come before.
pub(super) type Reply = Result<ModuleKind, Refusal>;
