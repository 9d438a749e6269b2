//! `wasmgrid up`: a grid on this machine, with a worker and a context, and the command with which
//! other machines join.

use std::{convert::Infallible, ops::RangeInclusive, time::Duration};

use anyhow::Context as _;
use wasmgrid_net::Role;
use wasmgrid_proto::wire::TokenRequest;
use wasmgrid_worker::Worker;

use super::{member, scheduler::Scheduler};
use crate::{
    args::UpArgs,
    config::ServerSettings,
    context::{Contexts, Description},
    escape::Lines,
    exit::{self, Exit, WithExit as _},
    interrupt::Interrupt,
    parts::{self, Machine, WorkerSetup},
    paths::Paths,
    print, table,
};

/// The time between two looks at the certificate of this machine's context.
const LOOK_EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Makes the grid or starts it again, and runs it until Ctrl-C.
///
/// # Errors
/// Where the scheduler or the worker cannot be started, or fails.
pub async fn up(args: UpArgs, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let paths = Paths::find()?;
    let settings = ServerSettings {
        name: args.name.clone(),
        listen: args.listen,
        advertise: args.advertise.clone(),
        state_dir: args.state_dir.clone(),
        tenant_weights: args.tenant_weights.clone(),
        producer_grace: args.producer_grace,
        certificate_life: args.certificate_life,
        caps: args.caps.caps.clone(),
        require_jail: args.sandbox.require_jail.unwrap_or_default(),
        keep: args.keep.clone(),
    };
    let machine = if args.no_worker { None } else { Some(start_machine(&args, &paths).await?) };
    let scheduler = Scheduler::start(settings, &paths).await?;
    let started = start(&scheduler, machine, &args, &paths).await;
    let (worker, waited) = match started {
        Ok(worker) => {
            let waited = tokio::select! {
                waited = scheduler.wait(interrupt) => waited,
                never = keep_context(&scheduler, &paths) => match never {},
                never = stands_by(worker.as_ref()) => match never {},
            };
            (worker, waited)
        }
        Err(error) => (None, Err(error)),
    };
    if let Some(worker) = worker {
        worker.drain_and_stop().await;
    }
    let stopped = scheduler.server.shutdown().await.context("failed to stop the scheduler");
    waited.and(stopped).map(|()| Exit::Ok)
}

/// Says where this machine's worker gives up; the grid goes on without it.
async fn stands_by(worker: Option<&Worker>) -> Infallible {
    if let Some(worker) = worker
        && let Some(why) = member::over(worker).await
    {
        tracing::error!("{}; the grid goes on without it", exit::chain(&why.into()));
    }
    std::future::pending().await
}

/// Makes the certificate of this machine's operator anew as time passes: nobody may use its context
/// for long.
async fn keep_context(scheduler: &Scheduler, paths: &Paths) -> Infallible {
    let contexts = Contexts::new(paths);
    loop {
        // One that cannot be read was taken away, or whoever uses it is told.
        let operator = contexts.open(&scheduler.grid).ok().map(|(_, credentials)| credentials);
        let operator = operator.filter(|one| one.identity().role() == Role::Operator);
        let left = operator.map(|one| one.validity().renew_at().since(table::now()).duration());
        if left == Some(Duration::ZERO) {
            let renewed = scheduler.operator().await;
            let kept = renewed.and_then(|new| contexts.renew(&scheduler.grid, &new));
            if let Err(error) = kept {
                let why = exit::chain(&error);
                tracing::warn!(why, "the certificate of this machine's context is not renewed");
            }
        }
        let (least, most) = (*LOOK_EVERY.start(), *LOOK_EVERY.end());
        tokio::time::sleep(left.unwrap_or(most).clamp(least, most)).await;
    }
}

/// Starts the worker, keeps the context, and says how to go on.
async fn start(
    scheduler: &Scheduler,
    machine: Option<Machine>,
    args: &UpArgs,
    paths: &Paths,
) -> anyhow::Result<Option<Worker>> {
    let grid = &scheduler.grid;
    let worker = match machine {
        Some(machine) => {
            let name = parts::machine_name();
            Some(machine.work(parts::worker_dial(scheduler.server.handle(), grid, &name)?))
        }
        None => None,
    };
    let contexts = Contexts::new(paths);
    let description = Description { grid: grid.clone(), addresses: scheduler.addresses.clone() };
    contexts.save(grid, &description, &scheduler.operator().await?)?;
    contexts.select(grid)?;
    let client = parts::client(scheduler.server.handle(), grid).await?;
    let request = TokenRequest { role: Role::Worker, ttl: args.token_ttl, uses: args.token_uses };
    let token = client.create_token(request).await?;
    client.shutdown().await;
    let (addresses, ttl) = (scheduler.addresses.join(", "), args.token_ttl);
    let whom = match args.token_uses {
        1 => "one machine".into(),
        uses => format!("up to {uses} machines"),
    };
    let mut said = Lines::default();
    said.push(format_args!("grid {grid} is up at {addresses}"));
    said.push("`wasmgrid run` now goes to it; `wasmgrid context use local` goes back");
    said.push(format_args!("to add {whom} within {ttl}, run this there, and paste the token:"));
    said.push("");
    said.push("  wasmgrid join --token-file -");
    said.push("");
    said.push(format_args!("  {token}"));
    said.push("");
    said.push("Ctrl-C stops the grid; its jobs and results are kept");
    // At once: a reader that takes the first line alone has not closed the output before the rest.
    print::lines(&said)
        .context("nobody can know the token with which machines join")
        .exit(Exit::Failed)?;
    Ok(worker)
}

/// Before there is a grid: one that was made with no worker would have to be cleared away.
async fn start_machine(args: &UpArgs, paths: &Paths) -> anyhow::Result<Machine> {
    let setup = WorkerSetup {
        slots: args.slots,
        memory: None,
        labels: Vec::new(),
        isolation: args.isolation.unwrap_or_default(),
        allow_dirs: args.allow_dirs.clone(),
        max: args.max.clone(),
        sandbox: args.sandbox.clone(),
        cache_dir: paths.modules(),
        caps: args.caps.caps(),
    };
    Machine::start_proven(setup).await
}
