//! Text from outside on a terminal: whatever a guest, a job, a worker or a file is called or says, no
//! command prints a control character of theirs, nor a line that looks like its own; and what is for
//! programs has every character.

use std::collections::BTreeMap;

use serde_json::Value;
use wasmgrid_tests::{
    Finished, Grid, Home, guest,
    liar::{LyingClient, LyingWorker},
};

/// What would clear a screen, set a title, delete, begin a control sequence in one byte, turn text
/// around, and end a line in each way there is; between them lines that look like the program's own.
const EVIL: &str = "say \u{1b}[2J\u{1b}]0;title\u{7}\u{7f}\u{9b}1A\u{202e}\u{2066}abc\rwasmgrid: 1 task: 1 \
                    ok\nwasmgrid: 9 tasks: 9 ok\r\nwasmgrid: all is well\u{85}\u{2028}\u{b}\u{c}end";

/// Checks all that a command has printed: no character does more than show, and no line of ours was
/// made by others.
fn assert_harmless(finished: &Finished) -> &Finished {
    for text in [finished.text(), &finished.stderr] {
        for line in text.split('\n') {
            for c in line.chars() {
                let shows = !c.is_control() || c == '\t';
                let marks = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                assert!(shows && !marks, "{c:?} in {line:?} of {finished}");
            }
            let ours = ["wasmgrid: 1 task: 1 ok", "wasmgrid: 9 tasks", "wasmgrid: all is well"];
            assert!(!ours.iter().any(|ours| line.starts_with(ours)), "{line:?} in {finished}");
        }
    }
    finished
}

/// A core module that imports this.
fn importing(name: &str) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0".to_vec();
    let leb = |mut value: usize| {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    let mut import = vec![1];
    for part in [name, name] {
        import.extend(leb(part.len()));
        import.extend(part.as_bytes());
    }
    import.extend([0, 0]);
    module.push(2);
    module.extend(leb(import.len()));
    module.extend(import);
    // What it imports is what it exports as its entry.
    module.extend(b"\x07\x0a\x01\x06_start\0\0");
    module
}

#[test]
fn names_in_modules_are_shown_escaped_in_refusals_and_by_inspect() {
    let home = Home::new();
    home.write("import.wasm", importing(EVIL));
    for args in [
        &["inspect", "import.wasm"][..],
        &["run", "import.wasm"],
        &["run", "import.wasm", "--dry-run"],
    ] {
        let refused = home.run(args);
        assert_harmless(refused.fails_with(3, &["\\u{1b}[2J"]));
    }
    let json = home.run(["inspect", "import.wasm", "--output", "json"]);
    let said: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert!(said["refused"].as_str().expect("a text").contains(&EVIL[..40]), "{json}");
}

#[test]
fn what_a_task_says_is_shown_escaped_and_its_json_is_exact() {
    let home = Home::new();
    home.write("in/one\u{1b}[2J\nwasmgrid: 9 tasks: 9 ok", EVIL);
    let moods = guest("moods");
    let failed = home.run(["run", &moods, "--files", "in/*"]);
    assert_harmless(failed.fails_with(1, &["rejected: say \\u{1b}[2J", "\\u{202e}"]));
    let failed = home.run_with_stdin(["run", &moods], EVIL.as_bytes());
    assert_harmless(failed.fails_with(1, &["rejected: say"]));
    let json = home.run(["run", &moods, "--files", "in/*", "--output", "json"]);
    let said: Value = serde_json::from_slice(&json.stdout).expect("one line");
    assert_eq!(said["error"].as_str().expect("a text"), format!("rejected: {EVIL}"));
    // A name on the command line is quoted by the parser.
    assert_harmless(home.run(["run", &format!("--{EVIL}")]).fails_with(2, &[]));
    assert_harmless(home.run(["run", EVIL]).fails_with(2, &[]));
}

#[test]
fn names_labels_and_engines_are_shown_escaped_by_every_command_of_a_grid() {
    let grid = Grid::start(1, 2);
    grid.home.write("in", EVIL);
    let failed = grid.run(&["submit", &guest("moods"), "--files", "in"]).ok().trim().to_owned();
    grid.run(&["job", "wait", &failed]).fails_with(1, &[]);
    let noop = std::fs::read(guest("noop")).expect("a guest");
    let token = grid.run(&["token", "create", "--role", "client"]);
    let mut client = LyingClient::link(token.ok().trim(), "mallory");
    // No command line would take such a name.
    let job = client.submit(&noop, 1, |spec| {
        spec.name = EVIL.into();
        spec.requires = vec![(EVIL.into(), EVIL.into())];
    });
    let mut capacity = LyingWorker::capacity(1);
    capacity.engine = EVIL.into();
    capacity.labels = vec![(EVIL.into(), EVIL.into())];
    // It has the labels that the job requires, and takes its task.
    let token = grid.run(&["token", "create", "--role", "worker"]);
    let mut liar = LyingWorker::join(token.ok().trim(), "liar", capacity);
    liar.assigned();
    let says = grid.run(&["submit", &guest("moods"), "--range", "0..1", "--require", "a=b"]);
    let waits = says.ok().trim().to_owned();
    let job = job.to_string();
    for args in [
        &["job", "list"][..],
        &["job", "show", &job],
        &["job", "show", &job, "--task", "0"],
        &["job", "show", &failed, "--task", "0"],
        &["job", "explain", &job],
        &["job", "explain", &waits],
        &["job", "results", &failed],
        &["worker", "list"],
        &["worker", "show", "liar"],
        &["context", "list"],
    ] {
        let shown = grid.run(args);
        assert!(matches!(shown.code, Some(0 | 1)), "{args:?}: {shown}");
        assert_harmless(&shown);
    }
    let shown = grid.run(&["job", "list"]);
    let rows = shown.text().lines().count();
    assert_eq!(rows, 4, "a heading and a row for each job: {shown}");
    let workers = grid.run(&["worker", "list"]);
    assert_eq!(workers.text().lines().count(), 3, "{workers}");
    assert_json_is_exact(&grid, &job);
    for said in [grid.scheduler.said(), grid.workers[0].process.said()] {
        assert!(!said.contains(['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}']), "{said}");
    }
}

fn assert_json_is_exact(grid: &Grid, job: &str) {
    assert_eq!(grid.job(job)["name"], EVIL);
    let listed = grid.run(&["worker", "list", "--output", "json"]);
    let workers: Vec<BTreeMap<String, Value>> =
        serde_json::from_slice(&listed.stdout).expect("JSON");
    let liar = workers.iter().find(|worker| worker["name"] == "liar").expect("it is listed");
    assert_eq!(liar["engine"], EVIL);
    assert_eq!(liar["labels"][0], format!("{EVIL}={EVIL}"));
}
