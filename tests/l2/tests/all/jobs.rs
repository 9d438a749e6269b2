//! The jobs of a world and their known answers. How a task goes is a function of the world's seed,
//! its job, its index and its attempt; how it ends in the end is one of the first three.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use wasmgrid_proto::{Digest, InputBlock, JobSpec, ModuleInfo, ModuleKind, Outcome, TaskSpec};
use wasmgrid_server::{Admission, Admit};
use wasmgrid_worker::sandbox::simulated::{Model, Run, Task};

use crate::os;

/// Attempts that ask for another one at most; jobs allow as many.
const RETRIES: u32 = 3;

/// How much work a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Far less than the way to the worker.
    Tiny,
    /// Some milliseconds.
    Small,
    /// Up to seconds.
    Long,
    /// Some milliseconds, and inputs and outputs that travel on streams of their own.
    Bulky,
}

/// One job, as its client wants it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its number in the world, which its tasks see as their seed.
    pub tag: u64,
    pub size: Size,
    /// Inputs in the order they are appended, those of the submit first.
    pub chunks: Vec<Vec<Bytes>>,
    /// The client cancels it when so many results have come.
    pub cancel_after: Option<u64>,
    /// The submit asks for the results at once.
    pub watches: bool,
}

impl Job {
    /// A job as there are in most worlds.
    pub fn draw(tag: u64, random: &mut Rng) -> Self {
        let size = *random
            .choice(&[Size::Tiny, Size::Small, Size::Small, Size::Long, Size::Bulky])
            .expect("some");
        let tasks = match size {
            Size::Tiny => random.usize(100..1_500),
            Size::Small => random.usize(20..300),
            Size::Long => random.usize(3..16),
            Size::Bulky => random.usize(3..12),
        };
        let mut inputs: Vec<Bytes> = (0..tasks).map(|at| input(size, at, random)).collect();
        let mut chunks = Vec::new();
        if random.u8(..) < 100 {
            while inputs.len() > 1 && chunks.len() < 8 {
                let rest = inputs.split_off(random.usize(1..inputs.len()));
                chunks.push(std::mem::replace(&mut inputs, rest));
            }
        }
        chunks.push(inputs);
        let cancel_after = (random.u8(..) < 30).then(|| random.u64(0..tasks as u64));
        Self { tag, size, chunks, cancel_after, watches: random.bool() }
    }

    /// A job that takes a while, whose inputs all come with the submit.
    pub fn draw_long(tag: u64, random: &mut Rng) -> Self {
        let size = if random.bool() { Size::Long } else { Size::Small };
        let tasks = if size == Size::Long { 60..120 } else { 2_000..6_000 };
        let inputs = (0..random.usize(tasks)).map(|at| input(size, at, random)).collect();
        Self { tag, size, chunks: vec![inputs], cancel_after: None, watches: true }
    }

    pub fn tasks(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    pub fn inputs(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter().flatten()
    }

    pub fn spec(&self) -> JobSpec {
        let task = TaskSpec {
            seed: self.tag,
            ..TaskSpec::new(Digest::of(&module(self.size)), ModuleKind::Task)
        };
        JobSpec { retries: RETRIES, ..JobSpec::new(format!("job-{}", self.tag), task) }
    }
}

/// Inputs as they travel.
pub fn packed(inputs: &[Bytes]) -> (InputBlock, Bytes) {
    let lengths = inputs.iter().map(|input| u32::try_from(input.len()).expect("small")).collect();
    (InputBlock::Packed(lengths), inputs.concat().into())
}

fn input(size: Size, at: usize, random: &mut Rng) -> Bytes {
    let length = match size {
        Size::Bulky if random.bool() => random.usize(60_000..150_000),
        _ => random.usize(0..40),
    };
    let mut input = at.to_string().into_bytes();
    input.resize(input.len() + length, b'x');
    input.into()
}

/// The file that is submitted: nobody looks into it, and jobs of one size share it.
pub fn module(size: Size) -> Bytes {
    let bytes = if size == Size::Bulky { 200_000 } else { 5_000 };
    format!("{size:?}").into_bytes().repeat(bytes / 5).into()
}

static MODULES: LazyLock<Vec<(Digest, Size)>> = LazyLock::new(|| {
    let sizes = [Size::Tiny, Size::Small, Size::Long, Size::Bulky];
    sizes.map(|size| (Digest::of(&module(size)), size)).into()
});

/// Takes every file.
pub fn admission() -> Admission {
    let admit = |bytes: &[u8]| {
        Ok(ModuleInfo {
            digest: Digest::of(bytes),
            size_bytes: bytes.len() as u64,
            kind: ModuleKind::Task,
            imports: Vec::new(),
            exports: Vec::new(),
        })
    };
    Admission { admit: Admit::Here(Arc::new(admit)), check_task: Arc::new(|_, _| Ok(())) }
}

/// How a task ends, and what it returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    pub output: Bytes,
}

