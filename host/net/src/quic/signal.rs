//! What the two ends of a connection say about the link itself, in frames beside the messages.
//! Their kinds are below every message's.

use bytes::{Buf, BufMut, BytesMut};
use quinn::{ReadExactError, RecvStream};
use wasmgrid_proto::{
    frame::{FrameError, HEADER_LEN},
    wire::{HELLO_MAX, Hello, HelloError},
};

const OPEN: u16 = 0x0000;
const END: u16 = 0x0001;
const HELLO: u16 = 0x0002;

/// A word about the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The first frame of each side. The dialling side says which link it wants, the other that
    /// it accepts it; so both know that the link is there. A [`Hello`] follows it.
    Open(Wanted),
    /// The last frame of a side that closes in order, with the number of large messages it sent
    /// on other streams, which may still be on their way.
    End {
        /// How many.
        bulk: u64,
    },
}

/// Which link is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Worker,
    Client,
    Joiner,
}

impl Wanted {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Joiner => "joiner",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Worker => 1,
            Self::Client => 2,
            Self::Joiner => 3,
        }
    }
}

/// As long as the frame of [`Signal::Open`] is.
pub(super) const OPEN_LEN: usize = HEADER_LEN + 1;

impl Signal {
    pub(super) fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Open(wanted) => {
                head(OPEN, 1, out);
                out.put_u8(wanted.number());
            }
            Self::End { bulk } => {
                head(END, 8, out);
                out.put_u64_le(*bulk);
            }
        }
    }

    /// Reads one whole frame; `None` where it is no signal.
    pub(super) fn decode(frame: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some((mut header, mut meta)) = frame.split_at_checked(HEADER_LEN) else {
            return Err(FrameError::Malformed("it ends inside its header"));
        };
        header.advance(4);
        match header.get_u16_le() {
            OPEN => match meta {
                [1] => Ok(Some(Self::Open(Wanted::Worker))),
                [2] => Ok(Some(Self::Open(Wanted::Client))),
                [3] => Ok(Some(Self::Open(Wanted::Joiner))),
                _ => Err(FrameError::Malformed("it opens no kind of link that is known")),
            },
            END => meta
                .try_get_u64_le()
                .map(|bulk| Some(Self::End { bulk }))
                .map_err(|_| FrameError::Malformed("it ends the link without a count")),
            _ => Ok(None),
        }
    }
}

fn head(kind: u16, meta: u32, out: &mut BytesMut) {
    out.put_u32_le(HEADER_LEN as u32 - 4 + meta);
    out.put_u16_le(kind);
    out.put_u32_le(meta);
}

/// Appends the frame of a hello, the second of each side.
pub(super) fn encode_hello(hello: &Hello, out: &mut BytesMut) {
    // What this side says has a few fields; only a text without end could not be encoded.
    let meta = hello.encode().unwrap_or_default();
    head(HELLO, u32::try_from(meta.len()).unwrap_or_default(), out);
    out.put_slice(&meta);
}

/// Why there is no hello.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHello {
    /// The stream ended before it.
    #[error(transparent)]
    Gone(#[from] ReadExactError),
    /// Something else is there.
    #[error("it does not say which protocol it speaks")]
    Other,
    /// It says something that this side must not ignore, or makes no sense.
    #[error(transparent)]
    Refused(#[from] HelloError),
}

/// Reads a hello, the second frame of a side.
///
/// # Errors
/// [`NoHello`].
pub(super) async fn read_hello(stream: &mut RecvStream) -> Result<Hello, NoHello> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let mut header = &header[..];
    let (length, kind, meta) = (header.get_u32_le(), header.get_u16_le(), header.get_u32_le());
    let has_no_payload = length.checked_sub(meta) == Some(HEADER_LEN as u32 - 4);
    if kind != HELLO || !has_no_payload || meta as usize > HELLO_MAX {
        return Err(NoHello::Other);
    }
    let mut bytes = vec![0; meta as usize];
    stream.read_exact(&mut bytes).await?;
    Ok(Hello::decode(&bytes)?)
}
