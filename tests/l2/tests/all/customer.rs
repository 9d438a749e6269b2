//! A client's program: it submits its jobs, appends to them, reads their results and cancels some.
//! It may die at any moment; what it had noted is there when it is started again.

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use tokio::time::{Instant, sleep, sleep_until};
use wasmgrid_client::{Client, ClientError, JobEvent, JobStream, SubmitRequest};
use wasmgrid_proto::{JobId, JobState, JobStatus, Outcome};

use crate::{
    jobs::{Job, module, packed},
    world::{World, scheduler_addresses},
};

/// How long it waits before it tries what was refused for now.
const AGAIN: Duration = Duration::from_millis(300);

/// A client and what it notes of its jobs.
pub struct Customer {
    number: u8,
    pub orders: Vec<Order>,
}

/// A job and what its client knows of it: as on a disk, whatever it had noted when it died.
pub struct Order {
    pub job: Job,
    pub id: Option<JobId>,
    /// Chunks of inputs that were acknowledged.
    appended: usize,
    closed: bool,
    /// In the order they came, which is that of the result log.
    pub results: Vec<Found>,
    /// How many results there were when the cancel was acknowledged.
    pub cancelled_at: Option<u64>,
    pub end: Option<JobStatus>,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub index: u64,
    pub outcome: Outcome,
    pub output: Bytes,
}

impl Customer {
    pub fn new(number: u8, jobs: Vec<Job>) -> Self {
        let order = |job| Order {
            job,
            id: None,
            appended: 0,
            closed: false,
            results: Vec::new(),
            cancelled_at: None,
            end: None,
        };
        Self { number, orders: jobs.into_iter().map(order).collect() }
    }

    /// Lives until all its jobs have ended.
    pub async fn live(mut self, world: World) -> Self {
        let name = format!("client-{}", self.number);
        let mut random = world.random(&name);
        let is_mortal = random.u8(..) < 150 && !world.has_restarts_only();
        loop {
            let (host, endpoint) = world.boot_member(&name);
            let at = Instant::now() + Duration::from_millis(random.u64(200..10_000));
            let death = async {
                if is_mortal && at < world.calm_at {
                    sleep_until(at).await;
                } else {
                    std::future::pending().await
                }
            };
            let seed = random.u64(..);
            let dialled = endpoint.clone();
            let dial = move || {
                let endpoint = dialled.clone();
                async move { endpoint.connect_client(&scheduler_addresses()).await }
            };
            let session = session(&mut self.orders, seed, dial);
            tokio::select! {
                biased;
                () = session => {
                    endpoint.close().await;
                    host.kill();
                    return self;
                }
                () = death => {}
            }
            world.fault("client killed");
            host.kill();
            sleep(Duration::from_millis(random.u64(1..8_000))).await;
        }
    }
}

/// One process of the client, until all is done.
async fn session<D, F>(orders: &mut [Order], seed: u64, dial: D)
where
    D: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Result<wasmgrid_client::ClientLink, wasmgrid_net::NetError>>
        + Send
        + 'static,
{
    loop {
        let Ok(client) = Client::connect(dial.clone()).await else {
            sleep(AGAIN).await;
            continue;
        };
        let mut random = Rng::with_seed(seed);
        let pursuits = orders.iter_mut().map(|order| {
            let (client, random) = (client.clone(), random.fork());
            Box::pin(order.pursue(client, random)) as Pin<Box<dyn Future<Output = _> + '_>>
        });
        let ended = all(pursuits.collect()).await;
        client.shutdown().await;
        match ended.into_iter().collect::<Result<(), ClientError>>() {
            Ok(()) => return,
            Err(error) => {
                tracing::info!(%error, "begins again");
                sleep(AGAIN).await;
            }
        }
    }
}

impl Order {
    async fn pursue(&mut self, client: Client, mut random: Rng) -> Result<(), ClientError> {
        if self.end.is_some() {
            return Ok(());
        }
        let stream = self.submit(&client, &mut random).await?;
        let id = self.id.expect("submitted");
        let stream = match stream {
            Some(stream) => stream,
            None => client.watch(id, self.results.len() as u64).await?.1,
        };
        let Self { job, appended, closed, results, cancelled_at, end, .. } = self;
        let fed = feed(&client, id, job, appended, closed, &mut random);
        let read = read(&client, id, job, stream, (results, cancelled_at, end));
        let (fed, read) = tokio::join!(fed, read);
        fed.and(read)
    }

