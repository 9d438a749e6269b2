//! Runs on this machine that were cut off, and go on where they were.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Stdio},
};

use serde_json::Value;
use wasmgrid_tests::{Finished, Grid, Home, example, guest, kill, signal, wait_until};

/// Lines of the longest runs.
const LINES: usize = 16_000;

/// Lines among which are some that fail, and some whose result is that of their index alone. Those
/// compute for a while: how far a run has come is noted once a second, and it must not end before
/// that on a fast machine.
fn moods(count: usize) -> String {
    let mood = |n: usize| match n % 50 {
        7 => "reject\n".to_owned(),
        n if n % 5 == 3 => format!("{n}\n"),
        _ => "draw\n".to_owned(),
    };
    (0..count).map(mood).collect()
}

/// How many results a file of progress knows of.
fn noted(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut marks = text.lines().filter(|line| line.starts_with("{\"next\""));
    let last: Option<Value> = marks.next_back().and_then(|line| serde_json::from_str(line).ok());
    last.map_or(0, |mark| mark["next"].as_u64().expect("a number"))
}

/// The inputs that a file of progress has as failed, as lines of text.
fn failed(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("there");
    text.lines().filter(|line| line.starts_with("{\"index\"")).map(str::to_owned).collect()
}

/// Starts a run and kills it, with nothing said to it, once it has noted something more, unless it
/// ends before.
fn cut_off(home: &Home, args: &[&str], file: &str) -> bool {
    let file = home.path().join(file);
    let before = noted(&file);
    let mut child = home.command([&["run"], args].concat()).spawn().expect("starts");
    let mut ended = false;
    wait_until("the run notes something or ends", || {
        ended = child.try_wait().expect("waited").is_some();
        ended || noted(&file) > before
    });
    kill(child.id());
    child.wait().expect("ended");
    ended
}

#[test]
fn a_run_that_is_killed_again_and_again_gives_the_bytes_of_one_that_was_not() {
    let home = Home::new();
    let task = guest("moods");
    home.write("in", moods(LINES));
    let whole = ["run", &task, "in", "-o", "whole", "--resume", "whole.p", "--slots", "1"];
    home.run(whole).fails_with(1, &["320 inputs kept in whole.p"]);
    let args = [&task, "in", "-o", "out", "--resume", "p", "--slots", "1"];
    let mut kills = 0;
    // The same command again, or the file alone, in turn.
    while kills < 3 && !cut_off(&home, if kills == 1 { &["--resume", "p"] } else { &args }, "p") {
        kills += 1;
        // A part of a result, and entries behind the last note, as a kill may leave them.
        let mut out = fs::File::options().append(true).open(home.path().join("out")).expect("out");
        out.write_all(b"half a li").expect("written");
        let mut file = fs::File::options().append(true).open(home.path().join("p")).expect("p");
        file.write_all(b"{\"index\":15999,\"outcome\":\"tr").expect("written");
    }
    assert!(kills > 0, "it ended before it noted anything");
    let last = home.run([&["run"], &args[..]].concat());
    last.fails_with(1, &["continuing after the first", "320 inputs kept in p", "--again p"]);
    assert!(home.read("out") == home.read("whole"), "other bytes");
    assert_eq!(failed(&home.path().join("p")), failed(&home.path().join("whole.p")));
    // All is done: there is nothing left, and it is still no success.
    let done = home.run(["run", "--resume", "p"]);
    done.fails_with(1, &["continuing after the first 16000 inputs"]);
    assert!(home.read("out") == home.read("whole"), "other bytes");
    home.run(["run", "--again", "p"]).fails_with(1, &["320 failed"]);
}

