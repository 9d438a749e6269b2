//! A worker that gives each task's input back as its output. A task whose input is `fail` is rejected.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;
use wasmgrid_net::{Identity, Link, Role, in_process};
use wasmgrid_proto::{
    ByteCount, Extensions, InputBlock, Micros, Outcome, ResultBlock, ResultMeta, Usage,
    WorkerCapacity, WorkerId,
    frame::Envelope,
    wire::{Assign, FromWorker, Join, ToWorker, WorkerResults},
};
use wasmgrid_server::ServerHandle;

/// A worker that works until it is dropped.
pub struct Worker(JoinHandle<()>);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has a worker of this name join.
pub fn join(server: &ServerHandle, name: &str) -> Worker {
    let identity = |role, name| Identity::new("lab", role, name).expect("a name");
    let (link, theirs) = in_process(identity(Role::Worker, name), identity(Role::Scheduler, "s"));
    server.worker(theirs);
    Worker(tokio::spawn(work(link)))
}

async fn work(mut link: Link<FromWorker, ToWorker>) {
    let capacity = WorkerCapacity {
        slots: 4,
        memory: ByteCount(1 << 30),
        labels: Vec::new(),
        engine: "none".into(),
    };
    let (held, proofs) = (Vec::new(), Vec::new());
    let join = FromWorker::Join(Join { started: Micros(1), capacity, held, proofs });
    link.sender.send(join).await.expect("the link is open");
    let mut batch = 0;
    while let Ok(Some(Envelope { message, payload })) = link.receiver.recv().await {
        if let ToWorker::Assign(assign) = message {
            batch += 1;
            let results = results(batch, &assign, payload);
            link.sender.send(results).await.expect("the link is open");
        }
    }
}

fn results(batch: u64, assign: &Assign, mut payload: Bytes) -> Envelope<FromWorker> {
    let (mut blocks, mut outputs) = (Vec::new(), BytesMut::new());
    for grant in &assign.leases {
        let InputBlock::Packed(lengths) = &grant.inputs else { panic!("inputs are packed") };
        let results = (grant.first..).zip(lengths).map(|(index, length)| {
            let input = payload.split_to(*length as usize);
            let failed = input == "fail";
            let output = if failed { Bytes::new() } else { input };
            outputs.extend_from_slice(&output);
            ResultMeta {
                index,
                outcome: if failed { Outcome::Rejected("no".into()) } else { Outcome::Ok },
                usage: Usage::default(),
                output_len: u32::try_from(output.len()).expect("small"),
                record_lens: Vec::new(),
                log_len: 0,
                log_dropped: 0,
            }
        });
        blocks.push(Arc::new(ResultBlock {
            job: assign.job,
            lease: grant.lease,
            worker: WorkerId(1),
            attempt: grant.attempt,
            results: results.collect(),
            extensions: Extensions::NONE,
        }));
    }
    let message = FromWorker::Results(WorkerResults { batch, blocks });
    Envelope { message, payload: outputs.freeze() }
}
