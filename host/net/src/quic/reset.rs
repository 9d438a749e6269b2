//! How peers of a scheduler that died learn of it: its successor answers their packets with a
//! stateless reset, which they believe because it has the token that they were given at the
//! handshake. So the key to the tokens must outlive the process; it is derived from the lasting
//! secret of the scheduler's credentials. Without it a peer notices nothing until the connection has been idle
//! for too long, which is after the scheduler has given up waiting for its workers.

use std::{sync::Arc, time::Duration};

use quinn::{
    EndpointConfig,
    crypto::{CryptoError, HmacKey},
};
use quinn_proto::HashedConnectionIdGenerator;

use crate::pki::Credentials;

/// Resets are at least this far apart: a grid of thousands of workers is told within a second or
/// so, and who floods the port with what looks like lost connections gets a bounded answer.
const RESET_INTERVAL: Duration = Duration::from_micros(200);

const TOKENS: &str = "wasmgrid 2026 quic stateless reset tokens";
const CONNECTION_IDS: &str = "wasmgrid 2026 quic connection ids";

/// An endpoint's settings that are the same after a restart.
pub(super) fn endpoint_config(credentials: &Credentials) -> EndpointConfig {
    let derive = |what| blake3::derive_key(what, credentials.lasting_secret());
    let [a, b, c, d, e, f, g, h, ..] = derive(CONNECTION_IDS);
    let ids = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let mut config = EndpointConfig::new(Arc::new(TokenKey(derive(TOKENS))));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)))
        .min_reset_interval(RESET_INTERVAL);
    config
}

struct TokenKey([u8; blake3::KEY_LEN]);

impl HmacKey for TokenKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let hash = blake3::keyed_hash(&self.0, data);
        for (out, byte) in signature_out.iter_mut().zip(hash.as_bytes()) {
            *out = *byte;
        }
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Compared in constant time.
        let signature = blake3::Hash::from_slice(signature).map_err(|_| CryptoError)?;
        if blake3::keyed_hash(&self.0, data) == signature { Ok(()) } else { Err(CryptoError) }
    }
}
