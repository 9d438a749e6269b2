//! One budget for results on their whole way: from the runner that made one over the agent, the
//! scheduler and its log to whoever reads it. What is within it where it is accepted fits each frame
//! on the way, with whatever wraps it there; what is not within it is cut, or ends in a typed outcome,
//! before it is accepted.
//!
//! Sizes here are of the wire with each number at its longest, so that another number in the same
//! place (a job's, a cursor's) makes no difference.

use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use crate::{
    Limit, Outcome, ResultBlock, ResultMeta,
    frame::{FRAME_MAX, HEADER_LEN, META_MAX},
    text::{TEXT_MAX, shorten},
    wire::LIST_MAX,
};

/// A result's numbers: its index, use and lengths, and what an outcome has beside its text. A test
/// encodes the longest.
pub const RESULT_FIXED: usize = 96;

/// A number of 32 bits at its longest.
const LENGTH: usize = 5;

/// What wraps the results of a block: the job, lease, worker, attempt and count, and that there are
/// no extensions.
pub const BLOCK_META: usize = 48;

/// The longest meta of one result.
pub const RESULT_META_MAX: usize = RESULT_FIXED + TEXT_MAX + LENGTH * LIST_MAX;

/// The longest payload of one result. Beside it every meta has room in a frame.
pub const RESULT_PAYLOAD_MAX: usize = FRAME_MAX - META_MAX - HEADER_LEN;

/// The longest meta of the results in one message, blocks included. The other half of a meta is room
/// for what else the message says.
pub const RESULTS_META_MAX: usize = META_MAX / 2;

const _: () = assert!(RESULT_META_MAX + BLOCK_META <= RESULTS_META_MAX, "one result always fits");

impl ResultMeta {
    /// The most that the result takes on the wire, its payload apart.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        RESULT_FIXED + self.varying_bytes()
    }

    /// What of that is not the same for all results: its text and its list of records.
    #[must_use]
    pub fn varying_bytes(&self) -> usize {
        self.outcome.text().map_or(0, str::len) + self.record_lens.len() * LENGTH
    }

    /// Makes the result fit the budget: a text that is too long is cut, and a result of too many
    /// bytes or records ends as `limit(output)` without them. False where its payload is to go.
    #[must_use]
    pub fn fit(&mut self) -> bool {
        self.cut_text();
        if self.record_lens.len() <= LIST_MAX && self.payload_len() <= RESULT_PAYLOAD_MAX as u64 {
            return true;
        }
        let (used, allowed) = (self.payload_len(), RESULT_PAYLOAD_MAX as u64);
        self.outcome = Outcome::Limit { limit: Limit::Output, used, allowed };
        self.drop_payload();
        false
    }

    /// The result is without its output, records and log from now on.
    pub fn drop_payload(&mut self) {
        self.record_lens = Vec::new();
        self.log_dropped = self.log_dropped.saturating_add(u64::from(self.log_len));
        (self.output_len, self.log_len) = (0, 0);
    }

    fn cut_text(&mut self) {
        if let Some(text) = self.outcome.text_mut() {
            shorten(text, TEXT_MAX);
        }
    }
}

