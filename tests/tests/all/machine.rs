//! The machine under a worker: its binary is replaced while it runs, or it cannot run tasks, from
//! the start or from some moment on.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use wasmgrid_tests::{
    Daemon, Finished, Grid, Home, binary, children_as, guest, is_alive, kill, wait_until,
};

/// What refuses a machine that cannot run tasks begins so.
const UNABLE: &str = "this machine cannot run tasks: ";

/// A limit on address space that leaves no room for an engine.
const LIMITED: &str = "ulimit -v 4000000; exec \"$@\"";

/// The binary under a name of the test's own.
fn own_binary(home: &Home) -> PathBuf {
    let own = home.path().join("wasmgrid");
    if fs::hard_link(binary(), &own).is_err() {
        fs::copy(binary(), &own).expect("room for a copy");
    }
    own
}

/// Another file takes the place of `program`, as an upgrade has it.
fn replace(program: &Path) {
    let new = program.with_extension("new");
    fs::write(&new, "#!/bin/sh\necho another version >&2\nexit 1\n").expect("written");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("ours");
    fs::rename(new, program).expect("replaced");
}

/// Kills all runners and compilers of a process, the spare ones too, and waits until they are gone.
fn kill_children(parent: u32) {
    let children: Vec<u32> =
        ["runner", "compiler"].iter().flat_map(|word| children_as(parent, word)).collect();
    assert!(!children.is_empty(), "process {parent} has no runners");
    children.iter().for_each(|child| kill(*child));
    wait_until("the runners to be gone", || children.iter().all(|child| !is_alive(*child)));
}

/// The binary as `sh` starts it after these lines.
fn shell(home: &Home, lines: &str, args: &[&str]) -> Command {
    let binary = binary().to_str().expect("a plain path");
    let all = ["-c", lines, "sh", binary].into_iter().chain(args.iter().copied());
    home.command_of(Path::new("/bin/sh"), all)
}

fn in_shell(home: &Home, lines: &str, args: &[&str]) -> Finished {
    Home::finish(shell(home, lines, args), b"")
}

#[test]
fn a_worker_whose_binary_is_replaced_goes_on_with_the_one_it_has() {
    let grid = Grid::start(0, 1);
    let home = Home::new();
    let own = own_binary(&home);
    let args = ["join", grid.token(), "--name", "w1", "--slots", "1"];
    let worker = Daemon::start(home.command_of(&own, args));
    grid.wait_for_worker("w1", "ready");
    let (noop, echo) = (guest("noop"), guest("echo"));
    grid.run(&["run", &noop, "--range", "0..3"]).ok();
    replace(&own);
    kill_children(worker.pid());
    assert_eq!(grid.run(&["run", &noop, "--range", "0..3"]).ok(), "0\n1\n2\n");
    // And its compilers: nobody has compiled this one.
    home.write("text", "a\n");
    assert_eq!(grid.home.run_with_stdin(["run", &echo, "--lines", "-"], b"a\n").ok(), "a\n");
    assert!(!worker.said().contains("another version"), "{}", worker.said());
}

#[test]
fn a_run_whose_binary_is_replaced_goes_on_with_the_one_it_has() {
    let home = Home::new();
    let own = own_binary(&home);
    let mut run = home.command_of(&own, ["run", &guest("noop"), "--lines", "-", "--slots", "1"]);
    run.stdin(Stdio::piped());
    let mut run = run.spawn().expect("it starts");
    let (stdin, stdout) = (run.stdin.take(), run.stdout.take());
    let (mut stdin, mut lines) =
        (stdin.expect("piped"), BufReader::new(stdout.expect("piped")).lines());
    stdin.write_all(b"before\n").expect("it reads");
    assert_eq!(lines.next().expect("a line").expect("text"), "before");
    replace(&own);
    kill_children(run.id());
    stdin.write_all(b"after\n").expect("it reads");
    drop(stdin);
    assert_eq!(lines.next().expect("a line").expect("text"), "after");
    assert!(run.wait().expect("a child of ours").success());
}

