//! The blobs that jobs here name, as the agent holds them: each once, whatever number of jobs names it,
//! and in a sealed file, so that every runner reads the same bytes. Not for how tasks read them.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use wasmgrid_proto::{ByteCount, Digest, TaskSpec};

use crate::{ModuleSource, PrepareError, SandboxError, sealed::Sealed};

/// Bytes of blobs that are held though no job here names them: two jobs have the most that one may.
const KEPT_BYTES: u64 = 256 << 20;

/// Bytes of all blobs. A job that needs more waits until others have ended.
const ALL_BYTES: u64 = 1 << 30;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Blobs(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    blobs: BTreeMap<Digest, Entry>,
    /// Counts uses, to tell which was longest ago.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    blob: Arc<Sealed>,
    used: u64,
}

impl Blobs {
    /// Keeps what has come where it is a blob of the job that is not here; gives what is then left
    /// for the module.
    ///
    /// # Errors
    /// [`PrepareError::WrongModule`], where it is neither; where there is no room for it.
    pub(crate) async fn take(
        &self,
        spec: &TaskSpec,
        source: ModuleSource,
    ) -> Result<ModuleSource, PrepareError> {
        let lacking = self.with(|entries| entries.lacking(spec));
        let (ModuleSource::Bytes(bytes), Some(expected)) = (&source, lacking) else {
            return Ok(source);
        };
        let (digests, read) = (blob_digests(spec), bytes.clone());
        let (found, blob) = spawn_blocking(move || seal(&digests, &read))
            .await
            .map_err(|error| SandboxError::Memory(io::Error::other(error)))??;
        if let Some(blob) = blob {
            self.with(|entries| entries.keep(found, Arc::new(blob)))?;
        } else if found != spec.module {
            return Err(PrepareError::WrongModule { expected, found });
        }
        Ok(if found == spec.module { source } else { ModuleSource::Cached })
    }

    /// The job's blobs, in the order of its spec.
    ///
    /// # Errors
    /// [`PrepareError::NeedsModule`], with the first that is not here.
    pub(crate) fn of(&self, spec: &TaskSpec) -> Result<Vec<Arc<Sealed>>, PrepareError> {
        let find = |digest| {
            let found = self.with(|entries| entries.find(digest));
            found.ok_or(PrepareError::NeedsModule { digest })
        };
        blob_digests(spec).into_iter().map(find).collect()
    }

