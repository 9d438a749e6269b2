//! Runs the programs of a WASI test suite as tasks, by the real binary, and judges how each
//! ended. A folder of programs is read as the suite's own executors do: every `.wasm` is a test,
//! and a `.json` of its name says what it is given and how it should end. Not for getting or
//! building the programs.

mod manifest;

use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::Value;
use walkdir::WalkDir;

pub use manifest::Manifest;

use crate::{Finished, Home};

/// Enough for the largest program of the suites, which uses 0.1 G; some that miss what they need
/// look for it without end.
const FUEL: &str = "2G";

/// What a program makes of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ended as its manifest says.
    Pass,
    /// It was refused before it ran, and why: an import that tasks do not have.
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

/// What ends otherwise than the suite says, and why it stays so.
const EXPLAINED: &[(&str, &str)] = &[
    ("args_get-multiple-arguments", ALLOCATOR),
    ("environ_get-multiple-variables", ALLOCATOR),
    (
        "fd_write-to-invalid-fd",
        "the published preview 1 adapter answers a write of nothing before it looks at the \
         descriptor",
    ),
];

/// The programs call the adapter before they allocate.
const ALLOCATOR: &str = "AssemblyScript's allocator takes the memory of the preview 1 adapter, \
                         which lies behind the module's own, for free memory";

/// Every program under a folder with its verdict, in the order of their paths.
#[derive(Debug, Default)]
pub struct Report {
    /// Path below the folder, and verdict.
    pub programs: Vec<(PathBuf, Verdict)>,
}

impl Report {
    /// Runs everything under `folder`.
    ///
    /// # Panics
    /// Where the folder or a manifest cannot be read.
    pub fn of(folder: &Path) -> Self {
        let home = Home::new();
        let mut programs: Vec<_> = WalkDir::new(folder)
            .into_iter()
            .map(|entry| entry.expect("the suite's folder is readable").into_path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "wasm"))
            .collect();
        programs.sort();
        let judged = programs.into_iter().map(|path| {
            let verdict = judge(&home, &path);
            (path.strip_prefix(folder).map(Path::to_owned).unwrap_or(path), verdict)
        });
        Self { programs: judged.collect() }
    }

    /// Those that failed.
    pub fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Fail(_)))
    }

    fn count(&self, is: impl Fn(&Verdict) -> bool) -> usize {
        self.programs.iter().filter(|(_, verdict)| is(verdict)).count()
    }
}

impl fmt::Display for Report {
    /// A line a program that did not pass, and a table of all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, verdict) in &self.programs {
            if *verdict != Verdict::Pass {
                writeln!(f, "{:<9} {}: {verdict}", verdict.name(), path.display())?;
            }
        }
        writeln!(
            f,
            "\n{:>9} {:>9} {:>9} {:>9} {:>9}",
            "pass", "refused", "denied", "explained", "fail"
        )?;
        for name in ["pass", "refused", "denied", "explained", "fail"] {
            write!(f, "{:>9} ", self.count(|verdict| verdict.name() == name))?;
        }
        writeln!(f)
    }
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
fn judge(home: &Home, program: &Path) -> Verdict {
    let manifest = Manifest::of(program);
    let program_path = program.to_str().expect("the suite has plain paths");
    let mut args: Vec<String> =
        ["run", "--local", program_path, "--output", "json", "--fuel", FUEL].map(Into::into).into();
    for grant in grants(&manifest, program) {
        args.extend(["--allow".into(), grant]);
    }
    args.push("--".into());
    args.extend(manifest.args.iter().cloned());
    let finished = home.run_with_stdin(args, manifest.stdin.as_bytes());
    let name = program.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    match ended(&finished) {
        Err(said) if finished.code == Some(3) => Verdict::Refused(said),
        Err(said) => Verdict::Fail(format!("exit {:?}: {said}", finished.code)),
        Ok(result) => verdict(name, &manifest, &result),
    }
}

