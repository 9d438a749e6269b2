//! Whether a question can be carried at all. One that cannot would end every link it is asked on,
//! and be asked again on the next, for ever.

use bytes::{Bytes, BytesMut};
use wasmgrid_proto::{
    Reason,
    frame::{self, Envelope, HEADER_LEN, META_MAX},
    text::Detail,
    wire::{ApiError, FromClient, Message, Request, RequestFrame},
};

/// What the actor adds to a question when it sends it: the watch that comes with a submit.
const ADDED_BYTES: usize = 64;

/// Gives a question back, unless the scheduler would have to refuse its frame.
///
/// # Errors
/// [`Reason::RequestTooLarge`] or [`Reason::RequestLengths`].
pub fn sendable(request: Request, payload: &Bytes) -> Result<Request, ApiError> {
    let message = FromClient::Request(RequestFrame { id: u64::MAX, request });
    let question = Envelope { message, payload: payload.clone() };
    let (declared, present) = (question.message.payload_len(), payload.len());
    if declared != present as u64 {
        return Err(Reason::RequestLengths { declared, present: present as u64 }.into());
    }
    let mut head = BytesMut::new();
    frame::encode_head(&question, &mut head).map_err(|error| too_large(&error))?;
    let meta = head.get(HEADER_LEN..).unwrap_or_default();
    if meta.len() + ADDED_BYTES > META_MAX {
        return Err(too_large(&format!("meta of {} bytes, {META_MAX} allowed", meta.len())));
    }
    // Lists have bounds of their own, which only the reader knows.
    match FromClient::decode_meta(question.message.kind(), meta) {
        Ok(Some(FromClient::Request(frame))) => Ok(frame.request),
        Ok(_) => Err(too_large(&"it is not a request")),
        Err(error) => Err(too_large(&error)),
    }
}

fn too_large(why: &dyn std::fmt::Display) -> ApiError {
    Reason::RequestTooLarge { reason: Detail::of(why) }.into()
}
