//! A task's randomness, and its seed. Unless real entropy was granted, all of it is a function of
//! the job's seed and the task's index:
//!
//! the task's key is BLAKE3's `derive_key` of the context `wasmgrid task randomness v1` over
//! `seed || index` (u64, little-endian); each of the three sources is the output of BLAKE3 keyed
//! with it over the source's name, read from its start: `random`, `insecure`, `insecure-seed`.

use blake3::OutputReader;

use crate::stop::Stop;

/// The most bytes of one call: the buffer is the host's own until the guest has taken it.
const REQUEST_MAX: u64 = 4 << 20;

/// The two streams of a task.
pub(super) struct Random {
    pub(super) secure: Source,
    pub(super) insecure: Source,
    pub(super) insecure_seed: (u64, u64),
}

/// Where bytes come from.
pub(super) enum Source {
    Seeded(Box<OutputReader>),
    Real,
}

impl Random {
    pub(super) fn new(seed: u64, index: u64, real: bool) -> Self {
        let source = |name| {
            if real { Source::Real } else { Source::Seeded(Box::new(stream(seed, index, name))) }
        };
        let mut insecure_seed = stream(seed, index, "insecure-seed");
        Self {
            secure: source("random"),
            insecure: source("insecure"),
            insecure_seed: (next_u64(&mut insecure_seed), next_u64(&mut insecure_seed)),
        }
    }
}

impl Source {
    /// The next bytes.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Stop> {
        match self {
            Self::Seeded(stream) => {
                stream.fill(buffer);
                Ok(())
            }
            Self::Real => real_entropy(buffer),
        }
    }
}

fn real_entropy(mut buffer: &mut [u8]) -> Result<(), Stop> {
    while !buffer.is_empty() {
        match rustix::rand::getrandom(&mut *buffer, rustix::rand::GetRandomFlags::empty()) {
            Ok(filled) => buffer = buffer.get_mut(filled..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Stop::Host(format!("no entropy: {error}"))),
        }
    }
    Ok(())
}

/// What the task is told as its seed: SplitMix64, as the guest SDK has it, so that a task that is
/// run without a grid sees the same.
pub(super) fn task_seed(seed: u64, index: u64) -> u64 {
    let z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn stream(seed: u64, index: u64, source: &str) -> OutputReader {
    let mut material = [0; 16];
    let (low, high) = material.split_at_mut(8);
    low.copy_from_slice(&seed.to_le_bytes());
    high.copy_from_slice(&index.to_le_bytes());
    let key = blake3::derive_key("wasmgrid task randomness v1", &material);
    blake3::Hasher::new_keyed(&key).update(source.as_bytes()).finalize_xof()
}

fn next_u64(stream: &mut OutputReader) -> u64 {
    let mut bytes = [0; 8];
    stream.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Fails where one call asks for too much.
pub(super) fn check_request(length: u64) -> Result<(), Stop> {
    if length > REQUEST_MAX {
        return Err(Stop::resources(length, REQUEST_MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_bytes(seed: u64, index: u64) -> [u8; 32] {
        let mut bytes = [0; 32];
        Random::new(seed, index, false).secure.fill(&mut bytes).expect("seeded");
        bytes
    }

    #[test]
    fn randomness_is_a_function_of_seed_and_index() {
        assert_eq!(first_bytes(1, 2), first_bytes(1, 2));
        assert_ne!(first_bytes(1, 2), first_bytes(1, 3));
        assert_ne!(first_bytes(1, 2), first_bytes(2, 2));
        assert_ne!(first_bytes(1, 2), first_bytes(2, 1));
    }

    #[test]
    fn a_tasks_seed_is_the_sdks() {
        assert_eq!(task_seed(0, 0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(task_seed(0, 1), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn real_entropy_differs_each_time() {
        let mut sources = [Random::new(1, 2, true), Random::new(1, 2, true)];
        let [one, two] = sources.each_mut().map(|random| {
            let mut bytes = [0; 32];
            random.secure.fill(&mut bytes).expect("entropy");
            bytes
        });
        assert_ne!(one, two);
    }
}
