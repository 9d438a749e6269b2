//! A time of day that a test sets, for the processes that are started with it.

use std::{fs, process::Command};

use crate::binary;

/// How far this clock is from the system's; it can be set while processes run.
pub struct Clock {
    folder: tempfile::TempDir,
}

impl Clock {
    /// A clock that is so many seconds ahead of the system's.
    pub fn ahead(seconds: i64) -> Self {
        let clock = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        clock.set_ahead(seconds);
        clock
    }

    /// Sets it to be so many seconds ahead of the system's, or behind it.
    pub fn set_ahead(&self, seconds: i64) {
        let (step, next) = (self.folder.path().join("step"), self.folder.path().join("next"));
        fs::write(&next, seconds.to_string()).expect("a file");
        // Whoever reads it finds one of both.
        fs::rename(next, step).expect("the same folder");
    }

    /// A process that is started by this command has this clock.
    pub fn give(&self, command: &mut Command) {
        let library = binary().with_file_name("examples").join("libclock_step.so");
        assert!(library.is_file(), "{} is built with the tests", library.display());
        command.env("LD_PRELOAD", library).env("CLOCK_STEP", self.folder.path().join("step"));
    }
}
