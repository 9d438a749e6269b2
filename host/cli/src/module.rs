//! What a module is and whether a job may run it: the sandbox's judgement in the words of the
//! command line and of the server.

use std::sync::Arc;

use wasmgrid_proto::{Grant, ModuleInfo};
use wasmgrid_server::Admission;
use wasmgrid_worker::sandbox::{Caps, admit};

/// What the module is.
///
/// # Errors
/// Why it is no task, and what would be.
pub fn admit(bytes: &[u8]) -> Result<ModuleInfo, String> {
    admit::admit(bytes, &Caps::default()).map_err(|refusal| refusal.to_string())
}

/// Checks that the grants cover what the module asks for.
///
/// # Errors
/// What is missing, and the grant that would give it.
pub fn check_grants(info: &ModuleInfo, grants: &[Grant]) -> Result<(), String> {
    admit::check_grants(info, grants).map_err(|refusal| refusal.to_string())
}

/// The same for a server.
pub fn admission() -> Admission {
    Admission { admit: Arc::new(admit), check_grants: Arc::new(check_grants) }
}
