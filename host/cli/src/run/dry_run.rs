//! `run --dry-run` and `submit --dry-run`: what the job would be and whether it would be admitted,
//! with no grid started or asked.

use std::{fmt::Write as _, path::Path};

use serde::Serialize;
use wasmgrid_proto::{ByteCount, Grant, JobSpec, Limits, WITH};
use wasmgrid_views::{Data, LimitsView, Wide, written};
use wasmgrid_worker::sandbox::{SandboxConfig, check_limits};

use super::{Again, Reads, Task, output, say_left_out, sources};
use crate::{
    args::{Format, InputArgs, JobArgs, RunArgs, SubmitArgs, Talk},
    cluster::view,
    context::Contexts,
    exit::{Exit, refused},
    inspect::{self, ModuleView},
    paths::Paths,
    print::Unwritten,
    table,
};

/// A job that was not made, as `--output json` has it: a public interface.
#[derive(Serialize)]
struct DryRun<'a> {
    #[serde(flatten)]
    module: ModuleView<'a>,
    args: Vec<Data<'a>>,
    ok_exits: &'a [u32],
    /// The digest of the value that all tasks have.
    with: Option<String>,
    grants: Vec<String>,
    /// Labels that its workers must have, `KEY=VALUE`.
    requires: Vec<String>,
    limits: LimitsView,
    seed: Wide,
    deadline_ms: Option<u64>,
    /// `null` where it is known only once all are read.
    inputs: Option<u64>,
    /// The context it would go to; `null` is a grid on this machine.
    context: Option<String>,
}

/// What `run` would do.
///
/// # Errors
/// Usage errors, and a refusal where the job would be refused.
pub async fn run(
    args: &RunArgs,
    again: Option<Again>,
    context: Option<String>,
    talk: Talk,
) -> anyhow::Result<Exit> {
    let asked = Asked { job: &args.job, inputs: &args.inputs, again, context, run: Some(args) };
    show(asked, args.output.format, args.output.out.as_deref(), talk).await
}

/// What `submit` would do.
///
/// # Errors
/// As [`run`].
pub async fn submit(args: &SubmitArgs, again: Option<Again>, talk: Talk) -> anyhow::Result<Exit> {
    let context = Contexts::new(&Paths::find()?).choose(&args.grid)?;
    let asked = Asked { job: &args.job, inputs: &args.inputs, again, context, run: None };
    show(asked, args.output, None, talk).await
}

/// The job that is asked about.
struct Asked<'a> {
    job: &'a JobArgs,
    inputs: &'a InputArgs,
    again: Option<Again>,
    context: Option<String>,
    /// All of it, where it would print its results.
    run: Option<&'a RunArgs>,
}

async fn show(
    Asked { job, inputs, again, context, run }: Asked<'_>,
    format: Format,
    out: Option<&Path>,
    talk: Talk,
) -> anyhow::Result<Exit> {
    let task = inspect::or_say(judge(job, context.is_none(), talk), format)?;
    let sources = inspect::or_say(sources(&task, again, job, inputs), format)?;
    let mut reads = Reads::new();
    task.add_to(&mut reads);
    sources.add_to(&mut reads);
    output::check(out, &reads)?;
    if let Some(run) = run {
        super::out_dir(run, &sources, &reads, None)?;
    }
    say_left_out(&sources);
    let inputs = sources.count().await?;
    let spec = task.spec(job);
    match format {
        Format::Text => print(&task, &spec, inputs, context.as_deref())?,
        Format::Json => table::json(&DryRun {
            module: ModuleView::new(&task.info, &spec.task.grants),
            args: spec.task.args.iter().map(|arg| Data::from(arg.as_bytes())).collect(),
            ok_exits: &spec.task.ok_exits,
            with: spec.task.blob(WITH).map(|digest| digest.to_string()),
            grants: names(&spec.task.grants),
            requires: written(&spec.requires),
            limits: LimitsView::from(&spec.task.limits),
            seed: Wide(spec.task.seed),
            deadline_ms: spec.deadline.map(|deadline| deadline.0),
            inputs,
            context,
        })?,
    }
    Ok(Exit::Ok)
}

/// Judges the job as this machine would; what a cluster's operator allows is known there.
fn judge(job: &JobArgs, here: bool, talk: Talk) -> anyhow::Result<Task> {
    let task = Task::load(job, talk)?;
    if here {
        let limits = task.spec(job).task.limits;
        check_limits(&limits, &SandboxConfig::default().max_limits)
            .map_err(|why| refused(format!("the job {why}")))?;
    }
    Ok(task)
}

fn print(
    task: &Task,
    spec: &JobSpec,
    inputs: Option<u64>,
    context: Option<&str>,
) -> Result<(), Unwritten> {
    table::fields(inspect::fields(&task.info, &spec.task.grants))?;
    let grants = names(&spec.task.grants);
    let requires = match written(&spec.requires) {
        none if none.is_empty() => "no labels".into(),
        labels => labels.join(" "),
    };
    table::fields([
        ("grants", if grants.is_empty() { "none".into() } else { grants.join(" ") }),
        ("with", value(task)),
        ("requires", requires),
        ("ok exits", view::ok_exits(&spec.task)),
        ("limits", limits(&spec.task.limits)),
        ("seed", spec.task.seed.to_string()),
        ("expires", spec.deadline.map_or_else(|| "never".into(), |after| format!("after {after}"))),
        ("inputs", inputs.map_or_else(|| "known once all are read".into(), |n| n.to_string())),
        ("grid", context.map_or_else(|| "this machine".into(), |name| format!("context {name}"))),
    ])
}

/// The value that all tasks have.
fn value(task: &Task) -> String {
    task.value.as_ref().map_or_else(
        || "nothing".into(),
        |value| format!("{} ({:.12})", ByteCount(value.bytes.len() as u64), value.digest),
    )
}

fn names(grants: &[Grant]) -> Vec<String> {
    grants.iter().map(ToString::to_string).collect()
}

fn limits(limits: &Limits) -> String {
    let Limits { fuel, deadline, memory, table_elements, output, record, log } = limits;
    let mut text = format!("fuel {fuel}, time {deadline}, memory {memory}, ");
    // Writing to a string cannot fail.
    let _ = write!(text, "table {table_elements}, output {output}, record {record}, log {log}");
    text
}
