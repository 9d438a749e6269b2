//! Workers.

use wasmgrid_pages::{
    Axis, Block, Guest, Lanes, Line, Prose,
    overview::WorkerCounts,
    worker::{Layer, RunningRow, Worker},
    workers::{WorkerRow, Workers},
};
use wasmgrid_proto::{ByteCount, Failing, JobId, Micros, TaskId, WorkerId, WorkerState};

use super::{HOSTILE, NOW, ago, wave};

const GIB: u64 = 1 << 30;

fn row(id: u64, name: &str, state: WorkerState, busy: u64) -> WorkerRow {
    WorkerRow {
        id: WorkerId(id),
        name: Guest::new(name),
        address: Guest::new(format!("10.0.1.{id}:44057")),
        state,
        slots: 16,
        busy,
        memory: ByteCount(64 * GIB),
        memory_used: ByteCount(busy * GIB * 3 / 2),
        rate: f64::from(u32::try_from(busy).unwrap_or_default()) * 109.0,
        done: 9_118_402 + id * 31_007,
        jail: Some((10, 10)),
        labels: vec![Guest::new("zone=a")],
        heard_at: Some(NOW),
    }
}

/// A page of workers.
pub fn workers() -> Workers {
    let long = "build-agent-with-a-very-long-name.eu-central-1.compute.internal.example.org";
    let labels = ["zone=a", "arch=x86_64", "disk=nvme", "spot=true"].map(Guest::new);
    let failing = Failing { until: None, reason: "no runner starts: no memory".into() };
    let mut rows = vec![
        WorkerRow { heard_at: Some(ago(252)), ..row(7, "rack2-node-07", WorkerState::Gone, 0) },
        row(8, HOSTILE, WorkerState::Failing(failing), 0),
        row(12, "rack3-node-02", WorkerState::Draining, 4),
        row(15, "rack3-node-05", WorkerState::Cordoned, 11),
        WorkerRow {
            address: Guest::new("[2001:db8:85a3::8a2e:370:7334]:44057"),
            memory: ByteCount(32 * GIB),
            memory_used: ByteCount(31 * GIB + GIB / 2),
            jail: Some((8, 10)),
            labels: labels.into(),
            ..row(16, long, WorkerState::Ready, 16)
        },
    ];
    rows.extend(
        (1..8).map(|id| row(20 + id, &format!("rack1-node-{id:02}"), WorkerState::Ready, 16)),
    );
    Workers {
        now: NOW,
        counts: WorkerCounts { ready: 20, cordoned: 1, draining: 1, failing: 1, gone: 1 },
        slots: 368,
        busy: 351,
        state: String::new(),
        rows,
        cursor: String::new(),
        next: Some("rack1-node-08".into()),
        waiting_tasks: 0,
        waiting_jobs: 0,
    }
}

/// None is linked.
pub fn workers_none() -> Workers {
    Workers {
        counts: WorkerCounts::default(),
        slots: 0,
        busy: 0,
        rows: Vec::new(),
        next: None,
        waiting_tasks: 6_144,
        waiting_jobs: 2,
        ..workers()
    }
}

fn lanes() -> Lanes {
    let slot = |slot: u32| {
        let mut blocks = Vec::new();
        let mut from = 0.0;
        let mut step = slot * 5;
        while from < 1.0 {
            step += 1;
            let length = 0.04 + f64::from((step * 37 + slot * 11) % 23) / 110.0;
            if !step.is_multiple_of(7) {
                let (to, own) = ((from + length).min(1.0), !step.is_multiple_of(4));
                blocks.push(Block { from, to, own, failed: step.is_multiple_of(31) });
            }
            from += length;
        }
        blocks
    };
    Lanes {
        label: "What ran in each of the 16 slots over the last minute".into(),
        slots: (0..16).map(slot).collect(),
        from: ago(60),
        to: NOW,
    }
}

fn jail() -> Vec<Layer> {
    let layer =
        |name, holds, says: &str| Layer { name: Guest::new(name), holds, says: Prose::new(says) };
    vec![
        layer("descriptors", true, "all but the socket to the agent and memory files"),
        layer("limits", true, "core dumps, new processes, threads"),
        layer("namespaces", true, "the network, mounts, message queues, host name"),
        layer("root directory", true, "every path"),
        layer("seccomp", true, "all but about 40 system calls"),
        layer(
            "cgroup",
            false,
            "missing: no delegated cgroup. Run the worker as root, or with `Delegate=yes` in \
                 its unit",
        ),
    ]
}

/// A worker whose jail lacks a layer.
pub fn worker() -> Worker {
    let hour = (ago(3_600), NOW);
    let task = |job, index| TaskId { job: JobId(job), index };
    let running = |job, index, name: &str, us, more| RunningRow {
        task: task(job, index),
        more,
        job_name: Guest::new(name),
        us,
        progress: (us > 1_000_000).then_some((us / 1_000_000, 120)),
        memory: Some(ByteCount(us * 10)),
    };
    Worker {
        now: NOW,
        id: WorkerId(3),
        name: Guest::new("rack1-node-09"),
        address: Guest::new("10.0.1.19:44057"),
        state: WorkerState::Ready,
        heard_at: Some(NOW),
        linked_at: Some(ago(16 * 86_400)),
        slots: 16,
        busy: 16,
        queued: 12,
        memory: ByteCount(64 * GIB),
        memory_used: ByteCount(24 * GIB + GIB / 10),
        rate: 2.4,
        done: 48_204,
        runners_lost: Some((2, "1 killed at its deadline, 1 for memory".into())),
        lanes: Some(lanes()),
        lanes_job: "job 4175".into(),
        running: vec![
            running(4175, 61_189, "sim/galaxy-merger", 118_000_000, 0),
            running(4175, u64::MAX, HOSTILE, 21_400_000, 0),
            running(4187, 1_204_398, "nightly/split", 114_000, 0),
            running(4190, 9_211_481, "nightly/count", 14_000, 511),
        ],
        busy_line: Some(
            Line::new(
                "Busy slots over the last hour",
                Axis::Upto(16),
                hour,
                wave(14.0, 2.0, 60, 1),
            )
            .low(),
        ),
        memory_line: Some(
            Line::new(
                "Memory over the last hour",
                Axis::Bytes(64 * GIB),
                hour,
                wave(2.4e10, 3.0e9, 60, 2),
            )
            .low(),
        ),
        jail: jail(),
        labels: vec![Guest::new("zone=a"), Guest::new(HOSTILE)],
        engine: Guest::new("ca4a0477c880a03faf281f4cb5e0de18"),
        facts: vec![
            ("isolation", Guest::new("process")),
            ("at most", Guest::new("memory=1GiB timeout=10m")),
        ],
        certificate_ends: Some(Micros(NOW.0 + 74 * 86_400_000_000)),
    }
}
