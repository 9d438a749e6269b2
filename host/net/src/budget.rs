//! How many bytes one identity may make this process hold, over all its links: what arrives and is
//! not handled yet, and what leaves and is not taken yet. Small messages have rooms of their own
//! beside large ones, so that credit and acknowledgements never wait for data.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use wasmgrid_proto::frame::{FRAME_MAX, META_MAX};

use crate::{
    identity::Account,
    lane::MESSAGE_COST,
    room::{Reservation, Room},
};

/// Large messages of one identity that arrive or are not handled yet: two of the largest, so that
/// one can arrive while another is worked on.
const ARRIVING: usize = 2 * FRAME_MAX;

/// The same of small messages: more than the results of all tasks that a worker has credit for.
const ARRIVING_SMALL: usize = 32 << 20;

/// Large messages that leave and that the peers have not taken: as above.
const LEAVING: usize = 2 * FRAME_MAX;

/// The same of small messages.
const LEAVING_SMALL: usize = 32 << 20;

/// Large messages of all identities that arrive or are not handled yet: of seven that hold all
/// they may, and still some more.
const ARRIVING_OF_ALL: usize = 1 << 30;

/// How long a peer that may be anybody's may say nothing more of a message that it has begun, or
/// take nothing of one: longer than the silence after which a connection is lost anyhow.
const PATIENCE: Duration = Duration::from_secs(30);

/// Decoded, a message without its payload takes at most so many times its bytes; see
/// [`META_MAX`].
const META_GROWTH: usize = 32;

/// What one identity may hold; each of its links has the same one.
pub(crate) struct Budget {
    data: Room,
    small: Room,
    of_all: Option<Room>,
    pub(crate) leaving: Option<Leaving>,
    /// For so long a message may stand still; without, for ever.
    pub(crate) patience: Option<Duration>,
}

/// Room for what leaves, in the order of large and small messages.
pub(crate) struct Leaving {
    pub(crate) data: Room,
    pub(crate) small: Room,
}

impl Budget {
    /// Of a link whose peer is trusted: the scheduler's, as a member sees it.
    pub(crate) fn of_one_link() -> Arc<Self> {
        let (data, small) = (Room::new(ARRIVING), Room::new(ARRIVING_SMALL));
        Arc::new(Self { data, small, of_all: None, leaving: None, patience: None })
    }

    fn of_identity((bytes, patience): (usize, Duration), of_all: Room) -> Arc<Self> {
        let leaving = Leaving { data: Room::new(LEAVING), small: Room::new(LEAVING_SMALL) };
        Arc::new(Self {
            data: Room::new(bytes),
            small: Room::new(ARRIVING_SMALL),
            of_all: Some(of_all),
            leaving: Some(leaving),
            patience: Some(patience),
        })
    }

    /// Waits for room for a small message, whose frame has so many bytes, and its meta so many of
    /// them.
    pub(crate) async fn small(&self, frame: usize, meta: usize) -> Option<Reservation> {
        let own = self.small.reserve(cost(frame, meta)).await.ok()?;
        Some(Reservation::new(own, None))
    }

    /// The same for a large message. All of it is reserved before it is read: two that each hold
    /// half would wait for ever.
    pub(crate) async fn data(&self, frame: usize, meta: usize) -> Option<Reservation> {
        let bytes = cost(frame, meta);
        let own = self.data.reserve(bytes).await.ok()?;
        let shared = match &self.of_all {
            Some(room) => Some(room.reserve(bytes).await.ok()?),
            None => None,
        };
        Some(Reservation::new(own, shared))
    }
}

fn cost(frame: usize, meta: usize) -> usize {
    frame.saturating_add(meta.min(META_MAX) * META_GROWTH).max(MESSAGE_COST)
}

/// The budgets of those who have links of one kind.
#[derive(Clone)]
pub(crate) struct Budgets {
    /// For one identity.
    bytes: usize,
    patience: Duration,
    of_all: Room,
    known: Arc<Mutex<BTreeMap<Account, Weak<Budget>>>>,
}

impl Budgets {
    /// What an identity has unless told otherwise.
    pub(crate) const DEFAULT_BYTES: usize = ARRIVING;

    /// How long its messages may stand still unless told otherwise.
    pub(crate) const DEFAULT_PATIENCE: Duration = PATIENCE;

    /// With so many bytes of large messages for each identity.
    pub(crate) fn new(bytes: usize, patience: Duration) -> Self {
        Self { bytes, patience, of_all: Room::new(ARRIVING_OF_ALL), known: Arc::default() }
    }

    /// The budget of an account, which all its links share.
    pub(crate) fn of(&self, account: &Account) -> Arc<Budget> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = known.get(account).and_then(Weak::upgrade) {
            return budget;
        }
        // Those whose links have all ended are forgotten here, so that the list is no longer than
        // the links that there were at a time.
        known.retain(|_, budget| budget.strong_count() > 0);
        let budget = Budget::of_identity((self.bytes, self.patience), self.of_all.clone());
        known.insert(account.clone(), Arc::downgrade(&budget));
        budget
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
