//! A scheduler that keeps nothing: the server over its store in memory and over QUIC, as a process,
//! with a worker. The command line has none: there a grid over QUIC is durable, and one in memory
//! has no QUIC.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
};

use wasmgrid_net::{Authority, Listener, ListenerConfig, Role};
use wasmgrid_proto::{Millis, TokenGives, wire::TokenRequest};
use wasmgrid_sandbox::{Caps, admit};
use wasmgrid_server::{Admission, Admit, Blocking, Enrollment, Server, ServerConfig};
use wasmgrid_store::MemoryStore;
use wasmgrid_tests::{Daemon, Home, wait_until};

use crate::calls;

/// The argument by which the benchmark starts itself as this.
pub const ROLE: &str = "scheduler-in-memory";

/// What it says once it listens.
const LISTENS: &str = "listens";

/// Such a grid, with one worker of one slot. All of it ends with the value.
pub struct InMemory {
    /// Where the scheduler listens.
    pub address: String,
    home: Home,
    _worker: Daemon,
    _scheduler: Daemon,
}

impl InMemory {
    /// Starts it, and waits until the worker has joined.
    pub fn start() -> Self {
        let home = Home::new();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let address = socket.local_addr().expect("it is bound").to_string();
        drop(socket);
        let mut command = Command::new(std::env::current_exe().expect("this is one"));
        command.arg(ROLE).arg(home.path()).arg(&address);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut scheduler = Daemon::start(command);
        scheduler.hear("it to listen", |line| (line == LISTENS).then_some(()));
        let runtime = calls::runtime();
        let ca = home.path().join("ca");
        let operator = runtime.block_on(calls::connect(&ca, &address, Role::Operator, "bench"));
        let request = TokenRequest { role: Role::Worker, ttl: Millis(60_000), uses: 1 };
        let token = runtime
            .block_on(operator.create_token(request, TokenGives::default()))
            .expect("an operator may");
        let worker = Daemon::start(home.command(["join", &token, "--name", "w1", "--slots", "1"]));
        wait_until("the worker to join", || {
            let workers = runtime.block_on(operator.workers());
            workers.is_ok_and(|workers| !workers.is_empty())
        });
        runtime.block_on(operator.shutdown());
        Self { address, home, _worker: worker, _scheduler: scheduler }
    }

    /// Where its authority is.
    pub fn ca(&self) -> PathBuf {
        self.home.path().join("ca")
    }
}

/// Runs it until it is killed.
pub fn serve(folder: &Path, address: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // As the command line has it: half of the cores.
        .worker_threads(crate::machine::cores().div_ceil(2))
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let ca = folder.join("ca");
        fs::create_dir_all(&ca).expect("a folder");
        let authority = Arc::new(Authority::create("bench", &ca).expect("an authority"));
        let validity = Authority::MEMBER_VALIDITY;
        let credentials = authority.issue(Role::Scheduler, "scheduler", validity);
        let socket: SocketAddr = address.parse().expect("an address");
        let listener =
            Listener::bind(socket, &credentials.expect("a certificate"), ListenerConfig::default());
        let mut config = ServerConfig::new("bench");
        let addresses = vec![address.to_owned()];
        // As the grid within `wasmgrid run` has it, whose store is in memory too.
        config.blocking = Blocking::Memory;
        config.enrollment = Some(Enrollment { authority, addresses, validity });
        let store = Box::new(MemoryStore::without_journal());
        let server = Server::start(config, store, admission()).expect("it starts");
        server.handle().serve(listener.expect("the port is free"));
        println!("{LISTENS}");
        eprintln!("{}", server.failed().await);
        ExitCode::FAILURE
    })
}

fn admission() -> Admission {
    let caps = Caps::default();
    Admission {
        admit: Admit::Here(Arc::new(move |bytes| admit::admit(bytes, &caps))),
        check_task: Arc::new(admit::check_task),
    }
}
