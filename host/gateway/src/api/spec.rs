//! A job's spec in JSON, as clients write it: the fields of a job as it is shown, of which only the
//! module is needed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasmgrid_proto::{
    Arg, Blob, ByteCount, Digest, Fuel, Grant, InputBlock, JobSpec, Limits, Millis, ModuleKind,
    TaskSpec, WITH,
};
use wasmgrid_views::{Data, Wide};

use super::given::{Given, few};
use crate::{body, bounds::Held, problem::Problem};

/// What is asked for.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpecBody {
    /// A name for people.
    pub name: String,
    /// The module's digest; not needed if the module is sent with the spec.
    pub module: Option<String>,
    /// `task`, `command` or `preview1`; found out if it is left out.
    #[schema(value_type = Option<String>)]
    pub kind: Option<Kind>,
    /// The arguments of a command.
    #[serde(deserialize_with = "few")]
    pub args: Vec<Data<'static>>,
    /// Exit codes beside 0 with which a command is ok.
    pub ok_exits: Vec<u32>,
    /// The digest of the value that all tasks have; not needed if it is sent with the spec.
    pub with: Option<String>,
    /// What its tasks may do: `clock`, `random`, `env:NAME=VALUE`, `dir:HOST_PATH:GUEST_PATH:ro`.
    #[serde(deserialize_with = "few")]
    pub grants: Vec<String>,
    /// Labels that its workers must have, `KEY=VALUE`.
    #[serde(deserialize_with = "few")]
    pub requires: Vec<String>,
    /// From which the tasks draw their random numbers.
    pub seed: Option<Wide>,
    /// Its priority within its tenant's jobs.
    pub priority: i32,
    /// How often a failed task is tried again.
    pub retries: u32,
    /// At how many failed tasks it ends.
    pub max_failures: Option<u64>,
    /// How long after its submission it ends.
    pub deadline_ms: Option<u64>,
    /// The limits of each task; those that are left out have their defaults.
    pub limits: LimitsBody,
    /// Its first inputs.
    #[schema(value_type = Vec<Data<'static>>)]
    pub inputs: Given,
    /// True if no more inputs come.
    pub closed: bool,
}

/// Limits of each task.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsBody {
    /// Fuel.
    pub fuel: Option<Wide>,
    /// Time.
    pub timeout_ms: Option<u64>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Elements of tables.
    pub table_elements: Option<u64>,
    /// Bytes of output and records.
    pub output_bytes: Option<u64>,
    /// Bytes of one record.
    pub record_bytes: Option<u64>,
    /// Bytes of log.
    pub log_bytes: Option<u64>,
}

/// A module's kind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A task component.
    Task,
    /// A command component.
    Command,
    /// A preview 1 command.
    Preview1,
}

impl From<Kind> for ModuleKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Task => Self::Task,
            Kind::Command => Self::Command,
            Kind::Preview1 => Self::Preview1,
        }
    }
}

fn wrong(error: impl std::fmt::Display) -> Problem {
    Problem::invalid("spec_invalid", error)
}

impl SpecBody {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(json: &[u8]) -> Result<Self, Problem> {
        body::object(json).map_err(wrong)
    }

    /// The job, with the digests of what was sent beside it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn job(&self, module: Option<Digest>, with: Option<Digest>) -> Result<JobSpec, Problem> {
        let module = named("module", self.module.as_deref(), module)?;
        let module = module.ok_or_else(|| wrong("the job has no module; give its digest"))?;
        let with = named("with", self.with.as_deref(), with)?;
        let kind = self.kind.map_or(ModuleKind::Task, ModuleKind::from);
        let mut grants = self
            .grants
            .iter()
            .map(|grant| grant.parse::<Grant>().map_err(wrong))
            .collect::<Result<Vec<_>, _>>()?;
        grants.sort_unstable();
        grants.dedup();
        let mut requires =
            self.requires.iter().map(|text| label(text)).collect::<Result<Vec<_>, _>>()?;
        requires.sort_unstable();
        requires.dedup();
        let mut ok_exits = self.ok_exits.clone();
        ok_exits.sort_unstable();
        ok_exits.dedup();
        let args = self.args.iter().map(|arg| Ok(Arg::from(bytes(arg.clone())?)));
        let task = TaskSpec {
            args: args.collect::<Result<_, Problem>>()?,
            limits: self.limits.over(Limits::default()),
            seed: self.seed.unwrap_or_default().0,
            grants,
            program: program(kind, &self.name),
            ok_exits,
            blobs: with.map(|digest| Blob { name: WITH.into(), digest }).into_iter().collect(),
            ..TaskSpec::new(module, kind)
        };
        Ok(JobSpec {
            priority: self.priority,
            retries: self.retries,
            max_failures: self.max_failures,
            deadline: self.deadline_ms.map(Millis),
            requires,
            ..JobSpec::new(self.name.clone(), task)
        })
    }

    /// Its first inputs, whose bytes own the room that they take.
    ///
    /// # Errors
    /// If there is no room for them.
    pub fn inputs(&mut self, mut held: Held) -> Result<(InputBlock, Bytes), Problem> {
        let given = std::mem::take(&mut self.inputs);
        held.set(given.bytes())?;
        Ok((InputBlock::Packed(given.lengths), held.keep(given.payload.into())))
    }
}

