//! The commands that end by themselves.

use std::collections::BTreeSet;

use wasmgrid_tests::{Finished, Grid, Home, guest, liar::LyingWorker};

use super::{Sink, run};

/// What of a command is on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// What was asked for: a reader that closes it has had enough.
    Shown,
    /// Of something that was made, and that nobody knows of where it is lost.
    Made,
    /// Nothing.
    None,
}

/// A command as it is given, on a grid with a job that has ended; each time on something new where
/// it can be done once alone.
struct Case {
    command: &'static str,
    data: Data,
    code: i32,
    args: fn(&Place) -> Vec<String>,
}

const fn case(command: &'static str, data: Data, args: fn(&Place) -> Vec<String>) -> Case {
    Case { command, data, code: 0, args }
}

/// Those that run until they are told to end have tests of their own.
const SERVE: &[&str] = &["up", "join", "server", "worker", "gateway"];

fn cases() -> Vec<Case> {
    let parts = [of_tasks(), of_workers(), of_members(), of_jobs(), of_contexts()];
    parts.into_iter().flatten().collect()
}

fn of_tasks() -> Vec<Case> {
    vec![
        case("run", Data::Shown, |at| words(&["run", &at.task, "--lines", "in"])),
        Case {
            code: 1,
            ..case("run", Data::Shown, |at| words(&["run", &guest("moods"), "--lines", &at.bad]))
        },
        case("run", Data::Shown, |at| words(&["run", &at.task, "--range", "0..3", "--dry-run"])),
        case("submit", Data::Made, |at| words(&["submit", &at.task, "--lines", "in"])),
        case("submit", Data::Made, |at| {
            words(&["submit", &at.task, "--lines", "in", "--output", "json"])
        }),
        case("new", Data::Made, |at| words(&["new", &at.fresh("crate")])),
        case("inspect", Data::Shown, |at| words(&["inspect", &at.task])),
        case("inspect", Data::Shown, |at| words(&["inspect", &at.task, "--output", "json"])),
        case("completion", Data::Shown, |_| words(&["completion", "bash"])),
        case("man", Data::None, |at| words(&["man", &at.fresh("manual")])),
        case("status", Data::Shown, |_| words(&["status"])),
        // Nothing is a terminal here.
        Case { code: 2, ..case("top", Data::None, |_| words(&["top"])) },
        case("status", Data::Shown, |_| words(&["status", "--output", "json"])),
    ]
}

fn of_workers() -> Vec<Case> {
    vec![
        case("worker list", Data::Shown, |_| words(&["worker", "list"])),
        case("worker show", Data::Shown, |_| words(&["worker", "show", "w1"])),
        case("worker set", Data::None, |at| {
            let folder = at.grid.workers[0].home.path().join("home/state/workers/w1");
            let folder = folder.to_str().expect("a plain path");
            words(&["worker", "set", "--server", at.grid.address(), "--state-dir", folder])
        }),
        case("worker cordon", Data::None, |_| words(&["worker", "cordon", "w1"])),
        case("worker drain", Data::None, |_| words(&["worker", "drain", "w1"])),
        // The others need the worker, so this comes last of these.
        case("worker uncordon", Data::None, |_| words(&["worker", "uncordon", "w1"])),
        case("worker remove", Data::None, |at| words(&["worker", "remove", &at.joined()])),
    ]
}

