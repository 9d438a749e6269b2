//! `--resume FILE`: the file of a run that says how far it has come, so that a run that was cut off goes
//! on behind that. Not for what fails.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use wasmgrid_proto::Digest;

use super::{
    Header, Keeper,
    ordered::line,
    read::{self, Lines},
    write,
};
use crate::{
    args::{Format, RunArgs},
    exit::{Exit, WithExit as _, usage},
};

/// How far a run has come: all results of inputs before `next` are where they belong, and what failed
/// of them is kept before this.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The index of the first input without a result.
    pub next: u64,
    /// Bytes of the output.
    pub output_bytes: u64,
    /// What those inputs were: see [`chained`].
    pub inputs: String,
    /// How many of them failed.
    pub failed: u64,
}

/// A run that can be gone on with.
pub struct Resume {
    path: PathBuf,
    cut_off: Option<CutOff>,
}

/// What is known of a run that was cut off.
struct CutOff {
    /// Nobody else goes on with it.
    file: File,
    header: Header,
    mark: Mark,
    /// Where the line of the mark ends.
    end: u64,
}

/// What inputs were: the one before, and the next input.
pub fn chained(before: Digest, input: &[u8]) -> Digest {
    Digest::of_parts(&[&before.0, input])
}

impl Mark {
    /// Before all.
    pub fn start() -> Self {
        Self { next: 0, output_bytes: 0, inputs: Digest::of(b"").to_string(), failed: 0 }
    }
}

impl Resume {
    /// What `--resume` names, if it is given. Where there is such a file, and no task is named, the flags
    /// become the file's.
    ///
    /// # Errors
    /// A usage error where it is no such file, or there is none and no task.
    pub fn of(args: &mut RunArgs) -> anyhow::Result<Option<Self>> {
        let Some(path) = args.each.resume.clone() else { return Ok(None) };
        let shown = path.display().to_string();
        let cut_off = CutOff::open(&path)?;
        match &cut_off {
            None if args.job.task.is_none() => {
                return Err(usage(format!(
                    "{shown} does not exist; to start the run, also give the task, its inputs and \
                     -o or --out-dir"
                )));
            }
            Some(CutOff { header, .. }) if args.job.task.is_none() => {
                let wrong = |wrong: String| usage(format!("{shown}:1: {wrong}"));
                header.fill(Path::new(""), &mut args.job).map_err(wrong)?;
                if has_own(args) {
                    return Err(usage(format!(
                        "{shown} names the inputs and the output of its run; give --resume alone, \
                         or the whole original command"
                    )));
                }
                let asked = header.asked.as_ref();
                asked.map_or(Ok(()), |asked| asked.fill(args)).map_err(wrong)?;
            }
            _ => {}
        }
        Ok(Some(Self { path, cut_off }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first line of the run that was cut off.
    pub fn header(&self) -> Option<&Header> {
        self.cut_off.as_ref().map(|cut_off| &cut_off.header)
    }

    /// The file of `--out-dir` that the run had in the making, where it had such a folder.
    pub fn part(&self) -> Option<anyhow::Result<PathBuf>> {
        let part = self.header()?.asked.as_ref()?.part.clone()?.into_path();
        Some(part.map_err(|error| usage(format!("{}:1: {error}", self.path.display()))))
    }

    /// How far that came.
    pub fn mark(&self) -> Mark {
        self.cut_off.as_ref().map_or_else(Mark::start, |cut_off| cut_off.mark.clone())
    }

    /// Fails where the run that was cut off was another than this.
    ///
    /// # Errors
    /// A usage error that says in what they differ.
    pub fn check(&self, now: &Header) -> anyhow::Result<()> {
        let Some(then) = self.header() else { return Ok(()) };
        let Some(what) = then.differs(now) else { return Ok(()) };
        Err(usage(format!(
            "{shown} belongs to a run that differs in {what}; give the original command, or `{}` \
             alone; use another file for another run",
            super::resume_command(&self.path),
            shown = self.path.display()
        )))
    }

    /// Begins the run, or goes on with it: what came behind the mark is dropped.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn begin(self, header: Header) -> anyhow::Result<Keeper> {
        let Self { path, cut_off } = self;
        let failed = || format!("failed to write {}", path.display());
        let Some(CutOff { mut file, mark, end, header, .. }) = cut_off else {
            let file = make(&path, &header).with_context(failed).exit(Exit::Usage)?;
            return Ok(Keeper::in_progress(header, path, file, 0));
        };
        let cut = file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end)).map(drop));
        cut.with_context(failed)?;
        Ok(Keeper::in_progress(header, path, file, mark.failed))
    }
}

/// Whether there are flags for inputs or output beside `--resume`.
fn has_own(args: &RunArgs) -> bool {
    let (output, each) = (&args.output, &args.each);
    let has_cut = args.inputs.cut.batch.is_some();
    let has_shape = output.format != Format::Text || output.raw || each.with_input;
    !args.inputs.is_none() || has_cut || has_shape || output.out.is_some() || each.out_dir.is_some()
}

/// Makes the file with its first line, whole or not at all.
fn make(path: &Path, header: &Header) -> anyhow::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = write::unnamed(folder.unwrap_or(Path::new(".")))?;
    file.write_all(&line(header)?)?;
    file.as_file().lock()?;
    Ok(file.persist_noclobber(path)?)
}

impl CutOff {
    /// Reads a file; `None` where there is none.
    fn open(path: &Path) -> anyhow::Result<Option<Self>> {
        let shown = path.display();
        if path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            return Ok(None);
        }
        let file = File::options().read(true).write(true).open(path);
        let file = file.with_context(|| format!("failed to open {shown}")).exit(Exit::Usage)?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(usage(format!("{shown} is not a file that --resume can write")));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(usage(format!("{shown} is in use by another command")));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let (mut lines, header) = Lines::open(path)?;
        if header.asked.is_none() {
            return Err(usage(format!(
                "{shown} contains failed inputs but no progress; run them with `wasmgrid run \
                 --again {shown}`"
            )));
        }
        let (mut mark, mut end, mut wrong) = (Mark::start(), lines.at, None);
        while lines.read()? {
            match lines.is_whole().then(|| read::mark(&lines.line)).flatten() {
                // What is behind the last one counts for nothing, and may be cut off.
                Some(next) => match wrong {
                    Some(wrong) => return Err(wrong),
                    None => (mark, end) = (next, lines.at),
                },
                None if wrong.is_none() => wrong = lines.is_wrong(),
                None => {}
            }
        }
        Ok(Some(Self { file, header, mark, end }))
    }
}
