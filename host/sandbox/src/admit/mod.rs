//! Admission: what a module is, found by reading its structure once, and why it is refused where
//! it is none of the three kinds. Nothing is compiled or run, and the file's name is not asked.

mod component;
mod core;
mod grants;
mod header;
mod interface;
mod scan;

use wasmgrid_proto::{Digest, ModuleInfo, ModuleKind};
use wasmparser::Encoding;

use crate::{Caps, Refusal};

pub(crate) use core::{PREVIEW1, START};
pub use grants::check_grants;
pub use interface::{PROVIDED, Provided, Version};

/// What kind of task `bytes` is, and what it imports and exports.
///
/// # Errors
/// The [`Refusal`] says what was found, where, and what would fit.
pub fn admit(bytes: &[u8], caps: &Caps) -> Result<ModuleInfo, Refusal> {
    let size_bytes = bytes.len() as u64;
    if size_bytes > caps.module_bytes.0 {
        return Err(Refusal::module_size(size_bytes, caps.module_bytes));
    }
    let Admitted { kind, imports, exports } = classify(bytes)?;
    Ok(ModuleInfo { digest: Digest::of(bytes), size_bytes, kind, imports, exports })
}

/// [`admit`] for a component that we made ourselves: the caps held for what it was made from.
pub(crate) fn readmit(component: &[u8]) -> Result<ModuleKind, Refusal> {
    classify(component).map(|admitted| admitted.kind)
}

/// What a kind's module finds out about a file.
struct Admitted {
    kind: ModuleKind,
    /// Sorted, without repeats.
    imports: Vec<String>,
    /// Sorted.
    exports: Vec<String>,
}

fn classify(bytes: &[u8]) -> Result<Admitted, Refusal> {
    header::check(bytes)?;
    let scan = scan::scan(bytes)?;
    match scan.encoding {
        Encoding::Component => component::classify(&scan),
        Encoding::Module => core::classify(&scan),
    }
}

/// `names` for a message: a few, and how many more there are.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) if shown.is_empty() => "nothing".into(),
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
