//! Jobs that are fed while they run, and results as a log: streams through pipes, in bounded memory;
//! several producers and readers; readers that go and come back; failed tasks that are run again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Grid, Home, Relay, guest, memory_bytes, wait_until};

/// What may be read ahead of the results, and what pipes and chunks hold beside it, in lines.
const AHEAD_MAX: u64 = (1 << 18) + (1 << 17);

/// Long enough that lines are what fills the memory.
const LINE_BYTES: usize = 200;

/// A command with a pipe on either side, the reader's in the hands of the test.
struct Piped {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    written: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    writer: Option<thread::JoinHandle<()>>,
}

fn line(number: u64) -> String {
    format!("{number:0>LINE_BYTES$}")
}

impl Piped {
    /// Starts a command and writes it numbered lines as fast as it takes them.
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (written, ending) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&written), Arc::clone(&ending));
        let writer = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let text = line(count.load(Ordering::Relaxed)) + "\n";
                if stdin.write_all(text.as_bytes()).is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { child, lines, written, ending, writer: Some(writer) }
    }

    /// Waits until nothing was taken of the lines for three seconds, and says how many were.
    fn blocked(&self) -> u64 {
        let (mut last, mut same) = (0, 0);
        wait_until("the producer to be held up", || {
            thread::sleep(Duration::from_millis(100));
            let written = self.written.load(Ordering::Relaxed);
            same = if written == last && written > 0 { same + 1 } else { 0 };
            last = written;
            same >= 30
        });
        last
    }

    /// Reads the results of these lines, in order.
    fn read(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let read = self.lines.next().expect("a result").expect("text");
            assert!(read == line(number), "{read:?} is not the result of line {number}");
        }
    }

    /// Ends the input, reads the rest from line `from` on, and waits for the end.
    fn finish(mut self, from: u64) -> u64 {
        self.ending.store(true, Ordering::Relaxed);
        let mut next = from;
        for read in self.lines.by_ref() {
            let read = read.expect("text");
            assert!(read == line(next), "{read:?} is not the result of line {next}");
            next += 1;
        }
        self.writer.take().expect("it runs").join().expect("it ends");
        assert!(self.child.wait().expect("a child of ours").success());
        assert_eq!(next, self.written.load(Ordering::Relaxed), "each line has its result");
        next
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Lets a reader stop, go on and stop, and says what each of these processes held at most.
fn stop_and_go(mut piped: Piped, processes: &[(&str, u32)]) {
    let client = piped.child.id();
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    let mut from = 0;
    let mut ahead = 0;
    for round in 0..3 {
        let taken = piped.blocked();
        ahead = ahead.max(taken - from);
        assert!(taken - from < AHEAD_MAX, "{taken} lines were taken, {from} results read");
        for (name, pid) in processes.iter().chain(&[("client", client)]) {
            let held = most.entry(name).or_default();
            *held = memory_bytes(*pid).max(*held);
        }
        // Goes on for long: what has passed through must not stay anywhere.
        let until = from + 150_000 * (round + 1);
        piped.read(from..until);
        from = until;
    }
    let all = piped.finish(from);
    println!("{all} lines, {ahead} ahead of the reader at most, memory in bytes {most:?}");
    for (name, held) in most {
        assert!(held < 400 << 20, "{name} held {held} bytes");
    }
}

fn follow(grid: &Grid, job: &str, from: u64) -> (Child, Lines<BufReader<ChildStdout>>) {
    let from = from.to_string();
    let args = ["job", "results", job, "--from", &from, "--follow", "--order", "done"];
    let mut command = grid.home.command(args);
    let mut child = command.args(["--output", "json"]).spawn().expect("the binary starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    (child, lines)
}

/// Reads results until the log's end or `count` of them, and sees that none is missing or doubled.
fn read_log(
    lines: &mut Lines<BufReader<ChildStdout>>,
    from: u64,
    count: u64,
    seen: &mut BTreeSet<u64>,
) -> u64 {
    let mut cursor = from;
    while cursor < from + count {
        let Some(read) = lines.next() else { break };
        let result: Value = serde_json::from_str(&read.expect("text")).expect("JSON");
        assert_eq!(result["cursor"], json!(cursor), "a gap or a repeat in the log");
        let index = result["index"].as_u64().expect("a number");
        assert!(seen.insert(index), "task {index} has two results");
        cursor += 1;
    }
    cursor
}

fn submit_open(grid: &Grid, task: &str) -> String {
    grid.run(&["submit", task, "--open"]).ok().trim().to_owned()
}

fn append(grid: &Grid, job: &str, lines: &str) {
    grid.home.run_with_stdin(["job", "append", job, "--lines", "-"], lines.as_bytes()).ok();
}

#[test]
fn each_line_is_out_as_soon_as_it_is_done_however_long_the_pipe_is_silent() {
    let grid = Grid::start(1, 1);
    for home in [&Home::new(), &grid.home] {
        let mut command = home.command(["run", &guest("noop"), "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for burst in [1, 3, 1, 500, 1] {
            let text: String = (0..burst).map(|n| format!("{burst}/{n}\n")).collect();
            // The last line of a burst comes in two parts.
            let (whole, part) = text.split_at(text.len() - 2);
            stdin.write_all(whole.as_bytes()).expect("it reads");
            stdin.flush().expect("a pipe");
            stdin.write_all(part.as_bytes()).expect("it reads");
            for n in 0..burst {
                assert_eq!(lines.next().expect("a result").expect("text"), format!("{burst}/{n}"));
            }
        }
        drop(stdin);
        wait_until("the run to end", || child.try_wait().expect("a child of ours").is_some());
    }
}

#[test]
fn a_reader_that_stops_holds_up_the_producer_here() {
    let home = Home::new();
    stop_and_go(Piped::start(home.command(["run", &guest("noop"), "-"])), &[]);
}

#[test]
fn a_reader_that_stops_holds_up_the_producer_through_a_cluster() {
    let grid = Grid::start(1, 2);
    let piped = Piped::start(grid.home.command(["run", &guest("noop"), "-"]));
    let processes =
        [("scheduler", grid.scheduler.pid()), ("worker", grid.workers[0].process.pid())];
    stop_and_go(piped, &processes);
}

#[test]
fn an_open_job_is_fed_by_several_and_ends_once_it_is_closed() {
    let grid = Grid::start(1, 2);
    let job = submit_open(&grid, &guest("noop"));
    let (mut reader, mut lines) = follow(&grid, &job, 0);
    let text = |who: usize| -> String { (0..400).map(|n| format!("{who}.{n}\n")).collect() };
    thread::scope(|scope| {
        for who in 0..4 {
            let (grid, job) = (&grid, &job);
            scope.spawn(move || append(grid, job, &text(who)));
        }
    });
    grid.run(&["job", "append", &job, "--range", "0..5"]).ok();
    grid.home.write("values", "{\"a\":1}\n");
    let told = grid.run(&["job", "append", &job, "--json", "values", "--output", "json"]);
    let told: Value = serde_json::from_str(told.ok()).expect("JSON");
    assert_eq!(told, json!({"job": 1, "first": 1605, "count": 1}));
    grid.home.write("file", "from a file");
    grid.run(&["job", "append", &job, "--files", "file"]).ok();
    grid.home.run_with_stdin(["job", "append", &job], b"one\ninput").ok();
    assert_eq!(read_log(&mut lines, 0, 1_608, &mut BTreeSet::new()), 1_608);
    assert_eq!(grid.job(&job)["state"], json!("active"));
    grid.run(&["job", "close", &job]).ok();
    grid.run(&["job", "close", &job]).ok();
    assert!(lines.next().is_none(), "more results than inputs");
    assert!(reader.wait().expect("a child of ours").success());
    let results = grid.run(&["job", "results", &job]).ok().to_owned();
    let mut expected: Vec<String> =
        (0..4).flat_map(|who| text(who).lines().map(String::from).collect::<Vec<_>>()).collect();
    expected.extend((0..5).map(|n| n.to_string()));
    expected.extend(["{\"a\":1}", "from a file", "one", "input"].map(String::from));
    let mut found: Vec<&str> = results.lines().collect();
    assert_eq!(&found[1_605..], ["{\"a\":1}", "from a file", "one", "input"]);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_job_that_takes_no_inputs_or_has_ended_says_so() {
    let grid = Grid::start(1, 1);
    let noop = guest("noop");
    let with_line = |args: &[&str]| grid.home.run_with_stdin(args, b"line\n");
    let job = submit_open(&grid, &noop);
    append(&grid, &job, "a\nb\n");
    grid.run(&["job", "close", &job]).ok();
    with_line(&["job", "append", &job, "-"]).fails_with(2, &["takes no more inputs"]);
    grid.run(&["job", "wait", &job]).ok();
    with_line(&["job", "append", &job, "-"]).fails_with(2, &["it has ended: ok"]);
    grid.run(&["job", "cancel", &job]).fails_with(2, &["has already ended: ok", "job results"]);
    with_line(&["job", "append", "99", "-"]).fails_with(2, &["there is no job 99"]);
    for verb in ["close", "cancel", "show"] {
        grid.run(&["job", verb, "99"]).fails_with(2, &["there is no job 99"]);
    }
    let open = submit_open(&grid, &noop);
    grid.run(&["job", "cancel", &open]).ok();
    grid.run(&["job", "close", &open]).fails_with(2, &["has already ended: cancelled"]);
    grid.run(&["job", "cancel", &open]).ok();
    grid.run(&["job", "retry", &job, "--failed"]).fails_with(2, &["all its tasks ended ok"]);
}

#[test]
fn results_are_read_from_any_cursor_by_several_readers_each_at_its_speed() {
    let grid = Grid::start(1, 2);
    let job = submit_open(&grid, &guest("noop"));
    // Reads nothing: what it does not read must hold up no other.
    let (mut stopped, mut late) = follow(&grid, &job, 0);
    let count = 60_000;
    let text: String = (0..count).map(|n| line(n) + "\n").collect();
    append(&grid, &job, &text);
    let mut seen = BTreeSet::new();
    let (mut reader, mut lines) = follow(&grid, &job, 0);
    assert_eq!(read_log(&mut lines, 0, count, &mut seen), count);
    let (mut second, mut lines_from) = follow(&grid, &job, 59_000);
    assert_eq!(read_log(&mut lines_from, 59_000, 1_000, &mut BTreeSet::new()), count);
    let part = grid.run(&["job", "results", &job, "--from", "59990"]);
    assert_eq!(part.ok().lines().count(), 10);
    assert_eq!(grid.run(&["job", "results", &job, "--from", "99999999"]).ok(), "");
    append(&grid, &job, "more\n");
    grid.run(&["job", "close", &job]).ok();
    for (lines, from) in [(&mut lines, count), (&mut lines_from, count), (&mut late, 0)] {
        assert_eq!(read_log(lines, from, u64::MAX / 2, &mut BTreeSet::new()), count + 1);
    }
    for child in [&mut reader, &mut second, &mut stopped] {
        assert!(child.wait().expect("a child of ours").success());
    }
}

#[test]
fn a_stream_goes_on_without_gap_or_repeat_after_its_scheduler_died() {
    let mut grid = Grid::start(1, 2);
    let job = submit_open(&grid, &guest("noop"));
    let (mut reader, mut lines) = follow(&grid, &job, 0);
    let (mut seen, mut cursor) = (BTreeSet::new(), 0);
    for round in 0..3 {
        let text: String = (0..3_000).map(|n| format!("{round}.{n}\n")).collect();
        append(&grid, &job, &text);
        cursor = read_log(&mut lines, cursor, 1_500, &mut seen);
        grid.kill_scheduler();
        grid.restart_scheduler();
    }
    append(&grid, &job, "last\n");
    grid.run(&["job", "close", &job]).ok();
    cursor = read_log(&mut lines, cursor, u64::MAX / 2, &mut seen);
    assert_eq!((cursor, seen.len()), (9_001, 9_001));
    assert!(reader.wait().expect("a child of ours").success());
}

#[test]
fn a_stream_goes_on_without_gap_or_repeat_after_its_own_link_was_lost() {
    let grid = Grid::start(1, 2);
    let relay = Relay::start(grid.address());
    let job = submit_open(&grid, &guest("noop"));
    append(&grid, &job, &"before\n".repeat(2_000));
    let mut seen = BTreeSet::new();
    let (mut reader, mut lines, cursor) = grid.through(relay.address(), || {
        let (reader, mut lines) = follow(&grid, &job, 0);
        let cursor = read_log(&mut lines, 0, 1_000, &mut seen);
        (reader, lines, cursor)
    });
    relay.cut();
    append(&grid, &job, &"meanwhile\n".repeat(2_000));
    relay.wait_for_a_dial();
    relay.mend();
    grid.run(&["job", "close", &job]).ok();
    assert_eq!(read_log(&mut lines, cursor, u64::MAX / 2, &mut seen), 4_000);
    assert!(reader.wait().expect("a child of ours").success());
}

#[test]
fn a_reader_that_was_killed_comes_back_later_for_the_rest() {
    let mut grid = Grid::start(1, 2);
    let job = submit_open(&grid, &guest("noop"));
    append(&grid, &job, &"x\n".repeat(5_000));
    let (mut reader, mut lines) = follow(&grid, &job, 0);
    let mut seen = BTreeSet::new();
    let cursor = read_log(&mut lines, 0, 700, &mut seen);
    reader.kill().expect("a child of ours");
    reader.wait().expect("a child of ours");
    grid.kill_scheduler();
    grid.restart_scheduler();
    let (mut reader, mut lines) = follow(&grid, &job, cursor);
    grid.run(&["job", "close", &job]).ok();
    assert_eq!(read_log(&mut lines, cursor, u64::MAX / 2, &mut seen), 5_000);
    assert!(reader.wait().expect("a child of ours").success());
}

#[test]
fn ctrl_c_prints_what_has_come_and_names_where_the_rest_begins() {
    let grid = Grid::start(1, 2);
    let lines: Vec<String> = (0..400).map(|n| format!("{}", 1 + n % 7)).collect();
    grid.home.write("in", lines.join("\n"));
    let sleeper = guest("sleeper");
    let args = ["run", &sleeper, "--allow", "clock", "--lines", "in", "-o", "first"];
    let mut run = Daemon::start(grid.home.command(args));
    wait_until("some results to be printed", || {
        grid.home.path().join("first").exists() && grid.home.read("first").lines().count() > 20
    });
    assert_eq!(run.interrupt().code(), Some(130), "{}", run.said());
    let said = run.said();
    let from = said.split("--from ").nth(1).and_then(|rest| rest.split(' ').next());
    let from = from.unwrap_or_else(|| panic!("no cursor in {said}"));
    let rest = grid.run(&["job", "results", "1", "--from", from, "--follow"]);
    let first = grid.home.read("first");
    assert_eq!(first.lines().count(), from.parse::<usize>().expect("a number"), "{said}");
    let mut found: Vec<&str> = first.lines().chain(rest.ok().lines()).collect();
    let mut expected: Vec<&str> = lines.iter().map(String::as_str).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// `run` with a pipe that stays open: what it is given is written to it by the test.
fn run_with_pipe(grid: &Grid) -> Daemon {
    let mut command = grid.home.command(["run", &guest("echo"), "-"]);
    command.stdin(Stdio::piped());
    Daemon::start(command)
}

#[test]
fn a_job_whose_run_was_killed_runs_what_it_has_and_ends_and_one_that_lives_goes_on() {
    let mut grid = Grid::start(1, 1);
    grid.kill_scheduler();
    // Longer than it takes a client to find its scheduler again.
    let wait = ["--producer-grace", "20s"];
    grid.restart_scheduler_with(|command| _ = command.args(wait));
    grid.wait_for_worker("w1", "ready");
    let (mut lives, mut killed) = (run_with_pipe(&grid), run_with_pipe(&grid));
    let mut pipes = [&mut lives, &mut killed].map(|run| {
        let mut pipe = run.stdin().expect("it is piped");
        writeln!(pipe, "first").expect("it reads");
        run.hear("its first result", |line| (line == "first").then_some(()));
        pipe
    });
    let jobs = ["1", "2"].map(|job| grid.job(job));
    assert!(jobs.iter().all(|job| job["closed"] == json!(false)), "{jobs:?}");
    killed.kill();
    // Whoever feeds a job has as long to come back to the next scheduler.
    grid.kill_scheduler();
    grid.restart_scheduler_with(|command| _ = command.args(wait));
    let is_over = |job: &str| grid.job(job)["state"] != json!("active");
    wait_until("one of the jobs to end", || is_over("1") || is_over("2"));
    let (left, fed) = if is_over("1") { ("1", "2") } else { ("2", "1") };
    let ended = grid.job(left);
    assert_eq!((&ended["state"], &ended["counts"]["total"]), (&json!("ok"), &json!(1)), "{ended}");
    assert_eq!(grid.run(&["job", "results", left]).ok(), "first\n");
    grid.scheduler
        .hear("why", |line| line.contains("its submitter disconnected 20s ago").then_some(()));
    assert_eq!(grid.job(fed)["closed"], json!(false));
    writeln!(pipes[0], "second").expect("it reads");
    lives.hear("its second result", |line| (line == "second").then_some(()));
    drop(pipes);
    assert!(lives.wait().success(), "{}", lives.said());
    assert_eq!(grid.job(fed)["state"], json!("ok"));
}

#[test]
fn a_run_whose_job_is_closed_elsewhere_says_so() {
    let grid = Grid::start(1, 1);
    let mut run = run_with_pipe(&grid);
    let mut pipe = run.stdin().expect("it is piped");
    writeln!(pipe, "first").expect("it reads");
    run.hear("its first result", |line| (line == "first").then_some(()));
    grid.run(&["job", "close", "1"]).ok();
    // It does not wait for what its pipe may still bring.
    assert!(!run.wait().success(), "{}", run.said());
    assert!(run.said().contains("job 1 was closed elsewhere with 1 inputs"), "{}", run.said());
}

#[test]
fn failed_tasks_are_run_again_under_their_indices() {
    let grid = Grid::start(1, 2);
    let moods = guest("moods");
    grid.home.write("in", "one\nloop\ntwo\nreject\nthree\nloop\n");
    let args = ["submit", &moods, "--lines", "in", "--fuel", "5M", "--name", "moody"];
    let job = grid.run(&args).ok().trim().to_owned();
    grid.run(&["job", "retry", &job, "--failed"]);
    grid.run(&["job", "wait", &job]).fails_with(1, &[]);
    let json = |job: &str| grid.run(&["job", "results", job, "--output", "json"]).text().to_owned();
    let before = json(&job);
    grid.run(&["job", "retry", &job]).fails_with(2, &["--failed"]);
    let made = grid.run(&["job", "retry", &job, "--failed", "--fuel", "1M"]);
    let again = made.ok().trim().to_owned();
    assert!(made.stderr.contains(&format!("3 of the tasks of job {job}")), "{made}");
    grid.run(&["job", "wait", &again]).fails_with(1, &[]);
    let results: Vec<Value> =
        json(&again).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let found: Vec<_> =
        results.iter().map(|r| (r["index"].clone(), r["outcome"].clone())).collect();
    let expected = [(1, "limit"), (3, "rejected"), (5, "limit")];
    assert_eq!(found, expected.map(|(index, outcome)| (json!(index), json!(outcome))));
    assert!(results[0]["error"].as_str().expect("a text").contains("1M"), "{results:?}");
    assert_eq!(json(&job), before, "the old job's results never change");
    let shown = grid.job(&again);
    assert_eq!(shown["name"], json!(format!("moody (retry of {job})")));
    assert_eq!(shown["counts"]["total"], json!(3));
    let none = grid.run(&["job", "show", &again, "--task", "2"]);
    let why = format!("job {again} runs some of the tasks of job {job} again, under their indices");
    none.fails_with(2, &[&why, "the nearest it has: 1 and 3"]);
}

#[test]
fn a_clients_jobs_are_its_own_and_the_operators() {
    let grid = Grid::start(1, 1);
    let client = |name: &str| {
        let made = grid.run(&["token", "create", "--role", "client"]);
        let home = Home::new();
        home.run(["context", "add", name, made.ok().trim()]).ok();
        home
    };
    let (ann, bob) = (client("ann"), client("bob"));
    let noop = guest("noop");
    let own = ann.run(["submit", &noop, "--open"]).ok().trim().to_owned();
    let operators = grid.run(&["submit", &noop, "--range", "0..3"]).ok().trim().to_owned();
    for job in [&own, &operators] {
        for verb in ["show", "results", "cancel", "close", "wait"] {
            bob.run(["job", verb, job]).fails_with(3, &["another tenant"]);
        }
        bob.run_with_stdin(["job", "append", job, "-"], b"x\n").fails_with(3, &["another tenant"]);
        bob.run(["job", "retry", job, "--failed"]).fails_with(3, &["another tenant"]);
    }
    let list = |home: &Home| -> usize {
        let listed = home.run(["job", "list", "--output", "json"]);
        serde_json::from_str::<Vec<Value>>(listed.ok()).expect("JSON").len()
    };
    assert_eq!((list(&ann), list(&bob), list(&grid.home)), (1, 0, 2));
    ann.run_with_stdin(["job", "append", &own, "-"], b"x\n").ok();
    grid.run(&["job", "append", &own, "--range", "0..2"]).ok();
    ann.run(["job", "close", &own]).ok();
    assert_eq!(ann.run(["job", "results", &own, "--follow"]).ok(), "x\n0\n1\n");
}
