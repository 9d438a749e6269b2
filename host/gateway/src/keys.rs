//! Which keys are good, as far as a gateway knows for some seconds, and how often an address may try
//! wrong ones.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::{sync::Semaphore, time::Instant};
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

/// For how long a key that was good passes whatever else came from its address, and how many such are known.
const PASSES: Duration = Duration::from_secs(24 * 60 * 60);
const PASSES_MAX: usize = 4_096;

/// Keys that nobody knows yet and that are asked about at once: so many, and the scheduler still answers
/// for those that are known.
const UNKNOWN_MAX: usize = 32;

/// If an address has tried too many wrong keys, others of it are asked about one after the other with this
/// pause, as long as no more wait.
const PAUSE: Duration = Duration::from_millis(250);
const LINE_MAX: usize = 16;

/// Addresses that are remembered for wrong keys.
const ADDRESSES_MAX: usize = 4_096;

/// One key, checked by one asker at a time: those who wait find what the first was told.
type Known = Arc<tokio::sync::Mutex<Option<(CheckedKey, Instant)>>>;

/// Keys that were asked about, by the digest of their text.
pub struct Keys {
    known: Mutex<BTreeMap<Digest, Known>>,
    /// Those that were good, and when last.
    good: Mutex<BTreeMap<Digest, Instant>>,
    wrong: Mutex<BTreeMap<IpAddr, Tries>>,
    unknown: Semaphore,
}

impl Default for Keys {
    fn default() -> Self {
        let unknown = Semaphore::new(UNKNOWN_MAX);
        Self { known: Mutex::default(), good: Mutex::default(), wrong: Mutex::default(), unknown }
    }
}

/// What an address has left.
struct Tries {
    left: u32,
    since: Instant,
    /// Who waits although there is none left.
    line: Arc<tokio::sync::Mutex<()>>,
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
        let found = match KeyText::parse(text) {
            Some(key) if self.was_good(name) => grid.check_key(key).await?,
            Some(key) => {
                self.wait_in_line(from).await?;
                let _one = self.unknown.acquire().await;
                grid.check_key(key).await?
            }
            // What has not the form of a key costs nobody anything.
            None => {
                self.may_try(from)?;
                None
            }
        };
        let Some(key) = found else {
            *place = None;
            drop(place);
            self.lock_known().remove(&name);
            self.lock_good().remove(&name);
            self.count_wrong(from);
            return Err(wrong());
        };
        *place = Some((key.clone(), Instant::now()));
        self.note_good(name);
        Ok(key)
    }

    fn lock_good(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Instant>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a key was good lately: whatever wrong ones come from its address, it may ask again.
    fn was_good(&self, name: Digest) -> bool {
        self.lock_good().get(&name).is_some_and(|at| at.elapsed() < PASSES)
    }

    fn note_good(&self, name: Digest) {
        let mut good = self.lock_good();
        if good.len() >= PASSES_MAX && !good.contains_key(&name) {
            let oldest = good.iter().min_by_key(|(_, at)| **at).map(|(name, _)| *name);
            oldest.map(|oldest| good.remove(&oldest));
        }
        good.insert(name, Instant::now());
    }

    /// Lets a key of an address be asked about: at once, or after others if too many were wrong. So the holder
    /// of a good one is held up by guesses of others behind the same address, and not shut out.
    ///
    /// # Errors
    /// If too many wait.
    async fn wait_in_line(&self, from: Option<IpAddr>) -> Result<(), Problem> {
        let Err(busy) = self.may_try(from) else { return Ok(()) };
        let line = {
            let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            from.and_then(|from| wrong.get(&from)).map(|tries| Arc::clone(&tries.line))
        };
        let Some(line) = line else { return Ok(()) };
        // One is the address's own.
        if Arc::strong_count(&line) > LINE_MAX + 1 {
            return Err(busy);
        }
        let _turn = line.lock().await;
        tokio::time::sleep(PAUSE).await;
        Ok(())
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
        let fresh = || Tries { left: WRONG_MAX, since: Instant::now(), line: Arc::default() };
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
