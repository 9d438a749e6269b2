//! What the agent and a compiler say to each other: one request, what the compiler's jail is, one
//! reply, each a length and a postcard body. The module follows the request; the code goes to a
//! file of the agent's.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasmgrid_proto::ModuleKind;

use crate::{Caps, EngineSettings, Refusal, jail::CompilerLimits};

/// What a compiler is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The settings of the engine that will run the code.
    pub(super) engine: EngineSettings,
    /// What the module may look like.
    pub(super) caps: Caps,
    /// What compiling may take.
    pub(super) limits: CompilerLimits,
    /// How many threads compile.
    pub(super) threads: u32,
    /// Look at no module unless each layer of the jail is there.
    pub(super) require_jail: bool,
    /// How many bytes of module follow.
    pub(super) module_bytes: u64,
}

/// What it says at last, once all code is in the file. Its jail's report has come before.
pub(super) type Reply = Result<ModuleKind, Refusal>;

/// No request comes near it, and a refusal is a few lines; a compiler that says more is broken.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// `message` with its length before it.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = postcard::to_allocvec(message).map_err(io::Error::other)?;
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(io::Error::other("a message over its bound"));
    }
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(body);
    Ok(bytes)
}

/// How many bytes of body follow a message's length; an error where it is over the bound.
pub(super) fn body_length(length: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    Ok(length)
}

/// The message in `body`.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(io::Error::other)
}

/// Reads one message, blocking.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = vec![0; body_length(length)?];
    from.read_exact(&mut body)?;
    decode(&body)
}

/// Writes one message, blocking.
pub(super) fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    to.write_all(&encode(message)?)?;
    to.flush()
}
