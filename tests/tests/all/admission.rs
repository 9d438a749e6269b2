//! What a module asks for and may look like, as the commands show and hold it: caps that operators
//! set, `inspect` and `--dry-run`.

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Finished, Grid, Home, guest};

/// A command that is a task in all but the 70 parameters of one of its types.
fn wide() -> Vec<u8> {
    let wide = format!("(func (param {}))", "i32 ".repeat(70));
    let text =
        format!(r#"(module (type {wide}) (memory (export "memory") 1) (func (export "_start")))"#);
    wat::parse_str(text).expect("a module")
}

const RAISED: [&str; 2] = ["--cap", "parameters=100"];

/// A command that imports real things.
fn curious() -> Vec<u8> {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")))"#;
    wat::parse_str(text).expect("a module")
}

fn object(finished: &Finished) -> Value {
    serde_json::from_slice(&finished.stdout).expect("JSON on standard output")
}

/// A scheduler on its own with these flags.
fn scheduler(home: &Home, flags: &[&str]) -> Daemon {
    let up = ["up", "--listen", "127.0.0.1:0", "--state-dir", "state"];
    let mut daemon = Daemon::start(home.command(up.iter().chain(flags)));
    daemon.hear("a join token", |line| line.contains("wgt1.").then_some(()));
    daemon
}

#[test]
fn a_module_over_a_cap_runs_here_once_the_cap_is_raised() {
    let home = Home::new();
    home.write("wide.wasm", wide());
    let refused = ["70", "at most 64", "offset 0x", "--cap parameters=VALUE"];
    home.run(["run", "wide.wasm"]).fails_with(3, &refused);
    home.run(["inspect", "wide.wasm"]).fails_with(3, &refused);
    home.run(["run", "wide.wasm", RAISED[0], RAISED[1]]).ok();
    home.run(["inspect", "wide.wasm", RAISED[0], RAISED[1]]).ok();
    let mut by_variable = home.command(["run", "wide.wasm"]);
    by_variable.env("WASMGRID_CAPS", "functions=7,parameters=100");
    assert!(by_variable.output().expect("it runs").status.success());
    let unknown = home.run(["run", "wide.wasm", "--cap", "params=100"]);
    unknown.fails_with(2, &["params", "parameters, imports"]);
}

#[test]
fn a_scheduler_refuses_by_its_own_caps_what_the_client_let_through() {
    let home = Home::new();
    home.write("wide.wasm", wide());
    let _scheduler = scheduler(&home, &["--no-worker"]);
    let refused = ["70", "at most 64", "--cap parameters=VALUE", "the scheduler"];
    home.run(["submit", "wide.wasm", RAISED[0], RAISED[1]]).fails_with(3, &refused);
}

#[test]
fn a_worker_refuses_by_its_own_caps_what_the_scheduler_let_through() {
    let home = Home::new();
    home.write("wide.wasm", wide());
    let mut scheduler = scheduler(&home, &["--no-worker", RAISED[0], RAISED[1]]);
    let token = scheduler.hear("a join token", |line| {
        line.split_whitespace().find(|word| word.starts_with("wgt1.")).map(str::to_owned)
    });
    let machine = Home::new();
    let mut worker = Daemon::start(machine.command(["join", &token, "--name", "w"]));
    let run = ["run", "wide.wasm", RAISED[0], RAISED[1]];
    let refused = home.run(run);
    assert_ne!(refused.code, Some(0), "{refused}");
    for part in ["refused", "at most 64", "cap parameters"] {
        assert!(refused.stderr.contains(part), "{part:?} is not said in {refused}");
    }
    worker.interrupt();
    machine.write("worker.toml", "caps = [\"parameters=100\"]\n");
    let _worker = Daemon::start(machine.command(["worker", "--config", "worker.toml"]));
    home.run(run).ok();
}

#[test]
fn up_raises_a_cap_for_its_scheduler_and_its_worker() {
    let home = Home::new();
    home.write("wide.wasm", wide());
    let _scheduler = scheduler(&home, &["--slots", "1", RAISED[0], RAISED[1]]);
    home.run(["run", "wide.wasm", RAISED[0], RAISED[1]]).ok();
}

#[test]
fn a_module_whose_functions_are_invalid_is_told_so_by_whoever_compiles_it() {
    let home = Home::new();
    // i32.add without operands: the body's structure says nothing of it.
    let mut module = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "_start") nop nop nop))"#,
    )
    .expect("a module");
    let place = module.windows(3).position(|bytes| bytes == [1, 1, 1]).expect("the body");
    module[place] = 0x6a;
    home.write("invalid.wasm", &module);
    let offset = format!("invalid WebAssembly at offset {place:#x}: type mismatch");
    home.run(["run", "invalid.wasm"]).fails_with(3, &["refused", &offset]);
}

