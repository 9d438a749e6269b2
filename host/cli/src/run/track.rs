//! How far a run has come that can be gone on with: all results before an index are where they belong.
//! Not for the file that says so.

use std::time::{Duration, Instant};

use wasmgrid_proto::Digest;

use super::{
    again::{self, Mark},
    ledger::{Input, Place},
};

/// How often it is noted: what came since then is computed anew after a kill.
const EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub struct Track {
    /// The inputs whose results are printed.
    inputs: Digest,
    /// Where the last note was.
    noted: u64,
    due: Instant,
}

impl Track {
    /// Begins there.
    ///
    /// # Errors
    /// Where the mark is none.
    pub fn new(mark: &Mark) -> anyhow::Result<Self> {
        Ok(Self { inputs: mark.inputs.parse()?, noted: mark.next, due: Instant::now() + EVERY })
    }

    /// A result was printed, of this input.
    pub fn printed(&mut self, input: Option<&Input>) {
        let Some(Input { bytes, place }) = input else { return };
        let seen = match place {
            // The command line says what they are.
            Place::Range | Place::Single | Place::Stored(_) | Place::Deleted(_) => return,
            Place::Line { .. } => bytes,
            Place::File { path } => path.as_os_str().as_encoded_bytes(),
        };
        self.inputs = again::chained(self.inputs, seen);
    }

    /// Whether results before `next` are more than were noted.
    pub const fn is_more(&self, next: u64) -> bool {
        next > self.noted
    }

    /// Whether it is time to note them.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// That they are, with so many bytes of output.
    pub fn note(&mut self, next: u64, output_bytes: u64) -> Mark {
        (self.noted, self.due) = (next, Instant::now() + EVERY);
        Mark { next, output_bytes, inputs: self.inputs.to_string(), failed: 0 }
    }
}
