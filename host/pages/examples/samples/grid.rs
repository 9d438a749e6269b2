//! Overviews and functions.

use wasmgrid_pages::{
    Axis, Guest, Line, Prose, Spark,
    functions::{FunctionRow, Functions},
    overview::{
        Attention, Away, Disk, DiskFull, Failures, Mark, Overview, TenantSlots, WaitingJob,
        WorkerCounts,
    },
};
use wasmgrid_proto::{ByteCount, Digest, JobId};

use super::{HOSTILE, NOW, ago, rows, wave};

const GIB: u64 = 1 << 30;

/// A busy grid.
pub fn overview() -> Overview {
    let window = (ago(600), NOW);
    let mut values = wave(9_600.0, 1_200.0, 75, 1);
    values.extend(wave(41_270.0, 2_000.0, 46, 2));
    let label = "Tasks that ended each second over the last 10 minutes: 41,270 now";
    let mut busy = wave(205.0, 20.0, 75, 3);
    busy.extend(wave(350.0, 1.0, 46, 4));
    let rate_line = Line::new(label, Axis::Number, window, values).wide();
    let slots_line =
        Line::new("Busy slots over the last 10 minutes", Axis::Upto(368), window, busy).low();
    Overview {
        now: NOW,
        away: None,
        disk_full: None,
        rate: 41_270.0,
        rate_mean: 22_140.0,
        slots: 368,
        slots_busy: 351,
        slots_closed: 17,
        jobs_run: 4,
        jobs_wait: 3,
        jobs_ended: 118,
        failed: 2_566,
        ended: 19_412_008,
        failed_jobs: 7,
        attention: attention(),
        rate_line,
        rate_note: Prose::new("From 14:28 on: job ").link("/jobs/4182", "4182"),
        slots_line,
        tenants: [("ada", 3, 252), ("bob", 1, 94), ("shop", 1, 5)]
            .map(|(name, weight, slots)| TenantSlots {
                name: Guest::new(name),
                weight: Some(weight),
                slots,
            })
            .into(),
        running: rows().into_iter().filter(|row| row.rate.is_some()).collect(),
        waiting: waiting(),
        failures: failures(),
        workers: WorkerCounts { ready: 21, cordoned: 1, draining: 1, failing: 0, gone: 1 },
        disk: Some(Disk {
            total: ByteCount(500 * GIB),
            free: ByteCount(94 * GIB + (8 << 27)),
            results: ByteCount(310 * GIB + (2 << 27)),
            journal: ByteCount(5 << 29),
            modules: ByteCount(6 * GIB),
            module_count: 412,
        }),
    }
}

fn attention() -> Vec<Attention> {
    vec![
        Attention {
            mark: Mark::Lost,
            text: Prose::default()
                .link("/workers/rack2-node-07", "rack2-node-07")
                .say(" is gone for 4m12s. Its 332 tasks went to other workers."),
            help: Prose::new(
                "It comes back by itself when its machine does; there, `wasmgrid worker` starts it.",
            ),
        },
        Attention {
            mark: Mark::Waits,
            text: Prose::new("Job ")
                .link("/jobs/4188", "4188 embed/train-shards")
                .say(": 2,048 tasks wait, since no linked worker has all the labels it requires: ")
                .code("gpu=a100")
                .say(" (0 workers have it)."),
            help: Prose::new(
                "Start a worker with these labels (`wasmgrid worker --label gpu=a100`), or submit \
                 the job with other ones.",
            ),
        },
        Attention {
            mark: Mark::Lost,
            text: Prose::new(
                "The scheduler’s disk is 81 % full, and full in about 9h at the rate of the last \
                 hour.",
            ),
            help: Prose::new(
                "Keep less (`wasmgrid server --keep-bytes 200GiB`), or make room on it.",
            ),
        },
    ]
}

