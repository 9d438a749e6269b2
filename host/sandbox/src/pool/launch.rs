//! Starts a runner, as a process or as a thread, and talks with it. Both speak over a socket with
//! the same messages, so that nothing above this file knows which it is.

use std::{
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{net::UnixStream as StdStream, process::ExitStatusExt as _},
    },
    process::{ExitStatus, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};
use wasmgrid_proto::frame::{self, Envelope};

use super::PoolConfig;
use crate::{
    Isolation, SandboxError,
    run::board::Board,
    runner::{
        self,
        message::{FromRunner, ToRunner},
        socket::{KEPT_BYTES, frame_len, send_with, take_frame},
    },
};

/// The hidden subcommand.
const ROLE: &str = "runner";

/// Read at once, about a flush of results.
const READ_BYTES: usize = 256 << 10;

/// For a process whose socket is closed to be gone.
const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// A thread's stack: the guest's 512 KiB, and room for host functions below it.
const THREAD_STACK_BYTES: usize = 4 << 20;

/// A runner that was started.
pub(super) struct Runner {
    stream: UnixStream,
    buffer: BytesMut,
    frame: BytesMut,
    body: Body,
    pub(super) board: Arc<Board>,
}

enum Body {
    Process(Child),
    Thread(Option<JoinHandle<io::Result<()>>>),
}

impl Runner {
    /// Starts one and greets it.
    ///
    /// # Errors
    /// Where the system has no process, thread or memory for it.
    pub(super) async fn start(config: &PoolConfig) -> Result<Self, SandboxError> {
        let failed =
            |source| SandboxError::Start { program: config.program.clone(), role: ROLE, source };
        let board = Board::create().map_err(failed)?;
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let body = match config.isolation {
            Isolation::Process | Isolation::Task => process(config, theirs),
            Isolation::InProcess => thread(theirs),
        };
        let mut runner = Self {
            stream: UnixStream::from_std(ours).map_err(failed)?,
            buffer: BytesMut::new(),
            frame: BytesMut::new(),
            body: body.map_err(failed)?,
            board: Arc::new(board),
        };
        let board = Arc::clone(&runner.board);
        let hello = ToRunner::Hello(config.hello());
        // Where it does not listen, its end is seen by whoever reads from it next.
        let _ = runner.send_with(hello.into(), board.fd()).await;
        Ok(runner)
    }

    /// Sends a message that brings no descriptor.
    pub(super) async fn send(&mut self, envelope: Envelope<ToRunner>) -> io::Result<()> {
        self.encode(&envelope)?;
        self.write().await
    }

    /// Sends a message that brings one.
    pub(super) async fn send_with(
        &mut self,
        envelope: Envelope<ToRunner>,
        descriptor: BorrowedFd<'_>,
    ) -> io::Result<()> {
        self.encode(&envelope)?;
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, || {
                send_with(self.stream.as_fd(), &self.frame, descriptor)
            })
            .await?;
        self.frame.advance(sent);
        self.write().await
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

    /// The next message; `None` once the runner has ended. Cancel safe.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Envelope<FromRunner>>> {
        loop {
            if let Some(length) = frame_len(&self.buffer)? {
                let frame = take_frame(&mut self.buffer, length);
                if let Some(envelope) = frame::decode(frame).map_err(io::Error::other)? {
                    return Ok(Some(envelope));
                }
            } else {
                self.buffer.reserve(READ_BYTES);
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Ok(None);
                }
            }
        }
    }

    /// Its process; `None` for a thread, and for what has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        match &self.body {
            Body::Process(child) => child.id(),
            Body::Thread(_) => None,
        }
    }

    /// Ends a runner that does not answer; a thread can only be asked to, by closing its socket.
    pub(super) fn kill(&mut self) {
        if let Body::Process(child) = &mut self.body {
            // It may be gone already.
            let _ = child.start_kill();
        }
    }

    /// Waits for its end, and says what it was.
    pub(super) async fn end(self) -> String {
        drop(self.stream);
        match self.body {
            Body::Process(mut child) => match timeout(GOODBYE_TIME, child.wait()).await {
                Ok(Ok(status)) => describe(status),
                Ok(Err(error)) => format!("runner died, how is not known: {error}"),
                Err(_) => {
                    let _ = child.kill().await;
                    "runner closed its socket and had to be killed".into()
                }
            },
            Body::Thread(thread) => join(thread).await,
        }
    }
}

/// The C library otherwise keeps up to 64 MiB for good after one large allocation was freed: with
/// these, what is over a MiB goes back to the system, and so does what is free above 2 MiB.
const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "2097152")];

fn process(config: &PoolConfig, socket: StdStream) -> io::Result<Body> {
    let child = Command::new(&config.program)
        .arg(ROLE)
        .env_clear()
        .envs(ALLOCATOR)
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        // A signal from the terminal is for the agent alone, which then drains its runners.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok(Body::Process(child))
}

fn thread(socket: StdStream) -> io::Result<Body> {
    let thread = std::thread::Builder::new()
        .name("wasmgrid-runner".into())
        .stack_size(THREAD_STACK_BYTES)
        .spawn(move || runner::serve(socket, || {}))?;
    Ok(Body::Thread(Some(thread)))
}

async fn join(thread: Option<JoinHandle<io::Result<()>>>) -> String {
    let Some(thread) = thread else { return "runner thread ended".into() };
    match tokio::task::spawn_blocking(move || thread.join()).await {
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
