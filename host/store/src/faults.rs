//! Faults that a test asks for at a commit. Without the feature `conformance` a program has only
//! those of the failpoints, which a release build has not either.

#[cfg(feature = "conformance")]
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use wasmgrid_failpoints::{Place, fails};

/// How a commit ends in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The group is durable, and the answer is lost.
    AnswerLost,
    /// Nothing is written, which is not known either.
    Failed,
}

/// The faults that the next commits meet, in order; all handles of a store share them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    #[cfg(feature = "conformance")]
    planned: Arc<Mutex<VecDeque<Fault>>>,
}

impl Faults {
    /// The next try to write a group that no earlier fault is for meets this one.
    #[cfg(feature = "conformance")]
    pub fn plan(&self, fault: Fault) {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// What the try that is made now meets.
    pub(crate) fn take(&self) -> Option<Fault> {
        if fails(Place::StoreAnswerLost) {
            return Some(Fault::AnswerLost);
        }
        if fails(Place::StoreCommitFails) {
            return Some(Fault::Failed);
        }
        #[cfg(feature = "conformance")]
        {
            self.planned.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
        }
        #[cfg(not(feature = "conformance"))]
        {
            let _ = self;
            None
        }
    }
}
