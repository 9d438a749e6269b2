//! Compiled code on disk, so that a restart compiles nothing again. Each entry is authenticated
//! before it is used, since loading compiled code trusts its bytes: whoever can write to the
//! directory but not read its key can waste our time and nothing more.
//!
//! An entry is `DIRECTORY/FINGERPRINT/DIGEST.cwasm`: magic, kind, MAC, code. The fingerprint says
//! what made it, so that what another build or engine has kept lies beside. The MAC is BLAKE3 keyed with `DIRECTORY/key` over fingerprint, digest, kind and code. A refusal that took long to
//! find is in `DIGEST.refused` beside it, in the same form, see [`refused`](super::refused).

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::rand::GetRandomFlags;
use wasmgrid_proto::{ByteCount, Digest, ModuleKind};

use super::refused::Refused;
use crate::{Refusal, SandboxError, jail::CompilerLimits};

const MAGIC: &[u8; 16] = b"wasmgrid code 1\n";
const MAC_BYTES: usize = 32;
const KIND_AT: usize = MAGIC.len();
const MAC_AT: usize = KIND_AT + 1;
const CODE_AT: usize = MAC_AT + MAC_BYTES;

/// A file takes a block of the disk at least: so an endless number of small ones is bounded too.
const BLOCK_BYTES: u64 = 4 << 10;

/// A file that is being written is called so; one that is older than any write was left behind by
/// a worker that died.
const UNFINISHED: &str = ".tmp";
const WRITE_TIME: Duration = Duration::from_secs(10 * 60);

/// A directory of compiled code for engines of one fingerprint.
#[derive(Debug)]
pub(crate) struct DiskCache {
    root: PathBuf,
    folder: PathBuf,
    fingerprint: String,
    /// By what modules are refused: other rules may let one in.
    rules: String,
    key: [u8; 32],
    max_bytes: u64,
}

