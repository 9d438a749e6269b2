//! What a module is and whether a job may run it: the sandbox's judgement in the words of the
//! command line and of the server.

use std::{fs, io, path::Path, sync::Arc};

use bytes::Bytes;
use wasmgrid_proto::{ModuleInfo, TaskSpec};
use wasmgrid_server::{Admission, Admit, Admitting, NotAdmitted};
use wasmgrid_worker::sandbox::{
    Caps, Inability, Refusal,
    admission::{self, AdmissionError},
    admit,
};

use crate::exit::{refused, usage};

/// Reads a file and says what it is.
///
/// # Errors
/// A usage error where it cannot be read; a refusal where it is no task.
pub fn read(file: &Path, caps: &Caps) -> anyhow::Result<(Vec<u8>, ModuleInfo)> {
    let shown = file.display();
    let no_task = |why: Refusal| refused(format!("{shown}: {why}"));
    let unread = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            usage(format!("there is no file or folder {shown}; a task is a .wasm or a crate"))
        }
        _ => usage(format!("failed to read {shown}: {error}")),
    };
    admit::check_size(fs::metadata(file).map_err(unread)?.len(), caps).map_err(no_task)?;
    let bytes = fs::read(file).map_err(unread)?;
    let info = admit::admit(&bytes, caps).map_err(no_task)?;
    Ok((bytes, info))
}

/// Checks that the module can use all that its tasks are given, and is given what they need.
///
/// # Errors
/// What does not fit, and what would help.
pub fn check_task(info: &ModuleInfo, task: &TaskSpec) -> Result<(), String> {
    admit::check_task(info, task).map_err(|refusal| refusal.to_string())
}

/// A server's judgement, under these caps, for a grid within this command: it is the one who runs
/// it whose modules are looked at.
pub fn admission(caps: Caps) -> Admission {
    let admit = move |bytes: &[u8]| admit::admit(bytes, &caps).map_err(|why| why.to_string());
    Admission { admit: Admit::Here(Arc::new(admit)), check_task: Arc::new(check_task) }
}

/// A server's judgement on modules of others, each looked at in a process of its own.
pub fn admission_apart(apart: &admission::Admission) -> Admission {
    let apart = apart.clone();
    let admit = move |bytes: Bytes| -> Admitting {
        let apart = apart.clone();
        Box::pin(async move {
            apart.admit(&bytes).await.map_err(|why| match why {
                AdmissionError::Refused(why) => NotAdmitted::Refused(why.to_string()),
                AdmissionError::Sandbox(why) => {
                    let why = Inability::from(why);
                    tracing::error!("failed to check a module: {why}");
                    NotAdmitted::Unavailable(format!(
                        "the scheduler failed to check the module: {why}; try again, or ask its \
                         operator"
                    ))
                }
            })
        })
    };
    Admission { admit: Admit::Apart(Arc::new(admit)), check_task: Arc::new(check_task) }
}
