//! Bytes that tenants share: each may hold its part of them, so that what one holds for its slow readers
//! never stops another. Whoever holds bytes has a [`Room`], which lives as long as they do.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Notify, time::timeout};

/// How much is shared, and how.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of all tenants together.
    pub all: usize,
    /// Bytes of one tenant.
    pub tenant: usize,
    /// Bytes of one tenant beyond that for what is small, so that large answers never stop small ones.
    pub reserve: usize,
}

/// Tenants that are remembered without need.
const REMEMBERED: usize = 1_024;

/// What all tenants share.
pub struct Shares {
    sizes: Sizes,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Default)]
struct Held {
    all: usize,
    tenants: BTreeMap<Arc<str>, Tenant>,
}

#[derive(Default)]
struct Tenant {
    held: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
    beyond: Arc<tokio::sync::Mutex<()>>,
}

/// What bytes are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Large,
    Small,
}

impl Shares {
    /// So many bytes.
    pub fn new(sizes: Sizes) -> Arc<Self> {
        Arc::new(Self { sizes, held: Mutex::default(), freed: Notify::new() })
    }

    /// A tenant's share of them.
    pub fn of(self: &Arc<Self>, tenant: &str) -> Share {
        let mut held = self.lock();
        if held.tenants.len() >= REMEMBERED {
            held.tenants.retain(|_, one| one.held > 0 || Arc::strong_count(&one.turn) > 1);
        }
        let tenant: Arc<str> = tenant.into();
        let own = held.tenants.entry(Arc::clone(&tenant)).or_default();
        let (turn, beyond) = (Arc::clone(&own.turn), Arc::clone(&own.beyond));
        drop(held);
        Share { shares: Arc::clone(self), tenant, turn, beyond }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, tenant: Option<&str>, bytes: usize) {
        let mut held = self.lock();
        held.all = held.all.saturating_sub(bytes);
        if let Some(tenant) = tenant.and_then(|tenant| held.tenants.get_mut(tenant)) {
            tenant.held = tenant.held.saturating_sub(bytes);
        }
        drop(held);
        self.freed.notify_waiters();
    }
}

/// One tenant's share.
#[derive(Clone)]
pub struct Share {
    shares: Arc<Shares>,
    tenant: Arc<str>,
    /// Those who wait for much take turns.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// One at a time holds more than the share.
    beyond: Arc<tokio::sync::Mutex<()>>,
}

impl Share {
    /// Takes room for bytes that may be many, unless others wait for such room. Who holds nothing has
    /// room for anything: each tenant can always read on, one answer after the other.
    pub fn try_take(&self, bytes: usize) -> Option<Room> {
        let _turn = self.turn.try_lock().ok()?;
        self.take_now(bytes, Kind::Large)
    }

    /// The same once there is room; `None` if there is none for so long.
    pub async fn take(&self, bytes: usize, wait: Duration) -> Option<Room> {
        let taken = timeout(wait, async {
            let _turn = self.turn.lock().await;
            self.wait_for(bytes, Kind::Large).await
        });
        taken.await.ok()
    }

    /// Takes room for bytes without which what the caller holds cannot be written: beyond the share, for
    /// one caller of the tenant at a time. If all of them waited for each other's room, nobody would go
    /// on. Who has such room must not wait for other room.
    pub async fn take_beyond(&self, bytes: usize, wait: Duration) -> Option<Room> {
        let turn = timeout(wait, Arc::clone(&self.beyond).lock_owned()).await.ok()?;
        self.shares.lock().all += bytes;
        Some(Room { share: self.clone(), bytes, beyond: Some(turn) })
    }

    /// Takes room for a small answer, or for a piece of a large one.
    pub fn try_small(&self, bytes: usize) -> Option<Room> {
        self.take_now(bytes, Kind::Small)
    }

    /// The same once there is room.
    pub async fn small(&self, bytes: usize) -> Room {
        self.wait_for(bytes, Kind::Small).await
    }

    /// Has the room that was waited for fit what has come.
    ///
    /// # Errors
    /// How much is needed, if there is too little.
    pub fn fit(&self, room: Option<Room>, bytes: usize) -> Result<Room, usize> {
        let Some(mut room) = room else { return self.try_take(bytes).ok_or(bytes) };
        let more = bytes.saturating_sub(room.bytes);
        if more == 0 {
            room.shrink(bytes);
        } else if room.is_beyond() {
            return Err(bytes);
        } else {
            room.merge(self.try_take(more).ok_or(bytes)?);
        }
        Ok(room)
    }

    /// True if there is room for a small answer.
    pub fn has_room(&self) -> bool {
        self.allows(&self.shares.lock(), 1, Kind::Small)
    }

    async fn wait_for(&self, bytes: usize, kind: Kind) -> Room {
        loop {
            let freed = self.shares.freed.notified();
            tokio::pin!(freed);
            // What is freed from here on is noticed.
            freed.as_mut().enable();
            if let Some(room) = self.take_now(bytes, kind) {
                return room;
            }
            freed.await;
        }
    }