    fn with<T>(&self, action: impl FnOnce(&mut Entries) -> T) -> T {
        // Nothing that runs under the lock can leave the map half changed.
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn blob_digests(spec: &TaskSpec) -> Vec<Digest> {
    spec.blobs.iter().map(|blob| blob.digest).collect()
}

/// What the bytes are, and a file of them where they are one of these.
fn seal(wanted: &[Digest], bytes: &Bytes) -> Result<(Digest, Option<Sealed>), SandboxError> {
    let found = Digest::of(bytes);
    let is_wanted = wanted.contains(&found);
    Ok((found, is_wanted.then(|| Sealed::from_bytes(bytes)).transpose()?))
}

impl Entries {
    /// The first of the job's blobs that is not here.
    fn lacking(&self, spec: &TaskSpec) -> Option<Digest> {
        blob_digests(spec).into_iter().find(|digest| !self.blobs.contains_key(digest))
    }

    fn find(&mut self, digest: Digest) -> Option<Arc<Sealed>> {
        self.clock += 1;
        let entry = self.blobs.get_mut(&digest)?;
        entry.used = self.clock;
        Some(Arc::clone(&entry.blob))
    }

    fn keep(&mut self, digest: Digest, blob: Arc<Sealed>) -> Result<(), SandboxError> {
        let more = blob.size_bytes();
        while self.bytes().saturating_add(more) > KEPT_BYTES
            && let Some(oldest) = self.longest_idle()
        {
            self.blobs.remove(&oldest);
        }
        if self.bytes().saturating_add(more) > ALL_BYTES {
            return Err(SandboxError::Blobs { allowed: ByteCount(ALL_BYTES) });
        }
        self.clock += 1;
        self.blobs.insert(digest, Entry { blob, used: self.clock });
        Ok(())
    }

    /// The one that was used longest ago of those that nobody uses.
    fn longest_idle(&self) -> Option<Digest> {
        let idle = self.blobs.iter().filter(|(_, entry)| Arc::strong_count(&entry.blob) == 1);
        idle.min_by_key(|(_, entry)| entry.used).map(|(digest, _)| *digest)
    }

    fn bytes(&self) -> u64 {
        self.blobs.values().map(|entry| entry.blob.size_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{Blob, ModuleKind, WITH};

    use super::*;

    fn spec(module: &[u8], blobs: &[(&str, &[u8])]) -> TaskSpec {
        let blob = |(name, bytes): &(&str, &[u8])| Blob {
            name: (*name).to_owned(),
            digest: Digest::of(bytes),
        };
        TaskSpec {
            blobs: blobs.iter().map(blob).collect(),
            ..TaskSpec::new(Digest::of(module), ModuleKind::Task)
        }
    }

    fn bytes(of: &[u8]) -> ModuleSource {
        ModuleSource::Bytes(Bytes::copy_from_slice(of))
    }

    fn needed(blobs: &Blobs, spec: &TaskSpec) -> Option<Digest> {
        match blobs.of(spec) {
            Ok(_) => None,
            Err(PrepareError::NeedsModule { digest }) => Some(digest),
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_blob_is_asked_for_once_and_serves_every_job_that_names_it() {
        let blobs = Blobs::default();
        let first = spec(b"module", &[(WITH, b"value"), ("other", b"more")]);
        assert_eq!(needed(&blobs, &first), Some(Digest::of(b"value")));
        let left = blobs.take(&first, bytes(b"value")).await.expect("a blob of it");
        assert!(matches!(left, ModuleSource::Cached), "it is no module");
        assert_eq!(needed(&blobs, &first), Some(Digest::of(b"more")));
        assert_eq!(needed(&blobs, &spec(b"another", &[("x", b"value")])), None);
        blobs.take(&first, bytes(b"more")).await.expect("a blob of it");
        assert_eq!(blobs.of(&first).expect("both")[1].read().expect("read"), b"more");
    }

    #[tokio::test]
    async fn what_is_neither_module_nor_blob_of_the_job_is_told_by_its_digest() {
        let blobs = Blobs::default();
        let spec = spec(b"module", &[(WITH, b"value")]);
        let error = blobs.take(&spec, bytes(b"damaged")).await.expect_err("neither");
        assert!(matches!(error, PrepareError::WrongModule { found, .. }
            if found == Digest::of(b"damaged")));
        let left = blobs.take(&spec, bytes(b"module")).await.expect("the module");
        assert!(matches!(left, ModuleSource::Bytes(_)));
    }

    #[tokio::test]
    async fn a_module_may_be_its_own_blob() {
        let blobs = Blobs::default();
        let spec = spec(b"module", &[(WITH, b"module")]);
        let left = blobs.take(&spec, bytes(b"module")).await.expect("both");
        assert!(matches!(left, ModuleSource::Bytes(_)));
        assert_eq!(needed(&blobs, &spec), None);
    }

    #[test]
    fn blobs_that_are_used_stay_and_others_make_room() {
        let file = |first: u8| {
            // It takes no memory.
            let file = Sealed::create().expect("a file");
            file.set_len(32 << 20).expect("a size");
            (Digest::of(&[first]), Arc::new(Sealed::seal(file).expect("sealed")))
        };
        let mut entries = Entries::default();
        let (used, held) = file(0);
        entries.keep(used, Arc::clone(&held)).expect("room");
        for first in 1..=8 {
            let (digest, blob) = file(first);
            entries.keep(digest, blob).expect("room");
        }
        assert_eq!(entries.bytes(), KEPT_BYTES);
        assert!(entries.blobs.contains_key(&used), "it is held");
        assert!(!entries.blobs.contains_key(&Digest::of(&[1])), "it was the oldest");
    }
}
