//! What links have said and the driver has not taken. Each party has a lane of its own, and lanes
//! take turns (`lanes`): what one party says never waits for more than a turn of each other party,
//! however much those have said over however many links, and for the turns that it owes itself since
//! it said something costly. A link whose lane is full waits, and nobody else does. It decides nothing
//! about what is said.

pub(crate) mod cost;
mod lanes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use lanes::{LaneId, Lanes};

/// Whose turn it is when a message is taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    /// A worker, by its name.
    Worker(String),
    /// All clients of a tenant.
    Tenant(String),
    /// An operator, by its name or by the tenant and name of its key: it does not wait for clients of
    /// the tenant whose jobs it submits.
    Operator(String),
    /// A gateway that acts for nobody, by its name: it checks keys, whatever those for whom it acts
    /// elsewhere ask.
    Gateway(String),
}

/// How much is taken at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) messages: usize,
    /// The sum of their costs: the last message may exceed it.
    pub(crate) cost: u32,
}

/// The end of whoever takes. Once it is dropped, nothing can be said any more.
#[derive(Debug)]
pub(crate) struct Inbox<T>(Arc<Shared<T>>);

/// Where links get their [`LaneSender`]; cheap to clone.
#[derive(Debug)]
pub(crate) struct Entrance<T>(Arc<Shared<T>>);

/// A link's end.
#[derive(Debug)]
pub(crate) struct LaneSender<T> {
    shared: Arc<Shared<T>>,
    lane: LaneId,
    room: Arc<Semaphore>,
}

/// The inbox is gone.
#[derive(Debug)]
pub(crate) struct Closed;

#[derive(Debug)]
struct Shared<T> {
    /// Held for a moment, never while something is handled.
    lanes: Mutex<Lanes<Waiting<T>>>,
    /// Something waits where nothing did.
    filled: Notify,
}

/// A message, with its place in its lane: free again when this is dropped.
#[derive(Debug)]
struct Waiting<T> {
    item: T,
    _place: OwnedSemaphorePermit,
}

