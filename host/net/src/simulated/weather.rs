//! What the network does to datagrams, and the dice it throws for it.

use std::time::Duration;

use fastrand::Rng;

/// What happens to datagrams on their way. The default is a good network: nothing is lost, and
/// everything arrives after half a millisecond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// How many are lost, of 1.
    pub loss: f64,
    /// How many arrive twice, of 1. The copy has a way of its own.
    pub copies: f64,
    /// The least time on the way.
    pub delay: Duration,
    /// At most so much comes to it, differently for each: they overtake each other.
    pub jitter: Duration,
    /// How many stay behind, of 1: [`Weather::late`] comes to their time.
    pub stragglers: f64,
    /// How much later those are.
    pub late: Duration,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            loss: 0.0,
            copies: 0.0,
            delay: Duration::from_micros(500),
            jitter: Duration::ZERO,
            stragglers: 0.0,
            late: Duration::ZERO,
        }
    }
}

impl Weather {
    /// After how long one datagram arrives; twice where it was copied, never where it was lost.
    pub(super) fn ways(&self, random: &mut Rng) -> Vec<Duration> {
        if random.f64() < self.loss {
            return Vec::new();
        }
        let copies = if random.f64() < self.copies { 2 } else { 1 };
        (0..copies).map(|_| self.way(random)).collect()
    }

    fn way(&self, random: &mut Rng) -> Duration {
        let jitter = self.jitter.mul_f64(random.f64());
        let late = if random.f64() < self.stragglers { self.late } else { Duration::ZERO };
        self.delay + jitter + late
    }
}
