//! Made-up content of every page: for the gallery, and for the tests.

#![allow(dead_code, reason = "each of its users needs a part of it")]

mod grid;
mod jobs;
mod workers;

use wasmgrid_pages::{Guest, Liveness, Nav, Page, Shell, cancel, keys, login, plain};
use wasmgrid_proto::{JobId, Micros, Millis, wire::Role};

pub use self::{grid::*, jobs::*, workers::*};

/// 14:32:07 on the 30th of November 2026.
pub const NOW: Micros = Micros(1_796_049_127_000_000);

/// A text that does everything that a guest could try.
pub const HOSTILE: &str =
    "<img src=x onerror=alert(1)>\"' onload=\"x\u{202e}gnp.exe\u{1b}[31m\u{200b}</bdi></td>";

/// So many seconds ago.
pub fn ago(seconds: u64) -> Micros {
    Micros(NOW.0 - seconds * 1_000_000)
}

/// What an operator's pages share.
pub fn operator() -> Shell {
    Shell {
        grid: Guest::new("lab"),
        user: Guest::new("ada"),
        role: Role::Operator,
        csrf: "f0rgery-t0ken".into(),
        live: Liveness::Live,
    }
}

/// What a client's pages share.
pub fn client() -> Shell {
    Shell { user: Guest::new("bob"), role: Role::Client, ..operator() }
}

/// Numbers that look measured: a wave around `mean`, the same each time.
pub fn wave(mean: f64, swing: f64, count: u32, seed: u32) -> Vec<Option<f64>> {
    let at = |step: u32| {
        let turn = f64::from(step * 7 + seed * 13);
        mean + swing * ((turn / 5.0).sin() * 0.6 + (turn * 1.7).sin() * 0.4)
    };
    (0..count).map(|step| Some(at(step))).collect()
}

/// Every page and state by name, with its shell.
pub fn pages() -> Vec<(&'static str, Shell, Box<dyn Page>)> {
    let away = Shell { live: Liveness::Away(ago(59)), ..operator() };
    vec![
        ("overview", operator(), Box::new(overview())),
        ("overview-new", operator(), Box::new(overview_new())),
        ("overview-away", away, Box::new(overview_away())),
        ("overview-disk-full", operator(), Box::new(overview_disk_full())),
        ("overview-client", client(), Box::new(overview_of_a_client())),
        ("jobs", operator(), Box::new(jobs())),
        ("jobs-none", operator(), Box::new(jobs_none())),
        ("job", operator(), Box::new(job())),
        ("job-text", operator(), Box::new(job_as_text())),
        ("job-waiting", client(), Box::new(job_waiting())),
        ("job-ended", client(), Box::new(job_ended())),
        ("task", operator(), Box::new(task())),
        ("task-ok", client(), Box::new(task_ok())),
        ("task-queued", client(), Box::new(task_queued())),
        ("workers", operator(), Box::new(workers())),
        ("workers-none", operator(), Box::new(workers_none())),
        ("worker", operator(), Box::new(worker())),
        ("functions", client(), Box::new(functions())),
        ("functions-none", client(), Box::new(functions_none())),
        ("keys", operator(), Box::new(keys())),
        ("keys-none", client(), Box::new(keys::Keys { now: NOW, rows: Vec::new(), next: None })),
        ("about", operator(), Box::new(about())),
        ("cancel", operator(), Box::new(cancel())),
        (
            "revoke",
            operator(),
            Box::new(cancel::Confirm::revoke("9f3c1a6be2d40817", HOSTILE.into())),
        ),
        ("not-found", client(), Box::new(plain::Problem::no_job("99", Some("30d")))),
        ("away", client(), Box::new(plain::Problem::away("/jobs/7", Nav::Jobs, "10.0.4.2:7433"))),
        ("forged", client(), Box::new(plain::Problem::forged())),
    ]
}

/// The pages before a browser is logged in, by name.
pub fn doors() -> Vec<(&'static str, login::Login)> {
    let door = |says| login::Login { grid: Guest::new("lab"), says, valid: Millis(120_000) };
    vec![
        ("login", door(login::LoginSays::Command)),
        ("login-old-link", door(login::LoginSays::OldLink)),
        ("login-take", door(login::LoginSays::Take)),
        ("login-out", door(login::LoginSays::LoggedOut)),
        ("login-ended", door(login::LoginSays::Ended)),
    ]
}

fn cancel() -> cancel::Confirm {
    let stake = cancel::AtStake { queued: 2_690_070, running: 5_812, results: 7_304_118 };
    cancel::Confirm::cancel(JobId(4182), Guest::new("tiles/seahorse-z16"), stake, true)
}

fn about() -> plain::About {
    plain::About {
        version: "0.1.0".into(),
        scheduler_version: "0.1.0".into(),
        base: "https://grid.example:7434".into(),
        facts: vec![
            ("scheduler", Guest::new("10.0.4.2:7433")),
            ("grid’s authority", Guest::new("ca4a0477c880a03f")),
        ],
    }
}

/// Keys of all kinds.
pub fn keys() -> keys::Keys {
    let key = |id: &str, name: &str| keys::KeyRow {
        id: id.into(),
        name: Guest::new(name),
        tenant: Guest::new("ada"),
        role: Role::Client,
        is_session: false,
        created_at: ago(40 * 86_400),
        expires_at: Some(Micros(NOW.0 + 50 * 86_400_000_000)),
        last_used: Some(ago(3_600)),
        revoked: false,
    };
    let rows = vec![
        key("9f3c1a6be2d40817", "ci"),
        keys::KeyRow {
            role: Role::Operator,
            is_session: true,
            expires_at: Some(Micros(NOW.0 + 9 * 3_600_000_000)),
            ..key("1b0d77aa93e4c210", "")
        },
        keys::KeyRow { revoked: true, ..key("77aa93e4c2101b0d", HOSTILE) },
        keys::KeyRow {
            expires_at: Some(ago(86_400)),
            last_used: None,
            ..key("c2101b0d77aa93e4", "nightly-export")
        },
        keys::KeyRow { expires_at: None, ..key("0817e2d46b9f3c1a", "grafana") },
    ];
    keys::Keys { now: NOW, rows, next: None }
}
