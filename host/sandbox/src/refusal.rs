//! Refusals of modules that are over a cap. All others are made where they are found.

use wasmgrid_proto::Refusal;

use crate::Cap;

/// The module is over a cap: `found` where `allowed` is the most.
pub(crate) fn cap_refusal(cap: Cap, found: u64, allowed: u64, offset: u64) -> Refusal {
    Refusal::Cap {
        what: cap.counts().into(),
        offset,
        found: cap.show(found).into(),
        allowed: cap.show(allowed).into(),
        remedy: cap.help().into(),
        raised_by: (allowed < cap.most()).then(|| cap.name().into()),
    }
}
