//! Who can be given tasks, whose tasks wait, and who has which: the part of the scheduler that is
//! not durable, and is made anew at a start. It decides nothing by itself; see [`Placement`].

mod affinity;
mod books;
mod classes;
mod demand;
mod distrust;
mod fleet;
mod labels;
mod lease;
mod memory;
mod preparing;
mod queue;
mod running;
mod seen;
mod share;
mod worker;

pub use labels::claimed_key;

pub(crate) use books::{Booking, Placement};
pub(crate) use classes::ANY;
pub(crate) use demand::Demand;
pub(crate) use distrust::Distrust;
pub(crate) use fleet::could_run;
pub(crate) use lease::{Lease, Recall, epoch_of};
pub(crate) use queue::{Lost, Queue};
pub(crate) use seen::Watch;
pub(crate) use share::TenantView;
pub(crate) use worker::{Delivery, FULL, Worker};
