//! One call at a time: a job of one task is submitted, and its result awaited, over one link.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{runtime::Runtime, time::timeout};
use wasmgrid_client::{Client, JobEvent, SubmitRequest};
use wasmgrid_net::{Authority, Endpoint, Role};
use wasmgrid_proto::{Digest, InputBlock, JobId, JobSpec, ModuleKind, TaskSpec};

use crate::{machine, times::Times};

/// A call that takes longer will not come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls that warm the module, the runner and the congestion window, and do not count.
const WARM_UP: u64 = 20;

/// A runtime for one link, as the command line has it: half of the cores.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((machine::cores() / 2).max(1))
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Links to the scheduler whose authority is in `ca`, as somebody of this name, who is the tenant
/// of what is submitted.
pub async fn connect(ca: &Path, address: &str, role: Role, name: &str) -> Client {
    let authority = Authority::load(ca).expect("the grid's authority");
    let issued = authority.issue(role, name, Authority::MEMBER_VALIDITY);
    let endpoint = Endpoint::new(&issued.expect("a certificate"));
    let addresses = vec![address.to_owned()];
    let dial = move || {
        let (endpoint, addresses) = (endpoint.clone(), addresses.clone());
        async move { endpoint.connect_client(&addresses).await }
    };
    Client::connect(dial).await.expect("the grid answers")
}

/// Gives the grid a module.
pub async fn put(client: &Client, module: &str) -> Digest {
    let bytes = Bytes::from(std::fs::read(module).expect("a module"));
    client.put_module(bytes).await.expect("it is a task")
}

/// Times so many calls, one after the other.
pub async fn many(client: &Client, module: Digest, calls: u64) -> Times {
    let mut times = Vec::new();
    for number in 0..calls + WARM_UP {
        let start = Instant::now();
        one(client, job(module, ModuleKind::Task), b"0123456789abcdef").await;
        if number >= WARM_UP {
            times.push(start.elapsed());
        }
    }
    times.into_iter().collect()
}

/// One call; gives its job.
pub async fn one(client: &Client, spec: JobSpec, input: &'static [u8]) -> JobId {
    timeout(PATIENCE, async {
        let inputs = InputBlock::Packed(vec![u32::try_from(input.len()).unwrap_or(u32::MAX)]);
        let payload = Bytes::from_static(input);
        let request = SubmitRequest { spec, key: None, inputs, payload, closed: true, watch: true };
        let (status, stream) = client.submit(request).await.expect("it is taken");
        let mut stream = stream.expect("a watch was asked for");
        loop {
            match stream.next().await.expect("the job goes on").expect("the grid answers") {
                JobEvent::Results { .. } => break status.job,
                JobEvent::Update(_) => {}
                JobEvent::Ended(status) => panic!("it ended without a result: {status:?}"),
            }
        }
    })
    .await
    .expect("a call comes back within a minute")
}

/// A job like any other.
pub fn job(module: Digest, kind: ModuleKind) -> JobSpec {
    let task = TaskSpec::new(module, kind);
    JobSpec::new("call".into(), task)
}
