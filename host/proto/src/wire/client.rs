//! Between a client and the scheduler.

use alloc::{sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    JobStatus, Reason, ResultBlock,
    frame::FrameError,
    text::Detail,
    wire::{ApiError, Body, ReplyFrame, RequestFrame, Unsendable, messages, shared},
};

messages! {
    /// What a client says.
    FromClient {
        /// A question; answered by one [`ToClient::Reply`] with the same number.
        0x0301 Request(RequestFrame),
        /// More room for results of a watch.
        0x0302 Credit(Credit),
        /// Send no more of a watch.
        0x0303 Unwatch(Unwatch),
    }
}

messages! {
    /// What the scheduler says to a client.
    ToClient {
        /// The answer to a request.
        0x0401 Reply(ReplyFrame),
        /// Results of a watched job, in the order of its result log.
        0x0402 Results(ResultsFrame),
        /// How a watched job stands; sent when it changes, a few times a second at most, and
        /// once for its end, after its last result.
        0x0403 Update(Update),
        /// A watch ends early: nothing more comes of it.
        0x0404 WatchEnded(WatchEnded),
    }
}

/// A request is measured before it is sent, where there is somebody to be told.
impl Unsendable for FromClient {}

impl Unsendable for ToClient {
    fn instead(&self, why: &FrameError) -> Option<Self> {
        let reason = Detail::of(why);
        match self {
            Self::Reply(frame) => {
                let reply = Err(Reason::AnswerTooLarge { reason }.into());
                Some(Self::Reply(ReplyFrame { id: frame.id, reply }))
            }
            Self::Results(frame) => {
                let (watch, cursor) = (frame.watch, frame.first_cursor);
                let error = Reason::ResultsTooLarge { cursor, reason }.into();
                Some(Self::WatchEnded(WatchEnded { watch, cursor, error }))
            }
            Self::Update(_) | Self::WatchEnded(_) => None,
        }
    }
}

/// See [`FromClient::Credit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Which watch.
    pub watch: u64,
    /// How many more bytes.
    pub bytes: u64,
}

/// See [`FromClient::Unwatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwatch {
    /// Which watch.
    pub watch: u64,
}

/// See [`ToClient::Results`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultsFrame {
    /// Which watch.
    pub watch: u64,
    /// The first result's position in the job's result log.
    pub first_cursor: u64,
    /// The results; their payloads stand one behind the other.
    #[serde(with = "shared::list")]
    pub blocks: Vec<Arc<ResultBlock>>,
}

impl ResultsFrame {
    /// What one result counts against a watch's credit beside its bytes: about what it takes in
    /// memory. Without it a flood of empty results would be free.
    pub const RESULT_COST: u64 = 128;

    /// How much of a watch's credit the frame uses up, in bytes. Both sides count by it.
    #[must_use]
    pub fn credit_bytes(&self) -> u64 {
        let results: u64 = self.blocks.iter().map(|block| block.results.len() as u64).sum();
        self.payload_len() + results * Self::RESULT_COST
    }
}

/// See [`ToClient::Update`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which watch.
    pub watch: u64,
    /// How the job stands.
    pub status: JobStatus,
}

/// See [`ToClient::WatchEnded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEnded {
    /// Which watch.
    pub watch: u64,
    /// The position behind the last result that was sent; frames of these may come later.
    pub cursor: u64,
    /// Why.
    pub error: ApiError,
}

impl Body for Credit {}
impl Body for Unwatch {}
impl Body for Update {}
impl Body for WatchEnded {}

impl Body for ResultsFrame {
    fn payload_len(&self) -> u64 {
        self.blocks.iter().map(|block| block.payload_len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Extensions, JobId, LeaseId, Outcome, ResultMeta, Usage, WorkerId};

    #[test]
    fn results_use_credit_for_their_bytes_and_for_their_number() {
        let meta = |output_len| ResultMeta {
            index: 0,
            outcome: Outcome::Ok,
            usage: Usage::default(),
            output_len,
            record_lens: vec![1, 2],
            log_len: 4,
            log_dropped: 99,
        };
        let block = |results| ResultBlock {
            job: JobId(1),
            lease: LeaseId(1),
            worker: WorkerId(1),
            attempt: 1,
            results,
            extensions: Extensions::NONE,
        };
        let blocks = [vec![meta(10), meta(0)], vec![meta(0)]].map(block).map(Arc::new).to_vec();
        let frame = ResultsFrame { watch: 1, first_cursor: 0, blocks };
        assert_eq!(frame.credit_bytes(), 10 + 3 * 7 + 3 * ResultsFrame::RESULT_COST);
    }
}
