//! Tokens by which machines and people join, as the store has them: their secrets only as hashes.
//! What becomes of those who use one is the enroller's.

use serde::{Deserialize, Serialize};
use wasmgrid_net::{Identity, check_labels};
use wasmgrid_proto::{
    Act, Caller, Micros, Reason, TokenGives, TokenState, TokenStatus,
    reason::TokenFault,
    text::Detail,
    wire::{ApiError, Role, TokenRequest},
};
use wasmgrid_store::Entry;

use crate::{
    clock,
    enroll::{Enroller, meta, parse, unreadable},
};

const TOKEN_PREFIX: &str = "token/";

/// Tokens that are kept at a time: each is read when one is made.
const TOKENS_MAX: usize = 1_000;

/// A token as the store has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    pub role: Role,
    pub secret_hash: [u8; 32],
    /// The date from which on it is not good, for which a clock that was set forward passes too.
    pub expires: Micros,
    /// The same by the grid's own time: a clock that was set back makes no token good again.
    pub until: Micros,
    pub uses_left: u32,
    /// What those who join with it get.
    pub gives: TokenGives,
    /// An operator took it back.
    pub revoked: bool,
}

impl Token {
    /// Whether it is good at this time and date.
    pub(crate) fn state(&self, now: Micros, date: Micros) -> TokenState {
        if self.revoked {
            TokenState::Revoked
        } else if self.uses_left == 0 {
            TokenState::UsedUp
        } else if self.until <= now || self.expires <= date {
            TokenState::Expired
        } else {
            TokenState::Good
        }
    }

    fn status(self, number: u64, now: Micros) -> TokenStatus {
        let state = self.state(now, clock::date());
        let Self { role, gives, uses_left, expires, .. } = self;
        TokenStatus { token: number, role, gives, state, uses_left, expires }
    }
}

impl Enroller {
    /// The tokens that are kept, by number, from behind this one on: until their time is over.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(crate) async fn tokens(&self, after: Option<u64>) -> Result<Vec<TokenStatus>, ApiError> {
        let now = self.clock.now();
        let all = self.all_tokens().await?.into_iter();
        let behind = all.filter(|(number, _)| after.is_none_or(|after| *number > after));
        Ok(behind.map(|(number, token)| token.status(number, now)).collect())
    }

    /// Takes a token back; nobody has joined with it when this returns who does not show. The audit
    /// log says who did that, the first time.
    ///
    /// # Errors
    /// Where there is no such token, or the store does not take that.
    pub(crate) async fn revoke(
        &self,
        (by, act): (&Caller, Act),
        number: u64,
    ) -> Result<(), ApiError> {
        let _turn = self.turn.lock().await;
        let key = token_key(number);
        let Some(bytes) = self.read(key.clone()).await? else {
            return Err(Reason::NoToken { token: number }.into());
        };
        let token: Token = parse(&key, &bytes)?;
        if token.revoked {
            return Ok(());
        }
        let token = Token { revoked: true, ..token };
        self.write(vec![meta(key, &token)?, self.audit(by, act)?]).await
    }

    /// What deletes the tokens whose time is over.
    ///
    /// # Errors
    /// Where too many are left.
    pub(crate) async fn expired(&self, now: Micros) -> Result<Vec<Entry>, ApiError> {
        let all = self.all_tokens().await?;
        let count = all.len();
        let over = all.into_iter().filter(|(_, token)| token.until <= now);
        let gone = |(number, _)| Entry::Meta { key: token_key(number), value: None };
        let entries: Vec<Entry> = over.map(gone).collect();
        if count - entries.len() >= TOKENS_MAX {
            return Err(Reason::TooManyTokens { allowed: TOKENS_MAX as u64 }.into());
        }
        Ok(entries)
    }

    /// Whether a token that is kept makes somebody this tenant.
    pub(crate) async fn gives_tenant(&self, tenant: &str) -> Result<bool, ApiError> {
        let all = self.all_tokens().await?;
        Ok(all.iter().any(|(_, token)| token.gives.tenant.as_deref() == Some(tenant)))
    }

    async fn all_tokens(&self) -> Result<Vec<(u64, Token)>, ApiError> {
        let metas = self.readers.metas(TOKEN_PREFIX).await.map_err(|e| unreadable(&e))?;
        let mut all = Vec::with_capacity(metas.len());
        for (key, bytes) in metas {
            let number = key.strip_prefix(TOKEN_PREFIX);
            let number = number.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            // Nobody else writes such keys.
            let Some(number) = number else { continue };
            all.push((number, parse(&key, &bytes)?));
        }
        Ok(all)
    }
}

/// Under which key the store has a token.
pub(crate) fn token_key(number: u64) -> String {
    format!("{TOKEN_PREFIX}{number:016x}")
}

/// Refuses a request for a token that makes no sense.
///
/// # Errors
/// [`ApiError`] says what is wrong with it.
pub(crate) fn check(grid: &str, request: TokenRequest, gives: &TokenGives) -> Result<(), ApiError> {
    let TokenGives { labels, name, tenant } = gives;
    let invalid = |fault| Err(Reason::TokenRequest { fault }.into());
    if request.role == Role::Scheduler {
        return invalid(TokenFault::Scheduler);
    }
    if request.uses == 0 || request.ttl.0 == 0 {
        return invalid(TokenFault::NoUse);
    }
    if !labels.is_empty() && request.role != Role::Worker {
        return invalid(TokenFault::Labels);
    }
    if tenant.is_some() && request.role == Role::Worker {
        return invalid(TokenFault::Tenant);
    }
    if tenant.is_some() && request.role == Role::Gateway {
        return invalid(TokenFault::GatewayTenant);
    }
    for name in [name, tenant].into_iter().flatten() {
        Identity::new(grid, request.role, name)
            .map_err(|error| Reason::BadName { reason: Detail::of(&error) })?;
    }
    check_labels(labels).map_err(|error| Reason::BadLabels { reason: Detail::of(&error) }.into())
}
