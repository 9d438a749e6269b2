//! Whether a job's grants fit its module, and what a task is given for each of its imports.

use std::collections::BTreeSet;

use wasmgrid_proto::{Grant, ModuleInfo, Refusal, TaskSpec, WITH, text::Name};

use super::interface::VALUE;

/// Checks that the module can use all that the job gives its tasks, and is given what it needs.
///
/// # Errors
/// [`Refusal`], with what does not fit.
pub fn check_task(module: &ModuleInfo, task: &TaskSpec) -> Result<(), Refusal> {
    check_grants(module, &task.grants)?;
    let takes_value = module.imports.iter().any(|import| VALUE.is(import));
    match task.blob(WITH) {
        Some(_) if !takes_value => {
            return Err(Refusal::ValueUnused { interface: VALUE.path.into() });
        }
        None if takes_value => return Err(Refusal::ValueMissing),
        _ => {}
    }
    match task.blobs.iter().find(|blob| blob.name != WITH) {
        None => Ok(()),
        Some(blob) => Err(Refusal::BlobUnused { name: blob.name.as_str().into() }),
    }
}

/// Checks that the module can use every grant: one it has no import for is a mistake, and would
/// make the job impure for nothing. (The reverse needs no check: clocks and randomness without a
/// grant are virtual and seeded.)
///
/// # Errors
/// [`Refusal::GrantUnused`] names the grant and what the module would have to import.
pub fn check_grants(module: &ModuleInfo, grants: &[Grant]) -> Result<(), Refusal> {
    check_names(grants)?;
    for grant in grants {
        let uses = uses(grant);
        if !module.imports.iter().any(|import| uses.iter().any(|prefix| import.starts_with(prefix)))
        {
            let (grant, imports) = (Name::of(grant), uses.join(" or ").into());
            return Err(Refusal::GrantUnused { grant, imports });
        }
    }
    Ok(())
}

/// The imports, by their beginnings, that a grant changes.
const fn uses(grant: &Grant) -> &'static [&'static str] {
    match grant {
        Grant::Clock => CLOCKS,
        Grant::Random => RANDOM,
        Grant::Env { .. } => VARIABLES,
        // Descriptors are of what has no path, too: every program may import other functions on
        // them.
        Grant::Dir { .. } => &[
            "wasi:filesystem/",
            "wasi_snapshot_preview1.path_",
            "wasi_snapshot_preview1.fd_readdir",
        ],
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
            return Err(Refusal::GrantTwice { what: name.into() });
        }
    }
    Ok(())
}

/// A preview 1 program sleeps by `poll_oneoff`, which names a clock itself.
const CLOCKS: &[&str] =
    &["wasi:clocks/", "wasi_snapshot_preview1.clock_", "wasi_snapshot_preview1.poll_oneoff"];
const RANDOM: &[&str] = &["wasi:random/", "wasi_snapshot_preview1.random_get"];
const VARIABLES: &[&str] = &["wasi:cli/environment", "wasi_snapshot_preview1.environ_"];
const FILES: &[&str] = &[
    "wasi:filesystem/",
    "wasi_snapshot_preview1.path_",
    "wasi_snapshot_preview1.fd_readdir",
    "wasi_snapshot_preview1.fd_prestat_",
];
const SOCKETS: &[&str] = &["wasi:sockets/", "wasi_snapshot_preview1.sock_"];

/// What a task is given for one of its imports. An import for which there is nothing at all is
/// refused before this is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// What every task is given; no grant changes it.
    Given,
    /// The interface with nothing behind it; no grant changes it.
    Nothing,
    /// The interface with nothing behind it, until a grant gives something.
    Empty {
        /// The grant, as it is written.
        grant: &'static str,
    },
    /// A function of the job, until a grant gives the real thing.
    Simulated {
        /// The grant, as it is written.
        grant: &'static str,
    },
    /// The real things that these grants give.
    Granted(Vec<Grant>),
}

impl Access {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Nothing | Self::Empty { .. } => "empty",
            Self::Simulated { .. } => "simulated",
            Self::Granted(_) => "granted",
        }
    }

    /// The grants that give the real thing, or would.
    #[must_use]
    pub fn grants(&self) -> Vec<String> {
        match self {
            Self::Given | Self::Nothing => Vec::new(),
            Self::Empty { grant } | Self::Simulated { grant } => vec![(*grant).to_owned()],
            Self::Granted(grants) => grants.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What `import`, one of an admitted module's, is given under `grants`.
#[must_use]
pub fn access(import: &str, grants: &[Grant]) -> Access {
    let of = |prefixes: &[&str]| prefixes.iter().any(|prefix| import.starts_with(prefix));
    let granted = |is: fn(&Grant) -> bool, otherwise: Access| {
        let grants: Vec<_> = grants.iter().filter(|grant| is(grant)).cloned().collect();
        if grants.is_empty() { otherwise } else { Access::Granted(grants) }
    };
    if of(CLOCKS) {
        granted(|grant| matches!(grant, Grant::Clock), Access::Simulated { grant: "clock" })
    } else if of(RANDOM) {
        granted(|grant| matches!(grant, Grant::Random), Access::Simulated { grant: "random" })
    } else if of(VARIABLES) {
        let empty = Access::Empty { grant: "env:NAME=VALUE" };
        granted(|grant| matches!(grant, Grant::Env { .. }), empty)
    } else if of(FILES) {
        let empty = Access::Empty { grant: "dir:HOST_PATH:GUEST_PATH:ro" };
        granted(|grant| matches!(grant, Grant::Dir { .. }), empty)
    } else if of(SOCKETS) {
        Access::Nothing
    } else {
        Access::Given
    }
}
