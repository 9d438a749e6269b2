//! The tokens by which a scheduler knows addresses that it has had links with: each is good once,
//! until it is too old. Who shows one waits among those whose address is known.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use quinn::{TokenLog, TokenReuseError, ValidationTokenConfig};

/// How long a token is good for: a member that is away for longer proves its address anew where
/// that is asked for.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Tokens given with a link: one for the next, and one in case that one is lost.
const GIVEN: u32 = 2;

/// Used tokens that are remembered, twice: beyond, older ones could be used again, which is worth
/// nothing but a place among those whose address is known.
const USED_MAX: usize = 16_384;

/// What the listener does with tokens.
pub(super) fn config() -> ValidationTokenConfig {
    let mut config = ValidationTokenConfig::default();
    config.lifetime(LIFETIME).sent(GIVEN).log(Arc::new(Used::default()));
    config
}

/// The tokens that were used, of late.
#[derive(Default)]
struct Used(Mutex<(BTreeSet<u128>, BTreeSet<u128>)>);

impl TokenLog for Used {
    fn check_and_insert(
        &self,
        nonce: u128,
        _issued: SystemTime,
        _lifetime: Duration,
    ) -> Result<(), TokenReuseError> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (newer, older) = &mut *used;
        if older.contains(&nonce) || !newer.insert(nonce) {
            return Err(TokenReuseError);
        }
        if newer.len() >= USED_MAX {
            *older = std::mem::take(newer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once() {
        let used = Used::default();
        let show = |nonce| used.check_and_insert(nonce, SystemTime::UNIX_EPOCH, LIFETIME).is_ok();
        let tokens = USED_MAX as u128;
        assert!((0..tokens).all(show));
        assert!(!(0..tokens).any(show), "these were used");
        assert!((tokens..tokens + 10).all(show));
        assert!(!(0..tokens + 10).any(show), "these too");
    }
}
