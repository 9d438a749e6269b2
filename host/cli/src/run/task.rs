//! The task of a job: its module, read and judged here before anything is sent, and its spec.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use wasmgrid_proto::{JobSpec, Limits, ModuleInfo, ModuleKind, TaskSpec};

use super::{
    build::{self, Built},
    clash::Reads,
};
use crate::{
    args::{JobArgs, LimitArgs, Talk},
    exit::{refused, usage},
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
        let shown = file.display();
        let (bytes, info) = module::read(&file, &args.caps.caps())?;
        module::check_grants(&info, &args.allow)
            .map_err(|why| refused(format!("{shown}: {why}")))?;
        if info.kind == ModuleKind::Task && !args.args.is_empty() {
            return Err(usage(format!(
                "{shown} is a {}, whose input is all it gets: it takes no arguments, and {:?} \
                 stands behind --",
                info.kind,
                args.args.join(" ")
            )));
        }
        let name = stem(&file);
        Ok(Self { module: bytes.into(), info, name, file, sources })
    }

    /// Adds its files to `reads`.
    pub fn add_to(&self, reads: &mut Reads) {
        reads.module(&self.file);
        self.sources.iter().for_each(|path| reads.source(path));
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
        JobSpec {
            name: args.name.clone().unwrap_or_else(|| self.name.clone()),
            task: TaskSpec {
                module: self.info.digest,
                kind: self.info.kind,
                args: args.args.clone(),
                limits: args.limits.over(Limits::default()),
                seed: args.seed.unwrap_or_default(),
                grants,
                tenant: TENANT.into(),
            },
            priority: args.priority.unwrap_or_default(),
            retries: args.retries.unwrap_or_default(),
            max_failures: args.max_failures,
            deadline: args.deadline,
            requires,
            attached: false,
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
