//! How often links ended, and when that is no accident any more: where the two sides do not
//! understand each other, or a question seems to end every link it is asked on.

use std::time::Duration;

use wasmgrid_net::{Backoff, LinkError};

use crate::ClientError;

/// A link that lived for so long was a good one: the next is dialled at once. Those that end sooner
/// are dialled after pauses that grow, so that no scheduler is flooded.
const GOOD: Duration = Duration::from_secs(2);

/// So many links that end because the two sides do not understand each other, with none between
/// that lived for [`MISUNDERSTOOD_WITHIN`], and no other is dialled.
const MISUNDERSTOOD_MAX: u32 = 3;

/// See [`MISUNDERSTOOD_MAX`].
const MISUNDERSTOOD_WITHIN: Duration = Duration::from_secs(60);

/// A question is not asked again on another link after so many that ended within [`SOON`] of each
/// other's begin: schedulers are restarted, and links break, but not so often on one question.
pub const ASKED_MAX: u32 = 10;

/// See [`ASKED_MAX`].
const SOON: Duration = Duration::from_secs(10);

/// See the module's text.
#[derive(Default)]
pub struct Tries {
    backoff: Backoff,
    misunderstood: u32,
}

impl Tries {
    /// A link ended that lived for so long; how, where it was not in order. Says whether it ended
    /// soon.
    ///
    /// # Errors
    /// [`ClientError::Misunderstood`] or [`ClientError::Removed`], where another link makes no sense.
    pub fn ended(&mut self, lived: Duration, end: Option<LinkError>) -> Result<bool, ClientError> {
        if lived >= GOOD {
            self.backoff.reset();
        }
        if lived >= MISUNDERSTOOD_WITHIN {
            self.misunderstood = 0;
        }
        if let Some(LinkError::Removed { reason, .. }) = end {
            return Err(ClientError::Removed(reason));
        }
        if let Some(error) = end.filter(LinkError::is_misunderstanding) {
            self.misunderstood += 1;
            if self.misunderstood >= MISUNDERSTOOD_MAX {
                let times = self.misunderstood;
                return Err(ClientError::Misunderstood { times, end: error });
            }
        }
        Ok(lived < SOON)
    }

    /// The pause before the next link is dialled.
    pub fn pause(&mut self) -> Duration {
        self.backoff.next()
    }
}
