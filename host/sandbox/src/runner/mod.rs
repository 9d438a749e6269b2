//! The loop of one runner: batches in, results out, over one socket. It holds no keys and opens
//! nothing; it ends when its socket is closed. A runner process makes its engine, enters its
//! jail and only then hears of modules.
//!
//! Four threads: this one runs the tasks; one reads the socket, so that a cancellation is heard
//! while a task runs; one moves the epoch on while tasks run; one sends results that would wait
//! behind a long task. In the steady state a task costs no system call here.

mod forking;
mod inputs;
pub(crate) mod message;
mod outbox;
mod queue;
mod result;
pub(crate) mod socket;

use std::{
    io::{self, Write as _},
    net::Shutdown,
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
    sync::{Arc, mpsc},
    thread::{self, Scope, Thread},
};

use bytes::BytesMut;
use rustix::process::{Resource, getrlimit};
use wasmgrid_proto::{
    ByteCount, Outcome, ResultMeta, frame,
    text::{REASON_MAX, shortened},
};

use self::{
    inputs::TaskInputs,
    message::{FromRunner, Hello, ToRunner, Unfit},
    outbox::Outbox,
    queue::{BatchQueue, ReceivedBatch, Step},
    result::{discard, unrun},
    socket::Receiver,
};
use crate::{
    SandboxError,
    host::open::open_allowed,
    jail::{self, Inmate, Jail, Report},
    program,
    run::{Control, Machine, Module, Task, board::Board},
    time,
};

/// Freed memory that the allocator keeps for each thread: two payloads of 1 MiB and more.
#[cfg(target_env = "gnu")]
const KEPT_MEMORY_BYTES: i32 = 3 << 20;

/// What one task's payload may leave allocated for the next.
const SCRATCH_BYTES: usize = 1 << 20;

/// One runner process, whose standard input is its socket.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this process is nobody's command")]
pub fn runner_main() -> ExitCode {
    if let Err(code) = program::begin(program::RUNNER) {
        return code;
    }
    match serve_in_jail() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The agent sees the socket close; this line is for whoever starts it by hand.
            let _ = writeln!(io::stderr(), "wasmgrid runner: {error}; it is started by a worker");
            ExitCode::FAILURE
        }
    }
}

fn serve_in_jail() -> io::Result<()> {
    keep_freed_memory();
    let jail = Jail::prepare();
    let socket = jail::keep_socket()?;
    serve(UnixStream::from(socket), Some(jail), || std::process::exit(0))
}

/// Lets the allocator keep a large payload's memory for the next one's: to have it anew from the
/// system costs more than the payload itself.
fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it is called before there are other threads, and only sets numbers.
    unsafe {
        // Where one of them is not taken the allocator goes on as it was.
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_MEMORY_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_MEMORY_BYTES);
    }
}

/// Serves an agent until it closes the socket; `closed` is called at once when it does, while
/// tasks may still run. A runner that is a thread has no jail.
pub(crate) fn serve(
    socket: UnixStream,
    jail: Option<Jail>,
    closed: impl FnOnce() + Send,
) -> io::Result<()> {
    let mut receiver = Receiver::new(socket.try_clone()?);
    let Some(hello) = receiver.next()? else { return Ok(()) };
    let ToRunner::Hello(hello) = hello.message else {
        return Err(io::Error::other("the agent does not begin with a hello"));
    };
    let board = Board::map(receiver.descriptor()?)?;
    let mut machine = match Machine::new(&hello.engine) {
        Ok(machine) => machine,
        Err(error) => return say(&socket, FromRunner::Unfit(unfit(&error))),
    };
    let jailed = jail.is_some();
    let report = jail.map(|jail| enter(jail, &hello)).unwrap_or_default();
    if hello.require_jail && !report.missing.is_empty() {
        say(&socket, FromRunner::Ready(report))?;
        return Err(io::Error::other("the jail is required and not complete"));
    }
    if hello.forks {
        say(&socket, FromRunner::Ready(report))?;
        return forking::serve(receiver, socket, board, machine);
    }
    let engine = machine.engine().clone();
    let runner = Runner {
        control: Arc::new(Control::new(board)),
        queue: BatchQueue::default(),
        outbox: Outbox::new(socket.try_clone()?),
    };
    // Borrowed by the threads below, each of which ends before this function does.
    let (runner, engine) = (&runner, &engine);
    thread::scope(|scope| {
        // The first word is that it is ready, or why it cannot be.
        let (begin, begun) = mpsc::channel();
        let read = move |flusher: &Thread| {
            if begun.recv().is_ok()
                && let Err(error) = runner.read(&mut receiver, flusher)
            {
                tracing::warn!(%error, "the agent cannot be heard any more");
            }
            closed();
            runner.stop(flusher);
        };
        let mut threads = Vec::new();
        let started = runner
            .start(scope, engine, read, &mut threads)
            .and_then(|()| if jailed { jail::threads_started() } else { Ok(()) });
        let ran = match started {
            Ok(()) => say(&socket, FromRunner::Ready(report)).and_then(|()| {
                // It waits for that, or has ended with the agent.
                let _ = begin.send(());
                runner.run(&mut machine)
            }),
            Err(error) => {
                let unfit = Unfit::Threads { reason: error.to_string() };
                let said = say(&socket, FromRunner::Unfit(unfit));
                threads.iter().for_each(|thread| runner.stop(thread));
                said
            }
        };
        // Where writing failed the reader would wait for ever.
        let _ = socket.shutdown(Shutdown::Both);
        ran
    })
}

