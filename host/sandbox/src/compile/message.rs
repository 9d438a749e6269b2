//! What the agent and a compiler say to each other, each message a length and a postcard body: one
//! request, what the compiler's jail is, and for each module its size, the module itself and one
//! reply. The code goes to a file of the agent's.

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
}

/// How many bytes of module follow.
pub(super) type ModuleBytes = u64;

/// What it says of a module, once all of its code is in the file.
pub(super) type Reply = Result<ModuleKind, Refusal>;
