//! What became of the programs, as lines and a table.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::Verdict;

/// The columns of the table.
const NAMES: [&str; 5] = ["pass", "refused", "denied", "explained", "fail"];

/// Every run of a program with its verdict, in the order of the programs' paths.
#[derive(Debug, Default)]
pub struct Report {
    /// The runs.
    pub runs: Vec<Run>,
}

/// One run of a program.
#[derive(Debug)]
pub struct Run {
    /// The program's path.
    pub program: PathBuf,
    /// Which run, where a program has several.
    pub which: String,
    /// What it made of its task.
    pub verdict: Verdict,
}

impl Report {
    /// Those that failed.
    pub fn failed(&self) -> usize {
        self.runs.iter().filter(|run| matches!(run.verdict, Verdict::Fail(_))).count()
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, folder: Option<&Path>) -> fmt::Result {
        for name in NAMES {
            let is = |run: &&Run| {
                folder.is_none_or(|folder| run.folder() == folder) && run.verdict.name() == name
            };
            write!(f, "{:>9} ", self.runs.iter().filter(is).count())?;
        }
        writeln!(f, " {}", folder.map_or("all".into(), Path::to_string_lossy))
    }
}

impl Run {
    fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(Path::new(""))
    }
}

impl fmt::Display for Report {
    /// A line a run, and a table of all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Run { program, which, verdict } in &self.runs {
            let name = program.file_stem().unwrap_or_default().to_string_lossy();
            let space = if which.is_empty() { "" } else { " " };
            writeln!(f, "{:<9} {name}{space}{which}: {verdict}", verdict.name())?;
        }
        writeln!(f)?;
        for name in NAMES {
            write!(f, "{name:>9} ")?;
        }
        writeln!(f)?;
        let mut folders: Vec<_> = self.runs.iter().map(Run::folder).collect();
        folders.dedup();
        for folder in folders {
            self.row(f, Some(folder))?;
        }
        self.row(f, None)
    }
}
