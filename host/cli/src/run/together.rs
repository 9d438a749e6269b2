//! What the flags of `run` mean together, looked at before anything is made.

use std::{env, path::PathBuf};

use super::{
    again::{Asked, Header, Here, Mark, Resume},
    clash::Reads,
    inputs::{Done, Sources},
    out_dir::OutDir,
    output::{Output, Shape},
    task::Task,
};
use crate::{
    args::{EachArgs, Format, Order, OutputArgs, RunArgs, StoredEachArgs, Talk},
    exit::usage,
    print::message,
};

/// The first line of a file of failed inputs of this run.
pub fn header(args: &RunArgs, task: &Task, dir: Option<&OutDir>) -> Header {
    let here = Here::new(args.slots, args.isolation, &args.sandbox);
    let folder = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let header = Header::new(&folder, &args.job, &task.spec(&args.job).task, here);
    if args.each.resume.is_none() {
        return header;
    }
    header.resumable(Asked::new(args, dir.map(|dir| dir.part().as_os_str())))
}

/// Fails where a run could not be gone on with.
///
/// # Errors
/// A usage error that says what to do.
pub fn check_resume(args: &RunArgs, context: Option<&str>) -> anyhow::Result<()> {
    if args.each.resume.is_none() {
        return Ok(());
    }
    if let Some(context) = context {
        return Err(usage(format!(
            "--resume is for runs on this machine, but the job would go to context {context:?}, \
             where it continues by itself (`wasmgrid job results`); add --local, or leave --resume \
             out"
        )));
    }
    if is_filter(args) {
        return Err(usage(
            "--resume is for several inputs, but standard input is one; name them with --lines, \
             --files or another input flag",
        ));
    }
    if args.output.order == Some(Order::Done) {
        return Err(usage("--resume needs results in input order; leave --order out"));
    }
    if args.output.out.is_none() && shape(args) != Shape::Nothing {
        return Err(usage(
            "--resume needs -o FILE or --out-dir DIR: standard output cannot be resumed",
        ));
    }
    Ok(())
}

/// Has a run go on that was cut off; gives the inputs that it has results of.
///
/// # Errors
/// A usage error where it was another, or its output is not what it left.
pub fn going_on(
    resume: &Resume,
    header: &Header,
    output: &mut Output,
    talk: Talk,
) -> anyhow::Result<Option<Done>> {
    resume.check(header)?;
    output.check_resumable()?;
    let mark = resume.mark();
    if mark.next == 0 {
        return Ok(None);
    }
    output.resume(mark.output_bytes)?;
    if !talk.quiet {
        message!("continuing after the first {} inputs, which have results", mark.next);
    }
    let start = Mark::start().inputs.parse()?;
    Ok(Some(Done::new(mark.next, mark.inputs.parse()?, start)))
}

/// Where results have files of their own; nothing is made yet.
///
/// # Errors
/// Usage errors: a pattern that makes no sense, names that clash, flags without a meaning beside it.
pub fn out_dir(
    args: &RunArgs,
    sources: &Sources,
    reads: &Reads,
    resume: Option<&Resume>,
) -> anyhow::Result<Option<OutDir>> {
    let EachArgs { with_input, out_dir, .. } = &args.each;
    let flag = if *with_input { "--with-input" } else { "--out-dir" };
    if (*with_input || out_dir.is_some()) && is_filter(args) {
        return Err(usage(format!(
            "{flag} is for results of several inputs, but standard input is one; name them \
             with --lines, --files or another input flag"
        )));
    }
    let Some(dir) = out_dir else { return Ok(None) };
    check_unused(&args.output)?;
    let names = sources.names()?;
    let mut dir = OutDir::parse(dir, names.is_some(), args.output.raw)?;
    if let Some(part) = resume.and_then(Resume::part) {
        dir = dir.resumed(part?);
    }
    match names {
        Some(names) => dir.check(&names)?,
        None => dir.check(&[(0, None)])?,
    }
    reads.check_flag("--out-dir", dir.folder())?;
    Ok(Some(dir))
}

/// Where the results of a job have files of their own, whose inputs this command does not know;
/// nothing is made yet. `from` is the first position of the job's result log.
///
/// # Errors
/// As [`out_dir`].
pub fn stored_dir(
    output: &OutputArgs,
    each: &StoredEachArgs,
    from: u64,
    reads: &Reads,
) -> anyhow::Result<Option<OutDir>> {
    let Some(dir) = &each.out_dir else { return Ok(None) };
    check_unused(output)?;
    let dir = OutDir::parse(dir, false, output.raw)?;
    if from == 0 {
        dir.check(&[(0, None)])?;
    }
    reads.check_flag("--out-dir", dir.folder())?;
    Ok(Some(dir))
}

/// Fails if a flag has no effect with `--out-dir`.
fn check_unused(output: &OutputArgs) -> anyhow::Result<()> {
    if output.format == Format::Text && output.out.is_some() {
        return Err(usage(
            "-o is unused with --out-dir; leave it out, or add --output json, which writes \
             everything else about each result",
        ));
    }
    if output.format == Format::Text && output.order.is_some() {
        return Err(usage(
            "--order has no effect with --out-dir, which prints nothing; leave it out, or add \
             --output json",
        ));
    }
    Ok(())
}

/// One task without input flags, used as a filter.
pub const fn is_filter(args: &RunArgs) -> bool {
    args.inputs.is_none() && args.job.again.is_none()
}

/// How its results are written.
pub fn shape(args: &RunArgs) -> Shape {
    match args.output.format {
        Format::Json => Shape::Json,
        Format::Text if is_filter(args) => Shape::Filter,
        Format::Text if args.each.out_dir.is_some() => Shape::Nothing,
        Format::Text if args.each.with_input => Shape::WithInput,
        Format::Text if args.output.raw => Shape::Raw,
        Format::Text => Shape::Lines,
    }
}
