//! `wasmgrid run` and `wasmgrid submit`: from a task and inputs to printed results.

mod again;
mod build;
pub mod clash;
mod clues;
pub mod collect;
mod dry_run;
pub mod failures;
mod fetched;
pub mod inputs;
mod ledger;
mod out_dir;
pub mod output;
pub mod progress;
mod render;
pub mod reorder;
pub mod session;
mod stuck;
mod summary;
mod task;
mod together;
mod track;
mod value;
mod whole;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wasmgrid_client::Client;
use wasmgrid_proto::Grant;
use wasmgrid_views::JobView;

use crate::{
    args::{Format, InputArgs, JobArgs, Label, Order, RunArgs, SubmitArgs, Talk},
    cluster::{self, Cluster},
    context::{self, Contexts},
    exit::{self, Exit, WithExit as _, usage},
    interrupt::Interrupt,
    local::LocalGrid,
    parts::{Cache, WorkerSetup},
    paths::Paths,
    print::{data, message},
    settings::Settings,
    table,
};

use again::{Again, Header, Keeper, Resume, Target};
use clash::Reads;
use collect::Collector;
use failures::Failures;
pub use inputs::{Axis, Batch, Range};
use inputs::{Inputs, Sources, Unread};
use output::{Output, Shape};
use progress::Progress;
use session::{OnInterrupt, Session, Settled, Use};
use summary::Summary;
pub use summary::{Reading, exit_of, rest};
pub use task::Task;
pub use together::stored_dir;
use together::{check_resume, going_on, header, is_filter, out_dir, shape};
use track::Track;

/// Inputs that cannot be read and are named one by one; the others are counted.
const UNREAD_SAID: usize = 3;

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
pub async fn run(mut args: RunArgs, talk: Talk, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let again = Again::of(&mut args.job)?;
    let resume = Resume::of(&mut args)?;
    let context = Grid::context(&args, talk)?;
    check_resume(&args, context.as_deref())?;
    let kept = again.as_ref().map(|again| &again.header);
    let kept = kept.or_else(|| resume.as_ref().and_then(Resume::header));
    if let Some(kept) = kept.filter(|_| context.is_none()) {
        kept.fill_here(&mut args.slots, &mut args.isolation, &mut args.sandbox);
    }
    if args.job.dry_run {
        return dry_run::run(&args, again, context, talk).await;
    }
    let task = match Task::load(&args.job, talk) {
        // A Ctrl-C during the build ends the compiler too.
        Err(_) if interrupt.is_asked() => return Ok(Exit::Interrupted),
        loaded => loaded?,
    };
    let sources = sources(&task, again, &args.job, &args.inputs)?;
    let mut reads = Reads::new();
    task.add_to(&mut reads);
    sources.add_to(&mut reads);
    let dir = out_dir(&args, &sources, &reads, resume.as_ref())?;
    if let Some(resume) = &resume {
        reads.check_flag("--resume", resume.path())?;
        reads.input(resume.path());
    }
    let header = header(&args, &task, dir.as_ref());
    let mut output = Output::open(args.output.out.as_deref(), shape(&args), &reads)?.beside(dir);
    drop(reads);
    let is_complete = say_left_out(&sources);
    let done =
        resume.as_ref().map(|resume| going_on(resume, &header, &mut output, talk)).transpose()?;
    let inputs = sources.behind(done.flatten()).open()?;
    let grid = Grid::open(&args, context, talk).await?;
    let parts = Parts { task, header, resume, inputs, is_complete, output };
    let ended = tokio::select! {
        ended = run_on(&grid, &args, talk, parts, interrupt) => ended,
        error = grid.failed() => Err(error),
    };
    let stopped = grid.stop().await;
    let exit = ended?;
    stopped.map(|()| exit)
}

/// What a job is run from.
struct Parts {
    task: Task,
    /// What says all that is needed to run it again.
    header: Header,
    /// What says how far it has come, where something does.
    resume: Option<Resume>,
    inputs: Inputs,
    /// False where there may be more inputs than could be found.
    is_complete: bool,
    output: Output,
}

