//! Sets of tasks in snapshots.

use alloc::vec::Vec;

use wasmgrid_proto::{JobId, SNAPSHOT_LIST, SnapshotItem, TaskRange, TaskSet};

use crate::ranges::RangeSet;

/// A set of a job's tasks as items of a snapshot.
pub(super) fn lists(job: JobId, set: TaskSet, tasks: &RangeSet, out: &mut dyn FnMut(SnapshotItem)) {
    let all: Vec<TaskRange> = tasks.iter().collect();
    for part in all.chunks(SNAPSHOT_LIST) {
        out(SnapshotItem::Tasks { job, set, tasks: part.to_vec() });
    }
}
