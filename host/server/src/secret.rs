//! The grid's own secrets, which stay in its store: made once, the same for each of its schedulers,
//! and told to nobody.

use std::sync::Arc;

use wasmgrid_core::LeaseKey;
use wasmgrid_store::{Entry, Reader};

use crate::error::ServerError;

/// Where the store has what leases are proved with.
const LEASE_KEY: &str = "secret/leases";

/// What leases are proved with, and what is to be committed before the first lease is given: a new
/// store has no secret yet.
///
/// # Errors
/// [`ServerError`], where the store cannot be read, or has something else there, or this machine
/// gives no randomness.
pub(crate) fn lease_key(reader: &mut dyn Reader) -> Result<(LeaseKey, Vec<Entry>), ServerError> {
    let load = |error| ServerError::Load(Arc::new(error));
    if let Some(kept) = reader.meta(LEASE_KEY).map_err(load)? {
        let key = kept.as_ref().try_into().map_err(|_| ServerError::Secret {
            reason: format!("{LEASE_KEY:?} has {} bytes where 32 are expected", kept.len()),
        })?;
        return Ok((LeaseKey(key), Vec::new()));
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| ServerError::Secret {
        reason: format!("no random numbers available: {error}"),
    })?;
    let value = Some(bytes::Bytes::copy_from_slice(&key));
    Ok((LeaseKey(key), vec![Entry::Meta { key: LEASE_KEY.into(), value }]))
}
