//! Worlds by their seeds.

use wasmgrid_sim::{Options, run, shrink};

/// Seeds that every change passes; `make sim` runs others.
const SEEDS: u64 = 2_000;

#[test]
fn in_two_thousand_worlds_every_invariant_holds_after_every_step() {
    let options = Options::default();
    for seed in 0..SEEDS {
        if let Err(violation) = run(seed, &options).result {
            let kept = shrink(seed, &options, &violation);
            panic!(
                "seed {seed} broke: {}\n{}\nreplay: cargo run -p wasmgrid-sim -- --seed {seed} \
                 --trace; the faults {kept:?} are enough",
                violation.invariant, violation.detail
            );
        }
    }
}

#[test]
fn a_seed_is_one_world_whenever_it_is_run() {
    let options = Options { trace: true, ..Options::default() };
    let mut lines = 0;
    for seed in 0..12 {
        let (first, second) = (run(seed, &options), run(seed, &options));
        assert_eq!(first.result, second.result, "seed {seed}");
        assert!(first.trace == second.trace, "seed {seed} went another way");
        lines += first.trace.len();
    }
    assert!(lines > 5_000, "{lines} lines tell of no world");
}
