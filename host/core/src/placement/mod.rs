//! Who can be given tasks, whose tasks wait, and who has which: the part of the scheduler that is
//! not durable, and is made anew at a start.

mod affinity;
mod classes;
mod demand;
mod distrust;
mod fleet;
mod labels;
mod lease;
mod memory;
mod preparing;
mod queue;
mod share;
mod worker;

pub use labels::claimed_key;

pub(crate) use classes::ANY;
pub(crate) use demand::Demand;
pub(crate) use distrust::Distrust;
pub(crate) use fleet::{Fleet, could_run};
pub(crate) use lease::{Lease, Leases, Recall, epoch_of};
pub(crate) use preparing::Preparing;
pub(crate) use queue::{Lost, Queue};
pub(crate) use share::{Shares, TenantView};
pub(crate) use worker::{FULL, Worker};