fn waiting() -> Vec<WaitingJob> {
    let job = |id, name: &str, tasks, why| WaitingJob {
        id: JobId(id),
        name: Guest::new(name),
        tasks,
        why,
    };
    vec![
        job(
            4188,
            "embed/train-shards",
            2_048,
            Prose::new("no linked worker has all the labels it requires: ").guest("gpu=a100"),
        ),
        job(4192, HOSTILE, 1, Prose::new("they are given out now")),
        job(
            4193,
            "orders-in",
            0,
            Prose::new("all inputs so far were given out, and more may come"),
        ),
    ]
}

fn failures() -> Vec<Failures> {
    let group = |kind: &str, tasks, of| Failures { kind: kind.into(), tasks, of };
    vec![
        group(
            "trap",
            2_090,
            Prose::new("unreachable executed (a panic or an abort, in most languages)"),
        ),
        group("limit", 431, Prose::new("fuel 388, deadline 41, output 2")),
        group("rejected", 41, Prose::default().guest(HOSTILE)),
        group("lost", 4, Prose::default().guest("rack2-node-07").say(" was not heard of for 10s")),
    ]
}

/// Nothing is there yet.
pub fn overview_new() -> Overview {
    let none = Line::new("", Axis::Number, (ago(600), NOW), Vec::new());
    Overview {
        rate: 0.0,
        rate_mean: 0.0,
        slots: 0,
        slots_busy: 0,
        slots_closed: 0,
        jobs_run: 0,
        jobs_wait: 0,
        jobs_ended: 0,
        failed: 0,
        ended: 0,
        failed_jobs: 0,
        attention: Vec::new(),
        rate_line: none.clone(),
        rate_note: Prose::default(),
        slots_line: none,
        tenants: Vec::new(),
        running: Vec::new(),
        waiting: Vec::new(),
        failures: Vec::new(),
        workers: WorkerCounts::default(),
        disk: None,
        ..overview()
    }
}

/// The scheduler cannot be reached.
pub fn overview_away() -> Overview {
    let away = Away { address: "10.0.4.2:7433".into(), since: ago(59) };
    Overview { away: Some(away), attention: Vec::new(), ..overview() }
}

/// Its disk is full.
pub fn overview_disk_full() -> Overview {
    let mut page = overview();
    page.disk_full = Some(DiskFull { results: 48_112, folder: "/var/lib/wasmgrid".into() });
    page.rate = 0.0;
    page.attention.clear();
    if let Some(disk) = &mut page.disk {
        disk.free = ByteCount(0);
    }
    for row in &mut page.running {
        row.rate = Some(0.0);
        row.left = wasmgrid_pages::jobs::Left::Unknown;
    }
    page
}

/// What a client sees of it.
pub fn overview_of_a_client() -> Overview {
    let mut page = overview();
    page.disk = None;
    page.tenants.truncate(1);
    page.attention.truncate(1);
    page.failures.clear();
    page
}

/// Functions of a shop.
pub fn functions() -> Functions {
    let function = |name: &str, rate: f64, seed: u32| FunctionRow {
        name: Guest::new(name),
        rate,
        hour: Spark {
            label: format!("Calls per second of {} over an hour", Guest::new(name).plain()),
            values: wave(rate, rate / 2.0, 40, seed),
        },
        p50_us: (rate > 0.0).then_some(3_100),
        p99_us: (rate > 0.0).then_some(1_204_000),
        failed: u64::from(seed % 2) * 4,
        module: Digest([0xb2; 32]),
        grants: if seed == 3 { vec![Guest::new("env:LOCALE=de")] } else { Vec::new() },
        deployed_at: ago(u64::from(seed) * 90_000),
    };
    Functions {
        now: NOW,
        rows: vec![
            function("resize", 118.0, 2),
            function("classify", 31.0, 1),
            function("invoice-pdf-with-a-name-of-sixty-three-characters-as-the-most-0", 0.2, 3),
            function("hello", 0.0, 0),
        ],
        cursor: String::new(),
        next: None,
        base: "https://grid.example:7434".into(),
    }
}

/// None yet.
pub fn functions_none() -> Functions {
    Functions { rows: Vec::new(), ..functions() }
}
