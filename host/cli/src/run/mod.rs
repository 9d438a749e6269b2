//! `wasmgrid run` and `wasmgrid submit`: from a task and inputs to printed results.

mod build;
pub mod collect;
mod dry_run;
pub mod failures;
pub mod inputs;
mod ledger;
pub mod output;
pub mod progress;
mod reorder;
pub mod session;
mod stuck;
mod summary;
mod task;

use std::path::PathBuf;

use anyhow::Context as _;
use wasmgrid_client::Client;
use wasmgrid_proto::Grant;

use crate::{
    args::{Format, InputArgs, Label, Order, OutputArgs, RunArgs, SubmitArgs, Talk},
    cluster::{self, Cluster, view::JobView},
    context::Contexts,
    exit::{Exit, WithExit as _, usage},
    interrupt::Interrupt,
    local::LocalGrid,
    parts::WorkerSetup,
    paths::Paths,
    print::data,
    table,
};

use collect::Collector;
use failures::{Again, Failures};
use inputs::Inputs;
pub use inputs::Range;
use output::{Output, Shape};
use progress::Progress;
use session::{OnInterrupt, Session, Settled, Use};
use summary::Summary;
pub use summary::{Reading, exit_of, rest};
use task::Task;

/// Where a job runs.
enum Grid {
    /// In this process and its runners.
    Local(Box<LocalGrid>),
    /// On the machines that have joined.
    Cluster(Cluster),
}

/// Runs a task on its inputs, prints the results, and says how it went.
///
/// # Errors
/// Whatever keeps the job from its end; failed tasks are no error.
pub async fn run(args: RunArgs, talk: Talk, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    if args.job.dry_run {
        return dry_run::run(&args, talk).await;
    }
    let task = match Task::load(&args.job, talk) {
        // A Ctrl-C during the build ends the compiler too.
        Err(_) if interrupt.is_asked() => return Ok(Exit::Interrupted),
        loaded => loaded?,
    };
    let inputs = Inputs::open(&args.inputs)?;
    let output = Output::open(args.output.out.as_deref(), shape(&args.output, &args.inputs))?;
    let grid = Grid::open(&args).await?;
    let ended = tokio::select! {
        ended = run_on(&grid, &args, talk, (task, inputs, output), interrupt) => ended,
        error = grid.failed() => Err(error),
    };
    let stopped = grid.stop().await;
    let exit = ended?;
    stopped.map(|()| exit)
}

async fn run_on(
    grid: &Grid,
    args: &RunArgs,
    talk: Talk,
    (task, inputs, mut output): (Task, Inputs, Output),
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let spec = task.spec(&args.job);
    let (limits, client) = (spec.task.limits, grid.client());
    let open = async {
        client.put_module(task.module).await?;
        Session::open(client.clone(), spec, inputs, Use::Watch).await
    };
    let (session, rest) = tokio::select! {
        opened = open => opened?,
        () = interrupt.asked() => return Ok(Exit::Interrupted),
    };
    let session = session.forgetting(|settled| grid.forget(settled));
    output.begin()?;
    let quiet = talk.quiet || is_filter(&args.inputs);
    let failures = Failures::new(limits, session.job, args.output.out.as_deref());
    let ordered = args.output.order != Some(Order::Done);
    let progress = Progress::new(quiet);
    let mut collector = Collector::new(output, ordered, failures, Some(&session.ledger), progress);
    let on_cluster = grid.on_interrupt() == OnInterrupt::Detach;
    let hint = async {
        if !talk.quiet {
            stuck::hint(client, session.job, on_cluster).await;
        }
    };
    let running = session.run(rest, &mut collector, interrupt, grid.on_interrupt());
    let ran = stuck::beside(running, hint).await;
    let (ending, wrong_input) = ran.inspect_err(|_| {
        collector.detach();
        if on_cluster {
            summary::tell_of_lost(session.job);
        }
    })?;
    let summary = Summary {
        job: session.job,
        again: Again::new(&args.job),
        sent: session.ledger.borrow().total(),
        interrupted: interrupt.is_asked(),
        // One task used as a filter says nothing where all is well.
        quiet,
        json: args.output.format == Format::Json && !talk.quiet,
        wrong_input,
    };
    summary.conclude(ending, &mut collector)
}

