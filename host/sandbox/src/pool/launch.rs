//! Starts a runner, as a process or as a thread, and talks with it. Both speak over a socket with
//! the same messages, so that nothing above this file knows which it is.

use std::{
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::{net::UnixStream as StdStream, process::ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    process::{Child, Command},
    task::spawn_blocking,
    time::timeout,
};
use wasmgrid_proto::{
    Grant,
    frame::{self, Envelope},
};

use super::{
    channel::Channel,
    config::{PoolConfig, real},
};
use crate::{
    Isolation, SandboxError,
    jail::{Layer, Report, cgroup::Cgroup, warden::Warden},
    program,
    run::board::Board,
    runner::{
        self,
        message::{FromRunner, ToRunner},
        socket::{KEPT_BYTES, frame_len, frame_rest, send_with, take_frame},
    },
    starter,
};

/// Read at once, about a flush of results.
const READ_BYTES: usize = 256 << 10;

/// A payload of so many bytes is not copied on its way to the runner.
const LARGE_BYTES: usize = 64 << 10;

/// For a runner to make its engine, enter its jail and start its threads: milliseconds, on however
/// busy a machine.
const READY_TIME: Duration = Duration::from_secs(30);

/// For a process whose socket is closed to be gone.
const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// A thread's stack: the guest's 512 KiB, and room for host functions below it.
const THREAD_STACK_BYTES: usize = 4 << 20;

/// A runner that was started.
pub(super) struct Runner {
    stream: Channel,
    buffer: BytesMut,
    frame: BytesMut,
    body: Body,
    standing: Standing,
    program: PathBuf,
    warden: Arc<Warden>,
    pub(super) board: Arc<Board>,
}

/// What a runner has said of itself.
enum Standing {
    Starting,
    /// It is in its jail and can run tasks.
    Ready,
    /// It cannot.
    Unfit(SandboxError),
}

enum Body {
    /// With its control group, where there are such; that goes after it.
    Process(Child, Option<Cgroup>),
    Thread(Option<JoinHandle<io::Result<()>>>),
}

impl Runner {
    /// Starts one and greets it.
    ///
    /// # Errors
    /// Where the system has no process, thread or memory for it.
    pub(super) async fn start(config: &PoolConfig) -> Result<Self, SandboxError> {
        let failed = |source| SandboxError::Start {
            program: config.program.clone(),
            role: program::RUNNER,
            source,
        };
        let board = Board::create().map_err(failed)?;
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let body = match config.isolation {
            Isolation::Process | Isolation::Task => {
                process(config, theirs).await.map_err(failed)?
            }
            Isolation::InProcess => thread(theirs).map_err(failed)?,
        };
        let body = confined(body, &config.warden).await?;
        let mut runner = Self {
            stream: Channel::new(ours).map_err(failed)?,
            buffer: BytesMut::new(),
            frame: BytesMut::new(),
            body,
            standing: Standing::Starting,
            program: config.program.clone(),
            warden: Arc::clone(&config.warden),
            board: Arc::new(board),
        };
        let board = Arc::clone(&runner.board);
        let hello = ToRunner::Hello(config.hello());
        // Where it does not listen, its end is seen by whoever reads from it next.
        let _ = runner.send_with(hello.into(), &[board.fd()]).await;
        Ok(runner)
    }

    /// Sends a message that brings no descriptor.
    pub(super) async fn send(&mut self, envelope: Envelope<ToRunner>) -> io::Result<()> {
        self.encode(&envelope)?;
        self.write().await
    }

    /// Sends a message that brings some.
    pub(super) async fn send_with(
        &mut self,
        mut envelope: Envelope<ToRunner>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        if let ToRunner::Run(run) = &mut envelope.message {
            // A spec is shared by all batches of a job: most have nothing to resolve.
            if !run.spec.grants.is_empty() {
                Arc::make_mut(&mut run.spec).grants.iter_mut().for_each(resolve);
            }
        }
        // A large payload is sent from where it is.
        let apart = envelope.payload.len() >= LARGE_BYTES;
        let mut payload = if apart { envelope.payload.clone() } else { Bytes::new() };
        if apart {
            self.frame.clear();
            frame::encode_head(&envelope, &mut self.frame).map_err(io::Error::other)?;
        } else {
            self.encode(&envelope)?;
        }
        let sent =
            self.stream.write_with(|socket| send_with(socket, &self.frame, descriptors)).await?;
        self.frame.advance(sent);
        self.write().await?;
        self.stream.write_all_buf(&mut payload).await
    }

    async fn write(&mut self) -> io::Result<()> {
        let length = self.frame.len();
        self.stream.write_all_buf(&mut self.frame).await?;
        if length > KEPT_BYTES {
            self.frame = BytesMut::new();
        }
        Ok(())
    }

    fn encode(&mut self, envelope: &Envelope<ToRunner>) -> io::Result<()> {
        self.frame.clear();
        frame::encode(envelope, &mut self.frame).map_err(io::Error::other)
    }

    /// The next message of tasks; `None` once the runner has ended, or is of no use. Cancel safe.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Envelope<FromRunner>>> {
        loop {
            match self.next().await? {
                Some(Envelope { message: FromRunner::Ready(_), .. }) => {}
                other => return Ok(other),
            }
        }
    }

    /// Waits until it can run tasks.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) async fn ready(&mut self) -> Result<(), SandboxError> {
        let heard = timeout(READY_TIME, async {
            while matches!(self.standing, Standing::Starting) {
                if !matches!(self.next().await, Ok(Some(_))) {
                    break;
                }
            }
        });
        match (heard.await, &self.standing) {
            (Ok(()), Standing::Ready) => Ok(()),
            (Ok(()), _) => Err(self.unfit().await),
            (Err(_), _) => {
                self.kill();
                let reason = format!("it was not ready within {READY_TIME:?}");
                Err(SandboxError::Child { role: program::RUNNER, reason })
            }
        }
    }

    /// Whether it has said that it can run tasks.
    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.standing, Standing::Ready)
    }

    /// Why it is of no use, as it says or as it has ended.
    pub(super) async fn unfit(&mut self) -> SandboxError {
        if let Standing::Unfit(error) = std::mem::replace(&mut self.standing, Standing::Starting) {
            return error;
        }
        let program = self.program.clone();
        match self.body.ended().await {
            Ended::OtherBuild => SandboxError::Build { program, role: program::RUNNER },
            Ended::So(reason) => SandboxError::Child { role: program::RUNNER, reason },
        }
    }

    async fn next(&mut self) -> io::Result<Option<Envelope<FromRunner>>> {
        loop {
            if let Some(length) = frame_len(&self.buffer)? {
                let frame = take_frame(&mut self.buffer, length);
                let envelope = frame::decode::<FromRunner>(frame).map_err(io::Error::other)?;
                if let Some(envelope) = envelope {
                    return Ok(self.hear(&envelope.message).then_some(envelope));
                }
            } else {
                let rest = frame_rest(&self.buffer)?;
                if rest == 0 || self.buffer.capacity() - self.buffer.len() < rest {
                    self.buffer.reserve(rest.max(READ_BYTES));
                }
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Ok(None);
                }
            }
        }
    }

    /// Its process; `None` for a thread, and for what has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        match &self.body {
            Body::Process(child, _) => child.id(),
            Body::Thread(_) => None,
        }
    }

    /// Hears what it says of itself; false where that was its last word. What it says later than
    /// first it is not believed: by then a guest may speak for it.
    fn hear(&mut self, message: &FromRunner) -> bool {
        if !matches!(self.standing, Standing::Starting) {
            return !matches!(message, FromRunner::Unfit(_));
        }
        self.standing = match message {
            FromRunner::Ready(report) => match self.jailed(report.clone()) {
                Ok(()) => Standing::Ready,
                Err(error) => Standing::Unfit(error),
            },
            FromRunner::Unfit(unfit) => Standing::Unfit(unfit.clone().error(program::RUNNER)),
            FromRunner::Results(_) | FromRunner::Returned(_) => return false,
        };
        self.is_ready()
    }

    /// Hears of the runner's jail. The runner itself has stopped where that is not enough.
    fn jailed(&self, mut report: Report) -> Result<(), SandboxError> {
        if matches!(self.body, Body::Process(_, Some(_))) {
            report.entered.push(Layer::Cgroup);
        }
        self.warden.hear(&report)
    }

    /// Ends a runner that does not answer; a thread can only be asked to, by closing its socket.
    pub(super) fn kill(&mut self) {
        if let Body::Process(child, _) = &mut self.body {
            // It may be gone already.
            let _ = child.start_kill();
        }
    }

    /// Waits for its end, and says what it was.
    pub(super) async fn end(self) -> String {
        let Self { stream, mut body, .. } = self;
        drop(stream);
        match body.ended().await {
            Ended::So(how) => how,
            Ended::OtherBuild => "runner is of another build".into(),
        }
    }
}

