//! Parts of jobs and workers as people read them; programs read the crate `wasmgrid-views`.

use std::iter;

use wasmgrid_net::Validity;
use wasmgrid_proto::{Failing, ModuleKind, TaskSpec, WorkerState, WorkerStatus};
use wasmgrid_views::{CertificateView, Standing, Vouched};

use crate::table;

/// For how long a certificate is good, seen from now.
pub fn certificate(validity: &Validity) -> CertificateView {
    CertificateView { ends_at_us: validity.ends.0, ends_soon: validity.warn_at() <= table::now() }
}

/// Why a worker is failing, where it is.
pub const fn failing(state: &WorkerState) -> Option<&Failing> {
    match state {
        WorkerState::Failing(failing) => Some(failing),
        _ => None,
    }
}

/// A worker's labels as people read them, with what they are worth.
pub fn labels(vouched: &Vouched, status: &WorkerStatus) -> String {
    let label = |label: &(String, String)| {
        let (key, value) = label;
        match vouched.standing(status.worker, label) {
            Standing::Vouched => format!("{key}={value} (vouched)"),
            Standing::Own => format!("{key}={value}"),
            Standing::NotCounted => format!("{key}={value} (does not count)"),
        }
    };
    status.capacity.labels.iter().map(label).collect::<Vec<_>>().join(" ")
}

/// The exit codes with which a command is ok; nothing where the module is none.
pub fn ok_exits(task: &TaskSpec) -> String {
    let codes = iter::once(&0).chain(task.ok_exits.iter().filter(|code| **code != 0));
    match task.kind {
        ModuleKind::Task => String::new(),
        ModuleKind::Command | ModuleKind::Preview1 => {
            codes.map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
    }
}
