//! What a seed makes of a world: its machines, its clients' jobs, its disk and its faults. All is
//! drawn before the world begins, so that a fault can be left out without changing the others.

use wasmgrid_core::GridConfig;
use wasmgrid_proto::{Millis, Resource};

use crate::{
    function::FunctionPlan,
    random::Random,
    task::{Mix, Task},
};

/// Inputs of a job that comes in a trickle.
const TRICKLE_MAX: usize = 12;

/// One second of virtual time.
pub const SECOND: u64 = 1_000_000;

/// A world as it is going to be, but for what its machines do in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// The scheduler's settings.
    pub config: GridConfig,
    /// The machines that run tasks.
    pub workers: Vec<WorkerPlan>,
    /// The programs that submit jobs.
    pub clients: Vec<ClientPlan>,
    /// The scheduler's disk.
    pub disk: DiskPlan,
    /// Uncommitted items at which the scheduler listens to nobody.
    pub gate_items: usize,
    /// The time of a message's way, in microseconds.
    pub way_us: (u64, u64),
    /// Of a hundred messages with a payload, how many travel beside the ordered stream.
    pub large: u64,
    /// What goes wrong, by time.
    pub faults: Vec<(u64, Fault)>,
    /// From here on nothing goes wrong, and what is down comes up.
    pub calm_at: u64,
}

/// One machine.
#[derive(Clone, Debug)]
pub struct WorkerPlan {
    /// Its name.
    pub name: String,
    /// Tasks at a time.
    pub slots: u32,
    /// When it first starts.
    pub starts_at: u64,
    /// How it is not the worker that it should be.
    pub falsehood: Option<Falsehood>,
}

/// How a worker is not to be trusted, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Falsehood {
    /// When it joins it also says that it holds what it was never given, and sends results of it.
    Claims,
    /// It takes what it is given, says that it lives, and ends nothing.
    Hoards,
}

/// One program that submits jobs.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// The owner of its jobs.
    pub tenant: String,
    /// Its jobs, which do not wait for each other.
    pub jobs: Vec<JobPlan>,
    /// Its function.
    pub function: Option<FunctionPlan>,
}

/// One job.
#[derive(Clone, Debug)]
pub struct JobPlan {
    /// The key of its submit.
    pub key: String,
    /// When it is submitted.
    pub at: u64,
    /// Its inputs, as they are submitted and appended.
    pub chunks: Vec<Vec<Task>>,
    /// Whether what is appended comes from two producers at once, neither of which says where it
    /// belongs: every other chunk is of the same one.
    pub beside: bool,
    /// Which job of the client's this one runs again, as far as that did not end ok; it has no
    /// inputs of its own then.
    pub retry_of: Option<usize>,
    /// The pause between two chunks.
    pub pause_us: u64,
    /// Whether the submit closes it, if it has one chunk.
    pub closed: bool,
    /// How long after the submit it is cancelled.
    pub cancel_us: Option<u64>,
    /// Whether its results are read from the submit on, or once all is appended.
    pub watch_early: bool,
    /// Where a second reader of its results begins.
    pub second_reader: Option<u64>,
    /// Within the tenant, higher is first.
    pub priority: i32,
    /// App retries.
    pub retries: u32,
    /// Failures at which the rest is skipped.
    pub max_failures: Option<u64>,
    /// From the submit to the end.
    pub deadline: Option<Millis>,
}

/// The scheduler's disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskPlan {
    /// Whether it is the store in memory behind its trait, or a file that tears.
    pub store: bool,
    /// How long a commit takes, in microseconds.
    pub sync_us: (u64, u64),
}