async fn run_on(
    grid: &Grid,
    args: &RunArgs,
    talk: Talk,
    Parts { task, header, resume, inputs, is_complete, mut output }: Parts,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let spec = task.spec(&args.job);
    let (limits, client) = (spec.task.limits, grid.client());
    let grants = spec.task.grants.clone();
    let target = Target::new(output.file());
    let open = Session::open(client.clone(), spec, (task.named(), inputs), Use::Watch);
    // Nothing of an output is touched where no task can run.
    let able_and_open = async { tokio::try_join!(open, grid.proven()) };
    let ((session, rest), ()) = tokio::select! {
        opened = able_and_open => opened?,
        () = interrupt.asked() => return Ok(Exit::Interrupted),
    };
    let session = session.forgetting(|settled| grid.forget(settled));
    let progress_file = resume.as_ref().map(|resume| resume.path().to_owned());
    let (keeper, track) = keeper(resume, header, target)?;
    output.begin()?;
    let quiet = talk.quiet || is_filter(args);
    let failures = Failures::new(limits, Some(keeper)).granting(&grants);
    let by_itself = args.output.order == Some(Order::Done) || shape(args) == Shape::Nothing;
    let ordered = track.is_some() || !by_itself;
    let progress = Progress::new(quiet);
    let ledger = Some(&session.ledger);
    let mut collector = Collector::new(output, ordered, failures, ledger, progress).tracking(track);
    let on_cluster = grid.on_interrupt() == OnInterrupt::Detach;
    let hint = async {
        if !talk.quiet {
            stuck::hint(client, session.job, on_cluster).await;
        }
    };
    let running = session.run(rest, &mut collector, interrupt, grid.on_interrupt());
    let ran = stuck::beside(running, hint).await;
    let again = |kept: &Path| again::command(kept, args);
    let (ending, wrong_input) = ran.inspect_err(|_| {
        collector.detach();
        summary::tell_kept(&collector.report(false), &again);
        if let Some(file) = &progress_file {
            summary::tell_resume(file);
        }
        if on_cluster {
            summary::tell_of_lost(session.job);
        }
    })?;
    let summary = Summary {
        job: session.job,
        again: &again,
        sent: session.ledger.borrow().total(),
        tasks: session.ledger.borrow().tasks(),
        all_read: session.all_read(),
        incomplete: !is_complete,
        interrupted: interrupt.is_asked(),
        // One task used as a filter says nothing where all is well.
        quiet,
        json: args.output.format == Format::Json && !talk.quiet,
        wrong_input,
        resume: progress_file.as_deref(),
    };
    summary.conclude(ending, &mut collector)
}

/// What keeps a run's failed inputs, and notes how far it has come where that is wanted.
fn keeper(
    resume: Option<Resume>,
    header: Header,
    target: Target,
) -> anyhow::Result<(Keeper, Option<Track>)> {
    let Some(resume) = resume else { return Ok((Keeper::new(header, target), None)) };
    let track = Track::new(&resume.mark())?;
    Ok((resume.begin(header)?, Some(track)))
}

