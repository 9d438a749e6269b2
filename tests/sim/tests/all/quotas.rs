//! Worlds in which no tenant may have more than a few tasks on workers.

use std::collections::BTreeMap;

use wasmgrid_core::{GridConfig, Planted};
use wasmgrid_proto::Resource;
use wasmgrid_sim::{Options, run};

/// Seeds of these worlds that every change passes.
const SEEDS: u64 = 100;

/// Tasks on workers that a tenant may have.
const RUNNING: u64 = 3;

fn bounded(planted: Option<Planted>) -> Options {
    let quotas = BTreeMap::from([(Resource::RunningTasks, RUNNING)]);
    let base = GridConfig { quotas, planted, ..GridConfig::default() };
    Options { base, ..Options::default() }
}

#[test]
fn no_tenant_is_given_more_tasks_than_it_may_have_and_all_end() {
    let options = bounded(None);
    for seed in 0..SEEDS {
        if let Err(violation) = run(seed, &options).result {
            panic!("seed {seed} broke: {}\n{}", violation.invariant, violation.detail);
        }
    }
}

#[test]
fn a_quota_that_is_ignored_is_caught() {
    let options = bounded(Some(Planted::QuotaIgnored));
    let caught = (0..SEEDS).find_map(|seed| run(seed, &options).result.err());
    let violation = caught.expect("it is caught within these seeds");
    assert_eq!(violation.invariant, "no tenant exceeds its quota");
}
