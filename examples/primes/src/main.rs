//! Counts primes: task `k` counts those in `k * 1_000_000 .. (k + 1) * 1_000_000`.

/// The numbers of one task. With it `--range 0..1000` covers everything below 10^9.
const WIDTH: u64 = 1_000_000;

/// The last block that a task accepts: its numbers stay below 2^53, where the square root of a
/// float is exact enough.
const LAST_BLOCK: u64 = (1 << 53) / WIDTH - 1;

#[wasmgrid::task]
fn primes(block: u64) -> Result<u64, wasmgrid::Error> {
    if block > LAST_BLOCK {
        return Err(wasmgrid::Error::rejected(format_args!(
            "block {block} is beyond {LAST_BLOCK}, the last below 2^53"
        )));
    }
    Ok(count(block * WIDTH, (block + 1) * WIDTH))
}

/// The primes in `from..to`, both even: a sieve of the odd numbers, segment by segment, so that
/// the segment stays in the processor's first cache.
fn count(from: u64, to: u64) -> u64 {
    const SEGMENT: usize = 1 << 15;
    let base = odd_primes_to(to.isqrt());
    // For each base prime, the index of its next odd multiple, from the segment's start.
    let mut next: Vec<usize> = base.iter().map(|&p| first_multiple(p, from)).collect();
    let mut composite = vec![false; SEGMENT];
    let mut total = u64::from(from <= 2 && to > 2);
    let mut left = ((to - from) / 2) as usize;
    while left > 0 {
        let segment = &mut composite[..left.min(SEGMENT)];
        segment.fill(false);
        for (&prime, next) in base.iter().zip(&mut next) {
            let mut at = *next;
            while at < segment.len() {
                segment[at] = true;
                at += prime as usize;
            }
            *next = at - segment.len();
        }
        total += segment.iter().map(|&composite| u64::from(!composite)).sum::<u64>();
        left -= segment.len();
    }
    // 1 is odd and no multiple of a prime, but no prime.
    total - u64::from(from == 0)
}

/// The index, among the odd numbers from `from` on, of the first one to cross out for `prime`:
/// its square, or its first odd multiple that is not below `from`.
fn first_multiple(prime: u64, from: u64) -> usize {
    let multiple = from.div_ceil(prime).max(prime) * prime;
    let odd = if multiple.is_multiple_of(2) { multiple + prime } else { multiple };
    ((odd - from) / 2) as usize
}

/// The odd primes up to and with `limit`, by the plain sieve.
fn odd_primes_to(limit: u64) -> Vec<u64> {
    let mut composite = vec![false; limit as usize / 2 + 1];
    let mut primes = Vec::new();
    for candidate in (3..=limit).step_by(2) {
        if composite[candidate as usize / 2] {
            continue;
        }
        primes.push(candidate);
        for multiple in (candidate * candidate..=limit).step_by(2 * candidate as usize) {
            composite[multiple as usize / 2] = true;
        }
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_blocks_hold_as_many_primes_as_tables_say() {
        assert_eq!(primes(0).unwrap(), 78_498);
        assert_eq!((0..10).map(|block| primes(block).unwrap()).sum::<u64>(), 664_579);
    }

    #[test]
    fn any_even_bounds_agree_with_trial_division() {
        let is_prime =
            |n: u64| n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        for (from, to) in [(0, 2), (0, 4), (2, 10), (8, 10), (0, 2_000), (1_000, 1_200)] {
            let expected = (from..to).filter(|&n| is_prime(n)).count() as u64;
            assert_eq!(count(from, to), expected, "{from}..{to}");
        }
    }

    #[test]
    fn the_last_block_below_ten_to_the_ninth_is_right() {
        // pi(10^9) - pi(999 * 10^6) = 50,847,534 - 50,799,577
        assert_eq!(primes(999).unwrap(), 47_957);
    }

    #[test]
    fn a_block_that_is_too_far_is_rejected() {
        assert!(primes(LAST_BLOCK + 1).unwrap_err().message().contains("beyond"));
    }
}