/// Submits a job to a cluster and leaves it there.
///
/// # Errors
/// Whatever keeps the job from being made and getting all its inputs.
pub async fn submit(mut args: SubmitArgs, talk: Talk) -> anyhow::Result<Exit> {
    let again = Again::of(&mut args.job)?;
    if args.job.dry_run {
        return dry_run::submit(&args, again, talk).await;
    }
    let task = Task::load(&args.job, talk)?;
    let (sources, how) = if args.open && again.is_none() {
        inputs::check_batch(&args.inputs, task.info.kind)?;
        (Sources::named(&args.inputs)?, Use::LeaveOpen)
    } else {
        let how = if args.open { Use::LeaveOpen } else { Use::Leave };
        (sources(&task, again, &args.job, &args.inputs)?, how)
    };
    let mut reads = Reads::new();
    task.add_to(&mut reads);
    sources.add_to(&mut reads);
    reads.check_stdout()?;
    let is_complete = say_left_out(&sources);
    let inputs = sources.open()?;
    let spec = task.spec(&args.job);
    let mut unread = Vec::new();
    let status = cluster::with(&args.grid, async |client| {
        let given = (task.named(), inputs);
        let (session, rest) = Session::open(client.clone(), spec, given, how).await?;
        let job = session.job;
        session
            .upload(rest, &mut unread)
            .await
            .with_context(|| format!("job {job} has only the inputs before the invalid one"))?;
        Ok(client.job(job).await?)
    });
    let status = status.await?;
    let job = status.job;
    let printed = match args.output {
        Format::Text => data!("{job}").map_err(Into::into),
        Format::Json => table::json(&JobView::from(&status)),
    };
    printed.with_context(|| format!("job {job} was submitted")).exit(Exit::Failed)?;
    say_unread(&unread);
    Ok(if is_complete && unread.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// The inputs that the flags name, or those that an earlier run has kept for this task.
fn sources(
    task: &Task,
    again: Option<Again>,
    job: &JobArgs,
    named: &InputArgs,
) -> anyhow::Result<Sources> {
    inputs::check_batch(named, task.info.kind)?;
    match again {
        None => Sources::find(named),
        Some(again) => {
            again.check_unchanged(task, job.changed)?;
            Ok(Sources::again(again))
        }
    }
}

/// Says what cannot be found of the inputs; false where something cannot.
pub fn say_left_out(sources: &Sources) -> bool {
    let left_out = sources.left_out();
    if let Some(left_out) = &left_out {
        message!("{left_out}");
    }
    left_out.is_none()
}

/// Says which inputs are left out since they cannot be read.
pub fn say_unread(unread: &[Unread]) {
    for unread in unread.iter().take(UNREAD_SAID) {
        message!("{}; it is left out", unread.why);
    }
    let more = unread.len().saturating_sub(UNREAD_SAID);
    if more > 0 {
        message!("{more} more inputs cannot be read and are left out");
    }
}

fn granted_dirs(grants: &[Grant]) -> Vec<PathBuf> {
    let dirs = grants.iter().filter_map(|grant| match grant {
        Grant::Dir { host, .. } => Some(PathBuf::from(host)),
        _ => None,
    });
    dirs.collect()
}

impl Grid {
    /// The cluster that a job goes to; `None` is this machine. Who has no home has selected none.
    fn context(args: &RunArgs, talk: Talk) -> anyhow::Result<Option<String>> {
        if args.local {
            return Ok(None);
        }
        if let Some(name) = context::named(&args.grid) {
            return Ok(Some(name).filter(|name| name != context::LOCAL));
        }
        let Some(paths) = Paths::known() else { return Ok(None) };
        let selected = Contexts::new(&paths).selected();
        if let Err(error) = &selected
            && context::is_kept_from(error)
        {
            if !talk.quiet {
                message!("{}; the job runs on this machine", exit::chain(error));
            }
            return Ok(None);
        }
        Ok(selected?.filter(|name| name != context::LOCAL))
    }

    async fn open(args: &RunArgs, context: Option<String>, talk: Talk) -> anyhow::Result<Self> {
        if let Some(name) = context {
            if args.slots.is_some() || args.isolation.is_some() {
                return Err(usage(format!(
                    "--slots and --isolation apply to runs on this machine, but the job would go \
                     to context {name:?}; add --local, or leave them out"
                )));
            }
            let contexts = Contexts::new(&Paths::find()?);
            let cluster = Cluster::open(&contexts, &name).await;
            return cluster.map(Self::Cluster).map_err(|error| match exit::of(&error) {
                Exit::Unreachable => exit::hinting(&error, "use --local to run on this machine"),
                _ => error,
            });
        }
        if let Some(Label { key, value }) = args.job.requires.first() {
            return Err(usage(format!(
                "--require {key}={value} applies to clusters, but the job would run on this \
                 machine; leave it out, or select a context"
            )));
        }
        let setup = WorkerSetup {
            settings: Settings {
                slots: args.slots,
                isolation: args.isolation,
                // Who grants a directory of this machine is its operator.
                allow_dirs: granted_dirs(&args.job.allow),
                caps: args.job.caps.caps.clone(),
                ..args.sandbox.0.clone()
            },
            cache: Cache::Wanted {
                dir: Paths::known().map(|paths| paths.modules()),
                quiet: talk.quiet,
            },
        };
        Ok(Self::Local(Box::new(LocalGrid::start(setup).await?)))
    }

    const fn client(&self) -> &Client {
        match self {
            Self::Local(grid) => grid.client(),
            Self::Cluster(cluster) => &cluster.client,
        }
    }

    /// Waits until it is known whether tasks can be run on this machine, where they are to.
    async fn proven(&self) -> anyhow::Result<()> {
        match self {
            Self::Local(grid) => grid.proven().await,
            Self::Cluster(_) => Ok(()),
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
