//! The runner of a process a task: it has the engine and the modules loaded, runs nothing itself,
//! and forks a child for each task, which runs it, tells its result through a pipe and is gone.
//!
//! It has one thread, so that a child begins with a whole copy of it: a fork copies the calling
//! thread alone, and what others held would be held for ever. One loop therefore does what four
//! threads do in a runner of many tasks: it hears the agent, watches the child, sends results.
//!
//! A child is believed nothing but its own task's result: it has neither the agent's socket nor
//! the page that the agent looks at. What it can read of other tasks is what the runner knew when
//! it was forked: inputs of the same tenant, and never what a task made of them.

use std::{
    fs,
    io::{self, PipeReader, PipeWriter, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, RawFd},
        unix::{net::UnixStream, process::ExitStatusExt as _},
    },
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitStatus,
    sync::Arc,
    thread,
};

use bytes::{Buf as _, Bytes, BytesMut};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::SendFlags,
    process::{Pid, Signal, WaitOptions},
};
use wasmgrid_proto::{
    Limit, Outcome, ResultBlock, ResultMeta, TaskSpec, Usage,
    frame::{self, Envelope, FRAME_MAX},
};

use super::{
    Inputs, discard,
    message::{FromRunner, Results, Run, ToRunner},
    queue::{Batch, Queue, Step},
    socket::{Receiver, frame_len},
    unrun,
};
use crate::run::{CANCEL_GRACE_US, Control, Machine, Module, Task, board::Board, now_us};

/// From a task's deadline to the end of its process. The child ends its task by itself; this is
/// for what it cannot interrupt, and earlier than the agent would kill this runner for it.
const OVERDUE_US: u64 = 25_000;

/// How long the loop waits at most while a task runs: the agent sees its progress so much later.
const PROGRESS_US: u64 = 100_000;

/// Of a child's second thread, which moves the epoch on.
const TICKER_STACK_BYTES: usize = 64 << 10;

/// Read at once.
const READ_BYTES: usize = 64 << 10;

/// Serves an agent until it closes the socket.
pub(super) fn serve(
    receiver: Receiver,
    socket: UnixStream,
    board: Board,
    machine: Machine,
) -> io::Result<()> {
    // Where the jail hides it there is nothing to count.
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(io::Error::other("a runner that forks must have one thread"));
    }
    Forker {
        receiver,
        socket,
        board,
        control: Arc::new(Control::new(Board::create()?)),
        machine,
        queue: Queue::default(),
        current: None,
        child: None,
        out: BytesMut::new(),
    }
    .serve()
}

struct Forker {
    receiver: Receiver,
    socket: UnixStream,
    /// What the agent sees.
    board: Board,
    /// Shared with the child that runs.
    control: Arc<Control>,
    machine: Machine,
    queue: Queue,
    current: Option<Current>,
    child: Option<Child>,
    /// On its way to the agent. No task begins before it is gone.
    out: BytesMut,
}

/// The batch that is being run.
struct Current {
    run: Box<Run>,
    spec: Arc<TaskSpec>,
    module: Result<Arc<Module>, Outcome>,
    inputs: Inputs,
    next: u64,
}

/// The process of the task that runs.
struct Child {
    pid: Pid,
    index: u64,
    started_us: u64,
    deadline_us: u64,
    pipe: PipeReader,
    told: BytesMut,
}

impl Forker {
    fn serve(mut self) -> io::Result<()> {
        loop {
            self.advance()?;
            let (agent, child) = self.wait()?;
            if agent.intersects(PollFlags::OUT) {
                self.write()?;
            }
            if agent.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && !self.read()? {
                if let Some(child) = self.child.take() {
                    child.end();
                }
                return Ok(());
            }
            self.watch(!child.is_empty())?;
        }
    }

    /// Goes on to the next task, until one runs or something has to be sent.
    fn advance(&mut self) -> io::Result<()> {
        while self.child.is_none() && self.out.is_empty() {
            let Some(current) = &mut self.current else {
                let Some(batch) = self.queue.try_next_batch() else { return Ok(()) };
                self.current = Some(Current::open(batch, &mut self.machine));
                continue;
            };
            let (index, Some(input)) = (current.next, current.inputs.next()) else {
                self.current = None;
                continue;
            };
            current.next += 1;
            match (self.queue.begin(index, &self.control), &current.module) {
                (Step::Skip, _) => {}
                (Step::Cancelled(by), _) => {
                    self.tell(unrun(index, Outcome::Cancelled(by)), Bytes::new())?;
                }
                (Step::Run, Err(outcome)) => {
                    let result = unrun(index, outcome.clone());
                    self.queue.end();
                    self.tell(result, Bytes::new())?;
                }
                (Step::Run, Ok(module)) => {
                    let (module, spec) = (Arc::clone(module), Arc::clone(&current.spec));
                    let batch = current.run.batch;
                    self.begin(batch, &module, &Task { index, spec: &spec, input })?;
                }
            }
        }
        Ok(())
    }