/// Submits a job to a cluster and leaves it there.
///
/// # Errors
/// Whatever keeps the job from being made and getting all its inputs.
pub async fn submit(args: SubmitArgs, talk: Talk) -> anyhow::Result<Exit> {
    if args.job.dry_run {
        return dry_run::submit(&args, talk).await;
    }
    let task = Task::load(&args.job, talk)?;
    let (inputs, how) = if args.open {
        (Inputs::named(&args.inputs)?, Use::LeaveOpen)
    } else {
        (Inputs::open(&args.inputs)?, Use::Leave)
    };
    let spec = task.spec(&args.job);
    let status = cluster::with(&args.grid, async |client| {
        client.put_module(task.module).await?;
        let (session, rest) = Session::open(client.clone(), spec, inputs, how).await?;
        let job = session.job;
        session.upload(rest).await.with_context(|| {
            format!("job {job} has only the inputs before the one that is wrong")
        })?;
        Ok(client.job(job).await?)
    });
    let status = status.await?;
    let job = status.job;
    let printed = match args.output {
        Format::Text => data!("{job}").map_err(Into::into),
        Format::Json => table::json(&JobView::from(&status)),
    };
    printed.with_context(|| format!("job {job} was submitted")).exit(Exit::Failed)?;
    Ok(Exit::Ok)
}

fn granted_dirs(grants: &[Grant]) -> Vec<PathBuf> {
    let dirs = grants.iter().filter_map(|grant| match grant {
        Grant::Dir { host, .. } => Some(PathBuf::from(host)),
        _ => None,
    });
    dirs.collect()
}

/// One task without input flags, used as a filter.
const fn is_filter(inputs: &InputArgs) -> bool {
    inputs.is_none()
}

fn shape(output: &OutputArgs, inputs: &InputArgs) -> Shape {
    match output.format {
        Format::Json => Shape::Json,
        Format::Text if is_filter(inputs) => Shape::Filter,
        Format::Text if output.raw => Shape::Raw,
        Format::Text => Shape::Lines,
    }
}

impl Grid {
    async fn open(args: &RunArgs) -> anyhow::Result<Self> {
        let paths = Paths::find()?;
        let contexts = Contexts::new(&paths);
        let context = if args.local { None } else { contexts.choose(&args.grid)? };
        if let Some(name) = context {
            if args.slots.is_some() || args.isolation.is_some() {
                return Err(usage(format!(
                    "--slots and --isolation are for a grid on this machine, and the job would go \
                     to context {name:?}; add --local, or leave them out"
                )));
            }
            return Ok(Self::Cluster(Cluster::open(&contexts, &name).await?));
        }
        if let Some(Label { key, value }) = args.job.requires.first() {
            return Err(usage(format!(
                "--require {key}={value} is for workers of a cluster, and the job would run here; \
                 leave it out, or select a context"
            )));
        }
        let setup = WorkerSetup {
            slots: args.slots,
            memory: None,
            labels: Vec::new(),
            isolation: args.isolation.unwrap_or_default(),
            // Who grants a directory of this machine is its operator.
            allow_dirs: granted_dirs(&args.job.allow),
            max: Vec::new(),
            sandbox: args.sandbox.clone(),
            cache_dir: paths.modules(),
            caps: args.job.caps.caps(),
        };
        Ok(Self::Local(Box::new(LocalGrid::start(setup).await?)))
    }

    const fn client(&self) -> &Client {
        match self {
            Self::Local(grid) => grid.client(),
            Self::Cluster(cluster) => &cluster.client,
        }
    }

    /// Resolves where the grid cannot go on; one elsewhere may come back.
    async fn failed(&self) -> anyhow::Error {
        match self {
            Self::Local(grid) => grid.failed().await,
            Self::Cluster(_) => std::future::pending().await,
        }
    }

    /// Lets go of what the one reader of a grid on this machine is done with.
    fn forget(&self, settled: Settled) {
        if let Self::Local(grid) = self {
            grid.forget(settled);
        }
    }

    const fn on_interrupt(&self) -> OnInterrupt {
        match self {
            Self::Local(_) => OnInterrupt::Cancel,
            Self::Cluster(_) => OnInterrupt::Detach,
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Local(grid) => grid.stop().await,
            Self::Cluster(cluster) => {
                cluster.close().await;
                Ok(())
            }
        }
    }
}
