//! One of everything that is told of what a scheduler counts of jobs, workers and the whole grid.

use wasmgrid_proto::{
    Attention, ByteCount, DiskUse, FailedKind, FailureCount, FailureGroup, Histogram, JobId,
    JobMetrics, JobRow, JobSummary, LastHour, Micros, Millis, Overview, Pace, Peak, Peaks,
    RateBucket, Rates, Reason, SlotCounts, SlotsBucket, SlotsOverTime, TaskMetrics, Wait,
    WorkerRow, Workers,
};

use crate::samples::{extensions, job_status, metrics, worker_report, worker_status};

pub fn job_summary() -> JobSummary {
    let mut wall_us = Histogram::default();
    [3, 70_000].into_iter().for_each(|duration_us| wall_us.count(duration_us));
    let peak = |most, reached| Peak { most, reached };
    JobSummary {
        status: job_status(),
        running: 1,
        since: Micros(1_000),
        pace: pace(),
        rates: rates(),
        wall_us,
        peaks: Peaks {
            fuel: peak(2_000_000_000, 388),
            wall_us: peak(10_000_000, 9),
            memory: peak(1 << 20, 1),
            output: peak(200, 2),
            record: peak(100, 3),
            log: peak(300, 4),
        },
        failures: vec![FailureGroup {
            kind: "limit(fuel)".into(),
            message: "used 2G of 2G allowed".into(),
            tasks: failure_count(),
            workers: vec!["worker-1".into(), "worker-2".into()],
            more_workers: true,
            sample: 9_113,
        }],
        other_failures: FailureCount { count: 5, ..failure_count() },
        extensions: extensions(),
    }
}

const fn failure_count() -> FailureCount {
    FailureCount { count: 388, first: Micros(2_000), last: Micros(3_000) }
}

const fn pace() -> Pace {
    Pace { ended: 94, within: Millis(10_000) }
}

fn rates() -> Rates {
    let bucket = RateBucket { ok: 300, failed: 2, wall_us: 70_000, longest_us: 9_000 };
    Rates { from: Micros(4_000), width: Millis(2_000), buckets: vec![bucket; 2] }
}

pub fn job_row() -> JobRow {
    JobRow { status: job_status(), running: 1, pace: pace(), extensions: extensions() }
}

pub fn worker_row() -> WorkerRow {
    WorkerRow {
        status: worker_status(),
        pace: pace(),
        memory_taken: ByteCount(1 << 29),
        report: Some(worker_report()),
        extensions: extensions(),
    }
}

pub fn overview() -> Overview {
    let example = Some((JobId(7), "no such tile".into()));
    let bucket = SlotsBucket { slots: 72_000, jobs: vec![60_000, 4_000], others: 1_000 };
    Overview {
        tenant: Some("ada".into()),
        since: Micros(1_000),
        slots: SlotCounts { busy: 60, idle: 5, cordoned: 4, draining: 3, failing: 2, gone: 16 },
        jobs: JobMetrics { submitted: 15, active: 2, ok: 3, failed: 4, cancelled: 5, expired: 1 },
        tasks: TaskMetrics { queued: 300, assigned: 7 },
        pace: pace(),
        rates: rates(),
        last_hour: LastHour {
            ended: 19_400,
            failed: vec![FailedKind { kind: "rejected".into(), count: 41, example }],
        },
        busy: SlotsOverTime {
            from: Micros(4_000),
            width: Millis(10_000),
            jobs: vec![JobId(7), JobId(9)],
            buckets: vec![bucket],
        },
        metrics: Some(metrics()),
        disk: Some(DiskUse { inputs: 1, results: 2, logs: 3, modules: 4, journal: 5 }),
        attention: attention(),
        extensions: extensions(),
    }
}

/// One of each.
fn attention() -> Vec<Attention> {
    let workers = || Workers { count: 9, names: vec!["worker-1".into()] };
    vec![
        Attention::Refuses { error: Reason::DiskFull.into() },
        Attention::NoWorker { workers: 2 },
        Attention::Gone(workers()),
        Attention::Failing(workers()),
        Attention::Stuck {
            tenant: "ada".into(),
            jobs: vec![JobId(7)],
            count: 2,
            wait: Wait::NoWorker,
        },
        Attention::Contested(workers()),
        Attention::JailLacks { workers: workers(), layers: vec!["cgroup".into()] },
        Attention::NotTaking(workers()),
    ]
}

#[test]
fn what_is_graver_stands_before_what_is_not_and_has_a_name_of_its_own() {
    let all = attention();
    assert!(all.is_sorted_by_key(Attention::gravity));
    let mut names: Vec<&str> = all.iter().map(Attention::name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
}