#[test]
fn inspect_shows_what_a_module_asks_for_and_what_it_is_given() {
    let home = Home::new();
    home.write("curious.wasm", curious());
    let text = home.run(["inspect", "curious.wasm"]);
    for part in ["preview 1", "fd_write", "always given", "the same on each run", "--allow clock"] {
        assert!(text.ok().contains(part), "{part:?} is not in {text}");
    }
    let shown = object(&home.run(["inspect", "curious.wasm", "--output", "json"]));
    assert_eq!(shown["admitted"], json!(true));
    let prefix = "wasi_snapshot_preview1";
    let capabilities = json!([
        {"import": format!("{prefix}.clock_time_get"), "access": "simulated", "grants": ["clock"]},
        {"import": format!("{prefix}.environ_get"), "access": "empty", "grants": ["env:NAME=VALUE"]},
        {"import": format!("{prefix}.fd_write"), "access": "given", "grants": []},
        {"import": format!("{prefix}.random_get"), "access": "simulated", "grants": ["random"]},
    ]);
    assert_eq!(shown["capabilities"], capabilities);
    home.write("wide.wasm", wide());
    let refused = home.run(["inspect", "wide.wasm", "--output", "json"]);
    refused.fails_with(3, &["at most 64"]);
    assert_eq!(object(&refused)["admitted"], json!(false));
    assert!(object(&refused)["refused"].as_str().expect("why").contains("at most 64"));
}

#[test]
fn a_dry_run_shows_the_job_and_runs_nothing() {
    let home = Home::new();
    home.write("curious.wasm", curious());
    home.write("in", "a\nb\nc\n");
    let flags = ["--lines", "in", "--allow", "clock", "--memory", "8MiB", "--seed", "7"];
    let args = ["run", "curious.wasm", "--dry-run"].iter().chain(&flags);
    let text = home.run(args.clone());
    for part in
        ["granted by `--allow clock`", "until `--allow random`", "memory 8MiB", "inputs    3"]
    {
        assert!(text.ok().contains(part), "{part:?} is not in {text}");
    }
    let shown = object(&home.run(args.chain(&["--output", "json"])));
    assert_eq!(shown["admitted"], json!(true));
    assert_eq!(shown["inputs"], json!(3));
    assert_eq!(shown["grants"], json!(["clock"]));
    assert_eq!(shown["limits"]["memory_bytes"], json!(8 << 20));
    assert_eq!(shown["seed"], json!("7"));
    assert_eq!(shown["context"], json!(null));
    // No grid was started: nothing was compiled or kept.
    assert!(!home.path().join("home/cache").exists());
}

#[test]
fn a_dry_run_of_what_would_be_refused_ends_with_3() {
    let home = Home::new();
    home.write("wide.wasm", wide());
    home.run(["run", "wide.wasm", "--dry-run"]).fails_with(3, &["at most 64"]);
    let refused = home.run(["submit", "wide.wasm", "--dry-run", "--output", "json"]);
    refused.fails_with(3, &["at most 64"]);
    assert_eq!(object(&refused)["admitted"], json!(false));
    let noop = guest("noop");
    home.run(["run", &noop, "--dry-run", "--allow", "random", "--range", "0..3"])
        .fails_with(3, &["grants random", "wasi:random/"]);
    home.run(["run", &noop, "--dry-run", "--record-limit", "1000GB"])
        .fails_with(3, &["record", "the operator allows"]);
    home.run(["run", &noop, "--dry-run", "--lines", "nowhere"]).fails_with(2, &["nowhere"]);
}

#[test]
fn a_dry_run_names_the_grid_it_would_go_to_and_asks_it_nothing() {
    let mut grid = Grid::start(0, 1);
    grid.kill_scheduler();
    let noop = guest("noop");
    let shown = object(&grid.run(&["submit", &noop, "--dry-run", "--output", "json"]));
    assert!(shown["context"].is_string(), "{shown}");
    assert_eq!(shown["inputs"], json!(1));
}
