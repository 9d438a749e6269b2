//! How a message becomes bytes: `u32 length | u16 kind | u32 meta length | meta | payload`,
//! little-endian. `length` counts what follows it. The meta is the message in postcard; the
//! payload is raw.
//!
//! Every length is checked against its cap before anything is allocated for it; see
//! [`wire::bounded`](crate::wire::bounded) for the counts inside a meta.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::wire::Message;

/// The largest frame of a control stream; a message that needs more travels on its own stream.
pub const CONTROL_FRAME_MAX: usize = 256 << 10;

/// The largest frame at all: a module or one large input or result, and its meta.
pub const FRAME_MAX: usize = 72 << 20;

/// The largest meta. Decoded it takes at most 32 times as much memory: empty strings in a list
/// are the worst.
pub const META_MAX: usize = 1 << 20;

/// Bytes of a frame before its meta.
pub const HEADER_LEN: usize = 10;

/// A message with the bytes that travel beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<M> {
    /// What is said.
    pub message: M,
    /// Raw bytes that belong to it; empty for most.
    pub payload: Bytes,
}

impl<M> From<M> for Envelope<M> {
    fn from(message: M) -> Self {
        Self { message, payload: Bytes::new() }
    }
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length is over its cap.
    #[error("{what} of {found} bytes, {allowed} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The cap.
        allowed: usize,
    },
    /// A length says more than there is, or less than there must be.
    #[error("the frame is malformed: {0}")]
    Malformed(&'static str),
    /// The meta is not the message its kind says.
    #[error("message of kind {kind:#06x} cannot be read: {reason}")]
    Meta {
        /// The frame's kind.
        kind: u16,
        /// What is wrong with it.
        reason: postcard::Error,
    },
    /// The payload is not as long as the message says.
    #[error("message of kind {kind:#06x} declares {declared} bytes of payload and has {present}")]
    Payload {
        /// The frame's kind.
        kind: u16,
        /// As long as it should be.
        declared: u64,
        /// As long as it is.
        present: u64,
    },
}

/// Appends `envelope` to `out` as one frame.
///
/// # Errors
/// [`FrameError::TooLarge`], where it is over a cap; `out` is then unchanged.
pub fn encode<M: Message>(envelope: &Envelope<M>, out: &mut BytesMut) -> Result<(), FrameError> {
    encode_head(envelope, out)?;
    out.extend_from_slice(&envelope.payload);
    Ok(())
}

/// Appends the frame of `envelope` up to its payload, for writers that send the payload from
/// where it is.
///
/// # Errors
/// As [`encode`].
pub fn encode_head<M: Message>(
    envelope: &Envelope<M>,
    out: &mut BytesMut,
) -> Result<(), FrameError> {
    let start = out.len();
    out.put_bytes(0, HEADER_LEN);
    let kind = envelope.message.kind();
    let result = envelope
        .message
        .encode_meta(out)
        .map_err(|reason| FrameError::Meta { kind, reason })
        .and_then(|()| {
            let meta = out.len() - start - HEADER_LEN;
            let length = HEADER_LEN - 4 + meta + envelope.payload.len();
            check("meta", meta, META_MAX)?;
            check("frame", length, FRAME_MAX)?;
            Ok((meta, length))
        });
    match result {
        Ok((meta, length)) => {
            if let Some(mut header) = out.get_mut(start..start + HEADER_LEN) {
                header.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
                header.put_u16_le(kind);
                header.put_u32_le(u32::try_from(meta).unwrap_or(u32::MAX));
            }
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// How long the frame at the start of `bytes` is, with its length field; `None` until that is
/// there.
///
/// # Errors
/// [`FrameError`], where the length is over `cap` or too small to be one.
pub fn frame_len(bytes: &[u8], cap: usize) -> Result<Option<usize>, FrameError> {
    let Some(Ok(field)) = bytes.get(..4).map(<[u8; 4]>::try_from) else { return Ok(None) };
    let length = u32::from_le_bytes(field) as usize;
    check("frame", length, cap)?;
    if length < HEADER_LEN - 4 {
        return Err(FrameError::Malformed("its length leaves no room for a header"));
    }
    Ok(Some(length + 4))
}

/// The kind of the message, as the header of the frame at the start of `bytes` says; 0 where the
/// header is not all there.
#[must_use]
pub fn kind(bytes: &[u8]) -> u16 {
    let field = bytes.get(4..6).and_then(|field| field.try_into().ok());
    field.map_or(0, u16::from_le_bytes)
}

/// How long the meta is, as the header of the frame at the start of `bytes` says; 0 where the header
/// is not all there.
#[must_use]
pub fn meta_len(bytes: &[u8]) -> usize {
    let field = bytes.get(6..HEADER_LEN).and_then(|field| field.try_into().ok());
    field.map_or(0, |field| u32::from_le_bytes(field) as usize)
}

/// Reads one whole frame; `None` where its kind is not known here, which is skipped.
///
/// # Errors
/// [`FrameError`], where it is no frame or not the message it says.
pub fn decode<M: Message>(mut frame: Bytes) -> Result<Option<Envelope<M>>, FrameError> {
    if frame.len() < HEADER_LEN {
        return Err(FrameError::Malformed("it ends inside its header"));
    }
    let length = frame.get_u32_le() as usize;
    if length != frame.len() {
        return Err(FrameError::Malformed("its length is not the length it says"));
    }
    let kind = frame.get_u16_le();
    let meta_len = frame.get_u32_le() as usize;
    check("meta", meta_len, META_MAX)?;
    if meta_len > frame.len() {
        return Err(FrameError::Malformed("its meta is longer than the frame"));
    }
    let meta = frame.split_to(meta_len);
    let Some(message) =
        M::decode_meta(kind, &meta).map_err(|reason| FrameError::Meta { kind, reason })?
    else {
        return Ok(None);
    };
    if message.is_unknown() {
        return Ok(Some(message.into()));
    }
    let (declared, present) = (message.payload_len(), frame.len() as u64);
    if declared != present {
        return Err(FrameError::Payload { kind, declared, present });
    }
    Ok(Some(Envelope { message, payload: frame }))
}

fn check(what: &'static str, found: usize, allowed: usize) -> Result<(), FrameError> {
    if found > allowed {
        return Err(FrameError::TooLarge { what, found, allowed });
    }
    Ok(())
}

/// The frame of one envelope, for tests and single messages.
///
/// # Errors
/// As [`encode`].
pub fn encode_one<M: Message>(envelope: &Envelope<M>) -> Result<Vec<u8>, FrameError> {
    let mut out = BytesMut::new();
    encode(envelope, &mut out)?;
    Ok(out.to_vec())
}
