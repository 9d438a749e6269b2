//! Inputs whose results are known without a grid.

use std::fmt::Write as _;

use fastrand::Rng;

/// Different inputs; each is a task of 2 to 10 ms.
const INPUTS: usize = 64;

/// The inputs and their results.
pub struct Known(Vec<(u64, u64)>);

/// The inputs of a job and what it must print.
pub struct Job {
    pub inputs: Vec<String>,
    pub expected: String,
}

impl Known {
    pub fn new() -> Self {
        let rounds = (0..INPUTS as u64).map(|number| 1_000_000 + number * 100_003);
        Self(rounds.map(|rounds| (rounds, spin(rounds))).collect())
    }

    /// A job of so many tasks.
    pub fn job(&self, tasks: usize, random: &mut Rng) -> Job {
        let mut job = Job { inputs: Vec::with_capacity(tasks), expected: String::new() };
        for _ in 0..tasks {
            let (input, output) = self.0[random.usize(..self.0.len())];
            job.inputs.push(input.to_string());
            writeln!(job.expected, "{output}").expect("a string takes all");
        }
        job
    }
}

/// What the guest `spin` does.
fn spin(rounds: u64) -> u64 {
    (0..rounds).fold(1, |state: u64, round| {
        let mixed = (state ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}