impl ResultBlock {
    /// The most that the block takes on the wire, its payload apart.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        let results = self.results.iter().map(ResultMeta::wire_bytes);
        BLOCK_META + self.extensions.bytes() + results.sum::<usize>()
    }

    /// Makes each result [fit](ResultMeta::fit) the budget; gives what is left of `payload`, which
    /// is the block's.
    #[must_use]
    pub fn fit(&mut self, payload: Bytes) -> Bytes {
        // No result has more bytes than all of them.
        let is_large = payload.len() > RESULT_PAYLOAD_MAX;
        let is_over = |meta: &ResultMeta| {
            meta.record_lens.len() > LIST_MAX
                || (is_large && meta.payload_len() > RESULT_PAYLOAD_MAX as u64)
        };
        if !self.results.iter().any(is_over) {
            self.results.iter_mut().for_each(ResultMeta::cut_text);
            return payload;
        }
        let (mut rest, mut kept) = (payload, BytesMut::new());
        for meta in &mut self.results {
            let length = usize::try_from(meta.payload_len()).unwrap_or(usize::MAX);
            let bytes = rest.split_to(length.min(rest.len()));
            if meta.fit() {
                kept.extend_from_slice(&bytes);
            }
        }
        kept.freeze()
    }

    /// The block in as many pieces as one message each takes, with their parts of `payload`. Its
    /// results fit the budget.
    pub fn pieces(mut self, mut payload: Bytes) -> impl Iterator<Item = (Self, Bytes)> {
        let mut results = mem::take(&mut self.results);
        core::iter::from_fn(move || {
            let count = fitting(&results, RESULTS_META_MAX);
            let rest = results.split_off(count);
            let (results, extensions) = (mem::replace(&mut results, rest), self.extensions.clone());
            let piece = Self { results, extensions, ..self };
            let length = usize::try_from(piece.payload_len()).unwrap_or(usize::MAX);
            let bytes = payload.split_to(length.min(payload.len()));
            (count > 0).then_some((piece, bytes))
        })
    }
}

