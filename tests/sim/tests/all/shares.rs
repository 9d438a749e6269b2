//! Worlds made to see that shares converge.

use wasmgrid_sim::{Options, Plan, run_shares};

#[test]
fn shares_converge_to_the_weights_where_all_want_more_than_there_is() {
    let options = Options::default();
    for seed in 0..10 {
        let plan = Plan::draw_shares(seed, &options.base);
        let shares = run_shares(plan, &options).expect("every invariant holds");
        let sum: u64 = shares.values().sum();
        for (tenant, time) in &shares {
            let percent = time * 100 / sum.max(1);
            assert!((29..=38).contains(&percent), "seed {seed}: {tenant} had {shares:?}");
        }
    }
}
