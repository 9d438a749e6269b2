//! PEM files. A key is never readable by others, not even for a moment, and no crash leaves half
//! a file.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::error::NetError;

/// DER as PEM, 64 characters a line.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
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

/// Writes a file for its owner alone beside its place, then moves it there.
pub(super) fn write(path: &Path, text: &str) -> Result<(), NetError> {
    let failed = |error: std::io::Error| file_error(path, &error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    make_folder(folder).map_err(failed)?;
    let unique = getrandom::u64().map_err(|error| file_error(path, &error))?;
    let beside = folder.join(format!(".{unique:016x}.new"));
    let written = create(&beside)
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

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

pub(crate) fn read(path: &Path) -> Result<String, NetError> {
    fs::read_to_string(path).map_err(|error| file_error(path, &error))
}

/// All certificates of a file's text, in their order.
pub(crate) fn certificates(
    path: &Path,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, NetError> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| file_error(path, &format!("no certificate in PEM: {error}")))
}

/// The private key of a file's text.
pub(crate) fn key(path: &Path, text: &str) -> Result<PrivateKeyDer<'static>, NetError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| file_error(path, &format!("no key in PEM: {error}")))
}

/// What [`pem`] wrote under a label that is ours.
pub(super) fn block(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, behind) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (within, _) = behind.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(within.split_whitespace().collect::<String>()).ok()
}

pub(crate) fn file_error(path: &Path, reason: &dyn std::fmt::Display) -> NetError {
    NetError::File { path: path.display().to_string(), reason: reason.to_string() }
}
