//! The lives of the scheduler and of the workers: started, killed or stopped in order, and started
//! again, until the world is calm.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout};
use wasmgrid_net::{Listener, ListenerConfig, simulated::Host};
use wasmgrid_proto::{ByteCount, Epoch, Seq, WorkerCapacity};
use wasmgrid_server::{Blocking, Server, ServerConfig};
use wasmgrid_store::{Commit, EachRecord, MemoryStore, Reader, Store, StoreError, memory};
use wasmgrid_worker::{Dial, Worker, WorkerConfig, sandbox::Sandbox};

use crate::{
    jobs,
    world::{PORT, World, scheduler_addresses},
};

/// How long an orderly end may take: the links' last words and the handshakes' times together.
const ORDERLY: Duration = Duration::from_secs(60);

/// What outlives the scheduler's process, and how fast it is.
#[derive(Clone)]
pub struct Disk {
    store: Arc<Mutex<MemoryStore>>,
    /// How long half of a commit takes at most.
    slow_us: Arc<AtomicU64>,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl Disk {
    pub fn new(world: &World) -> Self {
        Self {
            store: Arc::new(Mutex::new(memory())),
            slow_us: Arc::new(AtomicU64::new(1_000)),
            random: Arc::new(Mutex::new(world.random("disk"))),
        }
    }

    /// Another handle, as a scheduler that starts opens it.
    pub fn open(&self) -> MemoryStore {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).reopen()
    }

    fn pause(&self) -> Duration {
        let most = self.slow_us.load(Ordering::Relaxed);
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(random.u64(0..=most))
    }
}

/// The store of one scheduler's process: with its end nothing more of it gets to the disk.
struct Opened {
    store: MemoryStore,
    is_dead: Arc<AtomicBool>,
}

impl Store for Opened {
    fn fence(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.store.fence(epoch)
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        if self.is_dead.load(Ordering::Relaxed) {
            return Err(StoreError::Io { doing: "committing", source: "it is dead".into() });
        }
        self.store.commit(epoch, commit)
    }

    fn resolve(&mut self) -> Result<Seq, StoreError> {
        self.store.resolve()
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        self.store.replay(each)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.store.reader()
    }

    fn reclaim(&mut self) -> Result<bool, StoreError> {
        self.store.reclaim()
    }
}

/// A scheduler's process.
pub struct Scheduler {
    server: Server,
    host: Host,
    is_dead: Arc<AtomicBool>,
}

impl Scheduler {
    fn start(world: &World, disk: &Disk) -> Self {
        let (host, credentials) = world.boot("scheduler");
        let listener = Listener::bind_on(&host, PORT, credentials, ListenerConfig::default());
        let mut config = ServerConfig::new("world");
        // Faults are frequent here, and no task is to end by them.
        config.grid.host_loss_limit = 1_000;
        let disk_pause = disk.clone();
        config.blocking = Blocking::InTurn(Arc::new(move || disk_pause.pause()));
        let is_dead = Arc::<AtomicBool>::default();
        let store = Opened { store: disk.open(), is_dead: Arc::clone(&is_dead) };
        let server = Server::start(config, Box::new(store), jobs::admission());
        let server = server.expect("what it left can be read");
        server.handle().serve(listener.expect("its port is free"));
        Self { server, host, is_dead }
    }

    fn kill(self) {
        self.is_dead.store(true, Ordering::Relaxed);
        self.host.kill();
    }

    async fn stop(self) {
        let ended = timeout(ORDERLY, self.server.shutdown()).await;
        ended.expect("it ends").expect("in order");
        self.host.kill();
    }

    /// Lives until `at`.
    async fn live_until(&self, at: Instant) {
        tokio::select! {
            biased;
            () = sleep_until(at) => {}
            error = self.server.failed() => panic!("the scheduler failed: {error}"),
        }
    }
}

/// The scheduler, until the world is calm; then as it is.
pub async fn scheduler(world: World, disk: Disk) -> Scheduler {
    let mut random = world.random("scheduler");
    let is_mortal = random.u8(..) < 190 || world.has_restarts_only();
    loop {
        let running = Scheduler::start(&world, &disk);
        // In a world of restarts everything was submitted before the first: what was assigned
        // before its submit was durable may be run again.
        let after = if world.has_restarts_only() { 3_000..9_000 } else { 500..12_000 };
        let at = Instant::now() + Duration::from_millis(random.u64(after));
        if !is_mortal || at >= world.calm_at {
            running.live_until(world.calm_at).await;
            disk.slow_us.store(1_000, Ordering::Relaxed);
            return running;
        }
        running.live_until(at).await;
        if world.has_restarts_only() {
            world.fault("scheduler killed");
            running.kill();
            sleep(Duration::from_millis(random.u64(1..1_500))).await;
            continue;
        }
        if random.u8(..) < 60 {
            world.fault("scheduler stopped");
            running.stop().await;
        } else {
            world.fault("scheduler killed");
            running.kill();
        }
        let slow = if random.u8(..) < 60 { 200_000 } else { 1_000 };
        disk.slow_us.store(slow, Ordering::Relaxed);
        sleep(Duration::from_millis(random.u64(1..6_000))).await;
    }
}

/// A worker's process.
pub struct Running {
    worker: Worker,
    host: Host,
}

/// A worker, until the world is calm; then as it is.
pub async fn worker(world: World, number: u8) -> Running {
    let name = format!("worker-{number}");
    let mut random = world.random(&name);
    let slots = random.u32(1..=3);
    let is_mortal = random.u8(..) < 150 && !world.has_restarts_only();
    loop {
        let (host, endpoint) = world.boot_member(&name);
        let (sandbox, handles) = Sandbox::simulated(slots, Arc::new(world.truth.clone()));
        let (memory, labels, engine) = (ByteCount(1 << 30), Vec::new(), "simulated".into());
        let config = WorkerConfig::new(WorkerCapacity { slots, memory, labels, engine });
        let dial = Dial::quic(endpoint, scheduler_addresses());
        let worker = Worker::start(config, sandbox, handles, dial);
        let at = Instant::now() + Duration::from_millis(random.u64(500..15_000));
        if !is_mortal || at >= world.calm_at {
            sleep_until(world.calm_at).await;
            return Running { worker, host };
        }
        sleep_until(at).await;
        if random.u8(..) < 80 {
            world.fault("worker drained");
            timeout(2 * ORDERLY, worker.drain_and_stop()).await.expect("it ends");
        } else {
            world.fault("worker killed");
            drop(worker);
        }
        host.kill();
        sleep(Duration::from_millis(random.u64(1..8_000))).await;
    }
}

/// Ends everything in order.
pub async fn close(workers: Vec<Running>, scheduler: Scheduler) {
    for Running { worker, host } in workers {
        timeout(ORDERLY, worker.drain_and_stop()).await.expect("it ends");
        host.kill();
    }
    scheduler.stop().await;
}
