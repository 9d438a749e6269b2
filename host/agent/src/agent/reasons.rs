//! Why tasks go back, or end without having run: short texts for people.

/// The scheduler asked for them.
pub(super) const TAKEN_BACK: &str = "taken back";

/// Their job is cancelled.
pub(super) const CANCELLED: &str = "the job was cancelled";

/// The worker ends.
pub(super) const LEAVING: &str = "the worker leaves";

/// The machine is not able to run any.
pub(super) const UNABLE: &str = "the worker's machine cannot run tasks";

/// The slots are gone under the worker.
pub(super) const SANDBOX_ENDED: &str = "the worker's sandbox has ended";

/// Their module cannot be had.
pub(super) const NO_COPY: &str =
    "the scheduler has no copy of the module or of a blob; submit the job again";
