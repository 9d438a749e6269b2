//! The task of a job: its module, read and judged here before anything is sent, and its spec.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use wasmgrid_client::Named;
use wasmgrid_proto::{Extensions, JobSpec, Limits, ModuleInfo, ModuleKind, TaskSpec};
use wasmgrid_worker::sandbox::admit;

use super::{
    build::{self, Built},
    clash::Reads,
    value::Value,
};
use crate::{
    args::{JobArgs, LimitArgs, Talk},
    escape::shell,
    exit::usage,
    module,
};

/// Whose jobs these are is for the scheduler to say, by the identity of who submits.
const TENANT: &str = "";

/// A module that may run with the flags given.
pub struct Task {
    /// The file.
    pub module: Bytes,
    /// What it is.
    pub info: ModuleInfo,
    /// What each task has beside its input.
    pub value: Option<Value>,
    /// The job's name, unless the user gives one.
    name: String,
    /// The module's file.
    file: PathBuf,
    /// What it was built from here.
    sources: Vec<PathBuf>,
}

impl Task {
    /// Reads the file, or builds the folder, and judges the module.
    ///
    /// # Errors
    /// A usage error where there is no such file, the build fails, or the task takes no arguments
    /// and is given some; a refusal where it is no task or asks for what is not granted.
    pub fn load(args: &JobArgs, talk: Talk) -> anyhow::Result<Self> {
        let Some(path) = &args.task else { return Err(usage("no task is named")) };
        let (file, sources) = if path.is_dir() {
            let Built { module, sources } = build::folder(path, talk)?;
            (module, sources)
        } else {
            (path.clone(), Vec::new())
        };
        let (bytes, info) = module::read(&file, &args.caps.caps())?;
        let value = args.with.as_ref().map(Value::read).transpose()?;
        let name = stem(&file);
        let task = Self { module: bytes.into(), info, value, name, file, sources };
        task.check_command(args)?;
        admit::check_task(&task.info, &task.spec(args).task)
            .map_err(|refusal| module::unfit(&task.file, refusal))?;
        Ok(task)
    }

    /// Refuses what is for commands where it is none, and what this command cannot be given.
    fn check_command(&self, args: &JobArgs) -> anyhow::Result<()> {
        let (shown, kind) = (self.file.display(), self.info.kind);
        let spec = self.spec(args).task;
        if kind == ModuleKind::Task && !args.args.is_empty() {
            let given = args.args.join(OsStr::new(" "));
            return Err(usage(format!(
                "{shown} is a {kind}, which takes no arguments, but {} follows --",
                shell(&given)
            )));
        }
        if kind == ModuleKind::Task && !args.ok_exit.is_empty() {
            return Err(usage(format!(
                "{shown} is a {kind}, which has no exit code; --ok-exit is for commands"
            )));
        }
        if let Some(at) = spec.untextual_argument() {
            let argument = args.args.get(at).map(|argument| shell(argument)).unwrap_or_default();
            return Err(usage(format!(
                "argument {}, {argument}, is not valid UTF-8, which a {kind} such as {shown} \
                 requires; use text, or build it for wasm32-wasip1, where arguments may be any \
                 bytes",
                at + 1
            )));
        }
        Ok(())
    }

    /// Adds its files to `reads`.
    pub fn add_to(&self, reads: &mut Reads) {
        reads.module(&self.file);
        self.sources.iter().for_each(|path| reads.source(path));
        self.value.iter().for_each(|value| value.add_to(reads));
    }

    /// The bytes of what its jobs name, for a grid that lacks them.
    pub fn named(self) -> Named {
        Named {
            module: self.module,
            blobs: self.value.map(|value| value.bytes).into_iter().collect(),
        }
    }

    /// The job with this task and the limits of the flags.
    pub fn spec(&self, args: &JobArgs) -> JobSpec {
        let mut grants = args.allow.clone();
        grants.sort_unstable();
        grants.dedup();
        let mut requires: Vec<_> =
            args.requires.iter().map(|label| (label.key.clone(), label.value.clone())).collect();
        requires.sort_unstable();
        requires.dedup();
        let mut ok_exits = args.ok_exit.clone();
        ok_exits.sort_unstable();
        ok_exits.dedup();
        JobSpec {
            name: args.name.clone().unwrap_or_else(|| self.name.clone()),
            task: TaskSpec {
                module: self.info.digest,
                kind: self.info.kind,
                args: args.args.iter().map(|arg| arg.as_bytes().to_vec().into()).collect(),
                limits: args.limits.over(Limits::default()),
                seed: args.seed.unwrap_or_default(),
                grants,
                tenant: TENANT.into(),
                program: self.program(),
                ok_exits,
                blobs: self.value.iter().map(Value::blob).collect(),
                extensions: Extensions::NONE,
            },
            priority: args.priority.unwrap_or_default(),
            retries: args.retries.unwrap_or_default(),
            max_failures: args.max_failures,
            deadline: args.deadline,
            requires,
            attached: false,
            extensions: Extensions::NONE,
        }
    }

    /// What a command finds as its own name: its file's, as a shell would have it.
    fn program(&self) -> String {
        match self.info.kind {
            ModuleKind::Task => String::new(),
            ModuleKind::Command | ModuleKind::Preview1 => stem(&self.file),
        }
    }
}

impl LimitArgs {
    /// These limits, but for those that the flags give.
    pub fn over(&self, limits: Limits) -> Limits {
        Limits {
            fuel: self.fuel.unwrap_or(limits.fuel),
            deadline: self.timeout.unwrap_or(limits.deadline),
            memory: self.memory.unwrap_or(limits.memory),
            table_elements: self.table_limit.unwrap_or(limits.table_elements),
            output: self.output_limit.unwrap_or(limits.output),
            record: self.record_limit.unwrap_or(limits.record),
            log: self.log_limit.unwrap_or(limits.log),
        }
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().map_or_else(|| "task".into(), |stem| stem.to_string_lossy().into_owned())
}
