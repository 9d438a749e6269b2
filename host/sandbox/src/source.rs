//! Where what is to be prepared comes from.

use bytes::Bytes;

/// Where the bytes of a module, or of a blob that its job names, are.
#[derive(Clone, Debug)]
pub enum ModuleSource {
    /// Nowhere here: prepared code from memory or disk, and blobs that have come, must do.
    Cached,
    /// Here, as they were submitted: those that were [asked for](crate::PrepareError::NeedsModule).
    Bytes(Bytes),
}
