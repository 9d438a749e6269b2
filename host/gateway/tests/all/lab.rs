//! A grid with a gateway, and a client of HTTP.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmgrid_client::{Client, ClientError};
use wasmgrid_gateway::{ActFor, Asked, CheckedKey, Gateway, GatewayConfig, Grid, KeyText, Site};
use wasmgrid_net::{Identity, NetError, Role, in_process};
use wasmgrid_proto::{Digest, ModuleInfo, ModuleKind, Refusal};
use wasmgrid_server::{Admission, Admit, Server, ServerConfig, ServerHandle};
use wasmgrid_store::{MemoryStore, Store};

/// Only reached if a test fails.
pub const NEVER: Duration = Duration::from_secs(120);

/// A module that is accepted as a task.
pub const MODULE: &[u8] = b"a module";

/// One that is accepted as a command.
pub const COMMAND: &[u8] = b"a command";

/// One that is refused.
pub const BAD: &[u8] = b"no module";

/// Keys: of an operator, and of two tenants.
pub const OPERATOR: &str = "wgk1_00000000000000aa_operators";
pub const ADA: &str = "wgk1_00000000000000ad_adas";
pub const BEN: &str = "wgk1_00000000000000be_bens";

/// How a gateway reaches the scheduler of a test.
pub struct TestGrid {
    server: ServerHandle,
    keys: Mutex<BTreeMap<&'static str, ActFor>>,
    /// How often the scheduler was asked about a key.
    pub checks: AtomicUsize,
}

impl TestGrid {
    fn new(server: ServerHandle) -> Self {
        let act_for = |role, tenant: &str| ActFor {
            tenant: tenant.into(),
            role,
            name: format!("{tenant}'s key").into(),
        };
        let keys = BTreeMap::from([
            (OPERATOR, act_for(Role::Operator, "olga")),
            (ADA, act_for(Role::Client, "ada")),
            (BEN, act_for(Role::Client, "ben")),
        ]);
        Self { server, keys: Mutex::new(keys), checks: AtomicUsize::new(0) }
    }

    /// A key is good no more.
    pub fn revoke(&self, key: &str) {
        self.keys.lock().expect("no panic").remove(key);
    }

    fn dial(&self, role: Role, name: &str) -> Asked<'static, Client> {
        let identity = |role, name: &str| Identity::new("lab", role, name).expect("a name");
        let (own, scheduler) = (identity(role, name), identity(Role::Scheduler, "s"));
        let server = self.server.clone();
        let dial = move || {
            let (ours, theirs) = in_process(own.clone(), scheduler.clone());
            server.client(theirs);
            async move { Ok::<_, NetError>(ours) }
        };
        Box::pin(Client::connect_with(wasmgrid_gateway::client_config(), dial))
    }
}

impl Grid for TestGrid {
    fn own(&self) -> Asked<'_, Client> {
        self.dial(Role::Operator, "gateway")
    }

    fn acting(&self, act_for: ActFor) -> Asked<'_, Client> {
        self.dial(act_for.role, &act_for.tenant)
    }

    fn check_key(&self, key: KeyText) -> Asked<'_, Option<CheckedKey>> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        let text = format!("wgk1_{}_{}", key.id, key.secret);
        let found = self.keys.lock().expect("no panic").get(text.as_str()).cloned();
        let found = found.map(|act_for| CheckedKey { id: key.id, act_for, expires: None });
        Box::pin(async move { Ok::<_, ClientError>(found) })
    }
}

/// A grid with a gateway.
pub struct Lab {
    pub server: Server,
    pub grid: Arc<TestGrid>,
    pub address: SocketAddr,
    /// Ends the gateway.
    pub stop: CancellationToken,
    pub serving: JoinHandle<()>,
    _stop_on_drop: DropGuard,
}

impl Lab {
    pub async fn start() -> Self {
        Self::start_on(Box::new(MemoryStore::default())).await
    }

    pub async fn start_on(store: Box<dyn Store>) -> Self {
        let server = Server::start(ServerConfig::new("lab"), store, admission()).expect("starts");
        let grid = Arc::new(TestGrid::new(server.handle()));
        let site = Site { grid: "lab".into(), is_plain: true, ..Site::default() };
        let config = GatewayConfig { hosts: vec!["grid.example".into()], site };
        let gateway = Gateway::new(config, Arc::clone(&grid) as Arc<dyn Grid>);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let stop = CancellationToken::new();
        let until = stop.clone();
        let serving = tokio::spawn(async move { gateway.serve(listener, None, until).await });
        let _stop_on_drop = stop.clone().drop_guard();
        Self { server, grid, address, stop, serving, _stop_on_drop }
    }

