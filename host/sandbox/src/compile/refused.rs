//! A refusal as it is kept on disk: magic, MAC, and when it was made, until when it holds and what
//! it says. The MAC is keyed as that of compiled code and covers what the refusal is of, so that
//! nobody who can write to the directory can have a module refused.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::Refusal;

const MAGIC: &[u8; 16] = b"wasmgrid refuse1";
const MAC_AT: usize = MAGIC.len();
const BODY_AT: usize = MAC_AT + blake3::OUT_LEN;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    made_s: u64,
    until_s: u64,
    refusal: Refusal,
}

impl Refused {
    pub(super) fn new(refusal: &Refusal, now: SystemTime, span: Duration) -> Self {
        let made_s = seconds(now);
        let until_s = made_s.saturating_add(span.as_secs());
        Self { made_s, until_s, refusal: refusal.clone() }
    }

    /// What it says, where it holds at this time. It does not where the clock was set back.
    pub(super) fn at(self, now: SystemTime) -> Option<Refusal> {
        (self.made_s..self.until_s).contains(&seconds(now)).then_some(self.refusal)
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
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const SPAN: Duration = Duration::from_secs(600);

    fn refusal() -> Refusal {
        Refusal::CompilerDied { reason: "it was ended by signal 9".into() }
    }

    #[test]
    fn a_refusal_is_read_back_until_its_time_is_over() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let bytes = Refused::new(&refusal(), now, SPAN).seal(&KEY, "this").expect("short");
        let at = |now| Refused::open(&bytes, &KEY, "this").expect("ours").at(now);
        assert_eq!(at(now), Some(refusal()));
        assert_eq!(at(now + SPAN - Duration::from_secs(1)), Some(refusal()));
        assert_eq!(at(now + SPAN), None);
        assert_eq!(at(now - Duration::from_secs(1)), None, "the clock was set back");
    }

    #[test]
    fn a_refusal_of_something_else_or_of_another_key_or_altered_is_none() {
        let bytes = Refused::new(&refusal(), UNIX_EPOCH, SPAN).seal(&KEY, "this").expect("short");
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
