//! Which keys are good, as far as a gateway knows for some seconds, and how often an address may try
//! wrong ones.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::time::Instant;
use wasmgrid_proto::Digest;

use crate::{
    grid::{CheckedKey, Grid, KeyText},
    problem::Problem,
};

/// For how long the scheduler's word on a key is believed: a revoked key is good for no longer.
pub const BELIEVED: Duration = Duration::from_secs(5);

/// Keys that are known at once; beyond that, those that were not asked about lately are forgotten.
const KNOWN_MAX: usize = 4_096;

/// Wrong keys that an address may try at once; one more is allowed each second.
const WRONG_MAX: u32 = 10;

/// Addresses that are remembered for wrong keys.
const ADDRESSES_MAX: usize = 4_096;

/// One key, checked by one asker at a time: those who wait find what the first was told.
type Known = Arc<tokio::sync::Mutex<Option<(CheckedKey, Instant)>>>;

/// Keys that were asked about, by the digest of their text.
#[derive(Default)]
pub struct Keys {
    known: Mutex<BTreeMap<Digest, Known>>,
    wrong: Mutex<BTreeMap<IpAddr, Tries>>,
}

/// What an address has left.
struct Tries {
    left: u32,
    since: Instant,
}

impl Keys {
    /// Whose key this is.
    ///
    /// # Errors
    /// If it is nobody's, or if the address has tried too many wrong ones.
    pub async fn check(
        &self,
        grid: &dyn Grid,
        text: &str,
        from: Option<IpAddr>,
    ) -> Result<CheckedKey, Problem> {
        let name = Digest::of(text.as_bytes());
        let known = self.known(name);
        let mut place = known.lock().await;
        if let Some((key, at)) = place.as_ref()
            && at.elapsed() < BELIEVED
        {
            return Ok(key.clone());
        }
        self.may_try(from)?;
        let found = match KeyText::parse(text) {
            Some(key) => grid.check_key(key).await?,
            None => None,
        };
        let Some(key) = found else {
            *place = None;
            drop(place);
            self.lock_known().remove(&name);
            self.count_wrong(from);
            return Err(wrong());
        };
        *place = Some((key.clone(), Instant::now()));
        Ok(key)
    }

    fn known(&self, name: Digest) -> Known {
        let mut known = self.lock_known();
        if known.len() >= KNOWN_MAX && !known.contains_key(&name) {
            // Those that somebody is asking about stay.
            known.retain(|_, one| {
                one.try_lock().map_or(true, |place| {
                    place.as_ref().is_some_and(|(_, at)| at.elapsed() < BELIEVED)
                })
            });
        }
        Arc::clone(known.entry(name).or_default())
    }

    fn lock_known(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an address may try another key or code.
    ///
    /// # Errors
    /// If it has tried too many wrong ones.
    pub fn may_try(&self, from: Option<IpAddr>) -> Result<(), Problem> {
        let Some(from) = from else { return Ok(()) };
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let left = wrong.get_mut(&from).map_or(WRONG_MAX, |tries| tries.refill());
        if left == 0 {
            let detail = "too many wrong keys came from this address";
            return Err(Problem::busy("too_many_wrong_keys", detail));
        }
        Ok(())
    }

    /// An address has tried a wrong one.
    pub fn count_wrong(&self, from: Option<IpAddr>) {
        let Some(from) = from else { return };
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= ADDRESSES_MAX && !wrong.contains_key(&from) {
            wrong.retain(|_, tries| tries.refill() < WRONG_MAX);
            if wrong.len() >= ADDRESSES_MAX {
                wrong.pop_first();
            }
        }
        let fresh = || Tries { left: WRONG_MAX, since: Instant::now() };
        let tries = wrong.entry(from).or_insert_with(fresh);
        tries.left = tries.refill().saturating_sub(1);
    }
}

impl Tries {
    /// How many there are now.
    fn refill(&mut self) -> u32 {
        let seconds = self.since.elapsed().as_secs();
        if seconds > 0 {
            self.since += Duration::from_secs(seconds);
            let more = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(WRONG_MAX);
        }
        self.left
    }
}

/// A key is missing, or is nobody's.
pub fn wrong() -> Problem {
    let title = "A valid key is needed.";
    let detail = "expected the header `Authorization: Bearer KEY` with a key that is known, not \
                  revoked and not expired";
    Problem::new(StatusCode::UNAUTHORIZED, "key_not_accepted", title, detail)
}
