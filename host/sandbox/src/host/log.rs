//! A task's log: what it wrote to stderr and to `wasi:logging`, and to stdout where that is not its
//! output, up to its limit. What comes after is dropped and counted, which is no error.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Log {
    kept: Vec<u8>,
    dropped: u64,
    allowed: usize,
}

impl Log {
    pub(super) fn new(allowed: u64) -> Self {
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        Self { kept: Vec::new(), dropped: 0, allowed }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        let room = self.allowed.saturating_sub(self.kept.len());
        let (kept, dropped) = bytes.split_at(room.min(bytes.len()));
        self.kept.extend_from_slice(kept);
        self.dropped = self.dropped.saturating_add(dropped.len() as u64);
    }

    /// Counts what cannot be kept whatever it is; nothing that comes after is kept either.
    pub(super) fn drop_bytes(&mut self, count: usize) {
        self.allowed = self.kept.len();
        self.dropped = self.dropped.saturating_add(count as u64);
    }

    /// What was kept.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// How many bytes were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_first_bytes_and_counts_the_rest() {
        let mut log = Log::new(4);
        log.write(b"abc");
        log.write(b"defg");
        log.write(b"h");
        assert_eq!((log.kept(), log.dropped()), (&b"abcd"[..], 4));
    }
}