#[test]
fn a_machine_whose_address_space_is_limited_says_so_at_once_and_touches_nothing() {
    let home = Home::new();
    home.write("out", "as before");
    let noop = guest("noop");
    let said = [UNABLE, "address space", "ulimit -v"];
    for isolation in ["process", "task", "in-process"] {
        let args = ["run", &noop, "--range", "0..9", "-o", "out", "--isolation", isolation];
        in_shell(&home, LIMITED, &args).fails_with(3, &said);
    }
    assert_eq!(home.read("out"), "as before");
    let args = ["up", "--listen", "127.0.0.1:0", "--state-dir", "grid"];
    in_shell(&home, LIMITED, &args).fails_with(3, &said);
    assert!(!home.path().join("grid").exists(), "a grid was made");
}

#[test]
fn a_machine_that_cannot_run_tasks_does_not_join_and_leaves_the_token_to_another() {
    let grid = Grid::start(0, 1);
    let token = grid.run(&["token", "create", "--role", "worker", "--uses", "1"]);
    let token = token.ok().split_whitespace().find(|word| word.starts_with("wgt1.")).expect("one");
    let home = Home::new();
    let join = ["join", token, "--name", "a", "--slots", "1"];
    in_shell(&home, LIMITED, &join).fails_with(3, &[UNABLE, "ulimit -v"]);
    let listed = grid.run(&["worker", "list", "--output", "json"]);
    assert_eq!(listed.ok().trim(), "[]");
    let mut joined = Daemon::start(home.command(join));
    grid.wait_for_worker("a", "ready");
    joined.interrupt();
    // Nor does one come back that has joined before.
    in_shell(&home, LIMITED, &["worker", "--slots", "1"]).fails_with(3, &[UNABLE, "ulimit -v"]);
}

#[test]
fn a_machine_without_proc_says_so_at_once() {
    let bare = "mount -t tmpfs none /proc && exec \"$@\"";
    let namespace = ["--user", "--map-root-user", "--mount", "/bin/sh", "-c"];
    let tried = Command::new("unshare").args(namespace).args([bare, "sh", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        println!("skipped: this user may not make namespaces of users and mounts");
        return;
    }
    let home = Home::new();
    let (noop, binary) = (guest("noop"), binary().to_str().expect("a plain path"));
    let all = namespace.into_iter().chain([bare, "sh", binary, "run", &noop, "--range", "0..9"]);
    let finished = Home::finish(home.command_of(Path::new("unshare"), all), b"");
    finished.fails_with(3, &[UNABLE, "/proc/self/exe", "mount -t proc"]);
}

#[test]
fn a_user_who_may_start_no_process_is_told_so_at_once() {
    let home = Home::new();
    let own = own_binary(&home);
    let noop = home.path().join("noop.wasm");
    fs::copy(guest("noop"), &noop).expect("copied");
    let (own, noop) = (own.to_str().expect("plain"), noop.to_str().expect("plain"));
    let rest = ["prlimit", "--nproc=0", own, "run", noop, "--range", "0..9"];
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    let command = if is_root {
        // The limit does not hold for root; another user must get at what is here.
        for path in [home.path().to_owned(), home.path().join("home")] {
            fs::create_dir_all(&path).expect("made");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("ours");
        }
        for path in [own, noop] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        home.command_of(Path::new("setpriv"), user.into_iter().chain(rest))
    } else {
        home.command_of(Path::new(rest[0]), &rest[1..])
    };
    Home::finish(command, b"").fails_with(3, &[UNABLE, "ulimit -u"]);
}

/// What is said where compiled code cannot be kept.
const NOT_KEPT: &str = "compiled code is not kept for the next run: ";

#[test]
fn a_run_needs_no_cache_and_says_that_compiled_code_is_not_kept() {
    let home = Home::new();
    let noop = guest("noop");
    let run = |flags: &[&str]| {
        let args = ["run", &noop, "--range", "0..2"];
        let mut command = home.command(args.into_iter().chain(flags.iter().copied()));
        command.env_remove("WASMGRID_HOME").env("HOME", "/dev/null");
        for folder in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env_remove(folder);
        }
        Home::finish(command, b"")
    };
    let loud = run(&[]);
    assert_eq!(loud.ok(), "0\n1\n");
    assert!(loud.stderr.contains(NOT_KEPT) && loud.stderr.contains("WASMGRID_HOME"), "{loud}");
    let quiet = run(&["-q"]);
    assert_eq!(quiet.ok(), "0\n1\n");
    assert!(!quiet.stderr.contains(NOT_KEPT), "{quiet}");
    assert!(run(&["--dry-run"]).ok().contains("this machine"));
}