    /// Waits until the agent or the child says something, or the child is over its time.
    fn wait(&self) -> io::Result<(PollFlags, PollFlags)> {
        let out = if self.out.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let agent = PollFd::new(&self.socket, PollFlags::IN | out);
        let (mut both, mut one);
        let mut timeout = None;
        let polled: &mut [PollFd<'_>] = match &self.child {
            Some(child) => {
                let span_us = child.end_us(&self.control).saturating_sub(now_us());
                let span_us = i64::try_from(span_us.min(PROGRESS_US)).unwrap_or_default();
                timeout = Some(Timespec { tv_sec: 0, tv_nsec: span_us * 1_000 });
                both = [agent, PollFd::new(&child.pipe, PollFlags::IN)];
                &mut both
            }
            None => {
                one = [agent];
                &mut one
            }
        };
        match poll(polled, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok((PollFlags::empty(), PollFlags::empty())),
            Err(error) => return Err(error.into()),
        }
        let seen = |place: usize| polled.get(place).map_or(PollFlags::empty(), PollFd::revents);
        Ok((seen(0), seen(1)))
    }

    /// Sends what the socket takes.
    fn write(&mut self) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(&self.socket, &self.out, flags) {
            Ok(sent) => self.out.advance(sent),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Hears the agent; false once it has closed.
    fn read(&mut self) -> io::Result<bool> {
        if self.receiver.fill()? == 0 {
            return Ok(false);
        }
        while let Some(envelope) = self.receiver.buffered()? {
            match envelope.message {
                ToRunner::Hello(_) => return Err(io::Error::other("a second hello")),
                ToRunner::Run(run) => {
                    let code = self.receiver.descriptor()?;
                    self.queue.push(Batch { run, payload: envelope.payload, code });
                }
                ToRunner::Cancel(cancel) => {
                    self.queue.cancel(cancel.job, &cancel.by, &self.control);
                }
                ToRunner::Revoke(revoke) => {
                    for returned in self.queue.revoke(&revoke) {
                        self.send(FromRunner::Returned(returned).into())?;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Forks the child that runs `task`.
    fn begin(&mut self, batch: u64, module: &Module, task: &Task<'_>) -> io::Result<()> {
        let started_us = now_us();
        let deadline_us = task.spec.limits.deadline.0.saturating_mul(1_000);
        let (pipe, writer) = io::pipe()?;
        self.board.begin(batch, task.index, started_us);
        let parent = rustix::process::getpid();
        // SAFETY: this process has one thread, so that the child is a whole copy of it and may do
        // all that it may; it leaves by `_exit` alone, and so never returns into this loop.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            drop(pipe);
            let told = catch_unwind(AssertUnwindSafe(|| {
                leave_alone(parent, &[0, self.socket.as_raw_fd(), self.receiver.raw_fd()])?;
                self.run_here(batch, module, task, started_us, deadline_us, writer)
            }));
            // SAFETY: ends the child at once, without what the runner would do at its end.
            unsafe { libc::_exit(i32::from(!matches!(told, Ok(Ok(()))))) }
        }
        drop(writer);
        let Some(pid) = Pid::from_raw(forked).filter(|_| forked > 0) else {
            let error = io::Error::last_os_error();
            self.board.end();
            self.queue.end();
            let lost = Outcome::Lost(format!("no process for the task could be had: {error}"));
            return self.tell(unrun(task.index, lost), Bytes::new());
        };
        let (index, told) = (task.index, BytesMut::new());
        self.child = Some(Child { pid, index, started_us, deadline_us, pipe, told });
        Ok(())
    }

    /// The child's whole life.
    fn run_here(
        &self,
        batch: u64,
        module: &Module,
        task: &Task<'_>,
        started_us: u64,
        deadline_us: u64,
        mut writer: PipeWriter,
    ) -> io::Result<()> {
        let (control, engine) = (Arc::clone(&self.control), self.machine.engine().clone());
        thread::Builder::new()
            .stack_size(TICKER_STACK_BYTES)
            .spawn(move || control.tick(&engine, || control.wake_cancelled()))?;
        self.control.begin(batch, task.index, started_us, deadline_us);
        let mut payload = BytesMut::new();
        let task = Task { index: task.index, spec: task.spec, input: task.input.clone() };
        let mut result = self.machine.run(module, task, &self.control, &mut payload);
        result.usage.wall_us = now_us().saturating_sub(started_us);
        let block = block(self.current.as_ref().map(|current| &*current.run), result)?;
        let message = FromRunner::Results(Results { batch, block });
        let mut frame = BytesMut::new();
        frame::encode(&Envelope { message, payload: payload.freeze() }, &mut frame)
            .map_err(io::Error::other)?;
        writer.write_all(&frame)
    }

    /// Looks after the child: takes what it says, and ends it at its time.
    fn watch(&mut self, readable: bool) -> io::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        if let Some((done, total)) = self.control.told_progress() {
            self.board.progress(done, total);
        }
        if readable && child.read()? {
            return Ok(());
        }
        let over = now_us() >= child.end_us(&self.control);
        if !readable && !over {
            return Ok(());
        }
        let Some(child) = self.child.take() else { return Ok(()) };
        let (mut result, payload) = child.result(readable);
        self.board.end();
        let mut payload = BytesMut::from(payload);
        if let Some(by) = self.queue.end() {
            discard(&mut result, &mut payload, by);
        }
        self.tell(result, payload.freeze())
    }

    /// Sends one result of the current batch.
    fn tell(&mut self, result: ResultMeta, payload: Bytes) -> io::Result<()> {
        let run = self.current.as_ref().map(|current| &*current.run);
        let batch = run.map_or(0, |run| run.batch);
        let message = FromRunner::Results(Results { batch, block: block(run, result)? });
        self.send(Envelope { message, payload })
    }

    fn send(&mut self, envelope: Envelope<FromRunner>) -> io::Result<()> {
        frame::encode(&envelope, &mut self.out).map_err(io::Error::other)
    }
}

impl Current {
    fn open(batch: Batch, machine: &mut Machine) -> Self {
        let Batch { run, payload, code } = batch;
        let module = machine.module(run.spec.module, run.spec.kind, code.as_fd());
        Self {
            spec: Arc::new(run.spec.clone()),
            module,
            inputs: Inputs::new(run.inputs.clone(), payload),
            next: run.first,
            run,
        }
    }
}

impl Child {
    /// When it is killed, as things stand.
    fn end_us(&self, control: &Control) -> u64 {
        let end_us = self.started_us.saturating_add(self.deadline_us);
        let end_us = match control.cancelled_us() {
            0 => end_us,
            cancelled_us => end_us.min(cancelled_us.saturating_add(CANCEL_GRACE_US)),
        };
        end_us.saturating_add(OVERDUE_US)
    }

    /// Takes what it says; false once it will say no more.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        match self.pipe.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.told.extend_from_slice(buffer.get(..length).unwrap_or_default());
                // Once it has told its result, or more than any message holds, it is of no more use.
                let is_done =
                    self.told.len() > FRAME_MAX || !matches!(frame_len(&self.told), Ok(None));
                Ok(!is_done)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Kills it, where it is not gone already, and says how it ended.
    fn end(&self) -> Option<ExitStatus> {
        // An exit that has begun keeps its status. The process is there until it is waited for.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        loop {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(ended) => {
                    return ended.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// What it told, or what became of it.
    fn result(mut self, ended: bool) -> (ResultMeta, Bytes) {
        // Before it is waited for: to take a large memory apart takes the kernel a while.
        let used_us = now_us().saturating_sub(self.started_us);
        let status = self.end();
        if ended && let Some(told) = self.told() {
            return told;
        }
        let outcome = if !ended {
            let (used, allowed) = (used_us / 1_000, self.deadline_us / 1_000);
            Outcome::Limit { limit: Limit::Deadline, used, allowed }
        } else {
            let how = status.map_or_else(|| "in an unknown way".into(), |how| how.to_string());
            Outcome::Lost(format!("the task's process ended without a result: {how}"))
        };
        let usage = Usage { wall_us: used_us, ..Usage::default() };
        (ResultMeta { usage, ..unrun(self.index, outcome) }, Bytes::new())
    }

    fn told(&mut self) -> Option<(ResultMeta, Bytes)> {
        let length = frame_len(&self.told).ok()??;
        let envelope = frame::decode(self.told.split_to(length).freeze()).ok()??;
        let FromRunner::Results(results) = envelope.message else { return None };
        let [result] = <[ResultMeta; 1]>::try_from(results.block.results).ok()?;
        (result.index == self.index).then_some((result, envelope.payload))
    }
}

/// One result, as one of `run`.
fn block(run: Option<&Run>, result: ResultMeta) -> io::Result<ResultBlock> {
    let run = run.ok_or_else(|| io::Error::other("a result of no batch"))?;
    Ok(ResultBlock {
        job: run.job,
        lease: run.lease,
        worker: run.worker,
        attempt: run.attempt,
        results: vec![result],
    })
}

/// Makes a child that ends with its parent, and has none of these descriptors.
fn leave_alone(parent: Pid, descriptors: &[RawFd]) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        return Err(io::Error::other("the runner has ended"));
    }
    for descriptor in descriptors {
        // SAFETY: the child uses none of them any more, and never drops their owners, since it
        // leaves by `_exit`.
        unsafe { rustix::io::close(*descriptor) };
    }
    Ok(())
}