    /// A request with a key.
    pub fn request(&self, method: Method, path: &str, key: &str) -> hyper::http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", self.address.to_string());
        if key.is_empty() {
            request
        } else {
            request.header("authorization", format!("Bearer {key}"))
        }
    }

    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Sends a request on a connection of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let io = TokioIo::new(self.tcp().await);
        let (mut sender, connection) = http1::handshake(io).await.expect("a connection");
        tokio::spawn(connection);
        let sent = tokio::time::timeout(NEVER, sender.send_request(request)).await;
        sent.expect("in time").expect("an answer")
    }

    /// The same over HTTP/2, as a client that knows that it is spoken here.
    pub async fn send_h2(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let io = TokioIo::new(self.tcp().await);
        let handshake = http2::handshake(TokioExecutor::new(), io).await;
        let (mut sender, connection) = handshake.expect("a connection");
        tokio::spawn(connection);
        sender.send_request(request).await.expect("an answer")
    }

    /// The answer to a request, whole.
    pub async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::of(self.send(request).await).await
    }

    pub async fn get(&self, path: &str, key: &str) -> Answer {
        self.ask(self.request(Method::GET, path, key).body(Full::default()).expect("valid")).await
    }

    pub async fn post(&self, path: &str, key: &str, kind: &str, body: impl Into<Bytes>) -> Answer {
        let request = self.request(Method::POST, path, key).header("content-type", kind);
        self.ask(request.body(Full::new(body.into())).expect("valid")).await
    }

    pub async fn put_module(&self, key: &str, module: &'static [u8]) -> Answer {
        let path = format!("/v1/modules/{}", Digest::of(module));
        let request = self.request(Method::PUT, &path, key);
        self.ask(request.body(Full::new(Bytes::from_static(module))).expect("valid")).await
    }

    /// Makes a job with the module; `more` are fields of its spec. Gives its path.
    pub async fn submit(&self, key: &str, more: Value) -> String {
        self.put_module(key, MODULE).await;
        let mut spec = json!({ "module": Digest::of(MODULE).to_string() });
        let fields = more.as_object().expect("an object").clone();
        spec.as_object_mut().expect("an object").extend(fields);
        let made = self.post("/v1/jobs", key, "application/json", spec.to_string()).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.headers["location"].clone()
    }

    /// Waits until the job at a path has ended, and gives it.
    pub async fn ended(&self, path: &str, key: &str) -> Value {
        let begun = tokio::time::Instant::now();
        loop {
            let job = self.get(path, key).await.json();
            if job["state"] != "active" {
                return job;
            }
            assert!(begun.elapsed() < NEVER, "{job}");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the gateway has ended.
    pub async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(NEVER, self.serving).await.expect("in time").expect("no panic");
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Answer {
    pub async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let header = |(name, value): (&hyper::http::HeaderName, &hyper::http::HeaderValue)| {
            (name.to_string(), value.to_str().expect("text").to_owned())
        };
        let headers = head.headers.iter().map(header).collect();
        let body = tokio::time::timeout(NEVER, body.collect()).await.expect("in time");
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Self { status: head.status.as_u16(), headers, body }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The objects of a stream, a line each.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// It is a problem with this status and code.
    pub fn is(&self, status: StatusCode, code: &str) {
        assert_eq!(self.status, status.as_u16(), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status.as_u16());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
    }
}

fn admission() -> Admission {
    let admit = |bytes: &[u8]| {
        if bytes == BAD {
            return Err(Refusal::NotATask { found: "a stone".into() });
        }
        let kind = if bytes == COMMAND { ModuleKind::Command } else { ModuleKind::Task };
        Ok(ModuleInfo {
            digest: Digest::of(bytes),
            size_bytes: bytes.len() as u64,
            kind,
            imports: Vec::new(),
            exports: Vec::new(),
        })
    };
    Admission { admit: Admit::Here(Arc::new(admit)), check_task: Arc::new(|_, _| Ok(())) }
}
