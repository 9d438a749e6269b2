//! Under which numbers a producer makes its requests, so that the scheduler knows a repeated one from a new
//! one.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;
use wasmgrid_proto::{JobId, wire::REPEATED_FOR};

use crate::error::ClientError;

/// The numbers of one producer, of which one request is under way at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// Made up, so that nobody else has it.
    producer: u64,
    /// Of the last request that was taken.
    last: u64,
    /// When that was, or when the producer was made up.
    since: Instant,
    /// A request was sent, and it is not known what became of it.
    in_doubt: bool,
}

impl Numbers {
    pub(crate) fn new() -> Result<Self, ClientError> {
        let producer = u64::from_le_bytes(random()?);
        Ok(Self { producer, last: 0, since: Instant::now(), in_doubt: false })
    }

    /// The producer and the number of the next request. If nobody knows whether that number was used, or the
    /// scheduler may have forgotten the last one, another producer has its first.
    pub(crate) fn next(&mut self) -> Result<(u64, u64), ClientError> {
        if self.in_doubt || self.since.elapsed() >= REPEATED_FOR.duration() {
            *self = Self::new()?;
        }
        self.in_doubt = true;
        Ok((self.producer, self.last + 1))
    }

    /// The last request was taken. Nothing need be said of one that was not: also what is refused may be a
    /// repeat of what was done before a link was lost.
    pub(crate) fn taken(&mut self) {
        self.last += 1;
        self.since = Instant::now();
        self.in_doubt = false;
    }
}

/// Numbers with which nobody appends at the moment, by job.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<VecDeque<(JobId, Numbers)>>);

/// As many are kept, those that were used last.
const IDLE_MAX: usize = 256;

impl Idle {
    pub(crate) fn take(&self, job: JobId) -> Option<Numbers> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().rposition(|(of, _)| *of == job)?;
        idle.remove(at).map(|(_, numbers)| numbers)
    }

    pub(crate) fn put(&self, job: JobId, numbers: Numbers) {
        // Others are made up in any case.
        if numbers.in_doubt || numbers.last == 0 {
            return;
        }
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= IDLE_MAX {
            idle.pop_front();
        }
        idle.push_back((job, numbers));
    }
}

/// Bytes that nobody can foretell.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| ClientError::Random(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_producer_counts_on_as_long_as_its_last_number_is_known() {
        let mut numbers = Numbers::new().expect("random bytes");
        let (producer, first) = numbers.next().expect("random bytes");
        numbers.taken();
        assert_eq!(first, 1);
        assert_eq!(numbers.next().expect("random bytes"), (producer, 2));
        numbers.taken();
        tokio::time::advance(REPEATED_FOR.duration()).await;
        let (other, first) = numbers.next().expect("random bytes");
        assert_ne!(other, producer, "it may be forgotten");
        assert_eq!(first, 1);
        let (third, first) = numbers.next().expect("random bytes");
        assert_ne!(third, other, "nobody knows what became of the request before");
        assert_eq!(first, 1);
    }

    #[tokio::test]
    async fn one_after_the_other_has_the_same_numbers_and_two_beside_each_other_have_not() {
        let idle = Idle::default();
        let mut first = Numbers::new().expect("random bytes");
        first.next().expect("random bytes");
        first.taken();
        idle.put(JobId(1), first);
        assert!(idle.take(JobId(2)).is_none());
        let mut again = idle.take(JobId(1)).expect("it is idle");
        assert_eq!(again.next().expect("random bytes"), (first.producer, 2));
        assert!(idle.take(JobId(1)).is_none(), "it is in use");
        idle.put(JobId(1), again);
        assert!(idle.take(JobId(1)).is_none(), "nobody knows what became of its request");
    }
}