/// An empty inbox.
pub(crate) fn inbox<T>() -> (Entrance<T>, Inbox<T>) {
    let shared = Shared { lanes: Mutex::new(Lanes::new()), filled: Notify::new() };
    let shared = Arc::new(shared);
    (Entrance(shared.clone()), Inbox(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Lanes<Waiting<T>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Entrance<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Entrance<T> {
    /// For one more link of a party.
    pub(crate) fn sender(&self, party: Party) -> LaneSender<T> {
        let (lane, room) = self.0.lock().enter(party);
        LaneSender { shared: self.0.clone(), lane, room }
    }
}

impl<T> LaneSender<T> {
    /// Waits for room in the party's lane, then adds a message of this cost. Links of one party get
    /// room in the order in which they came for it.
    ///
    /// # Errors
    /// [`Closed`], if nobody takes it any more.
    pub(crate) async fn send(&self, cost: u32, item: T) -> Result<(), Closed> {
        let place = self.room.clone().acquire_owned().await.map_err(|_| Closed)?;
        let waiting = Waiting { item, _place: place };
        let pushed = self.shared.lock().push(self.lane, cost, waiting);
        if pushed.map_err(|_| Closed)? {
            self.shared.filled.notify_one();
        }
        Ok(())
    }
}

impl<T> Drop for LaneSender<T> {
    fn drop(&mut self) {
        self.shared.lock().leave(self.lane);
    }
}

impl<T> Inbox<T> {
    /// Waits until there is something to take.
    pub(crate) async fn filled(&self) {
        while self.0.lock().is_empty() {
            self.0.filled.notified().await;
        }
    }

    /// How many messages wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().waiting()
    }

    /// Takes what there is, in turns, as far as `most` goes.
    pub(crate) fn take(&self, most: Most, taken: &mut Vec<T>) {
        let (mut messages, mut cost) = (0, 0_u32);
        let mut lanes = self.0.lock();
        while messages < most.messages
            && cost < most.cost
            && let Some((costs, Waiting { item, .. })) = lanes.pop()
        {
            messages += 1;
            cost = cost.saturating_add(costs);
            taken.push(item);
        }
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        let left = self.0.lock().close();
        // Not while locked: links end by what is dropped here.
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::{lanes::LANE_MESSAGES, *};

    const ALL: Most = Most { messages: usize::MAX, cost: u32::MAX };

    fn ann() -> Party {
        Party::Tenant("ann".into())
    }

    fn taken<T>(inbox: &Inbox<T>, most: Most) -> Vec<T> {
        let mut taken = Vec::new();
        inbox.take(most, &mut taken);
        taken
    }

    /// What a future says that is asked once.
    async fn once<F: Future>(future: F) -> Poll<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }

    #[tokio::test]
    async fn links_of_a_full_lane_wait_in_their_order_and_those_of_others_do_not() {
        let (entrance, inbox) = inbox();
        let first = entrance.sender(ann());
        for number in 0..LANE_MESSAGES {
            first.send(1, number).await.expect("room");
        }
        let second = entrance.sender(ann());
        let mut waits = pin!(second.send(1, 1_000));
        assert!(once(waits.as_mut()).await.is_pending(), "two links have no more room than one");
        let mut behind = pin!(first.send(1, 2_000));
        assert!(once(behind.as_mut()).await.is_pending());
        let worker = entrance.sender(Party::Worker("ann".into()));
        worker.send(1, 3_000).await.expect("room");
        assert_eq!(taken(&inbox, Most { messages: 1, cost: u32::MAX }), [0]);
        assert!(once(behind).await.is_pending(), "the other link came before it");
        waits.await.expect("there is room");
        assert_eq!(taken(&inbox, ALL).into_iter().filter(|number| *number < 2_000).count(), 256);
    }

    #[tokio::test]
    async fn a_turn_ends_by_what_its_messages_cost() {
        let (entrance, inbox) = inbox();
        let sender = entrance.sender(ann());
        for cost in [1, 40, 90, 1] {
            sender.send(cost, cost).await.expect("room");
        }
        assert_eq!(inbox.waiting(), 4);
        assert_eq!(taken(&inbox, Most { messages: 256, cost: 100 }), [1, 40, 90]);
        assert_eq!(inbox.waiting(), 1);
        assert_eq!(taken(&inbox, Most { messages: 256, cost: 100 }), [1]);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_the_first_message_and_keeps_the_last() {
        let (entrance, inbox) = inbox();
        let sender = entrance.sender(ann());
        let mut filled = pin!(inbox.filled());
        assert!(once(filled.as_mut()).await.is_pending());
        sender.send(1, "first").await.expect("room");
        filled.await;
        assert_eq!(taken(&inbox, ALL), ["first"]);
        sender.send(1, "the link's end").await.expect("room");
        drop(sender);
        inbox.filled().await;
        assert_eq!(taken(&inbox, ALL), ["the link's end"]);
        assert!(once(inbox.filled()).await.is_pending(), "one wake-up is no message");
    }

    #[tokio::test]
    async fn an_inbox_that_goes_takes_what_waited_with_it_and_refuses_the_rest() {
        let (entrance, inbox) = inbox();
        let (sender, item) = (entrance.sender(ann()), Arc::new(()));
        for _ in 0..LANE_MESSAGES {
            sender.send(1, item.clone()).await.expect("room");
        }
        let mut waits = pin!(sender.send(1, item.clone()));
        assert!(once(waits.as_mut()).await.is_pending());
        drop(inbox);
        assert!(waits.await.is_err());
        assert!(sender.send(1, item.clone()).await.is_err());
        assert_eq!(Arc::strong_count(&item), 1);
        let late = entrance.sender(ann());
        assert!(late.send(1, item.clone()).await.is_err(), "also on a link that begins now");
    }
}
