//! The first line of a file of failed inputs: the task and every flag that changes what it computes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wasmgrid_proto::{ByteCount, Fuel, Limits, Millis, TaskSpec, WITH};
use wasmgrid_views::Data;

use super::{MARK, VERSION, asked::Asked};
use crate::{
    args::{Isolation, JobArgs, LimitArgs, With},
    settings::{AboveZero, Settings, Slots},
};

/// See the module. Where a flag is given beside `--again`, that one counts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    wasmgrid: String,
    version: u32,
    /// Where relative paths begin.
    folder: Data<'static>,
    /// The `.wasm` file or the cargo folder.
    task: Data<'static>,
    /// The digest of the module that was run.
    pub module: String,
    /// The value that all tasks had.
    pub with: Option<WithForm>,
    args: Vec<Data<'static>>,
    ok_exit: Vec<u32>,
    name: Option<String>,
    seed: u64,
    limits: LimitsForm,
    retries: u32,
    max_failures: Option<u64>,
    deadline_ms: Option<u64>,
    priority: i32,
    allow: Vec<String>,
    require: Vec<String>,
    cap: Vec<String>,
    /// Of a grid on this machine.
    here: Here,
    /// Of a run that can be gone on with: its inputs and its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// See [`Header::with`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WithForm {
    /// As it was typed.
    typed: Data<'static>,
    /// The digest of its bytes.
    pub digest: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
struct LimitsForm {
    fuel: u64,
    timeout_ms: u64,
    memory_bytes: u64,
    table_elements: u64,
    output_bytes: u64,
    record_bytes: u64,
    log_bytes: u64,
}

/// How a grid on this machine was started; `null` where no flag said so.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Here {
    slots: Option<u32>,
    isolation: Option<Isolation>,
    require_jail: Option<bool>,
    compile_time_ms: Option<u64>,
    compile_memory_bytes: Option<u64>,
    pagemap_scan: Option<bool>,
}

impl Header {
    /// Of a job with these tasks; `folder` is where its paths begin.
    pub fn new(folder: &Path, job: &JobArgs, spec: &TaskSpec, here: Here) -> Self {
        let value = job.with.as_ref().zip(spec.blob(WITH));
        let with = value.map(|(with, digest)| WithForm {
            typed: Data::owned(&with.typed()),
            digest: digest.to_string(),
        });
        let task = job.task.as_deref().unwrap_or(Path::new("."));
        Self {
            wasmgrid: MARK.into(),
            version: VERSION,
            folder: Data::owned(folder.as_os_str()),
            task: Data::owned(task.as_os_str()),
            module: spec.module.to_string(),
            with,
            args: job.args.iter().map(|arg| Data::owned(arg)).collect(),
            ok_exit: job.ok_exit.clone(),
            name: job.name.clone(),
            seed: job.seed.unwrap_or_default(),
            limits: LimitsForm::from(&spec.limits),
            retries: job.retries.unwrap_or_default(),
            max_failures: job.max_failures,
            deadline_ms: job.deadline.map(|deadline| deadline.0),
            priority: job.priority.unwrap_or_default(),
            allow: job.allow.iter().map(ToString::to_string).collect(),
            require: job
                .requires
                .iter()
                .map(|label| format!("{}={}", label.key, label.value))
                .collect(),
            cap: job.caps.caps.iter().map(ToString::to_string).collect(),
            here,
            asked: None,
        }
    }

    /// The same, of a run that can be gone on with.
    pub fn resumable(self, asked: Asked) -> Self {
        Self { asked: Some(asked), ..self }
    }

    /// In what another run differs that is to have the same results, if it does.
    pub fn differs(&self, other: &Self) -> Option<String> {
        let (asked, others) = (self.asked.as_ref(), other.asked.as_ref());
        let inputs = |asked: Option<&Asked>| asked.map(|asked| asked.inputs.clone());
        let outputs = |asked: Option<&Asked>| asked.map(|asked| asked.output.clone());
        let with = |header: &Self| header.with.as_ref().map(|with| with.digest.clone());
        let what = [
            (with(self) != with(other), "--with"),
            (self.ok_exit != other.ok_exit, "--ok-exit"),
            (self.module != other.module, "its module"),
            (self.args != other.args, "the arguments after --"),
            (self.seed != other.seed, "--seed"),
            (self.limits != other.limits, "its limits"),
            (self.retries != other.retries, "--retries"),
            (self.allow != other.allow, "--allow"),
            (inputs(asked) != inputs(others), "its inputs"),
            (outputs(asked) != outputs(others), "its output"),
        ];
        if self.folder != other.folder {
            let folder = self.folder.clone().into_path().unwrap_or_default();
            return Some(format!("the folder, which was {}", folder.display()));
        }
        what.into_iter().find_map(|(differs, what)| differs.then(|| what.to_owned()))
    }

