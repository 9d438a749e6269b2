//! Inputs that failed, kept in a file, with all that is needed to run exactly these again: `wasmgrid
//! run --again FILE`. The file is a public interface, documented in `wasmgrid run --help`: JSON, one
//! value a line; first a [`Header`], then an [`Entry`] for each input, in the order of their
//! indices. The file of a run that can be gone on with (`--resume FILE`) is one of these, which also
//! has a [`Mark`] now and then. Not for explaining failures.

mod asked;
mod command;
mod header;
mod ordered;
mod progress;
mod read;
mod write;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasmgrid_views::Data;

pub use asked::Asked;
pub use command::{command, resume as resume_command};
pub use header::{Header, Here};
pub use progress::{Mark, Resume, chained};
pub use read::Again;
pub use write::{Keeper, Target, Written};

/// What the first line says that the file is.
const MARK: &str = "failed inputs";

/// The form of what is behind that; another one is another number.
const VERSION: u32 = 1;

/// One input.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    /// Its index in the job: with the seed it decides the task's randomness.
    index: u64,
    /// How its task ended, or `not run`.
    outcome: Cow<'a, str>,
    /// Where the input was from, `FILE:LINE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Cow<'a, str>>,
    /// Its bytes, unless it is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<Data<'a>>,
    /// The file that it is, as from the header's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Data<'a>>,
}
