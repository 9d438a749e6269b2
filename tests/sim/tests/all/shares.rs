//! Worlds made to see that shares converge.

use wasmgrid_sim::{Options, Plan, run_shares};

#[test]
fn shares_converge_to_the_weights_where_all_want_more_than_there_is() {
    let options = Options::default();
    for seed in 0..10 {
        let plan = Plan::draw_shares(seed, &options.base);
        let weights = plan.config.tenant_weights.clone();
        let shares = run_shares(plan, &options).expect("every invariant holds");
        let sum: u64 = shares.values().sum();
        let all: u32 = weights.values().sum();
        for (tenant, weight) in &weights {
            let had = shares.get(tenant).copied().unwrap_or_default() as f64 / sum.max(1) as f64;
            let due = f64::from(*weight) / f64::from(all);
            assert!((had - due).abs() < 0.05, "seed {seed}: {tenant} had {had}, is due {due}");
        }
    }
}
