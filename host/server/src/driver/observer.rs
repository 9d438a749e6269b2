//! Somebody who watches the driver at work: the simulator, which checks invariants while they can
//! be seen. A server has none, and its driver is compiled without.

use wasmgrid_core::{Grid, Output};

use super::batch::Item;

/// Is told what the driver does, in the order in which it does it.
pub trait Observer {
    /// The core has this output, which is about to be carried out.
    fn output(&mut self, grid: &Grid, output: &Output) {
        let _ = (grid, output);
    }

    /// This is going to be durable after all that was persisted before.
    fn persisted(&mut self, item: &Item) {
        let _ = item;
    }

    /// Something waits until all that was persisted so far is durable.
    fn held(&mut self) {}

    /// What was held first, and not yet released, does not wait any more.
    fn released(&mut self) {}

    /// What was held at this place among those that are not yet released rests on nothing that is not
    /// durable, and does not wait any more.
    fn let_go(&mut self, place: usize) {
        let _ = place;
    }
}

impl Observer for () {}
