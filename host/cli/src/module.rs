//! What a module is and whether a job may run it: the sandbox's judgement for the command line and
//! for the server.

use std::{fs, io, path::Path, sync::Arc};

use bytes::Bytes;
use wasmgrid_proto::{ModuleInfo, Refusal, text::Detail};
use wasmgrid_server::{Admission, Admit, Admitting, NotAdmitted};
use wasmgrid_worker::sandbox::{
    Caps, Inability,
    admission::{self, AdmissionError},
    admit,
};

use crate::exit::{Exit, coded, usage};

/// A module, or a job with it, that is refused before anything ran.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {refusal}")]
pub struct Unfit {
    /// The file.
    pub what: String,
    /// Why.
    pub refusal: Refusal,
}

/// Ends the command with a refusal of this file.
pub fn unfit(file: &Path, refusal: Refusal) -> anyhow::Error {
    coded(Exit::Refused, Unfit { what: file.display().to_string(), refusal })
}

/// Reads a file and says what it is.
///
/// # Errors
/// A usage error where it cannot be read; a refusal where it is no task.
pub fn read(file: &Path, caps: &Caps) -> anyhow::Result<(Vec<u8>, ModuleInfo)> {
    let shown = file.display();
    let no_task = |refusal| unfit(file, refusal);
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

/// A server's judgement, under these caps, for a grid within this command: it is the one who runs
/// it whose modules are looked at.
pub fn admission(caps: Caps) -> Admission {
    let admit = move |bytes: &[u8]| admit::admit(bytes, &caps);
    Admission { admit: Admit::Here(Arc::new(admit)), check_task: Arc::new(admit::check_task) }
}

/// A server's judgement on modules of others, each looked at in a process of its own.
pub fn admission_apart(apart: &admission::Admission) -> Admission {
    let apart = apart.clone();
    let admit = move |bytes: Bytes| -> Admitting {
        let apart = apart.clone();
        Box::pin(async move {
            apart.admit(&bytes).await.map_err(|why| match why {
                AdmissionError::Refused(refusal) => NotAdmitted::Refused(refusal),
                AdmissionError::Sandbox(why) => {
                    let why = Inability::from(why);
                    tracing::error!("failed to check a module: {why}");
                    NotAdmitted::Unavailable(Detail::of(&why))
                }
            })
        })
    };
    Admission { admit: Admit::Apart(Arc::new(admit)), check_task: Arc::new(admit::check_task) }
}
