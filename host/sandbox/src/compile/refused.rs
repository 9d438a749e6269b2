//! A refusal as it is kept on disk: magic, MAC, and when it was made, until when it holds, what the
//! compiler might take, and what it says. The MAC is keyed as that of compiled code and covers what
//! the refusal is of, so that nobody who can write to the directory can have a module refused.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use wasmgrid_proto::Millis;

use crate::{Refusal, jail::CompilerLimits};

const MAGIC: &[u8; 16] = b"wasmgrid refuse3";
const MAC_AT: usize = MAGIC.len();
const BODY_AT: usize = MAC_AT + blake3::OUT_LEN;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    made_s: u64,
    until_s: u64,
    limits: CompilerLimits,
    refusal: Refusal,
}

impl Refused {
    /// A refusal that a compiler of these limits has found, and that is kept for so long.
    pub(super) fn new(
        refusal: &Refusal,
        limits: CompilerLimits,
        now: SystemTime,
        span: Duration,
    ) -> Self {
        let made_s = seconds(now);
        let until_s = made_s.saturating_add(span.as_secs());
        Self { made_s, until_s, limits, refusal: refusal.clone() }
    }

    /// Whether its time is over; or the clock was set back, so that nobody knows.
    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        !(self.made_s..self.until_s).contains(&seconds(now))
    }

    /// What it says to a compiler of these limits; `None` where one of them is higher than when it
    /// was made: with more time or memory the module may do.
    pub(super) fn under(self, limits: CompilerLimits) -> Option<Refusal> {
        if limits.cpu > self.limits.cpu || limits.memory > self.limits.memory {
            return None;
        }
        Some(match self.refusal {
            Refusal::CompileTime { used, allowed } => {
                let now_allowed = Millis(limits.cpu_seconds().saturating_mul(1_000));
                Refusal::CompileTime { used, allowed: allowed.min(now_allowed) }
            }
            Refusal::CompileMemory { used, allowed } => {
                Refusal::CompileMemory { used, allowed: allowed.min(limits.memory) }
            }
            other => other,
        })
    }

    pub(super) fn seal(&self, key: &[u8; 32], context: &str) -> io::Result<Vec<u8>> {
        let body = postcard::to_allocvec(self).map_err(io::Error::other)?;
        let mac = mac(key, context, &body);
        Ok([&MAGIC[..], mac.as_bytes(), &body].concat())
    }

    /// The refusal in `bytes`; `None` where it is damaged, foreign or of something else.
    pub(super) fn open(bytes: &[u8], key: &[u8; 32], context: &str) -> Option<Self> {
        let found = blake3::Hash::from_slice(bytes.get(MAC_AT..BODY_AT)?).ok()?;
        let body = bytes.get(BODY_AT..)?;
        // The comparison of hashes takes the same time wherever they differ.
        if bytes.get(..MAC_AT)? != MAGIC || mac(key, context, body) != found {
            return None;
        }
        postcard::from_bytes(body).ok()
    }
}

fn mac(key: &[u8; 32], context: &str, body: &[u8]) -> blake3::Hash {
    let mut mac = blake3::Hasher::new_keyed(key);
    // The magic sets these apart from the MACs of code; the length, context from body.
    mac.update(MAGIC).update(&(context.len() as u64).to_le_bytes());
    mac.update(context.as_bytes()).update(body);
    mac.finalize()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::ByteCount;

    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const SPAN: Duration = Duration::from_secs(600);
    const LIMITS: CompilerLimits =
        CompilerLimits { cpu: Millis(10_000), memory: ByteCount(1 << 30) };

    fn refusal() -> Refusal {
        Refusal::CompilerDied { reason: "it was ended by signal 9".into() }
    }

    fn refused(now: SystemTime) -> Refused {
        Refused::new(&refusal(), LIMITS, now, SPAN)
    }

    #[test]
    fn a_refusal_is_read_back_until_its_time_is_over() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let bytes = refused(now).seal(&KEY, "this").expect("short");
        let read = || Refused::open(&bytes, &KEY, "this").expect("ours");
        assert!(!read().is_over(now));
        assert_eq!(read().under(LIMITS), Some(refusal()));
        assert!(!read().is_over(now + SPAN - Duration::from_secs(1)));
        assert!(read().is_over(now + SPAN));
        assert!(read().is_over(now - Duration::from_secs(1)), "the clock was set back");
    }

    #[test]
    fn a_refusal_holds_for_limits_no_higher_than_its_own() {
        let under = |cpu, memory| {
            let limits = CompilerLimits { cpu: Millis(cpu), memory: ByteCount(memory) };
            refused(UNIX_EPOCH).under(limits).is_some()
        };
        assert!(under(10_000, 1 << 30) && under(9_000, 1 << 30) && under(10_000, 1 << 29));
        assert!(!under(11_000, 1 << 30) && !under(10_000, (1 << 30) + 1));
        assert!(!under(1_000, 2 << 30), "one of them is higher");
    }

    #[test]
    fn under_lower_limits_a_refusal_names_these() {
        let time = Refusal::CompileTime { used: Millis(10_000), allowed: Millis(10_000) };
        let lower = CompilerLimits { cpu: Millis(2_000), memory: ByteCount(1 << 20) };
        let refused = Refused::new(&time, LIMITS, UNIX_EPOCH, SPAN);
        let expected = Refusal::CompileTime { used: Millis(10_000), allowed: Millis(2_000) };
        assert_eq!(refused.under(lower), Some(expected));
        let (used, allowed) = (LIMITS.memory, LIMITS.memory);
        let memory = Refusal::CompileMemory { used, allowed };
        let refused = Refused::new(&memory, LIMITS, UNIX_EPOCH, SPAN);
        let expected = Refusal::CompileMemory { used, allowed: lower.memory };
        assert_eq!(refused.under(lower), Some(expected));
    }

    #[test]
    fn a_refusal_of_something_else_or_of_another_key_or_altered_is_none() {
        let bytes = refused(UNIX_EPOCH).seal(&KEY, "this").expect("short");
        assert!(Refused::open(&bytes, &KEY, "that").is_none());
        assert!(Refused::open(&bytes, &[8; 32], "this").is_none());
        for place in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[place] ^= 1;
            assert!(Refused::open(&altered, &KEY, "this").is_none(), "byte {place}");
            assert!(Refused::open(&bytes[..place], &KEY, "this").is_none(), "cut at {place}");
        }
    }
}
