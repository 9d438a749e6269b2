//! A client as `host/client` is one: what was not answered is asked again on the next link, and a
//! stream of results goes on at its cursor.

use std::collections::{BTreeMap, BTreeSet};

use wasmgrid_proto::{JobId, wire::ErrorCode};

use crate::{
    book::{Violation, hold},
    function::{By, Function},
    message::{Answer, Down, Request, Shown, Summary, Up, WatchFrom},
    net::LinkId,
    plan::{ClientPlan, JobPlan, SECOND},
    random::Random,
    task::Task,
};

/// Results of a watch that may be under way or unread.
const WINDOW: u64 = 24;

/// Where a chunk is that the job did not take.
const NOWHERE: u64 = u64::MAX;

/// So many numbers of producers are a client's own, for its callers.
const CALLERS: u64 = 1 << 40;

/// Credit goes back once so many were read.
const GIVE_BACK: u64 = 6;

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Its link.
    pub link: Option<LinkId>,
    /// Its jobs, as they were planned.
    pub runs: Vec<Run>,
    /// Its function.
    function: Option<Function>,
    asked: BTreeMap<u64, Asked>,
    next: u64,
    said: Vec<Up>,
    random: Random,
}

/// What became of one job of the plan.
#[derive(Debug)]
pub struct Run {
    /// The plan.
    pub plan: JobPlan,
    /// The grid's name of it, once the submit is answered.
    pub job: Option<JobId>,
    /// True where the grid takes no more inputs of it.
    pub refused: bool,
    /// Chunks whose appending was answered, each with the index of its first input.
    pub appended: BTreeMap<usize, u64>,
    /// Whether closing it was answered.
    pub closed: bool,
    /// When it is cancelled, once that is known, and whether that was answered.
    pub cancel: Option<u64>,
    /// Its readers: one from the start, perhaps one from somewhere.
    pub readers: Vec<Reader>,
    /// What each of its producers does; all but appending beside another is done by the first.
    producers: [Producer; 2],
}

/// Who appends to a job, one chunk after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Producer {
    /// When it does something next.
    ready_at: u64,
    /// A question is open, or was answered so that it must be asked later.
    busy: bool,
}

/// A stream of results.
#[derive(Debug)]
pub struct Reader {
    /// Where it began.
    pub from: u64,
    /// What it has read.
    pub read: Vec<Shown>,
    /// How the job ended.
    pub end: Option<Summary>,
    watching: bool,
    early: BTreeMap<u64, Vec<Shown>>,
    credit: u64,
}

#[derive(Clone, Debug)]
struct Asked {
    run: usize,
    what: What,
}

/// The number of no run.
const NO_RUN: usize = usize::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Submit,
    Append(usize),
    Close,
    Cancel,
    Watch(usize),
    Function(By),
}

impl Client {
    /// A client that has done nothing.
    #[must_use]
    pub fn new(plan: &ClientPlan, number: u64, random: Random) -> Self {
        let runs = plan.jobs.iter().map(Run::new).collect();
        let producer = CALLERS * (number + 1);
        let function = plan.function.clone().map(|plan| Function::new(plan, producer));
        Self {
            link: None,
            runs,
            function,
            asked: BTreeMap::new(),
            next: 1,
            said: Vec::new(),
            random,
        }
    }

    /// Another process of it, which has its results and its place still, or nothing.
    pub fn restart(&mut self, keeps: bool) {
        self.link = None;
        self.asked.clear();
        self.said.clear();
        self.function.iter_mut().for_each(Function::restart);
        for run in &mut self.runs {
            if keeps {
                run.producers.iter_mut().for_each(|producer| producer.busy = false);
                run.readers.iter_mut().for_each(Reader::unlinked);
            } else {
                // A producer that does not know what it sent last may not go on.
                let appended = std::mem::take(&mut run.appended);
                let appended = if run.plan.beside { appended } else { BTreeMap::new() };
                *run = Run { appended, ..Run::new(&run.plan) };
            }
        }
    }

    /// What it said since the last call.
    pub fn said(&mut self) -> Vec<Up> {
        std::mem::take(&mut self.said)
    }