/// How the tasks of a world go.
#[derive(Clone)]
pub struct Truth {
    seed: u64,
    /// How often each task of each job was begun.
    begun: Arc<Mutex<BTreeMap<(u64, u64), u32>>>,
}

impl fmt::Debug for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Truth").finish_non_exhaustive()
    }
}

impl Truth {
    pub fn new(seed: u64) -> Self {
        Self { seed, begun: Arc::default() }
    }

    /// The one answer to a task.
    pub fn answer(&self, job: &Job, index: u64, input: &[u8]) -> Answer {
        self.goes(job.tag, job.size, index, u32::MAX, input).1
    }

    /// How often a task was begun, and how often it is where no host fails it.
    pub fn begun(&self, job: &Job, index: u64, input: &[u8]) -> (u32, u32) {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let goes = |attempt| self.goes(job.tag, job.size, index, attempt, input).1.outcome;
        let again = |attempt: &u32| matches!(goes(*attempt), Outcome::Retry(_) | Outcome::Lost(_));
        let needed = (1..=RETRIES).take_while(again).count();
        let begun = begun.get(&(job.tag, index)).copied().unwrap_or_default();
        (begun, u32::try_from(needed).expect("few") + 1)
    }

    fn goes(
        &self,
        tag: u64,
        size: Size,
        index: u64,
        attempt: u32,
        input: &[u8],
    ) -> (Duration, Answer) {
        let mut dice = self.seed ^ tag.wrapping_mul(0x9e37_79b9) ^ index.wrapping_mul(0x85eb_ca6b);
        let mut draw = || os::next(&mut dice);
        let (kind, spread, often) = (draw() % 100, draw() % 1_000, draw() % u64::from(RETRIES));
        let said = |outcome| Answer { outcome, output: Bytes::new() };
        let answer = match kind {
            0..85 => Answer { outcome: Outcome::Ok, output: output(size, index, input) },
            85..90 => said(Outcome::Rejected(format!("no {index}"))),
            90..91 => said(Outcome::Retry(format!("never {index}"))),
            91..96 if u64::from(attempt) <= often + 1 => said(Outcome::Retry("again".into())),
            96..98 if attempt == 1 => said(Outcome::Lost("its runner died".into())),
            _ => Answer { outcome: Outcome::Ok, output: output(size, index, input) },
        };
        let us = match size {
            Size::Tiny => 20 + spread / 5,
            Size::Small | Size::Bulky => 500 + spread * 20,
            Size::Long => 100_000 + spread * 2_000,
        };
        (Duration::from_micros(us), answer)
    }
}

impl Model for Truth {
    fn prepares(&self, _: Digest) -> Duration {
        Duration::from_millis(30)
    }

    fn runs(&self, task: &Task<'_>) -> Run {
        let of = |(digest, _): &&(Digest, Size)| *digest == task.spec.module;
        let (_, size) = *MODULES.iter().find(of).expect("a module of the world");
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        *begun.entry((task.spec.seed, task.index)).or_default() += 1;
        let (time, Answer { outcome, output }) =
            self.goes(task.spec.seed, size, task.index, task.attempt, task.input);
        Run { time, outcome, output }
    }
}

/// What a task returns: all of its input shows in it.
fn output(size: Size, index: u64, input: &[u8]) -> Bytes {
    let digest = Digest::of(input);
    let text = format!("{index}:{digest}");
    match size {
        Size::Bulky => text.repeat(1 + usize::try_from(index % 4).expect("small") * 500).into(),
        _ => text.into(),
    }
}
