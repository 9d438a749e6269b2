//! Runs other people's WASI programs as tasks, by the real binary, and judges how each ended: those
//! of the WASI test suite, where a `.json` of a program's name says what it is given and how it
//! should end, those of Wasmtime, known by their names, and any other command, which is given
//! nothing and should succeed. Not for getting or building the programs.

mod manifest;
mod report;
mod wasmtime;

use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::Value;
use walkdir::WalkDir;

pub use manifest::{Ending, Manifest};
pub use report::{Report, Run};

use crate::{Finished, Home};

/// Enough for the largest program of the suites, which uses 0.1 G; some that miss what they need
/// look for it without end.
const FUEL: &str = "2G";

/// Enough for any of the programs on a busy machine, and not much for those that wait for ever.
const TIMEOUT: &str = "20s";

/// What a program makes of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ended as it should.
    Pass,
    /// It was refused before it ran, and why: an import that tasks do not have, or no command.
    Refused(String),
    /// It needs what no task is given, ran without it and ended otherwise, in a typed outcome.
    Denied {
        /// What it needs.
        needs: &'static str,
        /// How it ended.
        outcome: String,
    },
    /// It ended otherwise, and why that is as it should be; the reasons stand in `EXPLAINED`.
    Explained(&'static str),
    /// It ended otherwise.
    Fail(String),
}

/// What ends otherwise than its tests say, and why it stays so.
const EXPLAINED: &[(&str, &str)] = &[(
    "p2_stream_pollable_traps",
    "a stream may go before its pollables, which need nothing of it; hosts may trap then, and \
         need not",
)];

impl Report {
    /// Runs everything under `folders`.
    ///
    /// # Panics
    /// Where a folder or a manifest cannot be read.
    pub fn of(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let home = Home::new();
        let files = folders.into_iter().flat_map(|folder| WalkDir::new(folder).sort_by_file_name());
        let programs = files
            .map(|entry| entry.expect("the programs' folder is readable").into_path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "wasm"));
        Self { runs: programs.flat_map(|program| runs(&home, &program)).collect() }
    }
}

/// Each run of a program, done.
fn runs(home: &Home, program: &Path) -> Vec<Run> {
    let name = program.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let scratch = home.path().join("files").join(name);
    let manifests = Manifest::beside(program)
        .map(|manifest| vec![manifest])
        .or_else(|| wasmtime::runs(name, &scratch))
        .unwrap_or_else(|| vec![Manifest::default()]);
    let several = manifests.len() > 1;
    let run = |(place, manifest): (usize, &Manifest)| Run {
        program: program.to_owned(),
        which: if several { format!("({})", which(place, manifest)) } else { String::new() },
        verdict: judge(home, program, name, manifest),
    };
    manifests.iter().enumerate().map(run).collect()
}

/// What tells this run of a program from its others.
fn which(place: usize, manifest: &Manifest) -> String {
    let short = manifest.args.first().filter(|arg| arg.len() < 40);
    short.cloned().unwrap_or_else(|| (place + 1).to_string())
}

impl Verdict {
    const fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refused(_) => "refused",
            Self::Denied { .. } => "denied",
            Self::Explained(_) => "explained",
            Self::Fail(_) => "fail",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("as it should be"),
            Self::Refused(why) | Self::Fail(why) => f.write_str(why),
            Self::Denied { needs, outcome } => write!(f, "needs {needs}, ended with {outcome}"),
            Self::Explained(why) => f.write_str(why),
        }
    }
}

/// Runs one program as one task.
fn judge(home: &Home, program: &Path, name: &str, manifest: &Manifest) -> Verdict {
    let finished = run(home, program, manifest);
    match ended(&finished) {
        // A job may not grant what its module does not ask for, and some of a family do not ask.
        Err(said) if said.contains("leave out `--allow dir:") => {
            judge(home, program, name, &Manifest { dirs: Vec::new(), ..manifest.clone() })
        }
        Err(said) if finished.code == Some(3) => Verdict::Refused(said),
        // Of arguments and grants there are too many.
        Err(said) if finished.code == Some(2) && manifest.needs.is_some() => Verdict::Refused(said),
        Err(said) => Verdict::Fail(format!("exit {:?}: {said}", finished.code)),
        Ok(result) => verdict(name, manifest, &result),
    }
}

fn run(home: &Home, program: &Path, manifest: &Manifest) -> Finished {
    let program = program.canonicalize().expect("the program is there");
    let program = program.to_str().expect("the suites have plain paths");
    let mut args: Vec<String> =
        ["run", "--local", program, "--output", "json", "--fuel", FUEL, "--timeout", TIMEOUT]
            .map(Into::into)
            .into();
    for grant in grants(manifest) {
        args.extend(["--allow".into(), grant]);
    }
    args.push("--".into());
    args.extend(manifest.args.iter().cloned());
    home.run_with_stdin(args, manifest.stdin.as_bytes())
}

/// What the manifest gives the program, as far as a task can have it.
fn grants(manifest: &Manifest) -> Vec<String> {
    let variables = manifest.env.iter().map(|(name, value)| format!("env:{name}={value}"));
    let dirs =
        manifest.dirs.iter().map(|(host, guest)| format!("dir:{}:{guest}:ro", host.display()));
    variables.chain(dirs).collect()
}