/// What the manifest gives the program, as far as a task can have it.
fn grants(manifest: &Manifest, program: &Path) -> Vec<String> {
    let variables = manifest.env.iter().map(|(name, value)| format!("env:{name}={value}"));
    let root =
        manifest.root.as_ref().and_then(|root| program.parent()?.join(root).canonicalize().ok());
    let root = root.map(|root| format!("dir:{}:/:ro", root.display()));
    variables.chain(root).collect()
}

/// What the program needs that no task is given.
fn needs(manifest: &Manifest) -> Option<&'static str> {
    let directory = manifest.root.as_ref().map(|_| "a directory that it can change");
    if manifest.has_network { Some("a network") } else { directory }
}

/// The result's object, or the first line of what was said instead of one.
fn ended(finished: &Finished) -> Result<Value, String> {
    let line = finished.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(line)
        .map_err(|_| finished.stderr.lines().next().unwrap_or("it said nothing").to_owned())
}

fn verdict(name: &str, manifest: &Manifest, result: &Value) -> Verdict {
    let text = |field: &str| result[field].as_str().unwrap_or_default().to_owned();
    let (outcome, error) = (text("outcome"), text("error"));
    let Some(mismatch) = mismatch(manifest, &outcome, &error, &text("output")) else {
        return Verdict::Pass;
    };
    // What the task itself did; `lost`, `cancelled` and the like are the grid's.
    let by_task = matches!(outcome.as_str(), "ok" | "exit" | "trap" | "limit");
    let explained = EXPLAINED.iter().find(|(explained, _)| *explained == name);
    match (needs(manifest), explained) {
        (Some(needs), _) if by_task => {
            let error = error.lines().next().unwrap_or_default();
            let outcome = if error.is_empty() { outcome } else { error.to_owned() };
            Verdict::Denied { needs, outcome }
        }
        (None, Some((_, why))) if by_task => Verdict::Explained(why),
        _ => Verdict::Fail(mismatch),
    }
}

/// How the result differs from what the manifest says, if it does.
fn mismatch(manifest: &Manifest, outcome: &str, error: &str, stdout: &str) -> Option<String> {
    let mut differs = String::new();
    let expected = match manifest.exit_code {
        0 => String::new(),
        code => format!("exit code {code}"),
    };
    if error != expected || !matches!(outcome, "ok" | "exit") {
        let found = error.lines().take(4).collect::<Vec<_>>().join(" | ");
        let expected = if expected.is_empty() { "success" } else { &expected };
        // Writing to a string cannot fail, here and below.
        let _ = write!(differs, "ended with {outcome} ({found}), {expected} was expected; ");
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
    fn a_program_that_ends_as_its_manifest_says_passes() {
        let ok = json!({"outcome": "ok", "output": "hi", "error": null});
        assert_eq!(verdict("a", &manifest("{}"), &ok), Verdict::Pass);
        assert_eq!(verdict("a", &manifest(r#"{"stdout": "hi"}"#), &ok), Verdict::Pass);
        let exit = json!({"outcome": "exit", "output": "", "error": "exit code 33"});
        assert_eq!(verdict("a", &manifest(r#"{"exit_code": 33}"#), &exit), Verdict::Pass);
    }

    #[test]
    fn another_ending_is_a_failure_unless_it_needs_what_no_task_has() {
        let exit = json!({"outcome": "exit", "output": "", "error": "exit code 1"});
        assert!(matches!(verdict("a", &manifest("{}"), &exit), Verdict::Fail(_)));
        let other = manifest(r#"{"exit_code": 33}"#);
        assert!(matches!(verdict("a", &other, &exit), Verdict::Fail(_)));
        let with_root = manifest(r#"{"root": "fs-tests.dir"}"#);
        assert!(matches!(verdict("a", &with_root, &exit), Verdict::Denied { .. }));
        // Whatever it needs, a task that took its host with it is a failure.
        let lost = json!({"outcome": "lost", "output": "", "error": "lost: killed"});
        assert!(matches!(verdict("a", &with_root, &lost), Verdict::Fail(_)));
        let written = json!({"outcome": "ok", "output": "ho", "error": null});
        let expected = manifest(r#"{"stdout": "hi"}"#);
        assert!(matches!(verdict("a", &expected, &written), Verdict::Fail(_)));
    }
}