/// How a runner has ended.
enum Ended {
    OtherBuild,
    So(String),
}

impl Body {
    /// Waits for the end of one whose socket is closed, on either side.
    async fn ended(&mut self) -> Ended {
        Ended::So(match self {
            Self::Process(child, _) => match timeout(GOODBYE_TIME, child.wait()).await {
                Ok(Ok(status)) if program::is_other_build(status) => return Ended::OtherBuild,
                Ok(Ok(status)) => describe(status),
                Ok(Err(error)) => format!("runner died, how is not known: {error}"),
                Err(_) => {
                    let _ = child.kill().await;
                    "runner closed its socket and had to be killed".into()
                }
            },
            Self::Thread(thread) => join(thread.take()).await,
        })
    }
}

/// Names a granted directory by its real path: a runner in its jail can follow no link to it.
fn resolve(grant: &mut Grant) {
    if let Grant::Dir { host, .. } = grant {
        // One that is gone is missed by the runner, by the name it was granted under.
        if let Some(real) = real(Path::new(host)) {
            *host = real;
        }
    }
}

async fn process(config: &PoolConfig, socket: StdStream) -> io::Result<Body> {
    let mut command = Command::from(program::command(&config.program, program::RUNNER));
    command
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        // A signal from the terminal is for the agent alone, which then drains its runners.
        .process_group(0)
        .kill_on_drop(true);
    Ok(Body::Process(starter::start(command).await?, None))
}

