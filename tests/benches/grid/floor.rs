//! (a): the bare loop of Wasmtime, in the configuration of the grid's runners, as processes; and
//! for large payloads plain QUIC.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use wasmgrid_tests::binary;

use crate::throughput::Work;

/// Long enough for the rate to settle on a noisy machine.
const SECONDS: &str = "3";

/// The program with the loop: `host/sandbox/examples/floor.rs`.
pub struct Floor {
    program: PathBuf,
    inputs: tempfile::TempDir,
}

impl Floor {
    /// As `make bench` built it: a build of its own would choose other features for what the
    /// engine rests on, and take as long as everything before.
    pub fn find() -> Self {
        let program = binary().with_file_name("examples").join("floor");
        assert!(program.is_file(), "{} is missing; `make bench` builds it", program.display());
        Self { program, inputs: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Tasks a second of a work's first input, in so many processes side by side together.
    pub fn run(&self, work: &Work, processes: usize) -> f64 {
        self.rate(&work.module, work.first(), processes)
    }

    /// The input with which a task of the module takes about `micros` microseconds.
    pub fn calibrate(&self, module: &str, micros: f64) -> String {
        let guess = 1_000_000.0;
        let took = 1e6 / self.rate(module, b"1000000", 1);
        format!("{:.0}", guess * micros / took)
    }

    /// Messages of 1 MiB a second that plain QUIC carries to another process and back.
    pub fn quic() -> f64 {
        let program = binary().with_file_name("examples").join("bulk");
        assert!(program.is_file(), "{} is missing; `make bench` builds it", program.display());
        let output = Command::new(program).args(["--seconds", SECONDS]).output();
        number(&output.expect("the floor starts").stdout)
    }

    fn rate(&self, module: &str, input: &[u8], processes: usize) -> f64 {
        let path = self.inputs.path().join("input");
        fs::write(&path, input).expect("a file");
        let start = |_| {
            Command::new(&self.program)
                .args(["bare", module, "--seconds", SECONDS, "--input"])
                .arg(&path)
                .stdout(Stdio::piped())
                .spawn()
                .expect("the floor starts")
        };
        // All are started before the first is waited for.
        let children: Vec<_> = (0..processes).map(start).collect();
        children
            .into_iter()
            .map(|child| number(&child.wait_with_output().expect("it ends").stdout))
            .sum()
    }
}

fn number(output: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(output);
    text.trim().parse().unwrap_or_else(|_| panic!("no rate: {text:?}"))
}
