//! Keys, by which programs and browsers without a certificate ask by way of a gateway: how they are made
//! and taken back, and how a gateway checks them.

use wasmgrid_proto::{
    ApiKey, KeyId, KeyStatus, Micros, Millis, Secret,
    wire::{Reply, Request, Role},
};

use crate::{
    Client, ClientError,
    client::{done, unexpected},
};

impl Client {
    /// Makes a key of a tenant, with which a program may do what a client of it may, or an operator. It
    /// is good for `ttl`, or without end. Operators make keys of all tenants, clients those of their own
    /// with the role client. The key's secret is told this once.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the role does not allow it, or there are too many keys;
    /// [`ClientError::Lost`], if the link was lost in between: a key may then exist that nobody has.
    pub async fn create_key(
        &self,
        tenant: &str,
        role: Role,
        name: Option<&str>,
        ttl: Option<Millis>,
    ) -> Result<(KeyStatus, ApiKey), ClientError> {
        let (tenant, name) = (tenant.into(), name.map(Into::into));
        made(self.ask(Request::CreateKey { tenant, role, name, ttl }).await?)
    }

    /// The keys and sessions that the grid keeps, by id: of a client those of its tenant.
    ///
    /// # Errors
    /// [`ClientError`], as for every question.
    pub async fn keys(&self) -> Result<Vec<KeyStatus>, ClientError> {
        let mut all = Vec::<KeyStatus>::new();
        loop {
            let after = all.last().map(|last| last.id);
            match self.ask(Request::Keys { after }).await? {
                Reply::Keys { keys, more } => {
                    let is_last = more == 0 || keys.is_empty();
                    all.extend(keys);
                    if is_last {
                        return Ok(all);
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// Takes a key or a session back, and all keys that were made with it.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the asker has no such key.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), ClientError> {
        done(self.ask(Request::RevokeKey { id }).await?)
    }

    /// Whose a key is, if it is good; for gateways that act for nobody.
    ///
    /// # Errors
    /// [`ClientError::Api`] with [`BadKey`](wasmgrid_proto::Reason::BadKey), if it is not.
    pub async fn check_key(&self, key: &ApiKey) -> Result<KeyStatus, ClientError> {
        let ApiKey { id, secret } = *key;
        match self.ask(Request::CheckKey { id, secret }).await? {
            Reply::KeyChecked(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    /// A code with which somebody logs in at a gateway as who asks here, once; and until when.
    ///
    /// # Errors
    /// [`ClientError::Api`], if who asks does so by way of a gateway.
    pub async fn create_login(&self) -> Result<(Secret, Micros), ClientError> {
        match self.ask(Request::CreateLogin).await? {
            Reply::Login { code, expires } => Ok((code, expires)),
            _ => Err(unexpected()),
        }
    }

    /// A session of who asked for this code; for gateways that act for nobody.
    ///
    /// # Errors
    /// [`ClientError::Api`] with [`BadLogin`](wasmgrid_proto::Reason::BadLogin), if the code is not good;
    /// [`ClientError::Lost`], if the link was lost in between: the code is then used up.
    pub async fn login(&self, code: Secret) -> Result<(KeyStatus, ApiKey), ClientError> {
        made(self.ask(Request::Login { code }).await?)
    }
}

/// A key that was made, as its holder has it.
fn made(reply: Reply) -> Result<(KeyStatus, ApiKey), ClientError> {
    match reply {
        Reply::Key { status, secret } => {
            let key = ApiKey { id: status.id, secret };
            Ok((status, key))
        }
        _ => Err(unexpected()),
    }
}
