//! Worlds by their seeds, each in a process of its own.

use std::{
    collections::BTreeMap,
    env,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    os,
    world::{RESTARTS, Story, World},
};

/// Which world [`one_world`] lives through.
const SEED: &str = "WASMGRID_L2_SEED";

/// The first of the worlds of [`a_hundred_worlds_lose_nothing_and_double_nothing`].
const FIRST: &str = "WASMGRID_L2_FIRST";

/// How many there are.
const SEEDS: &str = "WASMGRID_L2_SEEDS";

/// How a world's process tells what became of it.
const TOLD: &str = "world ";

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn one_world() {
    // Before the world's thread draws anything.
    if env::var_os("RUST_LOG").is_some() {
        let filter = EnvFilter::from_default_env();
        let log = fmt().with_env_filter(filter).with_timer(WorldTime).with_writer(std::io::stderr);
        log.init();
    }
    let seed = number(SEED).unwrap_or(1);
    let world = thread::Builder::new().name(format!("world-{seed}")).spawn(move || live(seed));
    let Story { network, digest, faults, tasks, took } =
        world.expect("a thread").join().unwrap_or_else(|_| panic!("world {seed} did not hold"));
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    println!("{TOLD}{seed}: {digest} {} s, {tasks} tasks, {network:?}, {faults:?}", took.as_secs());
}

fn live(seed: u64) -> Story {
    os::seed(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(tokio::task::LocalSet::new().run_until(World::live(seed)))
}

/// What a world's process said; fails with how to see it again where it did not hold.
fn told(seed: u64) -> Result<String, String> {
    let program = env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--exact", "worlds::one_world", "--nocapture"])
        .env(SEED, seed.to_string())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split_once(TOLD)).map(|(_, line)| line.to_owned());
    match line {
        Some(line) if output.status.success() => Ok(line),
        _ => Err(format!(
            "seed {seed} fails; to see it again: {SEED}={seed} cargo test --workspace --test l2 \
             -- --exact worlds::one_world --nocapture\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Lives through worlds, as many at a time as there are cores.
fn all(seeds: impl Iterator<Item = u64>) -> BTreeMap<u64, Result<String, String>> {
    let seeds: Vec<u64> = seeds.collect();
    let (next, done) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) =
                    seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("few"))
                {
                    done.lock().expect("lock").insert(*seed, told(*seed));
                }
            });
        }
    });
    done.into_inner().expect("lock")
}

#[test]
fn a_hundred_worlds_lose_nothing_and_double_nothing() {
    hold(number(FIRST).unwrap_or(1), number(SEEDS).unwrap_or(100));
}

#[test]
fn after_the_sudden_end_of_a_scheduler_nothing_is_run_again() {
    hold(RESTARTS, 10);
}

/// Fails where one of so many worlds does not hold.
fn hold(first: u64, count: u64) {
    let stories = all(first..first + count);
    let failed: Vec<&String> = stories.values().filter_map(|told| told.as_ref().err()).collect();
    for line in stories.values().flatten() {
        println!("{line}");
    }
    assert!(failed.is_empty(), "{} of {count} worlds\n{}", failed.len(), failed[0]);
}

#[test]
fn the_same_seed_twice_gives_the_same_datagrams_at_the_same_times() {
    let seeds = || all([1_001, 1_002, 1_003].into_iter());
    let (once, again) = (seeds(), seeds());
    assert_eq!(once, again);
}

/// The time in a world's log.
struct WorldTime;

impl fmt::time::FormatTime for WorldTime {
    fn format_time(&self, writer: &mut fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:10.6}", os::elapsed().as_secs_f64())
    }
}
