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
//!
//! What a task costs here is mostly page faults of its child: whatever all children would make for
//! themselves is made once before, and nothing is put in order that ends with its process.

mod child;
mod task;
mod timer;

use std::{
    fs,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::net::UnixStream,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::{Buf as _, Bytes, BytesMut};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::SendFlags,
    process::Pid,
};
use wasmgrid_proto::{
    Extensions, Outcome, ResultBlock, ResultMeta, TaskSpec,
    frame::{self, Envelope},
};
use wasmtime::Engine;

use self::child::{Child, Killed};
use super::{
    inputs::TaskInputs,
    message::{FromRunner, Results, RunBatch, ToRunner},
    queue::{BatchQueue, ReceivedBatch, Step},
    result::{discard, unrun},
    socket::Receiver,
};
use crate::{
    allocator,
    run::{Blobs, Control, Machine, Module, Task, board::Board},
    time::now_us,
};

/// How long the loop waits at most while a task runs: the agent sees its progress so much later.
const PROGRESS_US: u64 = 100_000;

/// Read of a child at once.
const READ_BYTES: usize = 64 << 10;

/// A child that had no more memory than this is taken apart by the kernel while the next one runs:
/// beside others, their memory together could pass the bound of the runner's control group.
const BESIDE_BYTES: u64 = 64 << 20;

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
    allocator::tidy_at_once();
    timer::prepare(machine.engine())?;
    Engine::tls_eager_initialize();
    Forker {
        receiver,
        socket,
        board,
        control: Arc::new(Control::shared(Board::create()?)),
        machine,
        queue: BatchQueue::default(),
        current: None,
        child: None,
        leaving: None,
        heard: vec![0; READ_BYTES],
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
    queue: BatchQueue,
    current: Option<Current>,
    child: Option<Child>,
    /// The child before it, on its way out.
    leaving: Option<Killed>,
    /// What was read of a child last.
    heard: Vec<u8>,
    /// On its way to the agent. No task begins before it is gone.
    out: BytesMut,
}

/// The batch that is being run.
struct Current {
    run: Box<RunBatch>,
    spec: Arc<TaskSpec>,
    module: Result<(Arc<Module>, Option<Arc<Blobs>>), Outcome>,
    inputs: TaskInputs,
    next: u64,
}

