//! A network that loses packets of one way or of both, between machines that are namespaces.

use wasmgrid_tests::{
    Grid, Home,
    known::{KnownJob, committed},
    network::{HERE, Network, Way},
    wait_until,
};

/// Where the scheduler listens; the namespace is the test's own.
const PORT: u16 = 4117;

#[test]
fn a_partition_of_one_way_or_of_both_loses_and_doubles_nothing() {
    let network = match Network::new() {
        Ok(network) => network,
        Err(error) => {
            println!("skipped: network namespaces are not permitted here ({error})");
            return;
        }
    };
    let mut grid = Grid::start_at(Home::in_namespace(network.here()), format!("{HERE}:{PORT}"));
    grid.add_worker_at(Home::in_namespace(network.here()), 1, &[]);
    grid.add_worker_at(Home::in_namespace(network.there()), 1, &[]);
    let far = grid.workers[1].name.clone();
    for cut in [&[Way::ToHere][..], &[Way::ToThere], &[Way::ToHere, Way::ToThere]] {
        grid.wait_for_worker(&far, "ready");
        let job = KnownJob::start(&grid);
        wait_until("the job to be under way", || committed(&grid) > 0);
        cut.iter().for_each(|way| network.cut(*way));
        // The worker on this side ends the job, also what the other had.
        job.assert_whole(&grid);
        cut.iter().for_each(|way| network.mend(*way));
    }
    // The worker comes back by itself, and its late results change nothing.
    grid.wait_for_worker(&far, "ready");
}

#[test]
fn a_job_whose_only_worker_was_cut_off_ends_once_the_network_is_mended() {
    let Ok(network) = Network::new() else {
        println!("skipped: network namespaces are not permitted here");
        return;
    };
    let mut grid = Grid::start_at(Home::in_namespace(network.here()), format!("{HERE}:{PORT}"));
    grid.add_worker_at(Home::in_namespace(network.there()), 1, &[]);
    let job = KnownJob::start(&grid);
    wait_until("the job to be under way", || committed(&grid) > 0);
    for way in [Way::ToThere, Way::ToHere] {
        network.cut(way);
        let name = grid.workers[0].name.clone();
        grid.wait_for_worker(&name, "gone");
        network.mend(way);
        grid.wait_for_worker(&name, "ready");
    }
    job.assert_whole(&grid);
}
