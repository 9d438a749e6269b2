//! Landlock with hardly a rule: no file can be opened, made or run, but to read those beneath the
//! directories that the operator allows jobs to be granted; no port bound or connected to; and no
//! signal or abstract socket reaches a process outside. What a kernel does not know of that is left
//! out; files are known to all that have landlock.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::inmate::Inmate;
use crate::host::open::Allowed;

/// What is denied, where the kernel has it.
const NEWEST: ABI = ABI::V7;

pub(super) fn deny_but(inmate: Inmate) -> io::Result<()> {
    let allowed = match inmate {
        Inmate::Runner { allowed, .. } => allowed,
        Inmate::Compiler { .. } => &[],
    };
    let status = restrict(allowed).map_err(io::Error::other)?;
    match status {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(io::Error::other("this kernel has none, or has it off")),
    }
}

fn restrict(allowed: &[Allowed]) -> Result<RulesetStatus, RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let rules =
        allowed.iter().map(|directory| Ok::<_, RulesetError>(PathBeneath::new(directory, reading)));
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(rules)?
        .restrict_self()?;
    Ok(status.ruleset)
}
