//! The inputs of a batch, one by one.

use bytes::Bytes;
use wasmgrid_proto::InputBlock;

/// See the module.
pub(super) struct TaskInputs {
    block: InputBlock,
    payload: Bytes,
    place: u64,
}

impl TaskInputs {
    /// Those of this block, which has lengths, in `payload`.
    pub(super) fn new(block: InputBlock, payload: Bytes) -> Self {
        Self { block, payload, place: 0 }
    }
}

impl Iterator for TaskInputs {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.place >= self.block.count() {
            return None;
        }
        let place = self.place;
        self.place += 1;
        match &self.block {
            InputBlock::Numbers { start, step, .. } => {
                let number = i128::from(*start) + i128::from(*step) * i128::from(place);
                Some(number.to_string().into())
            }
            InputBlock::Packed(lengths) => {
                let length = *lengths.get(usize::try_from(place).ok()?)? as usize;
                Some(self.payload.split_to(length.min(self.payload.len())))
            }
        }
    }
}
