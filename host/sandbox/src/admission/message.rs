//! What a scheduler and a process that looks at a module say to each other: one request, which jail
//! it is in, then the module's length and the module, then one reply.

use serde::{Deserialize, Serialize};
use wasmgrid_proto::ModuleInfo;

use crate::{Caps, Refusal, jail::CompilerLimits};

/// What is to be looked at, and how.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// What the module may look like.
    pub(super) caps: Caps,
    /// What looking at it may take.
    pub(super) limits: CompilerLimits,
    /// Look at no module unless each layer of the jail is there.
    pub(super) require_jail: bool,
}

/// How long the module is that follows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Follows {
    pub(super) module_bytes: u64,
}

/// What it says at last.
pub(super) type Reply = Result<ModuleInfo, Refusal>;

/// What a reply may have beside the names that it quotes.
const REPLY_BYTES: usize = 64 << 10;

/// How long a reply about a module of this size may be: its names are in the module, each with a
/// length that takes no more than twice what it takes there.
pub(super) const fn reply_bytes(module_bytes: usize) -> usize {
    module_bytes.saturating_mul(2).saturating_add(REPLY_BYTES)
}
