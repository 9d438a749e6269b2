//! PEM files. A key is never readable by others, not even for a moment, and no crash leaves half
//! a file.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::error::NetError;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Everybody,
    Owner,
}

/// DER as PEM, 64 characters a line.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Writes a file beside its place, then moves it there.
pub(super) fn write(path: &Path, text: &str, access: Access) -> Result<(), NetError> {
    let failed = |error: std::io::Error| file_error(path, &error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    make_folder(folder).map_err(failed)?;
    let unique = getrandom::u64().map_err(|error| file_error(path, &error))?;
    let beside = folder.join(format!(".{unique:016x}.new"));
    let written = create(&beside, access)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // It may not exist; what went wrong first is what is reported.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(failed)
}

/// For its owner alone: who can open a file in it can also hold it.
fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn create(path: &Path, access: Access) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if access == Access::Owner { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = access;
    options.open(path)
}

pub(super) fn read(path: &Path) -> Result<String, NetError> {
    fs::read_to_string(path).map_err(|error| file_error(path, &error))
}

pub(super) fn certificate(path: &Path) -> Result<CertificateDer<'static>, NetError> {
    CertificateDer::from_pem_slice(read(path)?.as_bytes())
        .map_err(|error| file_error(path, &format!("no certificate in PEM: {error}")))
}

pub(super) fn file_error(path: &Path, reason: &dyn std::fmt::Display) -> NetError {
    NetError::File { path: path.display().to_string(), reason: reason.to_string() }
}