/// Feeds a run from a pipe until it has noted how far it has come.
fn fed(home: &Home, args: &[&str], file: &str, lines: &[String]) -> Child {
    let mut command = home.command([&["run"], args].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let mut lines = lines.iter();
    let file = home.path().join(file);
    wait_until("the run notes something", || {
        let line = lines.next().expect("more lines than it takes");
        pipe.write_all(line.as_bytes()).expect("written");
        noted(&file) > 0
    });
    // It would end with the pipe.
    std::mem::forget(pipe);
    child
}

#[test]
fn a_pipe_that_is_given_again_goes_on_where_it_was() {
    let home = Home::new();
    let task = guest("moods");
    let line = |n| if n % 50 == 7 { "reject\n".to_owned() } else { format!("{n}\n") };
    let lines: Vec<String> = (0..100_000).map(line).collect();
    let args = [&task, "-", "-o", "out", "--resume", "p"];
    let mut child = fed(&home, &args, "p", &lines);
    kill(child.id());
    child.wait().expect("ended");
    let first: String = lines[..20_000].concat();
    let rest = home.run_with_stdin([&["run"], &args[..]].concat(), first.as_bytes());
    rest.fails_with(1, &["continuing after"]);
    let whole = home.run_with_stdin(["run", &task, "-"], first.as_bytes());
    assert!(home.read("out") == whole.text(), "other bytes");
}

#[test]
fn a_polite_end_says_how_it_goes_on_and_leaves_whole_lines() {
    for (number, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
        let home = Home::new();
        let task = guest("moods");
        home.write("in", moods(LINES));
        let args = ["run", &task, "in", "-o", "out", "--resume", "p", "--slots", "1"];
        let child = home.command(args).spawn().expect("starts");
        let file = home.path().join("p");
        wait_until("the run notes something", || noted(&file) > 0);
        signal(child.id(), number);
        let output = child.wait_with_output().expect("ended");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ended = Finished { code: output.status.code(), stdout: output.stdout, stderr: said };
        ended.fails_with(130, &["`wasmgrid run --resume p` continues"]);
        let before = home.read("out");
        assert!(before.ends_with('\n'), "{name}: it ends within a line");
        home.run(["run", "--resume", "p"]).fails_with(1, &["continuing after", "320 inputs kept"]);
        let whole = home.run(["run", &task, "in"]);
        let out = home.read("out");
        assert!(out == whole.text() && out.starts_with(&before), "{name}: other bytes");
    }
}

#[test]
fn files_ranges_grids_tables_and_batches_go_on_too() {
    let home = Home::new();
    let (task, noop, grep) = (guest("spin"), guest("noop"), example("grep"));
    for n in 0..400 {
        home.write(&format!("in/{n:03}"), (6_000_000 + n).to_string());
    }
    let table: String = (0..60_000).map(|n| format!("{n},\"x\n{n}\"\n")).collect();
    home.write("t.csv", "a,b\n".to_owned() + &table);
    let cases: [(&[&str], &[&str]); 5] = [
        (&[&task, "--range", "6000000..6000400"], &[]),
        (&[&task, "--files", "in/*", "--with-input"], &[]),
        (&[&noop, "--grid", "a=0..600", "--grid", "b=0..100"], &[]),
        (&[&noop, "--csv", "t.csv", "--csv-numbers", "a"], &[]),
        (&[&grep, "--csv", "t.csv", "--batch", "3"], &["--", "1"]),
    ];
    let mut cuts = 0;
    for (flags, behind) in cases {
        let run =
            |out: &[&str]| home.run([&["run"], flags, out, &["--slots", "1"], behind].concat());
        let whole = run(&["-o", "whole", "--resume", "whole.p"]);
        let part = [flags, &["-o", "out", "--resume", "p", "--slots", "1"], behind].concat();
        // A short one may have come to its end.
        cuts += u32::from(!cut_off(&home, &part, "p"));
        let again = run(&["-o", "out", "--resume", "p"]);
        assert_eq!(again.code, whole.code, "{flags:?}: {again}");
        assert!(home.read("out") == home.read("whole"), "{flags:?}: other bytes");
        assert_eq!(failed(&home.path().join("p")), failed(&home.path().join("whole.p")));
        for name in ["out", "whole", "p", "whole.p"] {
            fs::remove_file(home.path().join(name)).expect("removed");
        }
    }
    assert!(cuts > 0, "none was cut off");
}

#[test]
fn results_in_files_of_their_own_go_on_and_leave_nothing_else() {
    let home = Home::new();
    let task = guest("spin");
    for n in 0..400 {
        home.write(&format!("in/{n:03}"), (6_000_000 + n).to_string());
    }
    let run =
        |dir, file| [&task, "--files", "in/*", "--slots", "1", "--out-dir", dir, "--resume", file];
    home.run([&["run"], &run("whole", "whole.p")[..]].concat()).ok();
    let mut kills = 0;
    while kills < 2 && !cut_off(&home, &run("out", "p"), "p") {
        kills += 1;
    }
    assert!(kills > 0, "it ended before it noted anything");
    home.run(["run", "--resume", "p"]).ok();
    let has = |folder: &str| {
        let entries = fs::read_dir(home.path().join(folder)).expect("listed");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("listed").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(has("out"), has("whole"));
    assert_eq!(has("out").len(), 400);
    for name in has("out") {
        assert_eq!(home.read(&format!("out/{name}")), home.read(&format!("whole/{name}")));
    }
}

#[test]
fn what_is_another_run_or_other_inputs_is_refused_and_nothing_is_touched() {
    let home = Home::new();
    let (task, noop) = (guest("moods"), guest("noop"));
    home.write("in", "a\nb\nreject\n");
    let args = |more: &'static [&'static str]| {
        [&["run", "in", "-o", "out", "--resume", "p"], more].concat()
    };
    let of = |task: &str, more| {
        let mut all: Vec<String> = args(more).into_iter().map(str::to_owned).collect();
        all.insert(1, task.to_owned());
        home.run(all)
    };
    of(&task, &[]).fails_with(1, &["1 input kept in p"]);
    let (out, file) = (home.read("out"), home.read("p"));
    for (finished, said) in [
        (of(&noop, &[]), "its module"),
        (of(&task, &["--seed", "1"]), "--seed"),
        (of(&task, &["--fuel", "1G"]), "its limits"),
        (of(&task, &["--with-input"]), "its output"),
        (home.run(["run", &task, "--range", "0..3", "-o", "out", "--resume", "p"]), "its inputs"),
        (home.run(["run", "--resume", "p", "-o", "other"]), "give --resume alone"),
        (home.run(["run", "--resume", "gone"]), "gone does not exist"),
        (home.run(["run", &task, "in", "--resume", "new"]), "needs -o"),
        (home.run(["run", &task, "in", "-o", "/dev/null", "--resume", "new"]), "to be a file"),
        (home.run(["run", &task, "-o", "x", "--resume", "new"]), "several inputs"),
        (of(&task, &["--order", "done"]), "--order"),
        (home.run(["run", &task, "in", "-o", "in2", "--resume", "in"]), "in"),
        (home.run(["run", &task, "--again", "p", "--resume", "new"]), "--again"),
    ] {
        finished.fails_with(2, &[said]);
        assert_eq!((home.read("out"), home.read("p")), (out.clone(), file.clone()), "{finished}");
    }
    assert!(!home.path().join("new").exists());
    home.write("in", "a\nx\nreject\n");
    of(&task, &[]).fails_with(2, &["have changed since"]);
    home.write("in", "a\nb\n");
    of(&task, &[]).fails_with(2, &["there are 2 inputs", "results of 3"]);
    home.write("in", "a\nb\nreject\n");
    home.write("out", "short");
    of(&task, &[]).fails_with(2, &["out has 5 bytes"]);
    assert_eq!(home.read("out"), "short");
    home.write("out", &out);
    // Damage before a note is no end of the file.
    home.write("p", file.replacen("{\"index\"", "{\"indx\"", 1));
    of(&task, &[]).fails_with(2, &["unknown field `indx`"]);
    home.write("p", &file);
    of(&task, &[]).fails_with(1, &["continuing after the first 3"]);
    assert_eq!(home.read("out"), out);
    // More lines than there were are new inputs.
    home.write("in", "a\nb\nreject\nc\n");
    of(&task, &[]).fails_with(1, &["1 input kept in p"]);
    assert_eq!(home.read("out"), out + "fine: c\n");
}

#[test]
fn two_runs_do_not_share_a_file_of_progress() {
    let home = Home::new();
    let lines = vec!["x\n".to_owned(); 1_000_000];
    let task = guest("moods");
    let mut child = fed(&home, &[&task, "-", "-o", "out", "--resume", "p"], "p", &lines);
    home.run(["run", "--resume", "p"]).fails_with(2, &["p is in use"]);
    kill(child.id());
    child.wait().expect("ended");
}

#[test]
fn on_a_cluster_a_job_goes_on_by_itself() {
    let grid = Grid::start(1, 1);
    let args = ["run", &guest("noop"), "--range", "0..3", "-o", "out", "--resume", "p"];
    grid.home.run(args).fails_with(2, &["continues by itself", "--local"]);
    grid.home.run([&args[..], &["--local"]].concat()).ok();
    assert_eq!(grid.home.read("out"), "0\n1\n2\n");
}
