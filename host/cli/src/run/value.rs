//! The value that all tasks of a job have beside their inputs: read here before anything is sent.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use wasmgrid_proto::{BLOB_BYTES_MAX, Blob, ByteCount, Digest, WITH};

use super::clash::Reads;
use crate::{
    args::{With, check_json},
    exit::usage,
};

/// See the module.
pub struct Value {
    /// Its bytes.
    pub bytes: Bytes,
    /// What they are.
    pub digest: Digest,
    file: Option<PathBuf>,
}

impl Value {
    /// What the flag names.
    ///
    /// # Errors
    /// A usage error where a file cannot be read, is empty or too large, or is called `.json` and is
    /// none.
    pub fn read(with: &With) -> anyhow::Result<Self> {
        let (bytes, file) = match with {
            With::Json(text) => (Bytes::copy_from_slice(text.as_bytes()), None),
            With::File(path) => (read_file(path)?, Some(path.clone())),
        };
        if bytes.len() as u64 > BLOB_BYTES_MAX {
            return Err(too_large("it", bytes.len() as u64));
        }
        Ok(Self { digest: Digest::of(&bytes), bytes, file })
    }

    /// As the job's spec has it.
    pub fn blob(&self) -> Blob {
        Blob { name: WITH.into(), digest: self.digest }
    }

    /// Adds its file to `reads`.
    pub fn add_to(&self, reads: &mut Reads) {
        self.file.iter().for_each(|path| reads.input(path));
    }
}

fn read_file(path: &Path) -> anyhow::Result<Bytes> {
    let shown = path.display();
    let unread = |error| usage(format!("failed to read the value of --with, {shown}: {error}"));
    let file = File::open(path).map_err(unread)?;
    let size = file.metadata().map_err(unread)?.len();
    if size > BLOB_BYTES_MAX {
        return Err(too_large(&shown.to_string(), size));
    }
    let mut bytes = Vec::new();
    // What is no file in the end, such as a pipe, has no size before it is read.
    file.take(BLOB_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.is_empty() {
        return Err(usage(format!(
            "the value of --with, {shown}, is empty; expected at least one byte"
        )));
    }
    if path.extension().is_some_and(|extension| extension == "json") {
        check_json(&bytes).map_err(|wrong| {
            usage(format!(
                "the value of --with, {shown}, is not valid JSON: \
                 {wrong}"
            ))
        })?;
    }
    Ok(bytes.into())
}

fn too_large(what: &str, size: u64) -> anyhow::Error {
    let (size, allowed) = (ByteCount(size), ByteCount(BLOB_BYTES_MAX));
    usage(format!(
        "the value of --with is too large: {what} has {size}, {allowed} allowed; make it smaller, or \
         grant the directory of a large file (--allow dir:…)"
    ))
}
