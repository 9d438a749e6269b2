//! Worlds in which no tenant may have more than a few tasks on workers.

use std::collections::BTreeMap;

use wasmgrid_core::{GridConfig, Planted};
use wasmgrid_proto::Resource;
use wasmgrid_sim::{Options, run};

/// Seeds of these worlds that every change passes.
const SEEDS: u64 = 200;

/// Tasks on workers that a tenant may have, at most.
const RUNNING: u64 = 6;

fn bounded(seed: u64, planted: Option<Planted>) -> Options {
    let quotas = BTreeMap::from([(Resource::RunningTasks, 1 + seed % RUNNING)]);
    let base = GridConfig { quotas, planted, ..GridConfig::default() };
    Options { base, ..Options::default() }
}

#[test]
fn no_tenant_is_given_more_tasks_than_it_may_have_and_all_end() {
    for seed in 0..SEEDS {
        if let Err(violation) = run(seed, &bounded(seed, None)).result {
            panic!("seed {seed} broke: {}\n{}", violation.invariant, violation.detail);
        }
    }
}

#[test]
fn a_quota_that_is_ignored_is_caught() {
    let planted = Some(Planted::QuotaIgnored);
    let caught = (0..SEEDS).find_map(|seed| run(seed, &bounded(seed, planted)).result.err());
    let violation = caught.expect("it is caught within these seeds");
    assert_eq!(violation.invariant, "no tenant exceeds its quota");
}