    /// Where relative paths begin.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn folder(&self) -> Result<PathBuf, String> {
        self.folder.clone().into_path().map_err(|error| format!("`folder`: {error}"))
    }

    /// Fills in the flags that are not given; `folder` is where the task's path begins.
    ///
    /// # Errors
    /// What cannot be understood.
    pub fn fill(&self, folder: &Path, job: &mut JobArgs) -> Result<(), String> {
        if job.task.is_none() {
            let task = self.task.clone().into_path().map_err(|error| format!("`task`: {error}"))?;
            job.task = Some(folder.join(task));
        }
        if job.args.is_empty() {
            let args = self.args.iter().map(|arg| Ok(arg.clone().into_path()?.into_os_string()));
            let wrong = |error: base64::DecodeError| format!("`args`: {error}");
            job.args = args.collect::<Result<_, _>>().map_err(wrong)?;
        }
        if job.ok_exit.is_empty() {
            job.ok_exit.clone_from(&self.ok_exit);
        }
        if let Some(with) = self.with.as_ref().filter(|_| job.with.is_none()) {
            let typed = with.typed.clone().into_path().map_err(|error| error.to_string());
            let found = typed.and_then(|typed| With::parse(typed.as_os_str()));
            job.with = Some(match found.map_err(|wrong| format!("`with`: {wrong}"))? {
                With::File(path) => With::File(folder.join(path)),
                json @ With::Json(_) => json,
            });
        }
        job.name = job.name.take().or_else(|| self.name.clone());
        job.seed = job.seed.or(Some(self.seed));
        job.limits = self.limits.under(&job.limits);
        job.retries = job.retries.or(Some(self.retries));
        job.max_failures = job.max_failures.or(self.max_failures);
        job.deadline = job.deadline.or(self.deadline_ms.map(Millis));
        job.priority = job.priority.or(Some(self.priority));
        fill_list(&mut job.allow, &self.allow, "allow")?;
        fill_list(&mut job.requires, &self.require, "require")?;
        fill_list(&mut job.caps.caps, &self.cap, "cap")
    }

    /// Fills in those of a grid on this machine.
    pub fn fill_here(
        &self,
        slots: &mut Option<Slots>,
        isolation: &mut Option<Isolation>,
        sandbox: &mut Settings,
    ) {
        let here = &self.here;
        *slots = slots.or(here.slots.and_then(Slots::new));
        *isolation = isolation.or(here.isolation);
        sandbox.require_jail = sandbox.require_jail.or(here.require_jail);
        let time = here.compile_time_ms.and_then(|ms| AboveZero::new(Millis(ms)));
        sandbox.compile_time = sandbox.compile_time.or(time);
        let memory = here.compile_memory_bytes.and_then(|bytes| AboveZero::new(ByteCount(bytes)));
        sandbox.compile_memory = sandbox.compile_memory.or(memory);
        sandbox.pagemap_scan = sandbox.pagemap_scan.or(here.pagemap_scan);
    }
}

impl Here {
    /// Of the flags.
    pub fn new(slots: Option<Slots>, isolation: Option<Isolation>, sandbox: &Settings) -> Self {
        Self {
            slots: slots.map(Slots::get),
            isolation,
            require_jail: sandbox.require_jail,
            compile_time_ms: sandbox.compile_time.map(|time| time.get().0),
            compile_memory_bytes: sandbox.compile_memory.map(|memory| memory.get().0),
            pagemap_scan: sandbox.pagemap_scan,
        }
    }
}

impl LimitsForm {
    /// These, but for those that the flags give.
    fn under(&self, flags: &LimitArgs) -> LimitArgs {
        LimitArgs {
            fuel: flags.fuel.or(Some(Fuel(self.fuel))),
            memory: flags.memory.or(Some(ByteCount(self.memory_bytes))),
            timeout: flags.timeout.or(Some(Millis(self.timeout_ms))),
            output_limit: flags.output_limit.or(Some(ByteCount(self.output_bytes))),
            record_limit: flags.record_limit.or(Some(ByteCount(self.record_bytes))),
            table_limit: flags.table_limit.or(Some(self.table_elements)),
            log_limit: flags.log_limit.or(Some(ByteCount(self.log_bytes))),
        }
    }
}

impl From<&Limits> for LimitsForm {
    fn from(limits: &Limits) -> Self {
        Self {
            fuel: limits.fuel.0,
            timeout_ms: limits.deadline.0,
            memory_bytes: limits.memory.0,
            table_elements: limits.table_elements,
            output_bytes: limits.output.0,
            record_bytes: limits.record.0,
            log_bytes: limits.log.0,
        }
    }
}

fn fill_list<T>(flags: &mut Vec<T>, kept: &[String], name: &str) -> Result<(), String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    if flags.is_empty() {
        let wrong = |error: T::Err| format!("`{name}`: {error}");
        let parse = |text: &String| text.parse::<T>().map_err(wrong);
        *flags = kept.iter().map(parse).collect::<Result<_, String>>()?;
    }
    Ok(())
}
