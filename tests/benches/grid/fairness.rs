//! What a flood of one tenant does to the calls of another: one at a time, each a job of one task,
//! alone and beside jobs that would keep all slots busy for minutes.

use std::time::Duration;

use bytes::Bytes;
use wasmgrid_client::{Client, SubmitRequest};
use wasmgrid_net::Role;
use wasmgrid_proto::{Digest, InputBlock, JobId, ModuleKind};
use wasmgrid_tests::Grid;

use crate::{Bench, calls, machine::cores, report::Row, throughput::stop, times::Times};

/// Between two looks at how far a flood is.
const POLL: Duration = Duration::from_millis(10);

/// Calls, alone and beside each flood.
pub fn run(bench: &mut Bench) {
    let count = bench.options.scaled(1_000);
    let rounds = i64::try_from(bench.rounds_of_a_ms()).unwrap_or(i64::MAX);
    let grid = Grid::start(1, u32::try_from(cores()).unwrap_or(1));
    let ca = grid.state_dir().join("ca");
    let runtime = calls::runtime();
    let link = |name| runtime.block_on(calls::connect(&ca, grid.address(), Role::Client, name));
    let (caller, flooder) = (link("caller"), link("flooder"));
    let noop = runtime.block_on(calls::put(&caller, &bench.noop));
    let spin = runtime.block_on(calls::put(&flooder, &bench.spin));
    let measure = || runtime.block_on(calls::many(&caller, noop, count));

    let alone = measure();
    push(bench, "alone", "one call, nobody else on the grid", &alone, None);
    // Inputs that are numbers cost the flooder nothing to send.
    for (name, what, module, start) in [
        ("noop-flood", "one call beside another tenant's no-op tasks", noop, 0),
        ("ms-flood", "one call beside another tenant's tasks of 1 ms", spin, rounds),
    ] {
        let job = runtime.block_on(flood_until_it_runs(&flooder, module, start));
        let times = measure();
        runtime.block_on(flooder.cancel(job)).expect("its own job");
        push(bench, name, what, &times, Some(&alone));
    }
    stop(grid);
}

fn push(bench: &mut Bench, name: &str, what: &str, times: &Times, alone: Option<&Times>) {
    let what = format!("{what}: p99");
    let row = Row::new(format!("fairness.{name}.p99"), what, times.p99(), "ms");
    let row = row.beside("ms_p50", times.p50());
    bench.report.push(match alone {
        None => row,
        Some(alone) => row.of("fairness.alone.p99", alone.p99()),
    });
}

/// Starts a flood and waits until workers are busy with it.
pub async fn flood_until_it_runs(client: &Client, module: Digest, start: i64) -> JobId {
    let job = flood(client, module, start).await;
    while client.job(job).await.is_ok_and(|status| status.counts.ok <= 1_000) {
        tokio::time::sleep(POLL).await;
    }
    job
}

/// A hundred million tasks, or a million longer ones.
async fn flood(client: &Client, module: Digest, start: i64) -> JobId {
    let (step, count) = (1, if start == 0 { 100_000_000 } else { 1_000_000 });
    let request = SubmitRequest {
        spec: calls::job(module, ModuleKind::Task),
        key: None,
        inputs: InputBlock::Numbers { start, step, count },
        payload: Bytes::new(),
        closed: true,
        watch: false,
    };
    client.submit(request).await.expect("it is taken").0.job
}
