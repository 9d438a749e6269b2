//! Batches to messages, and messages to events: what a driver sends, believes and gives back.

use std::sync::Arc;

use wasmgrid_proto::{Outcome, ResultBlock, TaskRange, frame::Envelope};

use super::{
    SlotEvent,
    shared::{SlotState, TakenBatch},
};
use crate::{
    runner::message::{RunBatch, ToRunner},
    time::now_us,
};

/// The message that runs what is left of a batch, which is one run of neighbours.
pub(super) fn run(taken: &TakenBatch, number: u64) -> Option<Envelope<ToRunner>> {
    let batch = &taken.batch;
    let left = taken.tasks.left().first()?;
    let skip = left.first - batch.first;
    // Lengths and payload were checked when the batch was queued.
    let (inputs, payload) = batch.inputs.slice(&batch.payload, skip, left.count).ok()?;
    let message = ToRunner::Run(Box::new(RunBatch {
        batch: number,
        job: batch.job,
        lease: batch.lease,
        attempt: batch.attempt,
        worker: batch.worker,
        spec: Arc::clone(&batch.spec),
        first: left.first,
        inputs,
    }));
    Some(Envelope { message, payload })
}

/// Takes the results out of what is left; false where one of them was not asked for.
pub(super) fn accept(sent: &mut TakenBatch, block: &ResultBlock) -> bool {
    let batch = &sent.batch;
    let expected = (batch.job, batch.lease, batch.worker, batch.attempt);
    (block.job, block.lease, block.worker, block.attempt) == expected
        && block.runs().all(|range| sent.take(range))
}

/// The task that ran when the runner died, as lost.
pub(super) fn blame(state: &mut SlotState, reason: &str) -> Option<SlotEvent> {
    let shown = state.unserve()?.shown()?;
    let sent = state.sent(shown.batch)?;
    let range = TaskRange { first: shown.index, count: 1 };
    let lost = Outcome::Lost(reason.to_owned());
    let usage = shown.usage(&sent.batch.spec.limits, now_us());
    sent.take(range).then(|| sent.batch.unrun(range, &lost, usage))
}
