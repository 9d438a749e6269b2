//! How long to wait before the next try to reach a peer.

use std::time::Duration;

/// The first pause, about: a scheduler that is restarted is back in less than a second.
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause. With the time that one try takes it stays well under the time for which a
/// scheduler that has started waits for its workers.
const LONGEST: Duration = Duration::from_secs(3);

/// Pauses that double, mostly up to three seconds, each drawn from the upper half of its range, so that
/// the workers of a grid do not all come back in the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    ceiling: Duration,
    random: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        // Without randomness the pauses still grow; only the spread between machines is lost.
        Self { ceiling: FIRST, random: getrandom::u64().unwrap_or_default() }
    }
}

impl Backoff {
    /// The pause before the next try.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so it needs no Option")]
    pub fn next(&mut self) -> Duration {
        self.next_within(LONGEST)
    }

    /// The pause before the next try, of pauses that double up to `longest`.
    pub fn next_within(&mut self, longest: Duration) -> Duration {
        let half = self.ceiling.min(longest) / 2;
        self.ceiling = (self.ceiling * 2).min(longest);
        half + half.mul_f64(self.fraction())
    }

    /// The next pause is a short one again: call it after a success.
    pub fn reset(&mut self) {
        self.ceiling = FIRST;
    }

    /// The next of a sequence of numbers in `0.0..1.0` (SplitMix64): spread is needed, secrecy not.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from((mixed >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_small_again_after_a_success() {
        let mut backoff = Backoff::default();
        let mut ceiling = FIRST;
        for _ in 0..20 {
            let pause = backoff.next();
            assert!(pause >= ceiling / 2 && pause <= ceiling, "{pause:?} of {ceiling:?}");
            ceiling = (ceiling * 2).min(LONGEST);
        }
        assert_eq!(ceiling, LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }

    #[test]
    fn many_peers_come_back_spread_over_the_whole_of_a_pause() {
        const PEERS: usize = 1_000;
        let mut slots = [0; 10];
        for _ in 0..PEERS {
            let mut backoff = Backoff::default();
            let mut at = Duration::ZERO;
            // A scheduler that is back after about a second and a half: the fifth try finds it.
            for _ in 0..5 {
                at += backoff.next();
            }
            let (least, most) = (31 * FIRST / 2, 31 * FIRST);
            assert!(at >= least && at <= most, "{at:?}");
            let part = (at - least).as_secs_f64() / (most - least).as_secs_f64();
            slots[((part * 10.0) as usize).min(9)] += 1;
        }
        // No tenth of the time has more than a third of them: nobody is run down.
        assert!(slots.iter().all(|peers| *peers < PEERS / 3), "{slots:?}");
    }

    #[test]
    fn two_peers_do_not_wait_equally_long() {
        let (mut one, mut other) = (Backoff::default(), Backoff::default());
        assert!((0..8).any(|_| one.next() != other.next()));
    }
}
