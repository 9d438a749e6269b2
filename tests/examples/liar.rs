//! A worker that runs nothing: it takes its leases until the scheduler ends its link, as it does
//! when this process was stopped for too long, and then sends results of its own making:
//! `liar TOKEN NAME ENGINE`. For the tests of the whole grid, which do not speak QUIC.
//!
//! It says `took JOB/INDEX` for each task, and for each line `JOB OUTPUT` that it then reads sends
//! that output as the result of all it had of the job, and says `acknowledged JOB`.

#![expect(clippy::expect_used, clippy::panic, reason = "a test's peer, which may fail")]

use std::{
    env,
    io::stdin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use wasmgrid_net::{Endpoint, JoinToken, Link, enroll};
use wasmgrid_proto::{
    ByteCount, Extensions, Micros, Outcome, ResultBlock, ResultMeta, TaskRange, Usage,
    WorkerCapacity, WorkerId,
    frame::Envelope,
    wire::{Assign, FromWorker, Heartbeat, HeldLease, Join, LeaseGrant, ToWorker, WorkerResults},
};

/// Tasks at a time: one of each job.
const SLOTS: u32 = 2;

/// How often it says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);

struct Liar {
    endpoint: Endpoint,
    addresses: Vec<String>,
    started: Micros,
    engine: String,
    /// What it was given.
    had: Vec<Assign>,
    /// Its number of the last batch of results.
    batch: u64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut liar = Liar::enroll().await;
        liar.take_until_given_up().await;
        for line in stdin().lines() {
            let line = line.expect("stdin is read");
            let (job, output) = line.split_once(' ').expect("JOB OUTPUT");
            liar.claim(job.parse().expect("a job's number"), output).await;
            println!("acknowledged {job}");
        }
    });
}

impl Liar {
    async fn enroll() -> Self {
        let [_, token, name, engine] = <[String; 4]>::try_from(env::args().collect::<Vec<_>>())
            .expect("liar TOKEN NAME ENGINE");
        let token: JoinToken = token.parse().expect("a token");
        let credentials = enroll(&token, &name).await.expect("the token is good");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970");
        Self {
            endpoint: Endpoint::new(&credentials),
            addresses: token.addresses,
            started: Micros(u64::try_from(since.as_micros()).expect("before the year 500,000")),
            engine,
            had: Vec::new(),
            batch: 0,
        }
    }

    /// Joins with what it had, as the process that it was.
    async fn join(&self) -> Link<FromWorker, ToWorker> {
        let held = self.had.iter().flat_map(|assign| {
            assign.leases.iter().map(|grant| HeldLease {
                job: assign.job,
                lease: grant.lease,
                attempt: grant.attempt,
                tasks: vec![TaskRange { first: grant.first, count: grant.inputs.count() }],
            })
        });
        let join = Join {
            started: self.started,
            capacity: WorkerCapacity {
                slots: SLOTS,
                memory: ByteCount(1 << 30),
                labels: Vec::new(),
                engine: self.engine.clone(),
            },
            held: held.collect(),
            proofs: Vec::new(),
        };
        let link = self.endpoint.connect_worker(&self.addresses).await.expect("a scheduler");
        link.sender.send(FromWorker::Join(join)).await.expect("the link is open");
        link
    }

    /// Takes what it is given until the scheduler has given it up.
    async fn take_until_given_up(&mut self) {
        let mut link = self.join().await;
        loop {
            let envelope = match tokio::time::timeout(HEARTBEAT, link.receiver.recv()).await {
                Ok(Ok(Some(envelope))) => envelope,
                Ok(_) => return,
                Err(_) => {
                    let alive = FromWorker::Heartbeat(Heartbeat::default());
                    if link.sender.send(alive).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let ToWorker::Assign(assign) = envelope.message else { continue };
            for grant in &assign.leases {
                (grant.first..grant.first + grant.inputs.count())
                    .for_each(|index| println!("took {}/{index}", assign.job));
            }
            self.had.push(assign);
        }
    }

    /// Comes back with this as the output of all it had of a job.
    async fn claim(&mut self, job: u64, output: &str) {
        self.batch += 1;
        let mut link = self.join().await;
        let of_job = self.had.iter().filter(|assign| assign.job.0 == job);
        let blocks: Vec<_> = of_job
            .flat_map(|assign| assign.leases.iter().map(|grant| block(assign, grant, output)))
            .map(Arc::new)
            .collect();
        let count: usize = blocks.iter().map(|block| block.results.len()).sum();
        assert!(count > 0, "it had nothing of job {job}");
        let message = FromWorker::Results(WorkerResults { batch: self.batch, blocks });
        let payload = output.repeat(count).into();
        link.sender.send(Envelope { message, payload }).await.expect("the link is open");
        loop {
            let Ok(Some(envelope)) = link.receiver.recv().await else {
                panic!("the link ended before the result of job {job} was acknowledged")
            };
            if matches!(envelope.message, ToWorker::Committed(it) if it.batches.contains(&self.batch))
            {
                return;
            }
        }
    }
}

fn block(assign: &Assign, grant: &LeaseGrant, output: &str) -> ResultBlock {
    let result = |index| ResultMeta {
        index,
        outcome: Outcome::Ok,
        usage: Usage::default(),
        output_len: u32::try_from(output.len()).expect("short"),
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    };
    ResultBlock {
        job: assign.job,
        lease: grant.lease,
        // The scheduler knows better.
        worker: WorkerId(0),
        attempt: grant.attempt,
        results: (grant.first..grant.first + grant.inputs.count()).map(result).collect(),
        extensions: Extensions::NONE,
    }
}