    fn take_now(&self, bytes: usize, kind: Kind) -> Option<Room> {
        let mut held = self.shares.lock();
        if !self.allows(&held, bytes, kind) {
            return None;
        }
        held.all += bytes;
        held.tenants.entry(Arc::clone(&self.tenant)).or_default().held += bytes;
        drop(held);
        Some(Room { share: self.clone(), bytes, beyond: None })
    }

    fn allows(&self, held: &Held, bytes: usize, kind: Kind) -> bool {
        let Sizes { all, tenant, reserve } = self.shares.sizes;
        let own = held.tenants.get(&self.tenant).map_or(0, |tenant| tenant.held);
        own == 0
            || match kind {
                Kind::Large => own + bytes <= tenant && held.all + bytes <= all,
                Kind::Small => own + bytes <= tenant + reserve,
            }
    }
}

/// Bytes that are held.
pub struct Room {
    share: Share,
    bytes: usize,
    beyond: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Room {
    /// True for what was taken beyond the share.
    pub const fn is_beyond(&self) -> bool {
        self.beyond.is_some()
    }

    /// Gives back what is more than this.
    pub fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        if less > 0 {
            let tenant = (!self.is_beyond()).then_some(&*self.share.tenant);
            self.share.shares.give_back(tenant, less);
        }
    }

    fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// The same bytes; the room is taken as long as any part of them is there.
    pub fn keep(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Kept { bytes, _room: self })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

struct Kept<T> {
    bytes: T,
    _room: Room,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Kept<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { all: 250, tenant: 100, reserve: 10 };

    const WAIT: Duration = Duration::from_secs(60);

    #[test]
    fn no_tenant_holds_more_than_its_share_and_each_can_read_on() {
        let shares = Shares::new(SIZES);
        let (ada, ben) = (shares.of("ada"), shares.of("ben"));
        let most = ada.try_take(100).expect("its share");
        assert!(ada.try_take(1).is_none() && ada.has_room());
        let _small = ada.try_small(10).expect("small answers have a reserve");
        assert!(ada.try_small(1).is_none() && !ada.has_room());
        // Another tenant has its own.
        let _bens = ben.try_take(100).expect("its share");
        // All is taken: who holds nothing still has room, once.
        let eve = shares.of("eve");
        let _all = eve.try_take(80).expect("it holds nothing");
        assert!(eve.try_take(1).is_none(), "all together hold too much");
        drop(most);
        assert!(eve.try_take(1).is_some());
    }

    #[test]
    fn bytes_are_counted_as_long_as_any_part_of_them_is_there() {
        let shares = Shares::new(SIZES);
        let ada = shares.of("ada");
        let bytes = ada.try_take(60).expect("room").keep(vec![7; 60]);
        let part = bytes.slice(59..);
        drop(bytes);
        assert!(ada.try_take(60).is_none());
        assert_eq!(part[..], [7]);
        drop(part);
        assert!(ada.try_take(60).is_some());
        assert_eq!(shares.lock().all, 0);
    }

    #[test]
    fn room_that_was_waited_for_fits_what_comes() {
        let shares = Shares::new(SIZES);
        let ada = shares.of("ada");
        let room = ada.fit(None, 50).expect("there is room");
        let room = ada.fit(Some(room), 20).expect("less");
        let room = ada.fit(Some(room), 90).expect("more");
        assert_eq!((room.bytes, shares.lock().all), (90, 90));
        assert_eq!(ada.fit(Some(room), 101).expect_err("too much"), 101);
        assert_eq!(shares.lock().all, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_a_part_gets_the_rest_one_after_the_other() {
        let shares = Shares::new(SIZES);
        let ada = shares.of("ada");
        let _parts = ada.try_take(100).expect("its share");
        let one = ada.take_beyond(60, WAIT).await.expect("nobody else has more");
        assert!(ada.take_beyond(60, WAIT).await.is_none());
        assert!(ada.try_small(10).is_some(), "it can be written");
        drop(one);
        assert!(ada.take_beyond(60, WAIT).await.is_some());
        assert_eq!(shares.lock().all, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_much_is_not_overtaken_and_waits_so_long_and_no_longer() {
        let shares = Shares::new(SIZES);
        let ada = shares.of("ada");
        let (one, two) = (ada.try_take(50).expect("room"), ada.try_take(40).expect("room"));
        let mut waits = std::pin::pin!(ada.take(60, WAIT));
        assert!(futures_util::poll!(&mut waits).is_pending());
        assert!(ada.try_take(1).is_none(), "somebody waits");
        drop(one);
        assert!(waits.await.is_some());
        drop(two);
        let _most = ada.try_take(100);
        let _rest = ada.try_take(40);
        assert!(ada.take(60, WAIT).await.is_none());
    }
}
