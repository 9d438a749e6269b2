//! How members learn at once that a scheduler died and is back: what belongs to no connection it
//! knows, it answers with a stateless reset (RFC 9000, section 10.3). They believe it because what
//! signs it comes from the lasting secret of the scheduler's credentials, and so outlives its
//! process, and its private key, which is a new one at each start of `wasmgrid up`. Without it
//! they would wait for the idle timeout, which is longer than a scheduler waits for its workers.

use std::{sync::Arc, time::Duration};

use quinn::{
    EndpointConfig,
    crypto::{CryptoError, HmacKey},
};
use quinn_proto::HashedConnectionIdGenerator;

use crate::pki::Credentials;

/// What signs resets, of a scheduler's lasting secret.
const RESETS: &str = "wasmgrid 2026-11-21 stateless resets";

/// What marks connection ids as this scheduler's, of its lasting secret.
const CONNECTIONS: &str = "wasmgrid 2026-11-21 connection ids";

/// Between two resets: after a restart thousands of members need one each within seconds. They
/// are answers to packets with a connection id that this scheduler has given, and smaller.
const INTERVAL: Duration = Duration::from_millis(1);

/// The configuration of a scheduler's endpoint.
pub(super) fn endpoint_config(credentials: &Credentials) -> EndpointConfig {
    let derive = |context| blake3::derive_key(context, credentials.lasting_secret());
    let [a, b, c, d, e, f, g, h, ..] = derive(CONNECTIONS);
    let mark = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let mut config = EndpointConfig::new(Arc::new(ResetKey(derive(RESETS))));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(mark)))
        .min_reset_interval(INTERVAL);
    config
}

struct ResetKey([u8; blake3::KEY_LEN]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        let signed = blake3::keyed_hash(&self.0, data);
        for (to, from) in signature.iter_mut().zip(signed.as_bytes()) {
            *to = *from;
        }
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let signature = signature.try_into().map_err(|_| CryptoError)?;
        // The comparison of hashes takes the same time wherever they differ.
        let is_ours = blake3::keyed_hash(&self.0, data) == blake3::Hash::from_bytes(signature);
        is_ours.then_some(()).ok_or(CryptoError)
    }
}
