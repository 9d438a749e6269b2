//! What a task costs at least, and what it costs here: a bare loop of Wasmtime in the runners'
//! configuration, beside the slots of a sandbox, over the same module and input.
//!
//! `floor MODULE.wasm [--seconds N] [--processes N] [--input FILE] [--pagemap-scan BOOL]`: MODULE is a task of the SDK
//! that calls no host function, such as `tests/guests/noop`; `floor bare …` runs the bare loop
//! alone and prints its tasks a second, and the CPU time of each in microseconds. The bare loop makes a fresh instance a task, calls it and
//! drops it, with fuel and epochs as the engine demands and nothing else: no limits, no clock, no
//! batches. The slots do all that a worker has done; and beside what they do in a second it says how
//! long the first task of another tenant takes, which needs a runner that nobody has used.

use std::{
    error::Error,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::task::JoinSet;
use wasmgrid_proto::{Digest, InputBlock, JobId, LeaseId, ModuleKind, Outcome, TaskSpec, WorkerId};
use wasmgrid_sandbox::{
    EngineSettings, Isolation, ModuleSource, Sandbox, SandboxConfig, Slot, SlotBatch, SlotEvent,
    compiler_main, engine, runner_main,
};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker},
};

type Failed = Box<dyn Error + Send + Sync>;

/// Tasks of a batch, as a scheduler would send them.
const BATCH: usize = 512;

/// A small JSON value, which most tasks can read, where no other input is given.
const INPUT: &[u8] = b"1234567";

/// Tenants whose first task is timed, and the time between two, in which a spare runner gets ready.
const TENANTS: usize = 21;
const BETWEEN_TENANTS: Duration = Duration::from_millis(50);

/// Tasks between two looks at the clock.
const STRIDE: u32 = 100;

