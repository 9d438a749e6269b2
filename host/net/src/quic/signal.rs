//! What the two ends of a connection say about the link itself, in frames beside the messages.
//! Their kinds are below every message's.

use bytes::{Buf, BufMut, BytesMut};
use wasmgrid_proto::frame::{FrameError, HEADER_LEN};

use crate::release::Release;

const OPEN: u16 = 0x0000;
const END: u16 = 0x0001;
const RELEASE: u16 = 0x0002;

/// A word about the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The first frame of each side. The dialling side says which link it wants, the other that
    /// it accepts it; so both know that the link is there.
    Open(Wanted),
    /// The second frame of each side: which release it is. A release that does not know this frame
    /// passes over it, as over every kind that is not known.
    Release(Release),
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
        let (kind, meta) = match self {
            Self::Open(_) => (OPEN, 1),
            Self::Release(release) => {
                (RELEASE, u32::try_from(release.text().len()).unwrap_or_default())
            }
            Self::End { .. } => (END, 8),
        };
        out.put_u32_le(HEADER_LEN as u32 - 4 + meta);
        out.put_u16_le(kind);
        out.put_u32_le(meta);
        match self {
            Self::Open(wanted) => out.put_u8(wanted.number()),
            Self::Release(release) => out.put_slice(release.text().as_bytes()),
            Self::End { bulk } => out.put_u64_le(*bulk),
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
            RELEASE => Ok(Some(Self::Release(Release::said(meta)))),
            END => meta
                .try_get_u64_le()
                .map(|bulk| Some(Self::End { bulk }))
                .map_err(|_| FrameError::Malformed("it ends the link without a count")),
            _ => Ok(None),
        }
    }
}