impl DiskCache {
    /// Opens `root`, and makes it and its key where they are missing.
    pub(crate) fn open(
        root: &Path,
        fingerprint: &str,
        rules: &str,
        max: ByteCount,
    ) -> Result<Self, SandboxError> {
        let folder = root.join(fingerprint);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| SandboxError::Cache { path: folder.clone(), source })?;
        let key_path = root.join("key");
        let key = read_or_make_key(root, &key_path)
            .map_err(|source| SandboxError::Cache { path: key_path, source })?;
        let (fingerprint, rules) = (fingerprint.to_owned(), rules.to_owned());
        let max_bytes = max.0;
        let cache = Self { root: root.to_owned(), folder, fingerprint, rules, key, max_bytes };
        if let Err(error) = cache.clean() {
            tracing::warn!(directory = %root.display(), %error, "the cache could not be cleaned");
        }
        Ok(cache)
    }

    /// Why the module was refused, where that was kept and still holds for a compiler of these
    /// limits.
    pub(crate) fn load_refusal(&self, digest: Digest, limits: CompilerLimits) -> Option<Refusal> {
        let path = self.refusal_path(digest);
        let refused = Refused::open(&fs::read(&path).ok()?, &self.key, &self.context(digest));
        let now = SystemTime::now();
        let Some(refused) = refused.filter(|refused| !refused.is_over(now)) else {
            let _ = fs::remove_file(&path);
            return None;
        };
        // One that does not hold here stays for workers of lower limits.
        refused.under(limits)
    }

    /// Keeps a refusal for so long, which a compiler of these limits has found. A failure costs a
    /// compilation later, and is a warning.
    pub(crate) fn keep_refusal(
        &self,
        digest: Digest,
        refusal: &Refusal,
        limits: CompilerLimits,
        span: Duration,
    ) {
        let sealed = Refused::new(refusal, limits, SystemTime::now(), span);
        let written = sealed.seal(&self.key, &self.context(digest)).and_then(|bytes| {
            let mut file = self.unfinished()?;
            file.write_all(&bytes)?;
            file.persist(self.refusal_path(digest)).map_err(|error| error.error)?;
            self.evict()
        });
        if let Err(error) = written {
            tracing::warn!(directory = %self.root.display(), %error, "a refusal was not kept on disk");
        }
    }

    /// What a refusal is of.
    fn context(&self, digest: Digest) -> String {
        format!("{} {digest} {}", self.fingerprint, self.rules)
    }

    fn refusal_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.refused"))
    }

    fn unfinished(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)
    }

    /// Removes what interrupted writes have left, and what is too much.
    fn clean(&self) -> io::Result<()> {
        let old = SystemTime::now().checked_sub(WRITE_TIME).unwrap_or(SystemTime::UNIX_EPOCH);
        for Kept { modified, path, .. } in self.kept()? {
            let name = path.file_name().unwrap_or_default();
            if modified < old && name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                let _ = fs::remove_file(path);
            }
        }
        self.evict()
    }

    /// Whether there seems to be an entry; only [`DiskCache::load`] tells whether it is sound.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The code of `digest`. What is damaged or was not written with our key is removed with a
    /// warning, as if it had never been there.
    pub(crate) fn load(&self, digest: Digest) -> Option<(ModuleKind, Vec<u8>)> {
        let path = self.path(digest);
        let entry = match fs::read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code cannot be read; compiling it again");
                return None;
            }
        };
        let Some(kind) = self.authenticate(digest, &entry) else {
            tracing::warn!(path = %path.display(), "compiled code is damaged or foreign; compiling it again");
            let _ = fs::remove_file(&path);
            return None;
        };
        // The time of the last use, for eviction; a file system without it evicts by age.
        let _ = File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        let mut code = entry;
        code.drain(..CODE_AT);
        Some((kind, code))
    }

    fn authenticate(&self, digest: Digest, entry: &[u8]) -> Option<ModuleKind> {
        let (magic, kind) = (entry.get(..KIND_AT)?, *entry.get(KIND_AT)?);
        let (mac, code) = (entry.get(MAC_AT..CODE_AT)?, entry.get(CODE_AT..)?);
        // The comparison of hashes takes the same time wherever they differ.
        let mac = blake3::Hash::from_slice(mac).ok()?;
        (magic == MAGIC && self.mac(digest, kind, code) == mac).then(|| kind_of(kind))?
    }

    fn mac(&self, digest: Digest, kind: u8, code: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        // The fingerprint has one length and the rest follows in fixed places: no two entries
        // have the same bytes here.
        mac.update(self.fingerprint.as_bytes()).update(&digest.0).update(&[kind]).update(code);
        mac.finalize()
    }

    /// Keeps `code`, and drops what was used longest ago where the directory grows too large. A
    /// failure costs a compilation later, and is a warning.
    pub(crate) fn keep(&self, digest: Digest, kind: ModuleKind, code: &[u8]) {
        if let Err(error) = self.write(digest, kind, code).and_then(|()| self.evict()) {
            tracing::warn!(directory = %self.root.display(), %error, "compiled code was not kept on disk");
        }
    }

    fn write(&self, digest: Digest, kind: ModuleKind, code: &[u8]) -> io::Result<()> {
        let kind = kind_byte(kind);
        let mut file = self.unfinished()?;
        file.write_all(MAGIC)?;
        file.write_all(&[kind])?;
        file.write_all(self.mac(digest, kind, code).as_bytes())?;
        file.write_all(code)?;
        // Not synced: an entry torn by a power cut fails its MAC.
        file.persist(self.path(digest)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes entries, of every fingerprint and left by interrupted writes too, until the rest
    /// is within the bound.
    fn evict(&self) -> io::Result<()> {
        let mut entries = self.kept()?;
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        entries.sort();
        for Kept { bytes, path, .. } in entries {
            if total <= self.max_bytes {
                break;
            }
            let _ = fs::remove_file(path);
            total = total.saturating_sub(bytes);
        }
        Ok(())
    }

    /// All files of all fingerprints.
    fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut entries = Vec::new();
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                // One that another worker has just removed is no failure.
                let Ok(metadata) = file.metadata() else { continue };
                let bytes = metadata.len().next_multiple_of(BLOCK_BYTES);
                entries.push(Kept { modified: metadata.modified()?, bytes, path: file.path() });
            }
        }
        Ok(entries)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.cwasm"))
    }
}

/// A file of the cache; those used longest ago sort first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    modified: SystemTime,
    bytes: u64,
    path: PathBuf,
}

const fn kind_byte(kind: ModuleKind) -> u8 {
    match kind {
        ModuleKind::Task => 0,
        ModuleKind::Command => 1,
        ModuleKind::Preview1 => 2,
    }
}

const fn kind_of(byte: u8) -> Option<ModuleKind> {
    match byte {
        0 => Some(ModuleKind::Task),
        1 => Some(ModuleKind::Command),
        2 => Some(ModuleKind::Preview1),
        _ => None,
    }
}

/// The directory's key. Workers that start together agree on one: the link into place fails for
/// all but the first.
fn read_or_make_key(root: &Path, path: &Path) -> io::Result<[u8; 32]> {
    if let Some(key) = read_key(path)? {
        return Ok(key);
    }
    let mut key = [0; 32];
    // The kernel gives up to 256 bytes at once and whole.
    rustix::rand::getrandom(&mut key, GetRandomFlags::empty())?;
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(root)?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            read_key(path)?.ok_or_else(|| io::Error::other("the key was removed while it was read"))
        }
        Err(error) => Err(error.error),
    }
}

fn read_key(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let mut key = [0; 32];
    match File::open(path) {
        Ok(mut file) => file.read_exact(&mut key).map(|()| Some(key)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