/// How a worker cannot run tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Each task's runner dies at once.
    Loses,
    /// It gives back what it is given.
    Returns,
    /// It says so, and gives back what it is given.
    Says,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The scheduler dies and is started again after a time.
    CrashScheduler {
        /// After which of its next effects; 0 at once.
        after: u64,
        /// For how long it is down.
        down_us: u64,
        /// How much of what was not synced is on the disk, in percent.
        kept: u64,
    },
    /// The scheduler dies as soon as it has given a worker tasks of inputs that are not synced, which
    /// are lost; that worker is cut off until the scheduler has died once more.
    Relapse {
        /// For how long the scheduler is down, each time.
        down_us: u64,
        /// How long after its first death it dies again.
        again_us: u64,
    },
    /// A worker cannot run tasks for a time.
    Breaks {
        /// Which.
        worker: usize,
        /// How.
        how: Broken,
        /// For how long.
        for_us: u64,
    },
    /// A worker's process dies, and is started again after a time.
    CrashWorker {
        /// Which.
        worker: usize,
        /// For how long; for good where it is `None`.
        down_us: Option<u64>,
    },
    /// A client dies, and is started again after a time.
    CrashClient {
        /// Which.
        client: usize,
        /// For how long.
        down_us: u64,
        /// Whether it has its results and its place still.
        keeps: bool,
    },
    /// A link breaks; each side notices at its own time.
    Cut {
        /// Whose, workers first.
        node: usize,
        /// How late it may be noticed.
        notice_us: u64,
    },
    /// Nothing passes in some directions for a time.
    Partition {
        /// Whose link, workers first.
        node: usize,
        /// From the node to the scheduler.
        up: bool,
        /// From the scheduler to the node.
        down: bool,
        /// For how long.
        for_us: u64,
    },
    /// A process stands still for a time; what it is told waits.
    Freeze {
        /// Whose, workers first.
        node: usize,
        /// For how long.
        for_us: u64,
    },
    /// The scheduler stands still for a time.
    FreezeScheduler {
        /// For how long.
        for_us: u64,
    },
    /// Commits take so much longer for a time.
    SlowDisk {
        /// More, each.
        sync_us: u64,
        /// For how long.
        for_us: u64,
    },
    /// Nothing can be written for a time.
    FullDisk {
        /// For how long.
        for_us: u64,
    },
    /// The clock of the scheduler's machine is set forward, or back.
    ClockStep {
        /// By so much.
        by_us: i64,
    },
    /// An operator drains a worker.
    Drain {
        /// Which.
        worker: usize,
    },
    /// An operator takes a worker away: its process ends, and after a time another one joins with a
    /// new token under its name.
    Remove {
        /// Which.
        worker: usize,
        /// For how long it is away.
        away_us: u64,
    },
    /// A worker leaves in order, and another process of it comes after a time.
    Leave {
        /// Which.
        worker: usize,
        /// How long its tasks may take to end.
        patience_us: u64,
        /// For how long it is away.
        away_us: u64,
    },
}

impl Plan {
    /// The world of a seed, over these settings of the scheduler.
    #[must_use]
    pub fn draw(seed: u64, base: &GridConfig) -> Self {
        let mut random = Random::new(seed);
        let calm_at = random.between(10, 40) * SECOND;
        let mut config = draw_config(&mut random.fork(), base);
        let mut workers = draw_workers(&mut random.fork(), calm_at);
        let mut clients = draw_clients(&mut random.fork(), calm_at);
        let slow = random.chance(20);
        let sync_us = if slow { (5_000, 80_000) } else { (50, 5_000) };
        let disk = DiskPlan { store: random.chance(25), sync_us };
        let gate_items = if random.chance(15) { 40 } else { 65_536 };
        let way_us = if random.chance(20) { (10_000, 150_000) } else { (50, 3_000) };
        let large = if random.chance(50) { random.between(5, 40) } else { 0 };
        let mut faults = draw_faults(&mut random.fork(), workers.len(), clients.len(), calm_at);
        let mut extras = random.fork();
        clients.iter_mut().for_each(|client| draw_extras(&mut extras, client));
        draw_more_faults(&mut random.fork(), &workers, &clients, calm_at, &mut faults);
        draw_wrong_clock(&mut random.fork(), calm_at, &mut faults);
        draw_falsehood(&mut random.fork(), &mut workers);
        draw_quota(&mut random.fork(), &mut config);
        draw_removals(&mut random.fork(), workers.len(), calm_at, &mut faults);
        draw_functions(&mut random.fork(), calm_at, &mut clients);
        Self { seed, config, workers, clients, disk, gate_items, way_us, large, faults, calm_at }
    }

