//! What inputs are by content. Their payload is hashed before the driver hears of it, since that takes
//! as long as some thousand small messages; the driver adds what stands beside the payload.

use bytes::Bytes;
use wasmgrid_proto::{
    Digest, InputBlock, Reason,
    frame::Envelope,
    text::Detail,
    wire::{ApiError, FromClient, Request},
};

/// No payload.
pub static NOTHING: Bytes = Bytes::new();

/// Bytes of one input: it must fit a frame together with the spec and what stands before it.
const INPUT_BYTES: u32 = 64 << 20;

/// The digest of the payload of a request with inputs; `None` if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content(Option<Digest>);

impl Content {
    /// The payload that is to be hashed before the driver takes this message; empty if none is.
    #[must_use]
    pub fn payload_of(envelope: &Envelope<FromClient>) -> &Bytes {
        let FromClient::Request(frame) = &envelope.message else { return &NOTHING };
        match &frame.request {
            Request::Submit(_) | Request::AppendAt { .. } => &envelope.payload,
            _ => &NOTHING,
        }
    }

    /// Hashes a payload.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        Self((!payload.is_empty()).then(|| Digest::of(payload)))
    }

    /// What a submit or an append is: `what`, and its inputs.
    ///
    /// # Errors
    /// If `what` cannot be encoded.
    pub(super) fn digest_with(self, what: &impl serde::Serialize) -> Result<Digest, ApiError> {
        let meta = postcard::to_allocvec(what)
            .map_err(|error| Reason::Internal { reason: Detail::of(&error) })?;
        let payload = self.0.as_ref().map_or(&[][..], |digest| &digest.0);
        Ok(Digest::of_parts(&[&meta, payload]))
    }
}

/// Refuses inputs that are too large, or not as long as their block says.
///
/// # Errors
/// [`Reason::InputTooLarge`] and [`Reason::BadInputs`].
pub(super) fn check_inputs(inputs: &InputBlock) -> Result<(), ApiError> {
    if let InputBlock::Packed(lengths) = inputs
        && let Some(at) = lengths.iter().position(|length| *length > INPUT_BYTES)
    {
        let (index, allowed) = (at as u64, INPUT_BYTES.into());
        return Err(Reason::InputTooLarge { index, allowed }.into());
    }
    inputs.check().map_err(|error| Reason::BadInputs { reason: Detail::of(&error) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_inputs_and_other_requests_have_other_digests() {
        let digest =
            |what: &str, payload: &[u8]| Content::of(payload).digest_with(&what).expect("encodes");
        assert_eq!(digest("append", b"ab"), digest("append", b"ab"));
        assert_ne!(digest("append", b"ab"), digest("append", b"ac"));
        assert_ne!(digest("append", b"ab"), digest("skip", b"ab"));
        assert_ne!(digest("append", b""), digest("append", b"a"));
    }
}