#[test]
fn a_user_without_a_home_can_run_tasks() {
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    if !is_root {
        println!("skipped: only root may be another user, who has no home");
        return;
    }
    let home = Home::new();
    let own = own_binary(&home);
    let noop = home.path().join("noop.wasm");
    fs::copy(guest("noop"), &noop).expect("copied");
    for path in [home.path(), &own, &noop] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let (own, noop) = (own.to_str().expect("plain"), noop.to_str().expect("plain"));
    let path = format!("PATH={}", std::env::var("PATH").unwrap_or_default());
    let user = ["--reuid=54321", "--regid=54321", "--clear-groups", "env", "-i", &path, own];
    for flags in [&["--range", "0..2"][..], &["--range", "0..2", "--dry-run"]] {
        let words = user.into_iter().chain(["run", noop]).chain(flags.iter().copied());
        let ran = Home::finish(home.command_of(Path::new("setpriv"), words), b"");
        ran.ok();
        let is_said = ran.stderr.contains(&format!("{NOT_KEPT}this user has no home folder"));
        assert_eq!(is_said, !flags.contains(&"--dry-run"), "{ran}");
    }
}

/// Sets how much address space a process that runs may have, and its children.
fn limit_address_space(process: u32, limit: &str) {
    let limits = [format!("--pid={process}"), format!("--as={limit}:unlimited")];
    let status = Command::new("prlimit").args(limits).status().expect("prlimit(1) is there");
    assert!(status.success(), "prlimit: {status}");
}

#[test]
fn a_worker_whose_runners_stop_starting_gets_nothing_loses_nothing_and_comes_back() {
    let grid = Grid::start(2, 1);
    let noop = guest("noop");
    grid.run(&["run", &noop, "--range", "0..50"]).ok();
    let bad = &grid.workers[0].process;
    limit_address_space(bad.pid(), "4000000000");
    kill_children(bad.pid());
    wait_until("the worker to say that it cannot run tasks", || {
        bad.said().contains("cannot run tasks")
    });
    let finished = grid.run(&["run", &noop, "--range", "0..400"]);
    assert_eq!(finished.ok().lines().count(), 400);
    limit_address_space(bad.pid(), "unlimited");
    grid.wait_for_worker(&grid.workers[0].name, "ready");
    assert_eq!(bad.said().matches("cannot run tasks").count(), 1, "{}", bad.said());
    assert!(bad.said().contains("can run tasks again"), "{}", bad.said());
    grid.run(&["run", &noop, "--range", "0..50"]).ok();
}

#[test]
fn a_module_that_was_refused_for_its_compile_time_is_compiled_once_it_may_take_longer() {
    let home = Home::new();
    let bomb = home.write("bomb.wasm", slow_to_compile());
    let bomb = bomb.to_str().expect("a plain path");
    let run = |time: &str| {
        Home::finish(home.command(["run", bomb, "--range", "0..1", "--compile-time", time]), b"")
    };
    run("1s").fails_with(1, &["limit(compile)"]);
    run("100s").ok();
}

/// Some seconds of a compiler's work: many values that live through many loops.
fn slow_to_compile() -> Vec<u8> {
    let locals = 900;
    let set: String = (1..locals).map(|at| format!("(local.set {at} (local.get 0))")).collect();
    let turn = "(loop $l (local.set 1 (i32.add (local.get 1) (local.get 2)))\
                (br_if $l (local.get 0)))";
    let used: String =
        (1..locals).map(|at| format!("(i32.store (i32.const 0) (local.get {at}))")).collect();
    let turns = turn.repeat(100);
    let function =
        format!("(func (param i32) (local {}) {set} {turns} {used})", "i32 ".repeat(locals));
    let text = format!(
        r#"(module (memory (export "memory") 1) {} (func (export "_start")))"#,
        function.repeat(40)
    );
    wat::parse_str(text).expect("WebAssembly")
}
