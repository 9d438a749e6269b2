//! What the parts of a grid say to each other. Each direction of each kind of link is one enum,
//! whose variants have fixed kind numbers; a reader skips kinds it does not know. A link begins with
//! a [`Hello`] of each side. How all this grows is on the crate's first page.
//!
//! Messages may overtake each other: those with a large payload travel on streams of their own.
//! So each is meaningful alone, and none relies on one before it having arrived.

mod act_for;
mod client;
mod enroll;
mod hello;
mod renew;
mod reply;
mod request;
pub mod shared;
mod worker;

use alloc::vec::Vec;
use core::{fmt, marker::PhantomData};

use bytes::BytesMut;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, SeqAccess, Visitor},
};

use crate::frame::FrameError;

pub use crate::reason::{ApiError, ErrorCode};
pub use act_for::{ActFor, ActForError};
pub use client::{Credit, FromClient, ResultsFrame, ToClient, Unwatch, Update, WatchEnded};
pub use enroll::{Denied, Enroll, Enrolled, FromJoiner, Role, ToJoiner, UnknownRole};
pub use hello::{
    Features, HELLO_MAX, Hello, HelloError, Minors, PROTOCOL_MAJOR, PROTOCOL_MINOR,
    PROTOCOL_MINOR_LEAST,
};
pub use renew::{
    AuthorityRequest, AuthorityStatus, FormerAuthority, MemberCertificate, Renew, RenewSoon,
    Renewed, SignedBy,
};
pub use reply::{More, Reply, ReplyFrame};
pub use request::{REPEATED_FOR, Request, RequestFrame, Submit, TokenRequest, WatchRequest};
pub use worker::{
    Alive, Assign, Cancel, Committed, Compiled, Contested, Drain, FromWorker, Health, Heartbeat,
    HeldLease, Join, Joined, LeaseGrant, Leaving, Module, NeedModule, Overrun, Part, Preparing,
    Proofs, Refused, Returned, Revoke, ToWorker, Unable, WorkerResults,
};

/// The longest list inside one message.
pub const LIST_MAX: usize = 65_536;

/// One direction of one kind of link.
pub trait Message: Sized + Send + fmt::Debug + 'static {
    /// The number that stands for the variant on the wire.
    fn kind(&self) -> u16;

    /// The first minor version of the protocol that knows the message: it is not sent to a peer with
    /// which an earlier one was agreed on.
    fn since(&self) -> u16 {
        0
    }

    /// How many bytes of payload belong to the message.
    fn payload_len(&self) -> u64;

    /// True if the message stands for one that this release does not know: any payload may have come
    /// with it, which nobody needs.
    fn is_unknown(&self) -> bool {
        false
    }

    /// Appends the message without its payload.
    ///
    /// # Errors
    /// As the encoder says.
    fn encode_meta(&self, out: &mut BytesMut) -> Result<(), postcard::Error>;

    /// Reads the message of this kind; `None` where the kind is not known.
    ///
    /// # Errors
    /// As the decoder says; also where bytes are left over.
    fn decode_meta(kind: u16, meta: &[u8]) -> Result<Option<Self>, postcard::Error>;

    /// What is said in place of this message where no frame can carry it, without a payload: what it
    /// was about ends in a way that the reader knows. `None` where nothing is.
    fn instead(&self, _why: &FrameError) -> Option<Self> {
        None
    }
}

/// Declares an enum of messages: each variant holds one struct and has its kind number. `since N` after
/// it says which minor version was the first to know it, if that was not the first of all.
macro_rules! messages {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$vdoc:meta])* $kind:literal $variant:ident($body:ty) $(since $since:literal)?,)*
    }) => {
        $(#[$doc])*
        // A few exist at a time; a box would cost an allocation a message.
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant($body),)*
        }

        impl $crate::wire::Message for $name {
            fn kind(&self) -> u16 {
                match self { $(Self::$variant(_) => $kind,)* }
            }

            fn since(&self) -> u16 {
                match self {
                    $(Self::$variant(body) => {
                        $crate::wire::Body::since(body) $(.max($since))?
                    })*
                }
            }

            fn payload_len(&self) -> u64 {
                match self { $(Self::$variant(body) => $crate::wire::Body::payload_len(body),)* }
            }

            fn is_unknown(&self) -> bool {
                match self { $(Self::$variant(body) => $crate::wire::Body::is_unknown(body),)* }
            }

            fn encode_meta(&self, out: &mut bytes::BytesMut) -> Result<(), postcard::Error> {
                match self { $(Self::$variant(body) => $crate::wire::Body::write(body, out),)* }
            }

            fn decode_meta(kind: u16, meta: &[u8]) -> Result<Option<Self>, postcard::Error> {
                match kind {
                    $($kind => <$body as $crate::wire::Body>::read(meta)
                        .map(|body| Some(Self::$variant(body))),)*
                    _ => Ok(None),
                }
            }

            fn instead(&self, why: &$crate::frame::FrameError) -> Option<Self> {
                $crate::wire::Unsendable::instead(self, why)
            }
        }
    };
}
pub(crate) use messages;

/// A message's body; most have no payload, and are what their derives make of them.
pub(crate) trait Body: Serialize + DeserializeOwned {
    /// As [`Message::payload_len`].
    fn payload_len(&self) -> u64 {
        0
    }

    /// As [`Message::since`], for what is inside it.
    fn since(&self) -> u16 {
        0
    }

    /// As [`Message::is_unknown`].
    fn is_unknown(&self) -> bool {
        false
    }

    /// As [`Message::encode_meta`].
    fn write(&self, out: &mut BytesMut) -> Result<(), postcard::Error> {
        to_bytes(self, out)
    }

    /// As [`Message::decode_meta`].
    fn read(meta: &[u8]) -> Result<Self, postcard::Error> {
        from_bytes(meta)
    }
}

/// What becomes of messages that no frame can carry; see [`Message::instead`]. Whoever makes one keeps
/// to the bounds of what it is made of, so that this is the last resort.
pub(crate) trait Unsendable: Sized {
    fn instead(&self, _why: &FrameError) -> Option<Self> {
        None
    }
}

pub(crate) fn to_bytes<T: Serialize>(value: &T, out: &mut BytesMut) -> Result<(), postcard::Error> {
    postcard::serialize_with_flavor(value, Appender(out))
}

pub(crate) fn from_bytes<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, postcard::Error> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(postcard::Error::SerdeDeCustom) }
}

/// Lets postcard write behind what a buffer has.
struct Appender<'a>(&'a mut BytesMut);

impl postcard::ser_flavors::Flavor for Appender<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Reads a list of at most [`LIST_MAX`] elements, and allocates for no more than have come: a
/// small message could otherwise ask for a very large list of small elements.
///
/// # Errors
/// Where the list is longer.
pub fn bounded<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {LIST_MAX} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let declared = seq.size_hint().unwrap_or(0);
            if declared > LIST_MAX {
                return Err(A::Error::invalid_length(declared, &self));
            }
            let mut list = Vec::with_capacity(declared.min(1_024));
            while let Some(element) = seq.next_element()? {
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(List(PhantomData))
}
