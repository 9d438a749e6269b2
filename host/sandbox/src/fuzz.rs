//! Ways in for the fuzz targets of `fuzz/`, to what is private otherwise. Not an interface.

use bytes::Bytes;
use wasmgrid_proto::{
    frame::{self, FRAME_MAX},
    wire::Message,
};

use crate::runner::message::{FromRunner, ToRunner};

/// Reads what stands at the start of `bytes` as either side of a runner's socket would, down to
/// each task's result.
pub fn runner_message(bytes: &[u8]) {
    let Ok(Some(length)) = frame::frame_len(bytes, FRAME_MAX) else { return };
    let Some(frame) = bytes.get(..length) else { return };
    let frame = Bytes::copy_from_slice(frame);
    read::<ToRunner>(frame.clone(), |message, payload| {
        if let ToRunner::Run(run) = message {
            // What does not fit is an error, which the runner ends at.
            let _ = run.inputs.slice(payload, 1, run.inputs.count());
        }
    });
    read::<FromRunner>(frame, |message, payload| {
        let FromRunner::Results(results) = message else { return };
        for (meta, bytes) in results.block.entries(payload).into_iter().flatten() {
            let _ = meta.split(&bytes);
        }
    });
}

fn read<M: Message>(frame: Bytes, with: impl FnOnce(&M, &Bytes)) {
    if let Ok(Some(envelope)) = frame::decode::<M>(frame) {
        with(&envelope.message, &envelope.payload);
    }
}