/// Puts a process into its control group, before it was told anything. That takes the kernel up to
/// 15 ms, in which a thread that drives slots has better things to do.
async fn confined(body: Body, warden: &Arc<Warden>) -> Result<Body, SandboxError> {
    let Body::Process(child, None) = body else { return Ok(body) };
    // It has an id until it was waited for.
    let Some(id) = child.id() else { return Ok(Body::Process(child, None)) };
    let warden = Arc::clone(warden);
    let confined = spawn_blocking(move || warden.confine(id)).await;
    let group = confined.unwrap_or(Err(SandboxError::Stopped))?;
    Ok(Body::Process(child, group))
}

fn thread(socket: StdStream) -> io::Result<Body> {
    let thread = std::thread::Builder::new()
        .name("wasmgrid-runner".into())
        .stack_size(THREAD_STACK_BYTES)
        .spawn(move || runner::serve(socket, None, || {}))?;
    Ok(Body::Thread(Some(thread)))
}

async fn join(thread: Option<JoinHandle<io::Result<()>>>) -> String {
    let Some(thread) = thread else { return "runner thread ended".into() };
    match spawn_blocking(move || thread.join()).await {
        Ok(Ok(Ok(()))) => "runner thread ended".into(),
        Ok(Ok(Err(error))) => format!("runner thread ended: {error}"),
        _ => "runner thread panicked".into(),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("runner died by signal {signal}"),
        (None, Some(code)) => format!("runner ended with exit code {code}"),
        (None, None) => "runner ended".into(),
    }
}
