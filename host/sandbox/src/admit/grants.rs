//! Whether a job's grants fit its module.

use std::collections::BTreeSet;

use wasmgrid_proto::{Grant, ModuleInfo};

use crate::Refusal;

/// Checks that the module can use every grant: one it has no import for is a mistake, and would
/// make the job impure for nothing. (The reverse needs no check: clocks and randomness without a
/// grant are virtual and seeded.)
///
/// # Errors
/// [`Refusal::Mismatch`] names the grant and what the module would have to import.
pub fn check_grants(module: &ModuleInfo, grants: &[Grant]) -> Result<(), Refusal> {
    check_names(grants)?;
    for grant in grants {
        let uses = uses(grant);
        if !module.imports.iter().any(|import| uses.iter().any(|prefix| import.starts_with(prefix)))
        {
            return Err(Refusal::Mismatch {
                reason: format!(
                    "it grants {grant}, which the module cannot use: it imports nothing of {}; \
                     leave out `--allow {grant}`",
                    uses.join(" or "),
                ),
            });
        }
    }
    Ok(())
}

/// The imports, by their beginnings, that a grant changes.
const fn uses(grant: &Grant) -> &'static [&'static str] {
    match grant {
        Grant::Clock => &["wasi:clocks/", "wasi_snapshot_preview1.clock_"],
        Grant::Random => &["wasi:random/", "wasi_snapshot_preview1.random_get"],
        Grant::Env { .. } => &["wasi:cli/environment", "wasi_snapshot_preview1.environ_"],
        Grant::Dir { .. } => &["wasi:filesystem/", "wasi_snapshot_preview1.path_open"],
    }
}

/// Refuses two variables of one name and two directories at one place.
fn check_names(grants: &[Grant]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    for grant in grants {
        let name = match grant {
            Grant::Clock | Grant::Random => continue,
            Grant::Env { name, .. } => format!("the variable {name}"),
            Grant::Dir { guest, .. } => format!("a directory at {guest}"),
        };
        if !names.insert(name.clone()) {
            return Err(Refusal::Mismatch { reason: format!("it grants {name} twice") });
        }
    }
    Ok(())
}
