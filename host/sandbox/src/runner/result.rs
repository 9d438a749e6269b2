//! Results of tasks that did not come to an end of their own.

use bytes::BytesMut;
use wasmgrid_proto::{Outcome, ResultMeta, Usage};

/// A result of a task that was not run.
pub(super) fn unrun(index: u64, outcome: Outcome) -> ResultMeta {
    ResultMeta {
        index,
        outcome,
        usage: Usage::default(),
        output_len: 0,
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    }
}

/// Makes `result` one of a cancelled task: however it ended, only its log is kept.
pub(super) fn discard(result: &mut ResultMeta, payload: &mut BytesMut, by: String) {
    let log_len = (result.log_len as usize).min(payload.len());
    let _ = payload.split_to(payload.len() - log_len);
    result.output_len = 0;
    result.record_lens.clear();
    result.outcome = Outcome::Cancelled(by);
}
