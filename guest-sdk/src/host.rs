//! What a task is to the SDK, and what it speaks to while it runs: the grid, a command line or
//! a test. Not public: authors see the [`Context`].

use crate::{Context, Error, Level};

/// A task as the attribute writes it down: bytes in, bytes out.
pub trait Task {
    /// Whether the function takes a context. One that does not imports nothing of the grid, so
    /// that its component runs wherever WASI commands run.
    const TAKES_CONTEXT: bool;

    /// Whether the function takes a value beside its input, the same for all tasks. One that does
    /// not imports nothing of it either.
    const TAKES_VALUE: bool;

    /// Decodes the input and the value, calls the function and encodes what it returns. `input` may
    /// be taken; `value` is empty where the function takes none.
    fn run(input: &mut Vec<u8>, value: &[u8], context: &mut Context) -> Result<Vec<u8>, Error>;
}

/// The other side of a [`Context`].
pub(crate) trait Host {
    fn info(&self) -> Info;
    fn fuel_left(&self) -> u64;
    fn emit(&mut self, bytes: &[u8]);
    fn progress(&mut self, done: u64, total: u64);
    fn cancelled(&self) -> bool;
    fn log(&mut self, level: Level, message: &str);
}

/// What a task knows of itself; see `wasmgrid:task/context` in `wit/world.wit`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Info {
    pub index: u64,
    pub seed: u64,
    pub fuel_limit: u64,
    pub memory_limit_bytes: u64,
}

/// The seed of task `index` in a job of seed `job_seed`: SplitMix64, as `wit/world.wit` fixes it
/// for every host, so that a task draws the same numbers natively and on a grid.
pub(crate) fn task_seed(job_seed: u64, index: u64) -> u64 {
    let step = index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = job_seed.wrapping_add(step);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::task_seed;

    #[test]
    fn seeds_are_the_published_outputs_of_splitmix64() {
        assert_eq!(task_seed(0, 0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(task_seed(0, 1), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(task_seed(1_234_567, 0), 6_457_827_717_110_365_317);
    }
}