    /// A world without faults in which three tenants of different weights want more than there is
    /// for all its time.
    #[must_use]
    pub fn draw_shares(seed: u64, base: &GridConfig) -> Self {
        let mut plan = Self::draw(seed, base);
        let mut random = Random::new(seed ^ 0x5a5a);
        plan.faults.clear();
        let weights = [0, 1, 2].map(|_| u32::try_from(random.between(1, 5)).unwrap_or(1));
        let named = (0..).zip(weights).map(|(tenant, weight)| (format!("tenant-{tenant}"), weight));
        let tenant_weights = named.collect();
        plan.config = GridConfig { batch_tasks: 32, tenant_weights, ..base.clone() };
        plan.disk.sync_us = (50, 2_000);
        plan.way_us = (50, 1_000);
        plan.gate_items = 65_536;
        plan.workers.truncate(3);
        plan.workers.iter_mut().for_each(|worker| worker.starts_at = 0);
        let mut number = seed << 20;
        let all = u64::from(weights.iter().sum::<u32>());
        plan.clients = (0..)
            .zip(weights)
            .map(|(tenant, weight)| {
                let jobs = random.between(1, 3);
                let wall_us = random.between(1, 20) * 1_000;
                // All have as much as they get in the same time, and end together.
                let count = 27 * SECOND * u64::from(weight) / all / wall_us / jobs;
                let jobs = (0..jobs).map(|job| {
                    let mut plan = quiet_job(format!("{tenant}-{job}"));
                    plan.at = random.below(20_000);
                    plan.chunks = vec![draw_chunk(
                        &mut random,
                        &mut number,
                        count,
                        Mix::default(),
                        (wall_us, wall_us),
                    )];
                    plan
                });
                let (tenant, jobs) = (format!("tenant-{tenant}"), jobs.collect());
                ClientPlan { tenant, jobs, function: None }
            })
            .collect();
        plan
    }
}

fn draw_config(random: &mut Random, base: &GridConfig) -> GridConfig {
    GridConfig {
        host_loss_limit: u32::try_from(random.between(2, 5)).unwrap_or(5),
        suspect_after: u32::try_from(random.between(1, 2)).unwrap_or(2),
        infra_retry_limit: u32::try_from(random.between(4, 20)).unwrap_or(20),
        infra_backoff_max: Millis(2_000),
        worker_timeout: Millis(random.between(4, 10) * 1_000),
        rejoin_grace: Millis(random.between(1, 5) * 1_000),
        credit_tasks: random.between(4, 64),
        batch_tasks: random.between(1, 16),
        ..base.clone()
    }
}

fn draw_quota(random: &mut Random, config: &mut GridConfig) {
    if random.chance(30) {
        config.quotas.entry(Resource::RunningTasks).or_insert(random.between(1, 6));
    }
}

fn draw_workers(random: &mut Random, calm_at: u64) -> Vec<WorkerPlan> {
    let count = random.between(1, 5);
    let worker = |number| WorkerPlan {
        name: format!("worker-{number}"),
        slots: u32::try_from(random.between(1, 4)).unwrap_or(1),
        starts_at: if random.chance(25) { random.below(calm_at) } else { random.below(SECOND) },
        falsehood: None,
    };
    (0..count).map(worker).collect()
}

fn draw_clients(random: &mut Random, calm_at: u64) -> Vec<ClientPlan> {
    let mut number = 0;
    let count = random.between(1, 3);
    let tenants = random.between(1, 2);
    (0..count)
        .map(|client| {
            let jobs = random.between(1, 3);
            let jobs = (0..jobs)
                .map(|job| draw_job(random, &mut number, format!("{client}-{job}"), calm_at));
            let jobs = jobs.collect();
            ClientPlan { tenant: format!("tenant-{}", client % tenants), jobs, function: None }
        })
        .collect()
}

fn draw_job(random: &mut Random, number: &mut u64, key: String, calm_at: u64) -> JobPlan {
    let mix = match random.below(6) {
        0 | 1 => Mix::default(),
        2 => Mix { failed: 15, retry: 25, ..Mix::default() },
        3 => Mix { crashes: 20, ..Mix::default() },
        4 => Mix { kills: 8, ..Mix::default() },
        _ => Mix { failed: 5, retry: 10, crashes: 5, kills: 3 },
    };
    let wall_us = match random.below(3) {
        0 => (100, 2_000),
        1 => (5_000, 100_000),
        _ => (200_000, 1_500_000),
    };
    let chunks = if random.chance(60) { 1 } else { random.between(2, 5) };
    let most = if wall_us.1 > SECOND { 12 } else { 60 };
    let chunks: Vec<_> = (0..chunks)
        .map(|_| {
            let count = random.between(u64::from(chunks > 1), most / chunks);
            draw_chunk(random, number, count, mix, wall_us)
        })
        .collect();
    JobPlan {
        at: random.below(calm_at * 3 / 4),
        pause_us: random.between(1, 2_000) * 1_000,
        closed: random.chance(70),
        cancel_us: random.chance(20).then(|| random.below(5 * SECOND)),
        watch_early: random.chance(60),
        second_reader: random.chance(25).then(|| random.below(most)),
        priority: i32::try_from(random.below(3)).unwrap_or_default(),
        retries: u32::try_from(random.below(4)).unwrap_or_default(),
        max_failures: random.chance(15).then(|| random.between(1, 4)),
        deadline: random.chance(12).then(|| Millis(random.between(500, 20_000))),
        chunks,
        ..quiet_job(key)
    }
}