/// What a command finds as its own name.
pub fn program(kind: ModuleKind, name: &str) -> String {
    match kind {
        ModuleKind::Task => String::new(),
        _ if name.is_empty() => "task".into(),
        _ => name.to_owned(),
    }
}

/// The digest of something that is named, or was sent.
fn named(what: &str, said: Option<&str>, sent: Option<Digest>) -> Result<Option<Digest>, Problem> {
    let said: Option<Digest> = said
        .map(|text| text.parse().map_err(|error| wrong(format!("{what}: {error}"))))
        .transpose()?;
    match (said, sent) {
        (Some(said), Some(sent)) if said != sent => {
            let detail = format!("the digest of {what} is {sent}, not {said}");
            Err(Problem::invalid("digest_mismatch", detail))
        }
        (said, sent) => Ok(sent.or(said)),
    }
}

fn label(text: &str) -> Result<(String, String), Problem> {
    let pair = text.split_once('=');
    let (key, value) = pair.ok_or_else(|| wrong(format!("{text:?}: expected KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn bytes(data: Data<'_>) -> Result<Vec<u8>, Problem> {
    data.into_bytes().map_err(|error| wrong(format!("base64: {error}")))
}

impl LimitsBody {
    /// These limits, but for those that are given.
    pub fn over(&self, limits: Limits) -> Limits {
        let count = |given: Option<u64>, limit| given.map_or(limit, ByteCount);
        Limits {
            fuel: self.fuel.map_or(limits.fuel, |fuel| Fuel(fuel.0)),
            deadline: self.timeout_ms.map_or(limits.deadline, Millis),
            memory: count(self.memory_bytes, limits.memory),
            table_elements: self.table_elements.unwrap_or(limits.table_elements),
            output: count(self.output_bytes, limits.output),
            record: count(self.record_bytes, limits.record),
            log: count(self.log_bytes, limits.log),
        }
    }

    /// True if none is given.
    pub const fn is_empty(&self) -> bool {
        self.fuel.is_none()
            && self.timeout_ms.is_none()
            && self.memory_bytes.is_none()
            && self.table_elements.is_none()
            && self.output_bytes.is_none()
            && self.record_bytes.is_none()
            && self.log_bytes.is_none()
    }
}

#[cfg(test)]
mod tests {
    use crate::bounds::Bounds;

    use super::*;

    #[test]
    fn a_spec_has_what_it_says_and_else_the_defaults() {
        let module = Digest::of(b"m");
        let json = format!(
            r#"{{"module":"{module}","kind":"command","name":"n","args":["a",{{"base64":"/w=="}}],
               "seed":"18446744073709551615","limits":{{"fuel":7,"memory_bytes":65536}},
               "requires":["b=2","a=1"],"grants":["clock"],"inputs":["x","yz"]}}"#
        );
        let mut body = SpecBody::read(json.as_bytes()).expect("a spec");
        let job = body.job(None, None).expect("a job");
        assert_eq!((job.task.module, job.task.kind), (module, ModuleKind::Command));
        assert_eq!(job.task.args, [Arg::from("a"), Arg::from(vec![0xff])]);
        assert_eq!((job.task.seed, job.task.program.as_str()), (u64::MAX, "n"));
        assert_eq!(
            job.task.limits,
            Limits { fuel: Fuel(7), memory: ByteCount(65_536), ..Limits::default() }
        );
        assert_eq!(job.requires, [("a".into(), "1".into()), ("b".into(), "2".into())]);
        let (inputs, payload) = body.inputs(Bounds::default().held("ada")).expect("inputs");
        assert_eq!((inputs, &payload[..]), (InputBlock::Packed(vec![1, 2]), &b"xyz"[..]));
    }

    #[test]
    fn a_spec_that_is_none_is_refused() {
        for json in ["", "[]", r#"{"modul":"x"}"#, r#"{"seed":-1}"#, r#"{"kind":"c"}"#] {
            assert!(SpecBody::read(json.as_bytes()).is_err(), "{json}");
        }
        for json in ["{}", r#"{"module":"x"}"#] {
            let body = SpecBody::read(json.as_bytes()).expect("a spec");
            assert!(body.job(None, None).is_err(), "{json}");
        }
        let body = SpecBody { requires: vec!["a".into()], ..SpecBody::default() };
        assert!(body.job(Some(Digest::of(b"m")), None).is_err());
        let body = SpecBody { module: Some(Digest::of(b"m").to_string()), ..SpecBody::default() };
        assert!(body.job(Some(Digest::of(b"n")), None).is_err());
    }
}
