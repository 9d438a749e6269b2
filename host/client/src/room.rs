//! Room for results that have come and that nobody has used yet. A watch's window bounds what is on its
//! way, but for one frame, which may be as large as a result can be: whoever has many watches bounds
//! them all together by a [`Room`].

use std::{any::Any, sync::Arc};

use bytes::Bytes;

/// Bytes that may be held. Dropping the last clone gives them back.
pub type Taken = Arc<dyn Any + Send + Sync>;

/// Says whether results that came may be held.
pub trait Room: Send + Sync {
    /// Takes room for so many bytes; `None` if there is too little. It is asked on the client's own
    /// task, and must not wait.
    fn take(&self, bytes: u64) -> Option<Taken>;
}

/// Bytes with the room that they take.
struct Held {
    bytes: Bytes,
    _taken: Taken,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes; their room is taken as long as any part of them is held.
pub fn held(bytes: Bytes, taken: &Taken) -> Bytes {
    Bytes::from_owner(Held { bytes, _taken: Arc::clone(taken) })
}