fn of_members() -> Vec<Case> {
    vec![
        case("token create", Data::Made, |_| words(&["token", "create"])),
        case("token create", Data::Made, |_| words(&["token", "create", "--output", "json"])),
        case("token list", Data::Shown, |_| words(&["token", "list"])),
        case("token revoke", Data::None, |at| words(&["token", "revoke", &at.token("worker")])),
        case("key create", Data::Made, |_| words(&["key", "create", "--tenant", "ada"])),
        case("key create", Data::Made, |_| {
            words(&["key", "create", "--tenant", "ada", "--output", "json"])
        }),
        case("key list", Data::Shown, |_| words(&["key", "list"])),
        case("key revoke", Data::None, |at| words(&["key", "revoke", &at.key()])),
        case("ui", Data::Made, |_| words(&["ui", "--print"])),
        case("client list", Data::Shown, |_| words(&["client", "list"])),
        case("client remove", Data::None, |at| words(&["client", "remove", &at.added()])),
        case("function deploy", Data::Shown, |at| {
            words(&["function", "deploy", "called", &at.task])
        }),
        case("function list", Data::Shown, |_| words(&["function", "list"])),
        case("function call", Data::Shown, |at| {
            at.grid.run(&["function", "deploy", "called", &at.task]).ok();
            words(&["function", "call", "called", "--input", "1"])
        }),
        case("function delete", Data::None, |at| {
            at.grid.run(&["function", "deploy", "called", &at.task]).ok();
            words(&["function", "delete", "called"])
        }),
        case("module list", Data::Shown, |at| {
            at.grid.run(&["function", "deploy", "called", &at.task]).ok();
            words(&["module", "list"])
        }),
        case("tenant list", Data::Shown, |_| words(&["tenant", "list"])),
        case("tenant show", Data::Shown, |at| words(&["tenant", "show", &at.tenant()])),
        case("tenant set", Data::None, |at| words(&["tenant", "set", &at.tenant(), "jobs=none"])),
        case("audit", Data::Shown, |_| words(&["audit"])),
        case("authority show", Data::Shown, |_| words(&["authority", "show"])),
        case("authority replace", Data::None, |at| {
            // One that was replaced before must be retired first.
            at.grid.run(&["authority", "retire", "--force"]);
            words(&["authority", "replace"])
        }),
        case("authority retire", Data::None, |at| {
            at.grid.run(&["authority", "replace"]);
            words(&["authority", "retire", "--force"])
        }),
    ]
}

fn of_jobs() -> Vec<Case> {
    vec![
        case("job list", Data::Shown, |_| words(&["job", "list", "--limit", "1"])),
        case("job show", Data::Shown, |at| words(&["job", "show", &at.ended])),
        case("job show", Data::Shown, |at| words(&["job", "show", &at.ended, "--task", "0"])),
        case("job explain", Data::Shown, |at| words(&["job", "explain", &at.ended])),
        case("job results", Data::Shown, |at| words(&["job", "results", &at.ended])),
        case("job logs", Data::Shown, |at| words(&["job", "logs", &at.logged])),
        case("job logs", Data::Shown, |at| words(&["job", "logs", &at.logged, "0"])),
        case("job append", Data::None, |at| words(&["job", "append", &at.open(), "in"])),
        case("job append", Data::Made, |at| {
            words(&["job", "append", &at.open(), "in", "--output", "json"])
        }),
        case("job close", Data::None, |at| words(&["job", "close", &at.open()])),
        case("job retry", Data::Made, |at| words(&["job", "retry", &at.failed, "--failed"])),
        case("job cancel", Data::None, |at| words(&["job", "cancel", &at.open()])),
        case("job wait", Data::None, |at| words(&["job", "wait", &at.ended])),
        case("job wait", Data::Shown, |at| words(&["job", "wait", &at.ended, "--output", "json"])),
    ]
}