/// Nothing of a guest has been read yet, and there is one thread.
fn enter(jail: Jail, hello: &Hello) -> Report {
    let allowed = open_allowed(&hello.allow_dirs);
    let (pagemap, forks) = (hello.engine.pagemap_scan, hello.forks);
    jail.enter(Inmate::Runner { pagemap, forks, allowed })
}

/// Says the first word.
fn say(mut socket: &UnixStream, message: FromRunner) -> io::Result<()> {
    let mut frame = BytesMut::new();
    frame::encode(&message.into(), &mut frame).map_err(io::Error::other)?;
    socket.write_all(&frame)
}

/// Why there is no engine, as far as it can be seen from here.
fn unfit(error: &SandboxError) -> Unfit {
    let reason = match error {
        SandboxError::Engine { reason } => reason.clone(),
        other => other.to_string(),
    };
    let address_space = getrlimit(Resource::As).current.map(ByteCount);
    Unfit::Engine { reason: shortened(reason, REASON_MAX), address_space }
}

/// What the threads of a runner share.
struct Runner {
    control: Arc<Control>,
    queue: BatchQueue,
    outbox: Outbox,
}

impl Runner {
    /// Starts the threads beside the calling one, which `read` the agent, move the epoch on and send
    /// what is late; `threads` gets those that were started.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        engine: &'scope wasmtime::Engine,
        read: impl FnOnce(&Thread) + Send + 'scope,
        threads: &mut Vec<Thread>,
    ) -> io::Result<()> {
        let flusher = thread::Builder::new().spawn_scoped(scope, || self.flush_late())?;
        let flusher = flusher.thread().clone();
        threads.push(flusher.clone());
        let late = flusher.clone();
        let ticker =
            thread::Builder::new().spawn_scoped(scope, move || self.tick(engine, &late))?;
        threads.push(ticker.thread().clone());
        thread::Builder::new().spawn_scoped(scope, move || read(&flusher))?;
        Ok(())
    }

    /// Hears the agent until it closes.
    fn read(&self, receiver: &mut Receiver, flusher: &Thread) -> io::Result<()> {
        while let Some(envelope) = receiver.next()? {
            match envelope.message {
                ToRunner::Hello(_) => return Err(io::Error::other("a second hello")),
                ToRunner::Run(run) => {
                    self.queue.push(receiver.batch(run, envelope.payload)?);
                }
                ToRunner::Cancel(cancel) => {
                    self.queue.cancel(cancel.job, &cancel.by, &self.control);
                }
                ToRunner::Revoke(revoke) => {
                    self.outbox.push_returned(self.queue.revoke(&revoke));
                    flusher.unpark();
                }
            }
        }
        Ok(())
    }

    fn tick(&self, engine: &wasmtime::Engine, flusher: &Thread) {
        self.control.tick(engine, || {
            if self.outbox.is_late() {
                flusher.unpark();
            }
        });
    }

    /// Sends what others found late. Apart from them, since sending may wait for the agent.
    fn flush_late(&self) {
        while !self.control.is_stopped() {
            thread::park();
            if self.outbox.is_late() && self.outbox.flush().is_err() {
                return;
            }
        }
    }

    fn stop(&self, flusher: &Thread) {
        self.queue.close();
        self.control.stop();
        flusher.unpark();
    }

    /// Runs batches until the queue is closed.
    fn run(&self, machine: &mut Machine) -> io::Result<()> {
        let mut scratch = BytesMut::new();
        while let Some(batch) = self.queue.next_batch() {
            self.run_batch(machine, batch, &mut scratch)?;
            self.outbox.flush()?;
        }
        Ok(())
    }

    fn run_batch(
        &self,
        machine: &mut Machine,
        batch: ReceivedBatch,
        scratch: &mut BytesMut,
    ) -> io::Result<()> {
        let ReceivedBatch { run, payload, code, blobs } = batch;
        let module = machine.ready(&run.spec, code.as_fd(), &blobs);
        let spec = Arc::clone(&run.spec);
        let mut now_us = time::now_us();
        for (index, input) in (run.first..).zip(TaskInputs::new(run.inputs.clone(), payload)) {
            scratch.clear();
            let mut result = match (self.queue.begin(index, &self.control), &module) {
                (Step::Skip, _) => continue,
                (Step::Cancelled(by), _) => unrun(index, Outcome::Cancelled(by)),
                (Step::Run, Err(outcome)) => unrun(index, outcome.clone()),
                (Step::Run, Ok((module, blobs))) => {
                    let task = Task { index, spec: &spec, blobs: blobs.clone(), input };
                    self.run_task(machine, module, run.batch, task, now_us, scratch)
                }
            };
            let ended_us = time::now_us();
            result.usage.wall_us = ended_us.saturating_sub(now_us);
            now_us = ended_us;
            self.outbox.push(&run, result, scratch, now_us)?;
            if scratch.capacity() > SCRATCH_BYTES {
                *scratch = BytesMut::new();
            }
        }
        Ok(())
    }

    fn run_task(
        &self,
        machine: &Machine,
        module: &Module,
        batch: u64,
        task: Task<'_>,
        now_us: u64,
        scratch: &mut BytesMut,
    ) -> ResultMeta {
        let deadline_us = task.spec.limits.deadline.0.saturating_mul(1_000);
        self.control.begin(batch, task.index, now_us, deadline_us);
        let mut result = machine.run(module, task, &self.control, scratch);
        self.control.end();
        if let Some(by) = self.queue.end() {
            discard(&mut result, scratch, by);
        }
        result
    }
}
