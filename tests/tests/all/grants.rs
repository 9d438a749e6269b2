//! What a job can be granted, and that a task has nothing that was not.

use std::os::unix::fs::symlink;

use wasmgrid_tests::{Grid, Home, guest};

/// A home with a directory to be granted and a secret beside it.
fn home_with_data() -> Home {
    let home = Home::new();
    home.write("data/one.txt", "1");
    home.write("data/in/deep.txt", "deep");
    home.write("outside.txt", "secret");
    symlink("../outside.txt", home.path().join("data/out")).expect("a link");
    symlink("/etc/passwd", home.path().join("data/absolute")).expect("a link");
    home
}

fn data_grant(home: &Home) -> String {
    format!("dir:{}:/data:ro", home.path().join("data").display())
}

#[test]
fn a_granted_directory_is_read_and_nothing_beside_it() {
    let home = home_with_data();
    let ran = home.run(["run", &guest("files"), "--allow", &data_grant(&home)]);
    let said: Vec<_> = ran.ok().lines().collect();
    assert_eq!(said[..4].join("\n"), "entry absolute Err(PermissionDenied)\nentry in Ok(4096)\nentry one.txt Ok(1)\nentry out Err(PermissionDenied)".replace("4096", &size_of(&home, "data/in")));
    assert_eq!(said[4], "file deep");
    for read in said.iter().filter(|line| line.starts_with("read ")) {
        assert!(read.contains("Err("), "{read}");
    }
    assert!(!ran.text().contains("secret") && !ran.text().contains("root:"), "{ran}");
}

fn size_of(home: &Home, name: &str) -> String {
    home.path().join(name).metadata().expect("it is there").len().to_string()
}

#[test]
fn a_granted_directory_is_never_changed() {
    let home = home_with_data();
    let ran = home.run(["run", &guest("files"), "--allow", &data_grant(&home)]);
    let said = ran.ok();
    for refused in [
        "write: Err(ReadOnlyFilesystem)",
        "append: true",
        "remove: Err(ReadOnlyFilesystem)",
        "make: Err(ReadOnlyFilesystem)",
        "rename: true",
    ] {
        assert!(said.contains(refused), "{refused} in {ran}");
    }
    assert_eq!(home.read("data/one.txt"), "1");
    assert!(!home.path().join("data/new.txt").exists());
}

#[test]
fn attempts_to_change_a_granted_directory_are_charged_by_what_they_ask() {
    let home = home_with_data();
    let flood = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "path_create_directory"
                (func $make (param i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "_start") (local $left i32)
                (memory.fill (i32.const 1024) (i32.const 97) (i32.const 50000))
                (local.set $left (i32.const 100))
                (loop $again
                    (if (i32.ne (call $make (i32.const 3) (i32.const 1024) (i32.const 50000))
                        (i32.const 69 (; read-only file system ;))) (then unreachable))
                    (br_if $again (local.tee $left
                        (i32.sub (local.get $left) (i32.const 1)))))))"#,
    );
    home.write("flood.wasm", flood.expect("the test's text"));
    let allow = data_grant(&home);
    home.run(["run", "flood.wasm", "--allow", &allow, "--fuel", "6M"]).ok();
    let stopped = home.run(["run", "flood.wasm", "--allow", &allow, "--fuel", "4M"]);
    stopped.fails_with(1, &["limit(fuel)"]);
}

#[test]
fn a_components_listings_take_no_more_of_the_host_than_it_may_have_of_memory() {
    let home = Home::new();
    for number in 0..8_000 {
        home.write(&format!("data/{number:0>200}"), "");
    }
    let allow = data_grant(&home);
    let ran = home.run(["run", &guest("files"), "--allow", &allow, "--memory", "2MiB"]);
    ran.fails_with(1, &["limit(memory)", "2MiB allowed"]);
}

#[test]
fn a_task_has_the_variables_it_was_granted_and_no_others() {
    let home = Home::new();
    let args = ["run", &guest("files"), "--allow", "env:LANG=C", "--allow", "env:WHO=a=b"];
    let ran = home.run(args);
    let variables: Vec<_> = ran.ok().lines().filter(|line| line.starts_with("env ")).collect();
    assert_eq!(variables, ["env LANG=C", "env WHO=a=b"]);
    let ran = home.run(["run", &guest("files")]);
    assert!(!ran.ok().contains("env "), "{ran}");
    assert!(ran.text().contains("no /data"), "{ran}");
}

/// A command that sleeps for a millisecond and imports nothing else.
const SLEEPER: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 1000000))
        (if (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))
            (then unreachable))))"#;

#[test]
fn a_program_that_only_sleeps_is_granted_the_clock() {
    let home = Home::new();
    home.write("sleeper.wasm", wat::parse_str(SLEEPER).expect("the test's text"));
    let ran = home.run(["run", "sleeper.wasm", "--allow", "clock", "--output", "json"]);
    let result: serde_json::Value = serde_json::from_str(ran.ok().trim()).expect("JSON");
    assert!(result["usage"]["wall_us"].as_u64() >= Some(1_000), "the sleep was real: {ran}");
    let inspected = home.run(["inspect", "sleeper.wasm"]);
    assert!(inspected.ok().contains("--allow clock"), "{inspected}");
    home.run(["run", "sleeper.wasm", "--allow", "random"])
        .fails_with(3, &["grants random", "cannot use"]);
}

#[test]
fn a_grant_that_there_is_not_is_refused_by_its_name() {
    let home = Home::new();
    home.run(["run", &guest("files"), "--allow", "net:example.org:80"])
        .fails_with(2, &["net:example.org:80", "env:NAME=VALUE", "dir:HOST_PATH:GUEST_PATH:ro"]);
    home.run(["run", &guest("files"), "--allow", "env:A=1", "--allow", "env:A=2"])
        .fails_with(3, &["it grants the variable A twice"]);
    home.run(["run", &guest("files"), "--allow", "dir:/nowhere/at/all:/data:ro"])
        .fails_with(3, &["dir:/nowhere/at/all:/data:ro", "the path is on the worker"]);
}

#[test]
fn a_worker_gives_only_the_directories_its_operator_allows() {
    let home = home_with_data();
    let grid = Grid::start(1, 1);
    let refused = grid.run(&["run", &guest("files"), "--allow", &data_grant(&home)]);
    refused.fails_with(3, &["its operator does not allow that path", "--allow-dir"]);
}
