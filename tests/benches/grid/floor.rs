//! The bare loop of Wasmtime, in the configuration of the grid's runners, as processes; and for
//! large payloads plain QUIC.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use wasmgrid_tests::binary;

use crate::{machine::Reset, throughput::Work};

/// Long enough for the rate to settle on a noisy machine.
const SECONDS: &str = "3";

/// The program with the loop: `host/sandbox/examples/floor.rs`.
pub struct Floor {
    program: PathBuf,
    inputs: tempfile::TempDir,
}

/// What a bare loop does.
#[derive(Clone, Copy)]
pub struct Bare {
    /// Tasks a second of all processes together.
    pub rate: f64,
    /// CPU time a task, in microseconds.
    pub cpu_us: f64,
}

impl Floor {
    /// As `make bench` built it: a build of its own would choose other features for what the
    /// engine rests on, and take as long as everything before.
    pub fn find() -> Self {
        let inputs = tempfile::tempdir().expect("a temporary folder");
        Self { program: example("floor"), inputs }
    }

    /// Tasks of a work's first input, in so many processes side by side.
    pub fn run(&self, work: &Work, reset: Reset, processes: usize) -> Bare {
        self.rate(&work.module, work.first(), reset, processes)
    }

    /// The input with which a task of the module takes about `micros` microseconds.
    pub fn calibrate(&self, module: &str, micros: f64) -> u64 {
        let guess = 1_000_000.0;
        let took = 1e6 / self.rate(module, b"1000000", Reset::Safe, 1).rate;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "millions")]
        let rounds = (guess * micros / took) as u64;
        rounds
    }

    /// Messages of 1 MiB a second that plain QUIC carries to another process and back.
    pub fn quic() -> f64 {
        let output = Command::new(example("bulk")).args(["--seconds", SECONDS]).output();
        let [rate, _] = numbers(&output.expect("the floor starts").stdout);
        rate
    }

    fn rate(&self, module: &str, input: &[u8], reset: Reset, processes: usize) -> Bare {
        let path = self.inputs.path().join("input");
        fs::write(&path, input).expect("a file");
        let pagemap = (reset == Reset::Pagemap).to_string();
        let start = |_| {
            Command::new(&self.program)
                .args(["bare", module, "--seconds", SECONDS, "--pagemap-scan", &pagemap])
                .arg("--input")
                .arg(&path)
                .stdout(Stdio::piped())
                .spawn()
                .expect("the floor starts")
        };
        // All are started before the first is waited for.
        let children: Vec<_> = (0..processes).map(start).collect();
        let said: Vec<_> = children
            .into_iter()
            .map(|child| numbers(&child.wait_with_output().expect("it ends").stdout))
            .collect();
        let rate = said.iter().map(|[rate, _]| rate).sum();
        let busy: f64 = said.iter().map(|[rate, cpu_us]| rate * cpu_us).sum();
        Bare { rate, cpu_us: busy / rate }
    }
}

/// A program that `make bench` built beside the binary.
pub fn example(name: &str) -> PathBuf {
    let program = binary().with_file_name("examples").join(name);
    assert!(program.is_file(), "{} is missing; `make bench` builds it", program.display());
    program
}

/// The numbers of its first line; those that are missing are 0.
fn numbers(output: &[u8]) -> [f64; 2] {
    let text = String::from_utf8_lossy(output);
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    let first = numbers.next().unwrap_or_else(|| panic!("no rate: {text:?}"));
    [first, numbers.next().unwrap_or(0.0)]
}