const USAGE: &str = "usage: floor MODULE.wasm [--seconds N] [--processes N] [--input FILE] \
                     [--pagemap-scan BOOL]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("runner") => return runner_main(),
        Some("compiler") => return compiler_main(),
        Some("bare") => Plan::of(arguments.get(1..).unwrap_or_default()).and_then(|plan| {
            let (rate, cpu_us) = bare(&plan)?;
            println!("{rate} {cpu_us}");
            Ok(())
        }),
        _ => Plan::of(&arguments).and_then(|plan| compare(&plan)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was asked for.
struct Plan {
    module: String,
    span: Duration,
    processes: u32,
    input: Vec<u8>,
    input_file: Option<String>,
    pagemap_scan: bool,
}

impl Plan {
    fn of(arguments: &[String]) -> Result<Self, Failed> {
        let [module, options @ ..] = arguments else { return Err(USAGE.into()) };
        let mut plan = Self {
            module: module.clone(),
            span: Duration::from_secs(2),
            processes: 1,
            input: INPUT.to_vec(),
            input_file: None,
            pagemap_scan: false,
        };
        for option in options.chunks(2) {
            match option {
                [name, value] if name == "--seconds" => {
                    plan.span = Duration::try_from_secs_f64(value.parse()?)?;
                }
                [name, value] if name == "--processes" => plan.processes = value.parse()?,
                [name, value] if name == "--input" => {
                    plan.input = std::fs::read(value)?;
                    plan.input_file = Some(value.clone());
                }
                [name, value] if name == "--pagemap-scan" => plan.pagemap_scan = value.parse()?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(plan)
    }

    fn engine(&self) -> EngineSettings {
        EngineSettings { pagemap_scan: self.pagemap_scan, ..EngineSettings::default() }
    }

    fn sandbox(&self, slots: u32, isolation: Isolation) -> SandboxConfig {
        SandboxConfig { slots, isolation, engine: self.engine(), ..SandboxConfig::default() }
    }

    fn bytes(&self) -> Result<Vec<u8>, Failed> {
        Ok(std::fs::read(&self.module)?)
    }
}

fn compare(plan: &Plan) -> Result<(), Failed> {
    let floor = bare_processes(plan)?;
    report("bare loop", floor, plan.processes);
    let bytes = plan.bytes()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (name, isolation) in [
        ("slots", Isolation::Process),
        ("slots in process", Isolation::InProcess),
        ("slots, a process a task", Isolation::Task),
    ] {
        let rate = runtime.block_on(slots(&bytes, plan, isolation))?;
        report(name, rate, plan.processes);
        println!("    {:.2} of the bare loop", rate / floor);
        let (usual_ms, most_ms) = runtime.block_on(first_tasks(&bytes, plan, isolation))?;
        println!("    a tenant's first task: {usual_ms:.2} ms, the longest {most_ms:.2} ms");
    }
    Ok(())
}

fn report(name: &str, tasks_a_second: f64, processes: u32) {
    let us_a_task = 1e6 * f64::from(processes) / tasks_a_second;
    println!(
        "{name}: {tasks_a_second:.0} tasks/s in all, {us_a_task:.2} us a task, {processes} side by side"
    );
}

/// Bare loops in so many processes at the same time; their sum in tasks a second.
fn bare_processes(plan: &Plan) -> Result<f64, Failed> {
    let seconds = plan.span.as_secs_f64().to_string();
    let start = |_| {
        let program = std::env::current_exe()?;
        let mut bare = Command::new(program);
        let pagemap_scan = plan.pagemap_scan.to_string();
        bare.args(["bare", &plan.module, "--seconds", &seconds, "--pagemap-scan", &pagemap_scan]);
        if let Some(file) = &plan.input_file {
            bare.args(["--input", file]);
        }
        bare.stdout(Stdio::piped()).spawn()
    };
    let children: Vec<_> = (0..plan.processes).map(start).collect::<Result<_, _>>()?;
    let mut sum = 0.0;
    for child in children {
        let output = child.wait_with_output()?;
        let said = String::from_utf8(output.stdout)?;
        sum += said.split_whitespace().next().ok_or("it says nothing")?.parse::<f64>()?;
    }
    Ok(sum)
}

/// Tasks a second of one thread that does nothing but instantiate and call, and the CPU time of
/// each in microseconds; 0 where the system does not tell.
fn bare(plan: &Plan) -> Result<(f64, f64), Failed> {
    let bytes = plan.bytes()?;
    let engine = Engine::new(&engine::config(&plan.engine())?)?;
    let component = Component::new(&engine, &bytes)?;
    // The task calls none of its imports, so that none costs anything.
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&component)?;
    let prepared = linker.instantiate_pre(&component)?;
    let interface = component
        .get_export_index(None, "wasmgrid:task/guest@0.1.0")
        .ok_or("the module is no task of the SDK")?;
    let run = component.get_export_index(Some(&interface), "run").ok_or("it has no `run`")?;

    let (cpu, begun, mut tasks) = (cpu_ns(), Instant::now(), 0u32);
    while begun.elapsed() < plan.span {
        for _ in 0..STRIDE {
            let mut store = Store::new(&engine, ());
            store.set_fuel(u64::MAX)?;
            store.set_epoch_deadline(u64::MAX / 2);
            let instance = prepared.instantiate(&mut store)?;
            let call = instance.get_func(&mut store, run).ok_or("`run` is no function")?;
            let call = call.typed::<(&[u8],), (Result<Vec<u8>, Failure>,)>(&store)?;
            let (output,) = call.call(&mut store, (&plan.input,))?;
            output.map_err(|_| "the task failed")?;
        }
        tasks += STRIDE;
    }
    let took = begun.elapsed();
    let cpu = Duration::from_nanos(cpu_ns().saturating_sub(cpu));
    Ok((f64::from(tasks) / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / f64::from(tasks)))
}

/// What this thread has had of its core.
fn cpu_ns() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

#[derive(wasmtime::component::ComponentType, wasmtime::component::Lift)]
#[component(variant)]
#[expect(dead_code, reason = "only that it failed matters here")]
enum Failure {
    #[component(name = "rejected")]
    Rejected(String),
    #[component(name = "retry")]
    Retry(String),
}

/// Tasks a second of so many slots that are kept busy.
async fn slots(module: &[u8], plan: &Plan, isolation: Isolation) -> Result<f64, Failed> {
    let (sandbox, slots) = Sandbox::start(plan.sandbox(plan.processes, isolation))?;
    let batch = batch(&sandbox, module, &plan.input, BATCH).await?;
    let mut busy: JoinSet<_> =
        slots.into_iter().map(|slot| keep_busy(slot, batch.clone(), plan.span)).collect();
    let mut sum = 0.0;
    while let Some(rate) = busy.join_next().await {
        sum += rate??;
    }
    sandbox.shutdown().await;
    Ok(sum)
}

/// How many milliseconds the first task of another tenant takes, its module being compiled: usually,
/// and at the most.
async fn first_tasks(
    module: &[u8],
    plan: &Plan,
    isolation: Isolation,
) -> Result<(f64, f64), Failed> {
    let (sandbox, mut slots) = Sandbox::start(plan.sandbox(1, isolation))?;
    let mut slot = slots.pop().ok_or("the sandbox has no slot")?;
    let mut batch = batch(&sandbox, module, &plan.input, 1).await?;
    let mut took_ms = Vec::new();
    for tenant in 0..TENANTS {
        tokio::time::sleep(BETWEEN_TENANTS).await;
        batch.spec = Arc::new(TaskSpec { tenant: tenant.to_string(), ..(*batch.spec).clone() });
        let begun = Instant::now();
        slot.input.run(batch.clone()).await?;
        results(slot.events.next().await)?;
        took_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    sandbox.shutdown().await;
    took_ms.sort_by(f64::total_cmp);
    let at = |place: usize| took_ms.get(place).copied().unwrap_or_default();
    Ok((at(TENANTS / 2), at(TENANTS - 1)))
}

/// So many tasks with the same input.
async fn batch(
    sandbox: &Sandbox,
    module: &[u8],
    input: &[u8],
    tasks: usize,
) -> Result<SlotBatch, Failed> {
    let spec = TaskSpec::new(Digest::of(module), ModuleKind::Task);
    let source = ModuleSource::Bytes(Bytes::copy_from_slice(module));
    Ok(SlotBatch {
        prepared: sandbox.prepare(&spec, source).await?,
        job: JobId(1),
        lease: LeaseId(1),
        attempt: 1,
        worker: WorkerId(1),
        spec: Arc::new(spec),
        first: 0,
        inputs: InputBlock::Packed(vec![u32::try_from(input.len())?; tasks]),
        payload: input.repeat(tasks).into(),
    })
}

async fn keep_busy(slot: Slot, batch: SlotBatch, span: Duration) -> Result<f64, Failed> {
    let Slot { input, mut events } = slot;
    // The first batch makes the module ready, which is not what is measured.
    input.run(batch.clone()).await?;
    let mut warm = 0;
    while warm < BATCH {
        warm += results(events.next().await)?;
    }
    let (begun, mut tasks) = (Instant::now(), 0u32);
    while begun.elapsed() < span {
        tokio::select! {
            queued = input.run(batch.clone()) => queued?,
            event = events.next() => tasks += u32::try_from(results(event)?)?,
        }
    }
    Ok(f64::from(tasks) / begun.elapsed().as_secs_f64())
}

fn results(event: Option<SlotEvent>) -> Result<usize, Failed> {
    let Some(SlotEvent::Results(block, _)) = event else {
        return Err("the slot gave no results".into());
    };
    let failed = block.results.iter().find(|result| result.outcome != Outcome::Ok);
    match failed {
        Some(result) => Err(result.outcome.to_string().into()),
        None => Ok(block.results.len()),
    }
}