impl Forker {
    fn serve(mut self) -> io::Result<()> {
        loop {
            self.advance()?;
            if self.child.is_none() {
                self.reap();
            }
            let (agent, child) = self.wait()?;
            if agent.intersects(PollFlags::OUT) {
                self.write()?;
            }
            if agent.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && !self.read()? {
                if let Some(child) = self.child.take() {
                    child.kill().wait();
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
                (Step::Run, Ok((module, blobs))) => {
                    let (module, spec) = (Arc::clone(module), Arc::clone(&current.spec));
                    let (batch, blobs) = (current.run.batch, blobs.clone());
                    self.begin(batch, &module, Task { index, spec: &spec, blobs, input })?;
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
                both = [agent, PollFd::new(child.pipe(), PollFlags::IN)];
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
            Ok(sent) => {
                self.out.advance(sent);
                if self.out.is_empty() {
                    // The next would keep all of the memory that the largest so far has needed.
                    self.out = BytesMut::new();
                }
            }
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
                    self.queue.push(self.receiver.batch(run, envelope.payload)?);
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
    fn begin(&mut self, batch: u64, module: &Module, task: Task<'_>) -> io::Result<()> {
        let (index, limits) = (task.index, task.spec.limits);
        let started_us = now_us();
        let (pipe, writer) = io::pipe()?;
        self.board.begin(batch, index, started_us);
        self.control.begin(batch, index, started_us, limits.deadline.0.saturating_mul(1_000));
        let parent = rustix::process::getpid();
        // SAFETY: this process has one thread, so that the child is a whole copy of it and may do
        // all that it may; it leaves by `_exit` alone, and so never returns into this loop.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            drop(pipe);
            let told = catch_unwind(AssertUnwindSafe(|| {
                task::enter(parent, &[0, self.socket.as_raw_fd(), self.receiver.raw_fd()])?;
                let (mut result, payload) = task::run(&self.machine, module, task, &self.control);
                result.usage.wall_us = now_us().saturating_sub(started_us);
                let mut frame = BytesMut::new();
                frame::encode(&self.result(result, payload)?, &mut frame)
                    .map_err(io::Error::other)?;
                (&writer).write_all(&frame)
            }));
            // SAFETY: ends the child at once, without what the runner would do at its end.
            unsafe { libc::_exit(i32::from(!matches!(told, Ok(Ok(()))))) }
        }
        let failed = io::Error::last_os_error();
        drop(writer);
        self.reap();
        let Some(pid) = Pid::from_raw(forked).filter(|_| forked > 0) else {
            self.ended();
            let lost = Outcome::Lost(format!("failed to start a process for the task: {failed}"));
            return self.tell(unrun(index, lost), Bytes::new());
        };
        self.child = Some(Child::new(pid, index, started_us, limits, pipe));
        Ok(())
    }

    /// Looks after the child: takes what it says, and ends it at its time.
    fn watch(&mut self, readable: bool) -> io::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let shown = self.control.shown();
        if let Some(shown) = shown {
            self.board.follow(shown);
        }
        if readable && child.read(&mut self.heard)? {
            return Ok(());
        }
        let over = now_us() >= child.end_us(&self.control);
        if !readable && !over {
            return Ok(());
        }
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let killed = child.kill();
        let (mut result, payload) = match child.told().filter(|_| readable) {
            Some(told) => {
                let memory_bytes = told.0.usage.memory_bytes;
                self.leaving = Some(killed);
                if memory_bytes > BESIDE_BYTES {
                    self.reap();
                }
                told
            }
            // What it used is looked at before it is waited for: to take a large memory apart takes
            // the kernel a while.
            None if readable => {
                let shown = self.control.shown();
                (child.lost(shown, killed.wait()), Bytes::new())
            }
            None => {
                let result = child.overdue(shown);
                self.leaving = Some(killed);
                self.reap();
                (result, Bytes::new())
            }
        };
        let mut payload = BytesMut::from(payload);
        if let Some(by) = self.ended() {
            discard(&mut result, &mut payload, by);
        }
        self.tell(result, payload.freeze())
    }

    /// Nothing runs any more; who cancelled it meanwhile, if anybody did.
    fn ended(&mut self) -> Option<String> {
        self.board.end();
        self.control.end();
        self.queue.end()
    }

    /// Waits for the child that is on its way out.
    fn reap(&mut self) {
        if let Some(killed) = self.leaving.take() {
            killed.wait();
        }
    }

    /// Sends one result of the current batch.
    fn tell(&mut self, result: ResultMeta, payload: Bytes) -> io::Result<()> {
        let envelope = self.result(result, payload)?;
        self.send(envelope)
    }

    /// One result, as one of the current batch.
    fn result(&self, mut result: ResultMeta, payload: Bytes) -> io::Result<Envelope<FromRunner>> {
        let payload = if result.fit() { payload } else { Bytes::new() };
        let current = self.current.as_ref();
        let run = &current.ok_or_else(|| io::Error::other("a result of no batch"))?.run;
        let block = ResultBlock {
            job: run.job,
            lease: run.lease,
            worker: run.worker,
            attempt: run.attempt,
            results: vec![result],
            extensions: Extensions::NONE,
        };
        let message = FromRunner::Results(Results { batch: run.batch, block });
        Ok(Envelope { message, payload })
    }

    /// Sends a message, or what the socket takes of it.
    fn send(&mut self, envelope: Envelope<FromRunner>) -> io::Result<()> {
        frame::encode(&envelope, &mut self.out).map_err(io::Error::other)?;
        self.write()
    }
}

impl Current {
    fn open(batch: ReceivedBatch, machine: &mut Machine) -> Self {
        let ReceivedBatch { run, payload, code, blobs } = batch;
        let module = machine.ready(&run.spec, code.as_fd(), &blobs);
        Self {
            spec: Arc::clone(&run.spec),
            module,
            inputs: TaskInputs::new(run.inputs.clone(), payload),
            next: run.first,
            run,
        }
    }
}
