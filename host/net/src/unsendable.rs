//! Messages of this side that no frame can carry. To try one again would end in the same way, and to
//! end the link would punish whatever else is on it: what it was about is said to have no end that can
//! be told ([`Message::instead`]), and the link lives.

use bytes::BytesMut;
use wasmgrid_proto::{
    frame::{self, Envelope, FRAME_MAX, FrameError},
    wire::Message,
};

/// The message, or what is said in its place; `None` where nothing is. Looks at its payload, and at
/// whether a link of this minor version knows it.
pub(crate) fn sendable<M: Message>(envelope: Envelope<M>, minor: u16) -> Option<Envelope<M>> {
    let since = envelope.message.since();
    if since > minor {
        // Whoever makes such a message asks first; the peer does without it.
        let kind = envelope.message.kind();
        tracing::error!(kind, since, minor, "this side made a message that its peer does not know");
        return None;
    }
    let (declared, present) = (envelope.message.payload_len(), envelope.payload.len());
    let why = if present > FRAME_MAX {
        FrameError::TooLarge { what: "payload", found: present, allowed: FRAME_MAX }
    } else if declared != present as u64 {
        let kind = envelope.message.kind();
        FrameError::Payload { kind, declared, present: present as u64 }
    } else {
        return Some(envelope);
    };
    in_place(&envelope.message, &why)
}

/// Appends the frame of the message, or of what is said in its place, by `encode`; false where there is
/// nothing to be sent.
pub(crate) fn encode<M: Message>(
    envelope: &mut Envelope<M>,
    out: &mut BytesMut,
    encode: fn(&Envelope<M>, &mut BytesMut) -> Result<(), FrameError>,
) -> bool {
    let Err(why) = encode(envelope, out) else { return true };
    let Some(instead) = in_place(&envelope.message, &why) else { return false };
    *envelope = instead;
    match frame::encode(envelope, out) {
        Ok(()) => true,
        Err(why) => {
            let kind = envelope.message.kind();
            tracing::error!(kind, %why, "a message has no replacement");
            false
        }
    }
}

fn in_place<M: Message>(message: &M, why: &FrameError) -> Option<Envelope<M>> {
    let instead = message.instead(why).filter(|instead| instead.payload_len() == 0);
    let (kind, replaced) = (message.kind(), instead.is_some());
    tracing::error!(kind, %why, replaced, "this side made a message that cannot be sent");
    instead.map(Envelope::from)
}
