//! Inputs of a job as the grid has them, which whoever reads its results may have asked for.

use bytes::Bytes;
use wasmgrid_proto::{InputBlock, TaskRange};

use crate::ClientError;

/// Inputs of neighbouring tasks; see [`Client::inputs`](crate::Client::inputs).
#[derive(Clone, Debug)]
pub struct StoredInputs {
    first: u64,
    inputs: InputBlock,
    payload: Bytes,
    /// Where each packed input ends in the payload: finding one must not cost a walk over all.
    ends: Vec<usize>,
}

impl StoredInputs {
    /// Those of an answer to a question for `asked`.
    ///
    /// # Errors
    /// [`ClientError::Protocol`], if they are of other tasks, or lengths and bytes do not fit together.
    pub fn new(
        first: u64,
        inputs: InputBlock,
        payload: Bytes,
        asked: TaskRange,
    ) -> Result<Self, ClientError> {
        let tasks = TaskRange { first, count: inputs.count() };
        let is_within = tasks.count == 0 || asked.intersect(tasks) == Some(tasks);
        if !is_within || inputs.check().is_err() || inputs.payload_len() != payload.len() as u64 {
            return Err(ClientError::Protocol("the inputs are not those that were asked for"));
        }
        let ends = match &inputs {
            InputBlock::Numbers { .. } => Vec::new(),
            InputBlock::Packed(lengths) => lengths
                .iter()
                .scan(0, |end, length| {
                    *end += *length as usize;
                    Some(*end)
                })
                .collect(),
        };
        Ok(Self { first, inputs, payload, ends })
    }

    /// Which tasks' inputs they are; none if none of those that were asked for is stored.
    #[must_use]
    pub fn tasks(&self) -> TaskRange {
        TaskRange { first: self.first, count: self.inputs.count() }
    }

    /// The input of a task, if it is among them. The bytes are not copied.
    #[must_use]
    pub fn input(&self, index: u64) -> Option<Bytes> {
        let at = index.checked_sub(self.first)?;
        match &self.inputs {
            InputBlock::Numbers { start, step, count } => {
                let number = i128::from(*start) + i128::from(*step) * i128::from(at);
                (at < *count).then(|| Bytes::from(number.to_string()))
            }
            InputBlock::Packed(_) => {
                let at = usize::try_from(at).ok()?;
                let end = *self.ends.get(at)?;
                let start = at.checked_sub(1).map_or(Some(0), |at| self.ends.get(at).copied())?;
                Some(self.payload.slice(start..end))
            }
        }
    }

    /// About how many bytes they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // Of each the length, and where it ends.
        self.payload.len() + self.ends.len() * (size_of::<u32>() + size_of::<usize>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(first: u64, inputs: InputBlock, payload: &'static [u8]) -> Option<StoredInputs> {
        let asked = TaskRange { first: 10, count: 5 };
        StoredInputs::new(first, inputs, Bytes::from_static(payload), asked).ok()
    }

    #[test]
    fn each_task_has_its_own_input() {
        let packed = inputs(11, InputBlock::Packed(vec![1, 0, 3]), b"abbb").expect("fits");
        let found: Vec<_> = (10..15).map(|index| packed.input(index)).collect();
        let text = |text: &'static str| Some(Bytes::from(text));
        assert_eq!(found, [None, text("a"), text(""), text("bbb"), None]);
        let numbers = InputBlock::Numbers { start: 3, step: -2, count: 3 };
        let numbers = inputs(10, numbers, b"").expect("fits");
        let found: Vec<_> = (9..14).map(|index| numbers.input(index)).collect();
        assert_eq!(found, [None, text("3"), text("1"), text("-1"), None]);
    }

    #[test]
    fn inputs_that_nobody_asked_for_are_refused() {
        assert!(inputs(10, InputBlock::Packed(Vec::new()), b"").is_some());
        assert!(inputs(9, InputBlock::Packed(vec![1]), b"a").is_none());
        assert!(inputs(14, InputBlock::Packed(vec![1, 1]), b"ab").is_none());
        assert!(inputs(10, InputBlock::Packed(vec![2]), b"a").is_none());
        assert!(inputs(10, InputBlock::Numbers { start: 1, step: 0, count: 2 }, b"").is_none());
    }
}