    /// True once each job's end has come to every reader.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let called = self.function.as_ref().is_none_or(Function::is_done);
        called
            && self.runs.iter().all(|run| {
                run.appended.len() == run.plan.chunks.len().max(1)
                    && run.closed
                    && run.readers.iter().all(Reader::is_done)
            })
    }

    /// There is a link: what was not answered is asked again.
    pub fn linked(&mut self, now: u64, link: LinkId) {
        self.link = Some(link);
        for run in &mut self.runs {
            run.readers.iter_mut().for_each(Reader::unlinked);
        }
        for (id, asked) in self.asked.clone() {
            if matches!(asked.what, What::Watch(_)) || self.is_back_later(now, &asked) {
                self.asked.remove(&id);
            } else {
                self.say(id, asked.run, asked.what);
            }
        }
    }

    /// Producers beside each other stand for processes with links of their own, which come back at
    /// different times: whether one does later, and then asks again.
    fn is_back_later(&mut self, now: u64, asked: &Asked) -> bool {
        if let (What::Function(by), Some(function)) = (asked.what, &mut self.function) {
            return function.is_back_later(now, by, &mut self.random);
        }
        let Some(run) = self.runs.get_mut(asked.run) else { return false };
        let appends = run.plan.beside && matches!(asked.what, What::Append(_));
        let later = appends && self.random.chance(50);
        if let Some(producer) = run.producers.get_mut(run.plan.producer_of(asked.what))
            && later
        {
            let ready_at = now + self.random.below(2 * SECOND);
            *producer = Producer { ready_at, busy: false };
        }
        later
    }

    /// The link has ended.
    pub fn unlinked(&mut self) {
        self.link = None;
    }

    /// Does what is due; when there is more to do, if that is known.
    pub fn wake(&mut self, now: u64) -> Option<u64> {
        self.link?;
        let mut next = None;
        if let Some(function) = &mut self.function {
            let (asks, due) = function.wake(now);
            next = due;
            asks.into_iter().for_each(|by| self.ask(NO_RUN, What::Function(by)));
        }
        for number in 0..self.runs.len() {
            let due = self.wake_run(now, number);
            next = [next, due].into_iter().flatten().min();
        }
        next
    }

    fn wake_run(&mut self, now: u64, number: usize) -> Option<u64> {
        let run = self.runs.get(number)?;
        let of = run.plan.retry_of.and_then(|of| self.runs.get(of));
        let waits = of.is_some_and(|of| !of.readers.iter().all(Reader::is_done));
        let run = self.runs.get_mut(number).filter(|_| !waits)?;
        let watches: Vec<usize> = run.watches();
        for reader in watches {
            self.ask(number, What::Watch(reader));
        }
        let cancel = self.runs.get(number).and_then(|run| run.cancel.filter(|_| run.job.is_some()));
        let due = cancel.filter(|at| *at > now);
        if cancel.is_some() && due.is_none() && !self.has_asked(number, What::Cancel) {
            self.ask(number, What::Cancel);
        }
        let mut due = due;
        for producer in 0..2 {
            let run = self.runs.get_mut(number)?;
            let Some(what) = run.next_step(producer) else { continue };
            let Some(state) = run.producers.get_mut(producer).filter(|one| !one.busy) else {
                continue;
            };
            if state.ready_at > now {
                due = Some(state.ready_at.min(due.unwrap_or(u64::MAX)));
                continue;
            }
            state.busy = true;
            self.ask(number, what);
        }
        due
    }

    fn has_asked(&self, run: usize, what: What) -> bool {
        self.asked.values().any(|asked| asked.run == run && asked.what == what)
    }

    fn ask(&mut self, run: usize, what: What) {
        let id = self.next;
        self.next += 1;
        self.asked.insert(id, Asked { run, what });
        self.say(id, run, what);
    }

    fn say(&mut self, id: u64, number: usize, what: What) {
        if let What::Function(by) = what {
            let request = self.function.as_ref().and_then(|function| function.request(by));
            self.said.extend(request.map(|request| Up::Request { id, request }));
            return;
        }
        let of = self.runs.get(number).and_then(|run| run.plan.retry_of);
        let of = of.and_then(|of| self.runs.get(of)?.job);
        let Some(run) = self.runs.get_mut(number) else { return };
        let request = match (what, run.job) {
            (What::Submit, _) if run.plan.retry_of.is_some() => {
                let Some(of) = of else { return };
                Request::Retry { run: number, of }
            }
            (What::Submit, _) => {
                let closed = run.plan.submits_closed();
                let watch = run.plan.watch_early.then(|| run.watch(number, 0)).flatten();
                Request::Submit { run: number, closed, watch }
            }
            (What::Append(chunk), Some(job)) if run.plan.beside => {
                Request::Extend { run: number, job, chunk }
            }
            (What::Append(chunk), Some(job)) => Request::Append { run: number, job, chunk },
            (What::Close, Some(job)) => Request::Close { job },
            (What::Cancel, Some(job)) => Request::Cancel { job },
            (What::Watch(reader), Some(job)) => match run.watch(number, reader) {
                Some(from) => Request::Watch { job, from },
                None => return,
            },
            (What::Function(_), _) | (_, None) => return,
        };
        self.said.push(Up::Request { id, request });
    }

    /// The scheduler said something.
    ///
    /// # Errors
    /// Where it may not say that.
    pub fn heard(&mut self, now: u64, message: Down) -> Result<(), Violation> {
        match message {
            Down::Reply { id, reply } => {
                let Some(asked) = self.asked.remove(&id) else { return Ok(()) };
                self.answered(now, &asked, reply)
            }
            Down::Results { watch, first_cursor, results } => {
                if let Some(reader) = self.reader(watch) {
                    let returned = reader.take(first_cursor, results);
                    if returned > 0 {
                        self.said.push(Up::Credit { watch, results: returned });
                    }
                }
                Ok(())
            }
            Down::Ended { watch, end } => {
                if let Some(reader) = self.reader(watch) {
                    reader.end = Some(end);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn reader(&mut self, watch: u64) -> Option<&mut Reader> {
        let run = self.runs.get_mut(usize::try_from(watch / 2).ok()?)?;
        run.readers.get_mut(usize::try_from(watch % 2).ok()?)
    }

    fn answered(
        &mut self,
        now: u64,
        asked: &Asked,
        reply: Result<Answer, ErrorCode>,
    ) -> Result<(), Violation> {
        if let (What::Function(by), Some(function)) = (asked.what, &mut self.function) {
            return function.answered(now, by, reply);
        }
        let Some(run) = self.runs.get_mut(asked.run) else { return Ok(()) };
        let steps = matches!(asked.what, What::Submit | What::Append(_) | What::Close);
        if steps {
            let ready_at = now + if reply.is_ok() { run.plan.pause_us } else { SECOND };
            let producer = run.plan.producer_of(asked.what);
            if let Some(producer) = run.producers.get_mut(producer) {
                *producer = Producer { ready_at, busy: false };
            }
        }
        match (asked.what, reply) {
            (What::Submit, Ok(Answer::Job(status))) => {
                run.job = Some(status.job);
                run.appended.insert(0, 0);
                run.closed |= run.plan.submits_closed();
                run.cancel = run.cancel.or(run.plan.cancel_us.map(|span| now + span));
            }
            (What::Append(chunk), Ok(answer)) => {
                let before = run.plan.chunks.iter().take(chunk).map(Vec::len).sum::<usize>() as u64;
                let first = match answer {
                    Answer::Appended(first) => first,
                    _ => before,
                };
                run.appended.insert(chunk, first);
                hold(run.is_without_overlap(), "each extend counts once", || {
                    format!("the chunks of {:?} are at {:?}", run.plan.key, run.appended)
                })?;
            }
            (What::Close, Ok(_)) => run.closed = true,
            (What::Cancel, Ok(_) | Err(ErrorCode::Conflict)) => run.cancel = None,
            (What::Submit, Err(ErrorCode::Unavailable)) => {
                run.readers.iter_mut().for_each(Reader::unlinked);
            }
            // All of that job ended ok.
            (What::Submit, Err(ErrorCode::Conflict)) if run.plan.retry_of.is_some() => {
                run.refused = true;
                run.appended.insert(0, 0);
                run.closed = true;
                run.readers.clear();
            }
            // It has ended or was given up: the rest of its inputs is not wanted.
            (What::Append(_), Err(ErrorCode::Conflict)) => {
                run.refused = true;
                let all = 0..run.plan.chunks.len();
                all.for_each(|chunk| _ = run.appended.entry(chunk).or_insert(NOWHERE));
            }
            (What::Watch(_), Ok(_)) | (_, Err(ErrorCode::Unavailable)) => {}
            (what, reply) => {
                let detail = format!("{what:?} of {:?} was answered {reply:?}", run.plan.key);
                return Err(Violation { invariant: "no acknowledged submit is lost", detail });
            }
        }
        Ok(())
    }
}

impl JobPlan {
    /// Whether its submit says that no more inputs come.
    #[must_use]
    pub fn submits_closed(&self) -> bool {
        self.closed && self.chunks.len() <= 1
    }

    /// Who asks that.
    const fn producer_of(&self, what: What) -> usize {
        match what {
            What::Append(chunk) if self.beside => chunk % 2,
            _ => 0,
        }
    }
}

impl Run {
    fn new(plan: &JobPlan) -> Self {
        let second = plan.second_reader.map(Reader::new);
        Self {
            plan: plan.clone(),
            job: None,
            refused: false,
            appended: BTreeMap::new(),
            closed: false,
            cancel: None,
            readers: [Some(Reader::new(0)), second].into_iter().flatten().collect(),
            producers: [Producer { ready_at: plan.at, busy: false }; 2],
        }
    }

    /// What one of the producers does next.
    fn next_step(&self, producer: usize) -> Option<What> {
        let next = if self.job.is_none() {
            (!self.refused).then_some(What::Submit)
        } else if self.appended.len() < self.plan.chunks.len() {
            let all = (0..self.plan.chunks.len()).map(What::Append);
            let mut own = all.filter(|what| self.plan.producer_of(*what) == producer);
            own.find(
                |what| !matches!(what, What::Append(chunk) if self.appended.contains_key(chunk)),
            )
        } else {
            (!self.closed).then_some(What::Close)
        };
        next.filter(|what| self.plan.producer_of(*what) == producer)
    }

    /// The inputs that are in the job, by their indices, as far as that was answered.
    #[must_use]
    pub fn tasks(&self) -> BTreeMap<u64, Task> {
        let there = self.appended.iter().filter(|(_, first)| **first != NOWHERE);
        let chunks =
            there.filter_map(|(chunk, first)| Some((*first, self.plan.chunks.get(*chunk)?)));
        chunks.flat_map(|(first, chunk)| (first..).zip(chunk.iter().copied())).collect()
    }

    /// The inputs of which it is not known whether they are in the job: it ended before that was
    /// answered.
    #[must_use]
    pub fn unsure(&self) -> BTreeSet<u64> {
        let unsure = self.appended.iter().filter(|(_, first)| **first == NOWHERE);
        let chunks = unsure.filter_map(|(chunk, _)| self.plan.chunks.get(*chunk));
        chunks.flatten().map(|task| task.0).collect()
    }

    /// Whether no two chunks were said to be at one index.
    fn is_without_overlap(&self) -> bool {
        let there = self.appended.iter().filter(|(_, first)| **first != NOWHERE);
        let chunks =
            there.filter_map(|(chunk, first)| Some((*first, self.plan.chunks.get(*chunk)?)));
        let indices = chunks.flat_map(|(first, chunk)| (first..).zip(chunk).map(|(at, _)| at));
        let indices: Vec<u64> = indices.collect();
        indices.len() == indices.iter().collect::<BTreeSet<_>>().len()
    }

    /// The readers that should be watching and are not.
    fn watches(&self) -> Vec<usize> {
        let ready = self.job.is_some() && (self.plan.watch_early || self.closed);
        let waits = |(_, reader): &(usize, &Reader)| ready && !reader.watching && !reader.is_done();
        self.readers.iter().enumerate().filter(waits).map(|(number, _)| number).collect()
    }

    /// Where a reader goes on.
    fn watch(&mut self, run: usize, reader: usize) -> Option<WatchFrom> {
        let watch = (run * 2 + reader) as u64;
        let reader = self.readers.get_mut(reader)?;
        if reader.watching {
            return None;
        }
        reader.watching = true;
        Some(WatchFrom { watch, cursor: reader.cursor(), credit: WINDOW })
    }
}

impl Reader {
    fn new(from: u64) -> Self {
        Self {
            from,
            read: Vec::new(),
            end: None,
            watching: false,
            early: BTreeMap::new(),
            credit: 0,
        }
    }

    /// The position behind what it has read.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.from + self.read.len() as u64
    }

    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| end.results <= self.cursor())
    }

    fn unlinked(&mut self) {
        self.watching = false;
        self.early.clear();
        self.credit = 0;
    }

    /// Takes a frame in, or keeps it until those before it have come; how much credit goes back.
    fn take(&mut self, first: u64, results: Vec<Shown>) -> u64 {
        self.early.insert(first, results);
        while let Some(entry) = self.early.first_entry() {
            let cursor = self.from + self.read.len() as u64;
            let Some(skip) = cursor.checked_sub(*entry.key()) else { break };
            let results = entry.remove();
            self.credit += results.len() as u64;
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            self.read.extend(results.into_iter().skip(skip));
        }
        let returned = if self.credit >= GIVE_BACK { self.credit } else { 0 };
        self.credit -= returned;
        returned
    }
}