fn of_contexts() -> Vec<Case> {
    vec![
        case("context list", Data::Shown, |_| words(&["context", "list"])),
        case("context show", Data::Shown, |_| words(&["context", "show"])),
        case("context set", Data::None, |at| {
            words(&["context", "set", &at.context, "--server", at.grid.address()])
        }),
        case("context use", Data::None, |at| words(&["context", "use", &at.context])),
        case("context add", Data::Made, |at| {
            words(&["context", "add", &at.fresh("context"), &at.token("client")])
        }),
        case("context remove", Data::None, |at| words(&["context", "remove", &at.added()])),
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// A grid with something for every command.
struct Place {
    grid: Grid,
    task: String,
    /// Jobs that ended, all tasks ok and not.
    ended: String,
    failed: String,
    /// One whose tasks have logged something.
    logged: String,
    /// A file of inputs some of which fail.
    bad: String,
    context: String,
    named: std::cell::Cell<u32>,
}

impl Place {
    fn new() -> Self {
        let grid = Grid::start(1, 2);
        let task = guest("noop");
        grid.home.write("in", "one\ntwo\nthree\n");
        grid.home.write("bad", "reject\nfine\nreject\n");
        let ended = |args: &[&str], code| {
            let job = grid.run(args).ok().trim().to_owned();
            grid.run(&["job", "wait", &job]).fails_with(code, &[]);
            job
        };
        let failed = ended(&["submit", &guest("moods"), "--lines", "bad"], 1);
        let logged = ended(&["submit", &guest("chatty"), "--range", "1..=2"], 0);
        let ended = ended(&["submit", &task, "--lines", "in"], 0);
        let listed = grid.run(&["context", "list", "--output", "json"]);
        let contexts: serde_json::Value = serde_json::from_str(listed.ok()).expect("JSON");
        let context = contexts[0]["name"].as_str().expect("a context").to_owned();
        let (bad, named) = ("bad".into(), std::cell::Cell::default());
        Self { grid, task, ended, failed, logged, bad, context, named }
    }

    /// A name that nothing has yet.
    fn fresh(&self, kind: &str) -> String {
        self.named.set(self.named.get() + 1);
        format!("{kind}-{}", self.named.get())
    }

    /// A token for this role.
    fn token(&self, role: &str) -> String {
        self.grid.run(&["token", "create", "--role", role]).ok().trim().to_owned()
    }

    /// A key.
    fn key(&self) -> String {
        self.grid.run(&["key", "create", "--tenant", "ada"]).ok().trim().to_owned()
    }

    /// A worker that has joined.
    fn joined(&self) -> String {
        let name = self.fresh("worker");
        LyingWorker::join(&self.token("worker"), &name, LyingWorker::capacity(1));
        name
    }

    /// A client that has joined, and its context.
    fn added(&self) -> String {
        let name = self.fresh("client");
        let args = ["token", "create", "--role", "client", "--name", &name];
        let token = self.grid.run(&args).ok().trim().to_owned();
        self.grid.run(&["context", "add", &name, &token]).ok();
        name
    }

    /// A tenant that has something.
    fn tenant(&self) -> String {
        let listed = self.grid.run(&["tenant", "list", "--output", "json"]);
        let tenants: serde_json::Value = serde_json::from_str(listed.ok()).expect("JSON");
        tenants[0]["name"].as_str().expect("a name").to_owned()
    }

    /// An open job.
    fn open(&self) -> String {
        self.grid.run(&["submit", &self.task, "--open"]).ok().trim().to_owned()
    }

    fn run(&self, case: &Case, stdout: Sink, stderr: Sink) -> Finished {
        let finished = run(&self.grid.home, &(case.args)(self), stdout, stderr);
        if matches!(case.command, "worker cordon" | "worker drain") {
            self.grid.run(&["worker", "uncordon", "w1"]).ok();
        }
        finished
    }
}

/// The commands that the help of `command` lists, and those below them; itself where there is none.
fn below(home: &Home, command: &[String]) -> BTreeSet<String> {
    let help = home.run(command.iter().map(String::as_str).chain(["--help"]));
    let listed = help.ok().lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // A description goes on further to the right.
    let named =
        listed.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names = named.filter_map(|line| line.split_whitespace().next());
    let mut found = BTreeSet::new();
    for name in names.filter(|name| *name != "help") {
        found.extend(below(home, &[command, &[name.to_owned()]].concat()));
    }
    // `worker` is a command of its own, beside those below it.
    if found.is_empty() || command == ["worker"] {
        found.insert(command.join(" "));
    }
    found
}

fn all_commands() -> BTreeSet<String> {
    below(&Home::new(), &[])
}

#[test]
fn every_command_of_the_binary_has_its_case_here() {
    let cases = cases();
    let here = cases.iter().map(|case| case.command).chain(SERVE.iter().copied());
    assert_eq!(all_commands(), here.map(ToOwned::to_owned).collect());
}

#[test]
fn data_that_cannot_be_written_ends_every_command_with_an_error() {
    let place = Place::new();
    for case in cases() {
        let at = |what: &str, finished: &Finished| format!("{} {what}: {finished}", case.command);
        let whole = place.run(&case, Sink::Read, Sink::Read);
        assert_eq!(whole.code, Some(case.code), "{}", at("as usual", &whole));
        assert_eq!(whole.stdout.is_empty(), case.data == Data::None, "{}", at("as usual", &whole));
        for sink in [Sink::Full, Sink::Closed] {
            let finished = place.run(&case, sink, Sink::Read);
            let code = if case.data == Data::None { case.code } else { 1 };
            assert_eq!(finished.code, Some(code), "{}", at("into nothing", &finished));
            let said = finished.stderr.contains("failed to write to standard output");
            assert_eq!(said, case.data != Data::None, "{}", at("into nothing", &finished));
        }
        let finished = place.run(&case, Sink::Unread, Sink::Read);
        let code = if case.data == Data::Made { 1 } else { case.code };
        assert_eq!(finished.code, Some(code), "{}", at("without a reader", &finished));
        let said = finished.stderr.contains("failed to write to standard output");
        assert_eq!(said, case.data == Data::Made, "{}", at("without a reader", &finished));
    }
}

#[test]
fn messages_that_cannot_be_written_change_nothing_of_any_command() {
    let place = Place::new();
    let lines = |finished: &Finished| finished.text().lines().count();
    for case in cases() {
        let whole = place.run(&case, Sink::Read, Sink::Read);
        for sink in [Sink::Full, Sink::Unread, Sink::Closed] {
            let finished = place.run(&case, Sink::Read, sink);
            assert_eq!(finished.code, whole.code, "{} {sink:?}: {finished}", case.command);
            assert_eq!(lines(&finished), lines(&whole), "{} {sink:?}: {finished}", case.command);
        }
    }
}

#[test]
fn help_and_versions_are_data_and_wrong_flags_are_a_message() {
    let home = Home::new();
    let mut asked: Vec<Vec<String>> = vec![words(&["--help"]), words(&["--version"])];
    for command in all_commands() {
        asked.push(command.split(' ').chain(["--help"]).map(Into::into).collect());
    }
    for args in asked {
        run(&home, &args, Sink::Full, Sink::Read)
            .fails_with(1, &["failed to write to standard output: No space left on device"]);
        let enough = run(&home, &args, Sink::Unread, Sink::Read);
        assert_eq!((enough.code, enough.stderr.as_str()), (Some(0), ""), "{args:?}");
        run(&home, &args, Sink::Read, Sink::Full).ok();
    }
    for command in all_commands() {
        let wrong: Vec<String> = command.split(' ').chain(["--no-such"]).map(Into::into).collect();
        let said = run(&home, &wrong, Sink::Full, Sink::Read);
        said.fails_with(2, &["--no-such"]);
        assert_eq!(run(&home, &wrong, Sink::Read, Sink::Full).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn what_was_made_is_named_where_it_could_not_be_printed() {
    let place = Place::new();
    let said = |args: &[&str]| {
        run(&place.grid.home, &words(args), Sink::Full, Sink::Read)
            .fails_with(1, &[])
            .stderr
            .clone()
    };
    let submitted = said(&["submit", &place.task, "--lines", "in"]);
    let listed = place.grid.run(&["job", "list", "--output", "json"]);
    let jobs: serde_json::Value = serde_json::from_str(listed.ok()).expect("JSON");
    assert!(submitted.contains(&format!("job {} was submitted", jobs[0]["id"])), "{submitted}");
    let retried = said(&["job", "retry", &place.failed, "--failed"]);
    assert!(retried.contains("was made"), "{retried}");
    let token = said(&["token", "create"]);
    assert!(token.contains("a token was made that nobody has"), "{token}");
}

#[test]
fn results_are_complete_whether_the_failures_can_be_told_or_not() {
    let home = Home::new();
    let inputs: String =
        (0..500).map(|n| if n % 7 == 0 { "reject\n".into() } else { format!("{n}\n") }).collect();
    home.write("in", inputs);
    let args = words(&["run", &guest("moods"), "--lines", "in"]);
    let told = run(&home, &args, Sink::Read, Sink::Read);
    assert_eq!((told.code, told.text().lines().count()), (Some(1), 428), "{told}");
    for sink in [Sink::Full, Sink::Unread, Sink::Closed] {
        let untold = run(&home, &args, Sink::Read, sink);
        assert_eq!(untold.code, Some(1), "{sink:?}");
        assert!(untold.stdout == told.stdout, "{sink:?}: {untold}");
    }
}

#[test]
fn an_output_file_that_cannot_be_written_ends_the_run_with_its_name() {
    let home = Home::new();
    let args = words(&["run", &guest("noop"), "--range", "0..100", "-o", "/dev/full"]);
    run(&home, &args, Sink::Read, Sink::Read)
        .fails_with(1, &["failed to write /dev/full: No space left on device"]);
}

#[test]
fn a_refusal_is_told_and_keeps_its_code_where_its_json_cannot_be_written() {
    let home = Home::new();
    home.write("not.wasm", "no module");
    let args = words(&["inspect", "not.wasm", "--output", "json"]);
    run(&home, &args, Sink::Full, Sink::Read)
        .fails_with(3, &["not.wasm", "failed to write to standard output"]);
}
