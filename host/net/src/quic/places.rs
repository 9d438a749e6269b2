//! Places for those who have not shown yet that they are anybody: a bounded number, shared out by
//! address. Where there is none left, who has waited longest at the address that has most gives its
//! place to the newcomer, so that no place is kept by holding on to it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// Bits of an IPv6 address that stand for one site, which has all the others to choose from.
const SITE_BITS: u32 = 64;

/// Whom an address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin(IpAddr);

impl Origin {
    pub(super) fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            v4 @ IpAddr::V4(_) => Self(v4),
            IpAddr::V6(v6) => {
                let site = v6.to_bits() & (u128::MAX << SITE_BITS);
                Self(IpAddr::V6(Ipv6Addr::from_bits(site)))
            }
        }
    }
}

/// The places; clones share them.
#[derive(Clone, Debug)]
pub(super) struct HandshakeSlots {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// In the order in which they were taken.
    places: BTreeMap<u64, (Origin, CancellationToken)>,
}

/// A place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct HandshakeSlot {
    number: u64,
    places: HandshakeSlots,
    given_up: CancellationToken,
}

impl HandshakeSlots {
    /// So many; at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Arc::default() }
    }

    /// A place for one more, whoever has to give his up for it.
    pub(super) fn take(&self, origin: Origin) -> HandshakeSlot {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.places.len() >= self.most {
            taken.give_one_up(origin);
        }
        taken.next += 1;
        let (number, given_up) = (taken.next, CancellationToken::new());
        taken.places.insert(number, (origin, given_up.clone()));
        HandshakeSlot { number, places: self.clone(), given_up }
    }

    /// A place, where one is free and the address does not have so many already.
    pub(super) fn try_take(&self, origin: Origin, most_of_one: usize) -> Option<HandshakeSlot> {
        {
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let own = taken.places.values().filter(|(other, _)| *other == origin).count();
            if taken.places.len() >= self.most || own >= most_of_one {
                return None;
            }
        }
        Some(self.take(origin))
    }
}

impl Taken {
    /// Ends the oldest of the address that has most, the newcomer counted.
    fn give_one_up(&mut self, newcomer: Origin) {
        let mut counts = BTreeMap::from([(newcomer, 1_usize)]);
        for (origin, _) in self.places.values() {
            *counts.entry(*origin).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or(0);
        let has_most = |origin: &Origin| counts.get(origin).is_some_and(|count| *count == most);
        let oldest = self.places.iter().find(|(_, (origin, _))| has_most(origin));
        if let Some(number) = oldest.map(|(number, _)| *number)
            && let Some((_, given_up)) = self.places.remove(&number)
        {
            given_up.cancel();
        }
    }
}

impl HandshakeSlot {
    /// Waits until somebody else was given the place.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::of(address.parse().expect("an address"))
    }

    fn is_given_up(place: &HandshakeSlot) -> bool {
        place.given_up.is_cancelled()
    }

    #[test]
    fn addresses_of_one_site_are_one() {
        assert_eq!(origin("[2001:db8::1]:1"), origin("[2001:db8::ffff:0:1]:9"));
        assert_ne!(origin("[2001:db8::1]:1"), origin("[2001:db8:0:1::1]:1"));
        assert_ne!(origin("10.0.0.1:1"), origin("10.0.0.2:1"));
        assert_eq!(origin("[::ffff:10.0.0.1]:1"), origin("10.0.0.1:7"));
    }

    #[test]
    fn who_has_most_places_gives_up_its_oldest() {
        let places = HandshakeSlots::new(4);
        let greedy: Vec<HandshakeSlot> =
            (0..3).map(|_| places.take(origin("10.0.0.1:1"))).collect();
        let modest = places.take(origin("10.0.0.2:1"));
        let newcomer = places.take(origin("10.0.0.3:1"));
        assert_eq!(greedy.iter().map(is_given_up).collect::<Vec<_>>(), [true, false, false]);
        // The next of the greedy one takes the place of another of its own.
        let fourth = places.take(origin("10.0.0.1:1"));
        assert_eq!(greedy.iter().map(is_given_up).collect::<Vec<_>>(), [true, true, false]);
        assert!(![&modest, &newcomer, &fourth].into_iter().any(is_given_up));
    }

    #[test]
    fn of_many_with_one_place_each_the_oldest_gives_it_up() {
        let places = HandshakeSlots::new(100);
        let addresses = |i: u32| origin(&format!("10.0.{}.{}:1", i / 256, i % 256));
        let all: Vec<HandshakeSlot> = (0..101).map(|i| places.take(addresses(i))).collect();
        assert_eq!(all.iter().map(is_given_up).filter(|given_up| *given_up).count(), 1);
        assert!(is_given_up(&all[0]));
    }

    #[test]
    fn a_place_that_is_left_is_free() {
        let places = HandshakeSlots::new(2);
        drop((places.take(origin("10.0.0.1:1")), places.take(origin("10.0.0.1:1"))));
        let first = places.try_take(origin("10.0.0.1:1"), 1).expect("free");
        assert!(places.try_take(origin("10.0.0.1:1"), 1).is_none(), "more than its share");
        let second = places.try_take(origin("10.0.0.2:1"), 1).expect("free");
        assert!(places.try_take(origin("10.0.0.3:1"), 1).is_none(), "none is free");
        assert!(!is_given_up(&first) && !is_given_up(&second));
    }
}