/// Lets some clients have a function. Its inputs have numbers behind those of all jobs.
fn draw_functions(random: &mut Random, calm_at: u64, clients: &mut [ClientPlan]) {
    let mut number = 1 << 32;
    for client in clients {
        client.function = FunctionPlan::draw(random, calm_at, &mut number);
    }
}

/// Lets others than the submitter append, and jobs be run again.
fn draw_extras(random: &mut Random, client: &mut ClientPlan) {
    for number in 0..client.jobs.len() {
        let (beside, retried) = (random.chance(50), random.chance(35));
        let Some(job) = client.jobs.get_mut(number) else { continue };
        job.beside = beside;
        if beside && random.chance(60) {
            trickle(job);
        }
        if retried {
            let again = JobPlan {
                retry_of: Some(number),
                priority: job.priority,
                retries: job.retries,
                max_failures: job.max_failures,
                deadline: job.deadline,
                ..quiet_job(format!("{}-again", job.key))
            };
            client.jobs.push(again);
        }
    }
}

/// The inputs come one or two at a time, from several chunks on, so that each is given out at once.
fn trickle(job: &mut JobPlan) {
    let tasks: Vec<Task> = job.chunks.iter().flatten().copied().take(TRICKLE_MAX).collect();
    let size = |chunk: usize| 1 + chunk % 2;
    let (mut rest, mut chunks) = (tasks.as_slice(), Vec::new());
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(size(chunks.len()).min(rest.len()));
        chunks.push(chunk.to_vec());
        rest = later;
    }
    job.closed &= chunks.len() <= 1;
    job.chunks = chunks;
}

fn quiet_job(key: String) -> JobPlan {
    JobPlan {
        key,
        at: 0,
        chunks: Vec::new(),
        beside: false,
        retry_of: None,
        pause_us: 0,
        closed: true,
        cancel_us: None,
        watch_early: true,
        second_reader: None,
        priority: 0,
        retries: 0,
        max_failures: None,
        deadline: None,
    }
}

fn draw_chunk(
    random: &mut Random,
    number: &mut u64,
    count: u64,
    mix: Mix,
    wall_us: (u64, u64),
) -> Vec<Task> {
    let task = |_| {
        *number += 1;
        Task::new(*number, mix.draw(random), random.between(wall_us.0, wall_us.1))
    };
    (0..count).map(task).collect()
}

