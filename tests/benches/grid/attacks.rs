//! What one hostile certificate, or none, does to the single calls of another tenant: beside each
//! attack, compared with the calls beside an ordinary flood.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::Semaphore, task::JoinHandle};
use wasmgrid_client::{Client, SubmitRequest};
use wasmgrid_net::{Authority, Role};
use wasmgrid_proto::{Digest, InputBlock, JobSpec, ModuleKind};
use wasmgrid_tests::{Grid, HostileClient, zoo};

use crate::{
    Bench, calls, fairness,
    machine::cores,
    report::{Report, Row},
    throughput::stop,
    times::Times,
};

/// Bytes of a large input.
const LARGE_INPUT: u32 = 16 << 20;

/// Requests of a client that are on their way at once.
const AT_ONCE: usize = 64;

/// Links of a crowd, and messages or questions on each.
const LINKS: usize = 24;
const HALF_SENT: usize = 64;
const UNREAD: usize = 1_000;

/// Handshakes that are begun at once, and connections without a certificate.
const UNFINISHED: usize = 300;
const SILENT: usize = 32;

/// Calls alone, beside a flood, and beside each attack.
pub fn run(bench: &mut Bench) {
    let count = bench.options.scaled(500);
    let grid = Grid::start(1, u32::try_from(cores()).unwrap_or(1));
    let ca = grid.state_dir().join("ca");
    let runtime = calls::runtime();
    let caller = runtime.block_on(calls::connect(&ca, grid.address(), Role::Client, "caller"));
    // Attackers have a thread of their own: what keeps theirs busy must not look like the grid's delay.
    let attackers = calls::runtime();
    let link = |name| attackers.block_on(calls::connect(&ca, grid.address(), Role::Client, name));
    let noop = runtime.block_on(calls::put(&caller, &bench.noop));
    let measure = || runtime.block_on(calls::many(&caller, noop, count));

    let alone = measure();
    push(&mut bench.report, "alone", "one call, nobody else on the grid", &alone, None);
    let flood = {
        let flooder = link("flooder");
        let job = attackers.block_on(fairness::flood_until_it_runs(&flooder, noop, 0));
        let times = measure();
        attackers.block_on(flooder.cancel(job)).expect("its own job");
        times
    };
    push(&mut bench.report, "flood", "one call beside another tenant's no-op tasks", &flood, None);
    let mut beside = |name, what, attack: Attack| {
        let times = measure();
        drop(attack);
        push(&mut bench.report, name, what, &times, Some(&flood));
    };

    let (_folder, hostile) = credentials(&grid, "hostile");
    let what = "one call beside 24 links with messages that never end";
    beside("half-sent", what, HostileClient::half_sent(&grid, &hostile, LINKS, HALF_SENT).into());
    let what = "one call beside 24 links that read no answer";
    beside("unread", what, HostileClient::unread(&grid, &hostile, LINKS, UNREAD).into());
    let what = "one call beside 300 handshakes that never end";
    beside("handshakes", what, HostileClient::unfinished(&grid, UNFINISHED).into());
    let what = "one call beside 32 connections that say nothing";
    beside("silent", what, HostileClient::silent(&grid, SILENT).into());
    let what = "one call beside a client that submits jobs nobody can run";
    beside("jobs", what, jobs(&attackers, link("jobs"), noop));
    let what = "one call beside a client that submits inputs of 16 MiB and cancels the jobs";
    beside("inputs", what, large_inputs(&attackers, link("inputs"), noop));
    let what = "one call beside a client that sends large modules for admission";
    beside("admissions", what, bombs(&attackers, link("admissions"), false));
    let what = "one call beside a client whose modules take long to compile";
    beside("compilations", what, bombs(&attackers, link("compilations"), true));
    stop(grid);
}

/// What goes on until it is dropped.
enum Attack {
    Crowd(#[expect(dead_code, reason = "it ends when it is dropped")] HostileClient),
    Task(JoinHandle<()>),
}

impl From<HostileClient> for Attack {
    fn from(crowd: HostileClient) -> Self {
        Self::Crowd(crowd)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

/// Certificates of a client, in a folder.
fn credentials(grid: &Grid, name: &str) -> (TempDir, PathBuf) {
    let authority = Authority::load(&grid.state_dir().join("ca")).expect("the grid's authority");
    let issued = authority.issue(Role::Client, name, Authority::MEMBER_VALIDITY);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("credentials");
    issued.expect("a certificate").save(&path).expect("kept");
    (folder, path)
}

/// Submits without end, also what is refused.
fn jobs(runtime: &Runtime, client: Client, module: Digest) -> Attack {
    let mut spec = calls::job(module, ModuleKind::Task);
    spec.requires = vec![("nobody".into(), "has this".into())];
    Attack::Task(runtime.spawn(without_end(client, move |client, _| {
        let spec = spec.clone();
        async move { submit(&client, spec).await }
    })))
}

/// Submits jobs of one large input that nobody can run, and cancels them.
fn large_inputs(runtime: &Runtime, client: Client, module: Digest) -> Attack {
    let mut spec = calls::job(module, ModuleKind::Task);
    spec.requires = vec![("nobody".into(), "has this".into())];
    let payload = Bytes::from(vec![7; LARGE_INPUT as usize]);
    Attack::Task(runtime.spawn(without_end(client, move |client, _| {
        let (spec, payload) = (spec.clone(), payload.clone());
        async move {
            let inputs = InputBlock::Packed(vec![LARGE_INPUT]);
            let (closed, watch) = (true, false);
            let request = SubmitRequest { spec, key: None, inputs, payload, closed, watch };
            if let Ok((status, _)) = client.submit(request).await {
                let _ = client.cancel(status.job).await;
            }
        }
    })))
}

/// Sends modules that differ, and runs them or not.
fn bombs(runtime: &Runtime, client: Client, runs: bool) -> Attack {
    let module: Arc<[u8]> = zoo::past_every_cap().into();
    Attack::Task(runtime.spawn(without_end(client, move |client, number| {
        let module = Arc::clone(&module);
        async move {
            let Ok(module) = client.put_module(numbered(&module, number)).await else { return };
            if runs {
                submit(&client, calls::job(module, ModuleKind::Preview1)).await;
            }
        }
    })))
}

/// Does a thing so many times at once, again and again. Refusals are what the attacker expects.
async fn without_end<F>(client: Client, attack: impl Fn(Client, u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0.. {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        let one = attack(client.clone(), number);
        tasks.spawn(async move {
            one.await;
            drop(place);
        });
        while tasks.try_join_next().is_some() {}
    }
}

async fn submit(client: &Client, spec: JobSpec) {
    let inputs = InputBlock::Numbers { start: 0, step: 1, count: 1 };
    let request = SubmitRequest {
        spec,
        key: None,
        inputs,
        payload: Bytes::new(),
        closed: true,
        watch: false,
    };
    let _ = client.submit(request).await;
}

/// The module with a custom section of its own, so that nobody has seen it.
fn numbered(module: &[u8], number: u64) -> Bytes {
    let mut bytes = module.to_vec();
    // Section 0 of ten bytes: a name of one, and the number.
    bytes.extend([0, 10, 1, b'n']);
    bytes.extend(number.to_le_bytes());
    bytes.into()
}

fn push(report: &mut Report, name: &str, what: &str, times: &Times, flood: Option<&Times>) {
    let row = Row::new(format!("attacks.{name}.p99"), format!("{what}: p99"), times.p99(), "ms");
    let row = row.beside("ms_p50", times.p50());
    report.push(match flood {
        None => row,
        Some(flood) => row.of("attacks.flood.p99", flood.p99()),
    });
}