    /// Submits the job unless that is known to be done.
    async fn submit(
        &mut self,
        client: &Client,
        random: &mut Rng,
    ) -> Result<Option<JobStream>, ClientError> {
        if self.id.is_some() {
            return Ok(None);
        }
        sleep(Duration::from_millis(random.u64(0..500))).await;
        let module = module(self.job.size);
        retried(async || client.put_module(module.clone()).await).await?;
        let (inputs, payload) = packed(&self.job.chunks[0]);
        let (status, stream) = retried(async || {
            let (spec, inputs, payload) = (self.job.spec(), inputs.clone(), payload.clone());
            let (key, closed) = (Some(spec.name.clone()), self.job.chunks.len() == 1);
            let watch = self.job.watches;
            client.submit(SubmitRequest { spec, key, inputs, payload, closed, watch }).await
        })
        .await?;
        self.id = Some(status.job);
        self.appended = self.appended.max(1);
        self.closed = self.job.chunks.len() == 1;
        Ok(stream)
    }
}

/// Appends what is left of an open job's inputs, and closes it.
async fn feed(
    client: &Client,
    id: JobId,
    job: &Job,
    appended: &mut usize,
    closed: &mut bool,
    random: &mut Rng,
) -> Result<(), ClientError> {
    while let Some(chunk) = job.chunks.get(*appended) {
        sleep(Duration::from_millis(random.u64(0..1_500))).await;
        let first = job.chunks[..*appended].iter().map(|chunk| chunk.len() as u64).sum();
        let (inputs, payload) = packed(chunk);
        let append = async || {
            let mut uploads = client.uploads(id);
            uploads.push(first, inputs.clone(), payload.clone()).await?;
            uploads.finish().await
        };
        if !allowed(job, retried(append).await)? {
            return Ok(());
        }
        *appended += 1;
    }
    if !*closed {
        *closed = allowed(job, retried(async || client.close(id).await).await)?;
    }
    Ok(())
}

/// Whether it was done; a job that its client cancels takes nothing any more.
fn allowed(job: &Job, done: Result<(), ClientError>) -> Result<bool, ClientError> {
    match done {
        Ok(()) => Ok(true),
        Err(ClientError::Api(_)) if job.cancel_after.is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn read(
    client: &Client,
    id: JobId,
    job: &Job,
    mut stream: JobStream,
    notes: (&mut Vec<Found>, &mut Option<u64>, &mut Option<JobStatus>),
) -> Result<(), ClientError> {
    let (results, cancelled_at, end) = notes;
    loop {
        if cancelled_at.is_none() && job.cancel_after.is_some_and(|at| results.len() as u64 >= at) {
            *cancelled_at = cancel(client, id).await?;
        }
        match stream.next().await.expect("the stream ends with a word")? {
            JobEvent::Results { first_cursor, block, payload } => {
                let at = results.len() as u64;
                assert_eq!(first_cursor, at, "job {id}: a gap in the results, or a repeat");
                for (meta, output) in block.entries(&payload).expect("as long as it says") {
                    let (index, outcome) = (meta.index, meta.outcome.clone());
                    results.push(Found { index, outcome, output });
                }
            }
            JobEvent::Update(_) => {}
            JobEvent::Ended(status) => {
                *end = Some(status);
                return Ok(());
            }
        }
    }
}

/// Cancels the job; how many results it has when that is acknowledged, unless it had ended.
async fn cancel(client: &Client, id: JobId) -> Result<Option<u64>, ClientError> {
    let acknowledged = match retried(async || client.cancel(id).await).await {
        Ok(()) => true,
        Err(ClientError::Api(_)) => false,
        Err(error) => return Err(error),
    };
    let status = client.job(id).await?;
    if !acknowledged {
        assert!(status.state.is_terminal(), "job {id} cannot be cancelled: {status:?}");
    }
    Ok((status.state == JobState::Cancelled || acknowledged).then_some(status.results))
}

/// Asks again while the scheduler says that it cannot do it now.
async fn retried<T>(ask: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, ClientError> {
    use wasmgrid_proto::wire::ErrorCode;
    loop {
        match ask().await {
            Err(ClientError::Api(error)) if error.code == ErrorCode::Unavailable => {
                sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// Waits for all, whichever order they end in.
async fn all<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(result) = future.as_mut().poll(context)
            {
                *done = Some(result);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