fn draw_faults(
    random: &mut Random,
    workers: usize,
    clients: usize,
    calm_at: u64,
) -> Vec<(u64, Fault)> {
    // Some worlds are quiet, some see one thing after another.
    let most = match random.below(4) {
        0 => 3,
        1 | 2 => 14,
        _ => 40,
    };
    let count = random.below(most);
    let mut dead = 0;
    let mut faults: Vec<_> = (0..count)
        .map(|_| {
            let fault = draw_fault(random, workers, clients, &mut dead);
            (random.below(calm_at), fault)
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// Workers that cannot run tasks, and schedulers that die again before all is as it was.
fn draw_more_faults(
    random: &mut Random,
    workers: &[WorkerPlan],
    clients: &[ClientPlan],
    calm_at: u64,
    faults: &mut Vec<(u64, Fault)>,
) {
    if random.chance(30) {
        for _ in 0..random.between(1, 3) {
            let worker = random.below(workers.len() as u64);
            let worker = usize::try_from(worker).unwrap_or_default();
            let how = match random.below(3) {
                0 => Broken::Loses,
                1 => Broken::Returns,
                _ => Broken::Says,
            };
            let for_us = 2 * span(random);
            faults.push((random.below(calm_at), Fault::Breaks { worker, how, for_us }));
        }
    }
    // It matters most while several append to one job.
    let fed = clients.iter().flat_map(|client| &client.jobs);
    let fed = fed.filter(|job| job.beside && job.chunks.len() > 2);
    for job in fed.collect::<Vec<_>>() {
        if random.chance(50) {
            let down_us = random.between(10, 1_000) * 1_000;
            let again_us = down_us + random.between(200, 9_000) * 1_000;
            let at = job.at + if random.chance(50) { random.below(2 * job.pause_us) } else { 0 };
            faults.push((at.min(calm_at), Fault::Relapse { down_us, again_us }));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
}

/// In some worlds workers are taken away, at times right before they are back.
fn draw_removals(
    random: &mut Random,
    workers: usize,
    calm_at: u64,
    faults: &mut Vec<(u64, Fault)>,
) {
    if random.chance(25) {
        for _ in 0..random.between(1, 3) {
            let worker = usize::try_from(random.below(workers as u64)).unwrap_or_default();
            let away_us = span(random);
            faults.push((random.below(calm_at), Fault::Remove { worker, away_us }));
        }
        faults.sort_by_key(|(at, _)| *at);
    }
}

/// In some worlds one of the workers is not to be trusted. The last one, which alone is always there
/// in the end, does its work.
fn draw_falsehood(random: &mut Random, workers: &mut [WorkerPlan]) {
    let (others, hoards) = (workers.len() as u64 - 1, random.chance(40));
    let among = if hoards { others } else { others + 1 };
    let which = random.below(among.max(1));
    let which = usize::try_from(which).unwrap_or_default();
    if random.chance(30)
        && among > 0
        && let Some(worker) = workers.get_mut(which)
    {
        worker.falsehood = Some(if hoards { Falsehood::Hoards } else { Falsehood::Claims });
    }
}

/// In some worlds the clock of the scheduler's machine is off by days or years at a start.
fn draw_wrong_clock(random: &mut Random, calm_at: u64, faults: &mut Vec<(u64, Fault)>) {
    if !random.chance(25) {
        return;
    }
    let by = i64::try_from(random.between(1, 10_000) * 3_600 * SECOND).unwrap_or_default();
    let by_us = if random.chance(50) { by } else { -by };
    let at = random.below(calm_at);
    faults.push((at, Fault::ClockStep { by_us }));
    let (down_us, kept) = (span(random) / 2, random.below(101));
    faults.push((at + 1, Fault::CrashScheduler { after: 0, down_us, kept }));
}

/// Mostly as short as what people do by hand, sometimes longer than every patience.
fn span(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.between(1, 50) * 1_000,
        1 | 2 => random.between(50, 3_000) * 1_000,
        _ => random.between(3, 25) * SECOND,
    }
}

fn draw_fault(random: &mut Random, workers: usize, clients: usize, dead: &mut usize) -> Fault {
    let index = |random: &mut Random, count: usize| {
        usize::try_from(random.below(count as u64)).unwrap_or_default()
    };
    let worker = index(random, workers);
    let client = index(random, clients);
    let node = index(random, workers + clients);
    match random.below(26) {
        0..=4 => Fault::CrashScheduler {
            after: if random.chance(60) { random.below(12) } else { 0 },
            down_us: span(random) / 2,
            kept: match random.below(3) {
                0 => 0,
                1 => 100,
                _ => random.below(100),
            },
        },
        5..=7 => {
            // The last worker always comes back, or nothing could end.
            let for_good = random.chance(15) && *dead + 1 < workers && worker + 1 != workers;
            *dead += usize::from(for_good);
            Fault::CrashWorker { worker, down_us: (!for_good).then(|| span(random)) }
        }
        8 => Fault::CrashClient { client, down_us: span(random), keeps: random.chance(50) },
        9..=11 => Fault::Cut { node, notice_us: span(random) },
        12..=14 => {
            let (up, down) = match random.below(3) {
                0 => (true, true),
                1 => (true, false),
                _ => (false, true),
            };
            Fault::Partition { node, up, down, for_us: span(random) }
        }
        15 | 16 => Fault::Freeze { node, for_us: span(random) },
        17 => Fault::FreezeScheduler { for_us: span(random) },
        18 | 19 => Fault::SlowDisk { sync_us: span(random) / 4, for_us: span(random) },
        20 => Fault::FullDisk { for_us: span(random) },
        21 => {
            let by = i64::try_from(span(random)).unwrap_or_default();
            Fault::ClockStep { by_us: if random.chance(50) { by } else { -by } }
        }
        22 => Fault::Drain { worker },
        _ => Fault::Leave { worker, patience_us: span(random), away_us: span(random) },
    }
}