/// How many of the first of these results fit one message whose blocks have so much meta, as one
/// block; at least one, where there is one.
#[must_use]
pub fn fitting(results: &[ResultMeta], meta_max: usize) -> usize {
    let (mut meta, mut payload) = (BLOCK_META, 0_u64);
    let fits = |result: &&ResultMeta| {
        meta += result.wire_bytes();
        payload = payload.saturating_add(result.payload_len());
        meta <= meta_max && payload <= RESULT_PAYLOAD_MAX as u64
    };
    results.iter().take_while(fits).count().max(results.len().min(1))
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, sync::Arc, vec};

    use super::*;
    use crate::{
        EXTENSIONS_BYTES_MAX, EXTENSIONS_MAX, Extension, Extensions, JobId, LeaseId, TrapKind,
        Usage, WorkerId,
        frame::{Envelope, encode_one},
        wire::{FromWorker, ResultsFrame, ToClient, WorkerResults},
    };

    fn longest(outcome: Outcome) -> ResultMeta {
        let usage = Usage { fuel: u64::MAX, memory_bytes: u64::MAX, wall_us: u64::MAX };
        ResultMeta {
            index: u64::MAX,
            outcome,
            usage,
            output_len: u32::MAX,
            record_lens: Vec::new(),
            log_len: u32::MAX,
            log_dropped: u64::MAX,
        }
    }

    fn block(results: Vec<ResultMeta>) -> ResultBlock {
        let (job, lease, worker) = (JobId(u64::MAX), LeaseId(u64::MAX), WorkerId(u64::MAX));
        ResultBlock { job, lease, worker, attempt: u32::MAX, results, extensions: most() }
    }

    /// As many extensions as there may be, of as many bytes.
    fn most() -> Extensions {
        let bytes = vec![0; EXTENSIONS_BYTES_MAX / EXTENSIONS_MAX];
        let extension = |number: usize| {
            let id = u16::MAX - (EXTENSIONS_MAX - number) as u16;
            Extension { id, critical: false, bytes: bytes.clone() }
        };
        Extensions::new((0..EXTENSIONS_MAX).map(extension).collect()).expect("just allowed")
    }

    #[test]
    fn no_result_takes_more_on_the_wire_than_is_counted_for_it() {
        let text = || "x".repeat(TEXT_MAX);
        let (limit, most) = (Limit::Resources, u64::MAX);
        for outcome in [
            Outcome::Ok,
            Outcome::Exit(i32::MIN),
            Outcome::Limit { limit, used: most, allowed: most },
            Outcome::Trap { kind: TrapKind::Other, backtrace: text() },
            Outcome::Lost(text()),
            Outcome::Lost(String::new()),
        ] {
            let mut meta = longest(outcome);
            for records in [0, 1, 127, LIST_MAX] {
                meta.record_lens = vec![u32::MAX; records];
                let bytes = postcard::to_allocvec(&meta).expect("encoded").len();
                assert!(bytes <= meta.wire_bytes(), "{bytes}, {} counted", meta.wire_bytes());
                assert!(meta.wire_bytes() <= RESULT_META_MAX);
                let block = block(vec![meta.clone()]);
                let bytes = postcard::to_allocvec(&block).expect("encoded").len();
                assert!(bytes <= block.wire_bytes(), "{bytes}, {} counted", block.wire_bytes());
            }
        }
    }

    /// The property that the budget is for: whatever a result is, what becomes of it fits a frame to
    /// the scheduler and one to a client.
    #[test]
    fn a_result_of_any_size_fits_each_frame_on_its_way_or_ends_in_a_typed_outcome() {
        let texts = [0, 1, TEXT_MAX - 1, TEXT_MAX, TEXT_MAX + 1, META_MAX - 200, META_MAX];
        let outputs = [0, RESULT_PAYLOAD_MAX - 1, RESULT_PAYLOAD_MAX, RESULT_PAYLOAD_MAX + 1];
        for text in texts {
            for output in outputs {
                for records in [0, 1, LIST_MAX, LIST_MAX + 1] {
                    let mut meta = longest(Outcome::Rejected("y".repeat(text)));
                    (meta.output_len, meta.log_len) = (u32::try_from(output).expect("small"), 0);
                    meta.record_lens = vec![0; records];
                    let sent = (text, output, records);
                    let mut sized = block(vec![meta]);
                    let payload = sized.fit(Bytes::from(vec![0; output]));
                    let is_kept = output <= RESULT_PAYLOAD_MAX && records <= LIST_MAX;
                    assert_eq!(payload.len(), if is_kept { output } else { 0 }, "{sent:?}");
                    let named = sized.results[0].outcome.name();
                    assert_eq!(named, if is_kept { "rejected" } else { "limit" }, "{sent:?}");
                    assert!(sized.wire_bytes() <= RESULTS_META_MAX, "{sent:?}");
                    let blocks = vec![Arc::new(sized)];
                    let results = WorkerResults { batch: u64::MAX, blocks: blocks.clone() };
                    let message = FromWorker::Results(results);
                    encode_one(&Envelope { message, payload: payload.clone() }).expect("fits");
                    let (watch, first_cursor) = (u64::MAX, u64::MAX);
                    let message = ToClient::Results(ResultsFrame { watch, first_cursor, blocks });
                    encode_one(&Envelope { message, payload }).expect("fits");
                }
            }
        }
    }

    #[test]
    fn a_block_in_pieces_is_the_block() {
        let results: Vec<_> = (0..600)
            .map(|index| {
                let mut meta = longest(Outcome::Refused("z".repeat(8_000)));
                (meta.index, meta.output_len, meta.log_len) = (index, 3, 0);
                meta
            })
            .collect();
        let payload = Bytes::from_iter((0..1_800_u32).map(|at| at as u8));
        let pieces: Vec<_> = block(results.clone()).pieces(payload.clone()).collect();
        assert!(pieces.len() >= 600 * 8_000 / RESULTS_META_MAX, "{}", pieces.len());
        let (mut joined, mut bytes) = (Vec::new(), Vec::new());
        for (piece, part) in pieces {
            assert!(piece.wire_bytes() <= RESULTS_META_MAX);
            assert_eq!(piece.payload_len(), part.len() as u64);
            joined.extend(piece.results);
            bytes.extend_from_slice(&part);
        }
        assert!(joined == results && bytes == payload);
        assert_eq!(block(Vec::new()).pieces(Bytes::new()).count(), 0);
    }
}