/// The result's object, or the first line of what was said instead of one.
fn ended(finished: &Finished) -> Result<Value, String> {
    let line = finished.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(line)
        .map_err(|_| finished.stderr.lines().next().unwrap_or("it said nothing").to_owned())
}

fn verdict(name: &str, manifest: &Manifest, result: &Value) -> Verdict {
    let text = |field: &str| result[field].as_str().unwrap_or_default().to_owned();
    let (outcome, error, log) = (text("outcome"), text("error"), text("log"));
    if outcome == "refused" {
        return Verdict::Refused(error);
    }
    let Some(mismatch) = mismatch(manifest, (&outcome, &error, &log), &text("output")) else {
        return Verdict::Pass;
    };
    // What the task itself did; `lost`, `cancelled` and the like are the grid's.
    let by_task = matches!(outcome.as_str(), "ok" | "exit" | "trap" | "limit");
    let explained = EXPLAINED.iter().find(|(explained, _)| *explained == name);
    match (manifest.needs, explained) {
        (Some(needs), _) if by_task => {
            Verdict::Denied { needs, outcome: told(&outcome, &error, &log) }
        }
        (None, Some((_, why))) if by_task => Verdict::Explained(why),
        _ => Verdict::Fail(mismatch),
    }
}

/// An ending in a line, with what the program said of it.
fn told(outcome: &str, error: &str, log: &str) -> String {
    let mut told = error.lines().next().unwrap_or(outcome).to_owned();
    let said =
        log.lines().rev().find(|line| !line.trim().is_empty() && !line.starts_with("note: "));
    if let Some(said) = said {
        // Writing to a string cannot fail, here and below.
        let _ = write!(told, " ({})", said.trim());
    }
    told
}

/// How the result differs from what the manifest says, if it does.
fn mismatch(
    manifest: &Manifest,
    (outcome, error, log): (&str, &str, &str),
    stdout: &str,
) -> Option<String> {
    let panicked = log.contains("panicked at");
    let (as_expected, expected) = match manifest.ending {
        Ending::Code(0) => (outcome == "ok", "success".to_owned()),
        Ending::Code(code) => {
            let expected = format!("exit code {code}");
            (outcome == "exit" && error == expected, expected)
        }
        Ending::Stopped => {
            (matches!(outcome, "trap" | "limit") && !panicked, "to be stopped".to_owned())
        }
        Ending::Panic(text) => {
            (outcome == "trap" && panicked && log.contains(text), format!("a panic, {text:?},"))
        }
    };
    let mut differs = String::new();
    if !as_expected {
        let found = told(outcome, error, log);
        let _ = write!(differs, "ended with {found}, {expected} was expected; ");
    }
    if let Some(expected) = manifest.stdout.as_deref().filter(|expected| *expected != stdout) {
        let _ = write!(differs, "wrote {stdout:?}, {expected:?} was expected; ");
    }
    (!differs.is_empty()).then(|| differs.trim_end_matches("; ").to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text)
    }

    #[test]
    fn a_program_that_ends_as_it_should_passes() {
        let ok = json!({"outcome": "ok", "output": "hi", "error": null, "log": ""});
        assert_eq!(verdict("a", &manifest("{}"), &ok), Verdict::Pass);
        assert_eq!(verdict("a", &manifest(r#"{"stdout": "hi"}"#), &ok), Verdict::Pass);
        let exit = json!({"outcome": "exit", "output": "", "error": "exit code 33", "log": ""});
        assert_eq!(verdict("a", &manifest(r#"{"exit_code": 33}"#), &exit), Verdict::Pass);
        let trap = json!({"outcome": "trap", "output": "", "error": "trap(host)", "log": ""});
        let stopped = Manifest { ending: Ending::Stopped, ..Manifest::default() };
        assert_eq!(verdict("a", &stopped, &trap), Verdict::Pass);
        let panicked = json!({"outcome": "trap", "output": "", "error": "trap(unreachable)",
            "log": "thread 'main' panicked at a.rs:1:1:\nwhy"});
        let panics = Manifest { ending: Ending::Panic("why"), ..Manifest::default() };
        assert_eq!(verdict("a", &panics, &panicked), Verdict::Pass);
        assert!(matches!(verdict("a", &stopped, &panicked), Verdict::Fail(_)));
    }

    #[test]
    fn another_ending_is_a_failure_unless_it_needs_what_no_task_has() {
        let exit = json!({"outcome": "exit", "output": "", "error": "exit code 1", "log": ""});
        assert!(matches!(verdict("a", &manifest("{}"), &exit), Verdict::Fail(_)));
        let other = manifest(r#"{"exit_code": 33}"#);
        assert!(matches!(verdict("a", &other, &exit), Verdict::Fail(_)));
        let with_root = manifest(r#"{"root": "fs-tests.dir"}"#);
        assert!(matches!(verdict("a", &with_root, &exit), Verdict::Denied { .. }));
        // Whatever it needs, a task that took its host with it is a failure.
        let lost = json!({"outcome": "lost", "output": "", "error": "lost: killed", "log": ""});
        assert!(matches!(verdict("a", &with_root, &lost), Verdict::Fail(_)));
        let written = json!({"outcome": "ok", "output": "ho", "error": null, "log": ""});
        let expected = manifest(r#"{"stdout": "hi"}"#);
        assert!(matches!(verdict("a", &expected, &written), Verdict::Fail(_)));
    }
}
