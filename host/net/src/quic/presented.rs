//! Who a listener says it is, replaced while links stay.

use std::sync::Arc;

use quinn::ServerConfig;

use super::tls;
use crate::{error::NetError, identity::Identity, pki::Credentials};

/// Who a listener says it is, and whom it trusts. Clones are of the same listener.
#[derive(Clone, Debug)]
pub struct Presented {
    endpoint: quinn::Endpoint,
    identity: Identity,
    config: ServerConfig,
}

impl Presented {
    pub(super) fn new(endpoint: quinn::Endpoint, identity: Identity, config: ServerConfig) -> Self {
        Self { endpoint, identity, config }
    }

    /// Whose certificate it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// From now on links are made with these credentials, of the same scheduler; those that are
    /// there stay as they are.
    ///
    /// # Errors
    /// [`NetError::Credentials`], where they are another's or cannot be used.
    pub fn replace(&self, credentials: &Credentials) -> Result<(), NetError> {
        if *credentials.identity() != self.identity {
            let reason = format!("they are those of {}", credentials.identity());
            return Err(NetError::Credentials { reason });
        }
        // With the keys of the tokens that were given, which stay good.
        let mut config = self.config.clone();
        config.crypto = Arc::new(tls::server(credentials)?);
        self.endpoint.set_server_config(Some(config));
        Ok(())
    }
}
