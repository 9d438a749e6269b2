//! What the scheduler asked back that may still be under way: a question overtakes the inputs of an
//! assignment. What comes of it afterwards goes back unbegun, so that what is asked back and not
//! given back has begun.

use std::collections::BTreeMap;

use wasmgrid_proto::{LeaseId, TaskRange};

use crate::queue::Piece;

/// Leases that are remembered; the oldest are forgotten. A question overtakes what was sent a moment
/// before it.
const LEASES_MAX: usize = 1_024;

/// What was asked back on this link, by lease.
#[derive(Debug, Default)]
pub(crate) struct Recalled(BTreeMap<LeaseId, Vec<TaskRange>>);

impl Recalled {
    /// These tasks of a lease are asked back.
    pub(crate) fn note(&mut self, lease: LeaseId, tasks: &[TaskRange]) {
        let known = self.0.entry(lease).or_default();
        let new = tasks.iter().filter(|range| !known.contains(range)).copied();
        let new: Vec<TaskRange> = new.collect();
        known.extend(new);
        if self.0.len() > LEASES_MAX {
            self.0.pop_first();
        }
    }

    /// Nothing overtakes what was said on another link.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Parts a piece that has come: what was asked back of it, and what is to be run.
    pub(crate) fn part(&self, piece: Piece) -> (Vec<Piece>, Vec<Piece>) {
        let Some(asked) = self.0.get(&piece.lease) else { return (Vec::new(), vec![piece]) };
        let (mut taken, mut keep) = (Vec::new(), Vec::new());
        piece.split(asked.clone(), &mut taken, |part| keep.push(part));
        (taken, keep)
    }
}
