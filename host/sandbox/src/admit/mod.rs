//! Admission: what a module is, found by reading its structure once, and why it is refused where
//! it is none of the three kinds. Nothing is compiled or run, and the file's name is not asked.

mod admitted;
mod body;
mod component;
mod core;
mod declared;
mod features;
mod grants;
mod header;
mod instances;
mod interface;
mod plain;
mod scan;
mod sections;
mod sizes;
mod tally;
mod work;

use wasmgrid_proto::{Digest, ModuleInfo, ModuleKind};
use wasmparser::Encoding;

use self::admitted::Admitted;
use crate::{Cap, Caps, Refusal, refusal::cap_refusal};

pub(crate) use core::START;
pub use grants::{Access, access, check_grants, check_task};
pub use interface::{PROVIDED, Provided, Version};
pub(crate) use scan::validate;

/// What kind of task `bytes` is, and what it imports and exports. Function bodies are read for
/// their structure; whoever compiles the module validates them.
///
/// # Errors
/// The [`Refusal`] says what was found, where, and what would fit.
pub fn admit(bytes: &[u8], caps: &Caps) -> Result<ModuleInfo, Refusal> {
    let Admitted { kind, imports, exports } = classify(bytes, caps)?;
    let (digest, size_bytes) = (Digest::of(bytes), bytes.len() as u64);
    Ok(ModuleInfo { digest, size_bytes, kind, imports, exports })
}

/// Whether a file of this size is worth reading.
///
/// # Errors
/// [`Refusal::Cap`] where it is not.
pub fn check_size(size_bytes: u64, caps: &Caps) -> Result<(), Refusal> {
    let most = caps.module_bytes;
    if size_bytes <= most {
        return Ok(());
    }
    // What is too much begins there.
    Err(cap_refusal(Cap::ModuleBytes, size_bytes, most, most))
}

/// The kind of task alone, of a module whose digest is known.
pub(crate) fn kind(bytes: &[u8], caps: &Caps) -> Result<ModuleKind, Refusal> {
    classify(bytes, caps).map(|admitted| admitted.kind)
}

fn classify(bytes: &[u8], caps: &Caps) -> Result<Admitted, Refusal> {
    let admitted = || {
        check_size(bytes.len() as u64, caps)?;
        header::check(bytes)?;
        let scan = scan::scan(bytes, caps)?;
        match scan.encoding {
            Encoding::Component => component::classify(&scan),
            Encoding::Module => core::classify(&scan),
        }
    };
    admitted()
}
