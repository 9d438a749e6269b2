//! Generated modules by the thousand, through admission, compilation and a run under small limits:
//! nothing panics, every task has a typed outcome, and no limit is passed. `fuzz/generate` makes
//! them, each from its seed alone.

use std::{collections::BTreeMap, env, path::Path, process::Command, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{runtime::Builder, task::JoinSet, time::timeout};
use wasmgrid_proto::{
    ByteCount, Digest, Fuel, InputBlock, JobId, LeaseId, Limits, Millis, ModuleKind, Outcome,
    ResultMeta, TaskSpec, WorkerId,
};
use wasmgrid_sandbox::{
    Caps, Isolation, ModuleSource, PrepareError, Sandbox, SandboxConfig, Slot, SlotBatch,
    SlotEvent, admit::admit,
};
use wasmgrid_tests::repository;

/// One module a seed below this: about a minute on two cores. `WASMGRID_GENERATED` names another
/// number.
const SEEDS: u64 = 1_000;

/// Sandboxes at work at the same time, one thread each.
const SANDBOXES: u64 = 2;

/// No task of these limits takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

const LIMITS: Limits = Limits {
    fuel: Fuel(1_000_000),
    deadline: Millis(10_000),
    memory: ByteCount(4 << 20),
    table_elements: 10_000,
    output: ByteCount(64 << 10),
    record: ByteCount(4 << 10),
    log: ByteCount(4 << 10),
};

/// A generated module.
struct Generated {
    seed: u64,
    kind: String,
    bytes: Bytes,
}

/// How often each thing happened, by kind of module.
type Tally = BTreeMap<(String, String), u64>;

#[test]
fn generated_modules_end_in_typed_outcomes_within_their_limits() {
    let seeds = env::var("WASMGRID_GENERATED").map_or(SEEDS, |n| n.parse().expect("a number"));
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let tally = runtime.block_on(async {
        let mut running = JoinSet::new();
        let mut shares: Vec<Vec<Generated>> = (0..SANDBOXES).map(|_| Vec::new()).collect();
        for module in generate(seeds) {
            shares[(module.seed % SANDBOXES) as usize].push(module);
        }
        for share in shares {
            running.spawn(run_all(share));
        }
        let mut tally = Tally::new();
        while let Some(part) = running.join_next().await {
            for (what, count) in part.expect("nothing panics") {
                *tally.entry(what).or_default() += count;
            }
        }
        tally
    });
    eprintln!("{tally:#?}");
    // The test would prove little if nearly all were refused, or none ran to its end.
    let count = |kind: &str, what: &str| tally.get(&(kind.into(), what.into())).copied();
    for (kind, least) in [("command", seeds / 4), ("task", seeds / 8)] {
        let all: u64 = tally.iter().filter(|((of, _), _)| of == kind).map(|(_, count)| count).sum();
        let ran = all - count(kind, "not admitted").unwrap_or(0);
        assert!(ran >= least, "{ran} of {all} of kind {kind} ran");
    }
    assert!(count("command", "ok").is_some() && count("command", "trap").is_some());
}

/// The modules of all seeds, from the generator.
fn generate(seeds: u64) -> Vec<Generated> {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--", "modules", "0", &seeds.to_string()])
        .current_dir(repository().join("fuzz/generate"))
        // That of this cargo: rustup's would look for a toolchain in each dependency's folder, and
        // one of them names its own.
        .env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rest = Bytes::from(output.stdout);
    let mut modules = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = rest.split_to(end + 1);
        let line = str::from_utf8(&line).expect("a line of text");
        let mut words = line.split_whitespace();
        let seed = words.next().and_then(|word| word.parse().ok()).expect("a seed");
        let kind = words.next().expect("a kind").to_owned();
        let length = words.next().and_then(|word| word.parse().ok()).expect("a length");
        modules.push(Generated { seed, kind, bytes: rest.split_to(length) });
    }
    assert_eq!(modules.len() as u64, seeds);
    modules
}

/// Runs each module as one task in a sandbox of this process, so that a panic is seen here.
async fn run_all(modules: Vec<Generated>) -> Tally {
    let config = SandboxConfig { isolation: Isolation::InProcess, ..SandboxConfig::default() };
    let (sandbox, mut slots) = Sandbox::start(config).expect("a sandbox");
    let mut slot = slots.remove(0);
    let mut tally = Tally::new();
    for module in modules {
        let ended = run(&sandbox, &mut slot, &module).await;
        *tally.entry((module.kind, ended.to_owned())).or_default() += 1;
    }
    sandbox.shutdown().await;
    tally
}

/// Runs one module, and holds its result against the limits.
async fn run(sandbox: &Sandbox, slot: &mut Slot, module: &Generated) -> &'static str {
    let Ok(info) = admit(&module.bytes, &Caps::default()) else { return "not admitted" };
    let spec = TaskSpec {
        args: if info.kind == ModuleKind::Task { Vec::new() } else { vec!["argument".into()] },
        limits: LIMITS,
        seed: module.seed,
        tenant: "generated".into(),
        ..TaskSpec::new(Digest::of(&module.bytes), info.kind)
    };
    let source = ModuleSource::Bytes(module.bytes.clone());
    let prepared = match sandbox.prepare(&spec, source).await {
        // What a pass over the structure cannot see is refused by the compiler, with its reason.
        Err(PrepareError::Refused(_)) => return "not compiled",
        prepared => prepared.map_err(|error| (module.seed, error)).expect("a compiler that works"),
    };
    let input = Bytes::from_static(b"some input");
    let batch = SlotBatch {
        prepared,
        job: JobId(1),
        lease: LeaseId(module.seed),
        attempt: 1,
        worker: WorkerId(1),
        spec: Arc::new(spec),
        first: module.seed,
        inputs: InputBlock::Packed(vec![input.len() as u32]),
        payload: input,
    };
    slot.input.run(batch).await.expect("a live slot");
    let event = timeout(PATIENCE, slot.events.next()).await;
    let results = match event {
        Ok(Some(SlotEvent::Results(block, payload))) => Ok((block, payload)),
        other => Err((module.seed, other)),
    };
    let (block, payload) = results.expect("the task ends, and by itself");
    let (meta, bytes) = block.entries(&payload).expect("whole").next().expect("one result");
    assert_within_limits(module.seed, meta, &bytes);
    meta.outcome.name()
}

fn assert_within_limits(seed: u64, meta: &ResultMeta, bytes: &Bytes) {
    let (output, records, log) = meta.split(bytes).expect("as long as it says");
    let used = meta.usage;
    assert!(used.fuel <= LIMITS.fuel.0, "seed {seed}: {used:?}");
    assert!(used.memory_bytes <= LIMITS.memory.0, "seed {seed}: {used:?}");
    assert!(used.wall_us <= LIMITS.deadline.0 * 1_000 + 100_000, "seed {seed}: {used:?}");
    let written = output.len() + records.iter().map(Bytes::len).sum::<usize>();
    assert!(written as u64 <= LIMITS.output.0, "seed {seed}: {written} bytes");
    assert!(records.iter().all(|record| record.len() as u64 <= LIMITS.record.0), "seed {seed}");
    assert!(log.len() as u64 <= LIMITS.log.0, "seed {seed}");
    // What the grid's own trouble would be; all else is the module's doing.
    let is_trouble = matches!(meta.outcome, Outcome::Lost(_) | Outcome::Cancelled(_));
    assert!(!is_trouble, "seed {seed}: {:?}", meta.outcome);
}
