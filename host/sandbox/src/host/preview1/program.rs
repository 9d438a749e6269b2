//! What a program has beside what every task has.

use wasmgrid_proto::Grant;
use wasmtime::Memory;

use super::descriptors::Descriptors;
use crate::stop::Stop;

/// See the module.
#[derive(Default)]
pub(crate) struct Preview1 {
    /// Known from the first call on: there is one instance in a store.
    pub(super) memory: Option<Memory>,
    descriptors: Option<Box<Descriptors>>,
}

impl Preview1 {
    /// What it has open, from the first call that asks for it on.
    ///
    /// # Errors
    /// If a granted directory cannot be opened.
    pub(super) fn descriptors(&mut self, grants: &[Grant]) -> Result<&mut Descriptors, Stop> {
        match &mut self.descriptors {
            Some(descriptors) => Ok(descriptors),
            none => Ok(none.insert(Box::new(Descriptors::new(grants)?))),
        }
    }
}
