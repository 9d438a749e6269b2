//! One world: who is in it, how long its faults last, and what must be true when they are over.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use wasmgrid_net::{
    Authority, Credentials, Endpoint, Role,
    simulated::{Host, Network, Tally},
};

use crate::{
    check,
    customer::Customer,
    jobs::{Job, Truth},
    machines::{self, Disk},
    os, storm,
};

/// How long a world may take to end its jobs once its faults are over, in its own time: links are
/// dialled again within 15 s, silent workers given up within 10, and jobs take seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// From this seed on a world has no other fault than the sudden ends of its scheduler, which is
/// soon back, on a network that loses nothing: and then nothing is to be run again.
pub const RESTARTS: u64 = 1_000_000;

/// Where the scheduler listens.
pub const PORT: u16 = 7_000;

/// What everybody in a world knows of it.
#[derive(Clone)]
pub struct World {
    pub seed: u64,
    pub network: Network,
    pub truth: Truth,
    /// When its faults end.
    pub calm_at: Instant,
    pub workers: u8,
    pub clients: u8,
    passports: Arc<BTreeMap<String, Credentials>>,
    faults: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

/// What became of a world.
#[derive(Debug)]
pub struct Story {
    pub network: Tally,
    pub digest: [u8; 32],
    /// What was done to it, how often.
    pub faults: BTreeMap<&'static str, u64>,
    pub tasks: u64,
    pub took: Duration,
}

impl World {
    /// Lives through the world of a seed; to be called on a local set.
    pub async fn live(seed: u64) -> Story {
        os::begin();
        let mut random = Rng::with_seed(seed);
        let (workers, clients) = (random.u8(2..=4), random.u8(1..=3));
        let network = Network::new(random.u64(..));
        let world = Self {
            seed,
            network: network.clone(),
            truth: Truth::new(seed),
            calm_at: Instant::now() + Duration::from_millis(random.u64(5_000..25_000)),
            workers,
            clients,
            passports: Arc::new(passports(workers, clients)),
            faults: Arc::default(),
        };
        tokio::select! {
            biased;
            () = network.run() => unreachable!("it never ends"),
            tasks = world.clone().live_through() => {
                let faults = world.faults();
                let (digest, network) = (network.digest(), network.tally());
                Story { network, digest, faults, tasks, took: os::elapsed() }
            }
        }
    }

    async fn live_through(self) -> u64 {
        let mut random = self.random("jobs");
        let disk = Disk::new(&self);
        let mut lives = JoinSet::new();
        lives.spawn(storm::blow(self.clone()));
        let (scheduler, calm) = (disk.clone(), self.clone());
        let scheduler = tokio::spawn(async move { machines::scheduler(calm, scheduler).await });
        let mut workers = JoinSet::new();
        for number in 0..self.workers {
            workers.spawn(machines::worker(self.clone(), number));
        }
        let mut customers = JoinSet::new();
        for number in 0..self.clients {
            let draw = if self.has_restarts_only() { Job::draw_long } else { Job::draw };
            let jobs = (0..random.u64(1..=3))
                .map(|job| draw(u64::from(number) * 10 + job + 1, &mut random))
                .collect();
            customers.spawn_local(Customer::new(number, jobs).live(self.clone()));
        }
        let ended = async { customers.join_all().await };
        let patience = self.calm_at.saturating_duration_since(Instant::now()) + PATIENCE;
        let customers = tokio::select! {
            biased;
            ended = timeout(patience, ended) => ended,
            broken = lives.join_next() => panic!("the weather broke off: {broken:?}"),
        };
        let Ok(customers) = customers else {
            panic!("not all jobs have ended {} s after the last fault", PATIENCE.as_secs());
        };
        lives.shutdown().await;
        self.network.mend_all();
        let workers = workers.join_all().await;
        let scheduler = scheduler.await.expect("the scheduler lives");
        let tasks = check::ends(&self, &customers).await;
        machines::close(workers, scheduler).await;
        check::journal(&disk, &customers);
        tasks
    }

    /// Dice for one purpose.
    pub fn random(&self, purpose: &str) -> Rng {
        let mut mixed = self.seed;
        for byte in purpose.bytes() {
            mixed = os::next(&mut mixed) ^ u64::from(byte);
        }
        Rng::with_seed(mixed)
    }

    /// Notes that a fault was made.
    pub fn fault(&self, kind: &'static str) {
        tracing::info!(kind, "fault");
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *faults.entry(kind).or_default() += 1;
    }

    fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// See [`RESTARTS`].
    pub fn has_restarts_only(&self) -> bool {
        self.seed >= RESTARTS
    }

    pub fn is_calm(&self) -> bool {
        Instant::now() >= self.calm_at
    }

    /// A machine's start: its connection to the network, and its credentials.
    pub fn boot(&self, name: &str) -> (Host, &Credentials) {
        let credentials = self.passports.get(name).expect("it has credentials");
        (self.network.host(address(name)), credentials)
    }

    /// The start of a machine that dials.
    pub fn boot_member(&self, name: &str) -> (Host, Endpoint) {
        let (host, credentials) = self.boot(name);
        let endpoint = Endpoint::on(&host, credentials);
        (host, endpoint)
    }
}

/// Where members find the scheduler.
pub fn scheduler_addresses() -> Vec<String> {
    vec![format!("{}:{PORT}", address("scheduler"))]
}

/// A machine's address, by its name: `scheduler`, `worker-N`, `client-N`, `inspector`.
pub fn address(name: &str) -> IpAddr {
    let number = |text: &str| text.parse::<u8>().expect("a number");
    let (net, host) = match name.split_once('-') {
        Some(("worker", at)) => (1, number(at) + 1),
        Some((_, at)) => (2, number(at) + 1),
        None if name == "scheduler" => (0, 1),
        None => (3, 1),
    };
    Ipv4Addr::new(10, 0, net, host).into()
}

fn passports(workers: u8, clients: u8) -> BTreeMap<String, Credentials> {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::create("world", folder.path()).expect("an authority");
    let issue = |role, name: &str| {
        let credentials = authority.issue(role, name, Authority::MEMBER_VALIDITY);
        (name.to_owned(), credentials.expect("credentials"))
    };
    let workers = (0..workers).map(|at| issue(Role::Worker, &format!("worker-{at}")));
    let clients = (0..clients).map(|at| issue(Role::Client, &format!("client-{at}")));
    let others = [issue(Role::Scheduler, "scheduler"), issue(Role::Operator, "inspector")];
    workers.chain(clients).chain(others).collect()
}
