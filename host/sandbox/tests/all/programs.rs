//! Programs of a test's own making.
//!
//! Another process writes them: a child that another test forks meanwhile would hold a file of
//! ours open for writing until it executes, and no program that is open for writing can be
//! started (`ETXTBSY`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A program `name` in `directory` that `sh` reads.
pub(crate) fn script(directory: &Path, name: &str, lines: &str) -> PathBuf {
    let (text, program) = (directory.join(format!("{name}.sh")), directory.join(name));
    fs::write(&text, format!("#!/bin/sh\n{lines}")).unwrap();
    install(&text, &program);
    program
}

/// A copy of a program.
pub(crate) fn install(from: &Path, to: &Path) {
    let installed = Command::new("install").args(["-m", "755"]).args([from, to]).output().unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
}
