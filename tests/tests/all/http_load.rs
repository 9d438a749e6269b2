//! The HTTP interface of real processes under load: many senders, slow readers, callers that say half of
//! what they should, and a scheduler that is killed under its readers.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};
use wasmgrid_proto::Digest;
use wasmgrid_tests::{Daemon, Grid, Home, PATIENCE, guest, memory_bytes, signal, wait_until};

use crate::http::{Web, joined};

/// A gateway, and who asks it.
struct Gateway {
    daemon: Daemon,
    address: String,
    /// Keys, by their tenants.
    keys: BTreeMap<&'static str, String>,
    _machine: Home,
}

impl Gateway {
    fn start(grid: &Grid, tenants: &[&'static str]) -> Self {
        let machine = joined(grid);
        let mut daemon = Daemon::start(machine.command(["gateway", "--http", "127.0.0.1:0"]));
        let web = Web::of(&mut daemon, String::new());
        let address = web.url.trim_start_matches("http://").to_owned();
        let key = |tenant: &&'static str| {
            let key = grid.run(&["key", "create", "--tenant", tenant, "--role", "client"]);
            (*tenant, key.ok().trim().to_owned())
        };
        Self { daemon, address, keys: tenants.iter().map(key).collect(), _machine: machine }
    }

    /// The head of a request. An answer to HTTP/1.0 ends with its connection and has no other marks.
    fn head(&self, tenant: &str, request: &str) -> String {
        format!(
            "{request} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n",
            self.keys[tenant]
        )
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream
    }

    /// Sends a request whose answer is not read.
    fn send(&self, tenant: &str, request: &str, kind: &str, body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let head = self.head(tenant, request);
        let length = body.len();
        let head = format!("{head}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        // It may refuse the request before it has read its body.
        let _ = stream.write_all(body);
        stream
    }

    fn get(&self, tenant: &str, path: &str) -> TcpStream {
        self.send(tenant, &format!("GET {path}"), "text/plain", b"")
    }

    /// The status and the body of an answer.
    fn ask(&self, tenant: &str, request: &str, kind: &str, body: &[u8]) -> (u16, String) {
        let mut answer = String::new();
        let mut stream = self.send(tenant, request, kind, body);
        stream.read_to_string(&mut answer).expect("whole");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (status(head), body.to_owned())
    }

    fn json(&self, tenant: &str, request: &str, kind: &str, body: &[u8]) -> Value {
        let (status, text) = self.ask(tenant, request, kind, body);
        assert!((200..300).contains(&status), "{request}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Gives a tenant the module that gives each input back, and says how it is run.
    fn spec(&self, tenant: &str) -> Value {
        let module = std::fs::read(guest("echo")).expect("a guest");
        let digest = Digest::of(&module).to_string();
        self.json(tenant, &format!("PUT /v1/modules/{digest}"), "application/wasm", &module);
        json!({ "module": digest, "limits": { "output_bytes": 64 << 20 } })
    }

    /// The same as a function.
    fn deploy_echo(&self, tenant: &str) {
        let function = json!({ "spec": self.spec(tenant) }).to_string();
        let path = "PUT /v1/functions/echo";
        self.json(tenant, path, "application/json", function.as_bytes());
    }

    /// Makes an open job of it.
    fn echo(&self, tenant: &str) -> String {
        let spec = self.spec(tenant).to_string();
        let job = self.json(tenant, "POST /v1/jobs", "application/json", spec.as_bytes());
        format!("/v1/jobs/{}", job["id"])
    }

    fn append(&self, tenant: &str, job: &str, kind: &str, body: &[u8]) -> Value {
        self.json(tenant, &format!("POST {job}/inputs"), kind, body)
    }

    /// Waits until a job has so many results.
    fn wait_for_results(&self, tenant: &str, job: &str, count: usize) {
        wait_until("its results", || {
            self.json(tenant, &format!("GET {job}"), "text/plain", b"")["results"] == json!(count)
        });
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
}

/// Reads the head of an answer, and gives its status and the rest.
fn answered(stream: TcpStream) -> (u16, BufReader<TcpStream>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("an answer") > 0, "{head}");
    }
    (status(&head), reader)
}

#[test]
fn the_lines_of_many_senders_at_once_are_each_appended_once() {
    const SENDERS: usize = 64;
    const LINES: usize = 50;
    let grid = Grid::start(1, 2);
    let gateway = Gateway::start(&grid, &["ada"]);
    let job = gateway.echo("ada");
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (gateway, job) = (&gateway, &job);
            scope.spawn(move || {
                let lines: String = (0..LINES).map(|n| format!("{sender} {n}\n")).collect();
                let appended = gateway.append("ada", job, "text/plain", lines.as_bytes());
                assert_eq!(appended["count"], json!(LINES));
            });
        }
    });
    gateway.wait_for_results("ada", &job, SENDERS * LINES);
    let (_, all) = gateway.ask("ada", &format!("GET {job}/results?format=lines"), "", b"");
    let mut found: Vec<&str> = all.lines().collect();
    found.sort_unstable();
    let sent = (0..SENDERS).flat_map(|sender| (0..LINES).map(move |n| format!("{sender} {n}")));
    let mut sent: Vec<String> = sent.collect();
    sent.sort_unstable();
    assert_eq!(found, sent);
}

#[test]
fn a_thousand_streams_that_wait_take_little_of_a_gateways_memory() {
    const STREAMS: u64 = 1_000;
    const EACH: u64 = 40 << 10;
    if !may_open(3 * STREAMS) {
        return;
    }
    let grid = Grid::start(0, 0);
    let gateway = Gateway::start(&grid, &["ada"]);
    let job = gateway.echo("ada");
    let path = format!("{job}/results?follow=true");
    let follow = || {
        let (status, reader) = answered(gateway.get("ada", &path));
        assert_eq!(status, 200);
        reader.into_inner()
    };
    // What the first one needs is not what each needs.
    let first = follow();
    let before = memory_bytes(gateway.daemon.pid());
    let streams: Vec<TcpStream> = (1..STREAMS).map(|_| follow()).collect();
    let each = memory_bytes(gateway.daemon.pid()).saturating_sub(before) / (STREAMS - 1);
    assert!(each < EACH, "{each} bytes each");
    drop((first, streams));
}

/// Has this process, and those that it starts, open so many files; false if it may not.
fn may_open(files: u64) -> bool {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < files) {
        println!("skipped: a process here opens fewer than {files} files");
        return false;
    }
    if limit.current.is_some_and(|now| now < files) {
        limit.current = Some(files);
        setrlimit(Resource::Nofile, limit).expect("less than the most");
    }
    true
}

/// True if bytes of an answer's body have come.
fn has_begun(stream: &TcpStream) -> bool {
    let mut beginning = [0; 4_096];
    stream.set_nonblocking(true).expect("open");
    let length = stream.peek(&mut beginning).unwrap_or_default();
    stream.set_nonblocking(false).expect("open");
    let text = String::from_utf8_lossy(&beginning[..length]);
    text.split_once("\r\n\r\n").is_some_and(|(_, body)| !body.is_empty())
}

#[test]
fn slow_readers_of_large_answers_take_a_bounded_part_and_leave_others_theirs() {
    const LARGE: usize = 32 << 20;
    const EACH: usize = 4;
    // A tenant's share of 128 MiB, what is on its way, and what allocators keep.
    const MOST: u64 = 448 << 20;
    let grid = Grid::start(1, 2);
    let gateway = Gateway::start(&grid, &["ada", "ben"]);
    let (large, small) = (gateway.echo("ada"), gateway.echo("ben"));
    // No text: it becomes base64.
    gateway.append("ada", &large, "application/octet-stream", &vec![0xff; LARGE]);
    gateway.append("ben", &small, "text/plain", b"short");
    gateway.wait_for_results("ada", &large, 1);
    gateway.wait_for_results("ben", &small, 1);
    gateway.deploy_echo("ada");
    let paths =
        ["results", "results?format=raw", "results?inputs=true", "tasks/0", "tasks/0/output"]
            .map(|path| format!("{large}/{path}"));
    // They read nothing of it.
    let readers: Vec<TcpStream> =
        (0..EACH).flat_map(|_| &paths).map(|path| gateway.get("ada", path)).collect();
    let (mut most, mut output) = (0, None);
    wait_until("all that there is room for", || {
        // Another tenant is answered all the while.
        let (status, text) = gateway.ask("ben", &format!("GET {small}/results"), "", b"");
        assert_eq!((status, text.contains("short")), (200, true), "{text}");
        most = most.max(memory_bytes(gateway.daemon.pid()));
        // A call's output has no room then, and is told where it is.
        let (status, text) = gateway.ask("ada", "POST /v1/functions/echo", "", &[b'x'; 1 << 17]);
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        output = problem["output"].as_str().map(str::to_owned);
        status == 429 || readers.iter().all(has_begun)
    });
    most = most.max(memory_bytes(gateway.daemon.pid()));
    assert!(most < MOST, "{} MiB", most >> 20);
    let scheduler = memory_bytes(grid.scheduler.pid());
    assert!(scheduler < MOST, "{} MiB", scheduler >> 20);
    // Those who take what they asked for have it whole, in turns.
    thread::scope(|scope| {
        for reader in readers {
            scope.spawn(move || {
                let (status, mut body) = answered(reader);
                let (mut bytes, mut buffer) = (0, vec![0; 1 << 20]);
                while let read @ 1.. = body.read(&mut buffer).expect("whole") {
                    bytes += read;
                }
                assert!(status == 200 && bytes >= LARGE, "{status}: {bytes} bytes");
            });
        }
    });
    let output = output.expect("there was no room");
    let (status, text) = gateway.ask("ada", &format!("GET {output}"), "", b"");
    assert_eq!((status, text.len()), (200, 1 << 17));
}

#[test]
fn who_sends_half_a_head_or_half_a_body_is_cut_off() {
    const MANY: usize = 32;
    let grid = Grid::start(0, 0);
    let gateway = Gateway::start(&grid, &["ada"]);
    let head = gateway.head("ada", &format!("PUT /v1/modules/{}", "0".repeat(64)));
    let body = format!("{head}Content-Length: 1000\r\n\r\nhalf of i");
    let halves = [head, body];
    let open: Vec<TcpStream> = (0..MANY)
        .flat_map(|_| &halves)
        .map(|half| {
            let mut stream = gateway.connect();
            stream.write_all(half.as_bytes()).expect("it reads");
            stream
        })
        .collect();
    // Meanwhile others are answered.
    assert_eq!(gateway.ask("ada", "GET /v1/jobs", "", b"").0, 200);
    for mut stream in open {
        let mut answer = Vec::new();
        // A connection that is cut is over, too; one that stays open is an error here.
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");
    }
}

/// The most that a gateway holds meanwhile.
fn most_memory(gateway: &Gateway, what: impl FnOnce()) -> u64 {
    let (over, is_over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut most = 0;
            while is_over.try_recv() == Err(mpsc::TryRecvError::Empty) {
                most = most.max(memory_bytes(gateway.daemon.pid()));
            }
            most
        });
        what();
        drop(over);
        watch.join().expect("no panic")
    })
}

#[test]
fn specs_of_many_inputs_and_callers_who_leave_take_a_bounded_part_of_memory() {
    const MOST: u64 = 448 << 20;
    let grid = Grid::start(1, 2);
    let gateway = Gateway::start(&grid, &["ada"]);
    gateway.echo("ada");
    // 8 MiB of JSON with as many inputs as it can have.
    let module = "0".repeat(64);
    let spec = format!(r#"{{"module":"{module}","inputs":[{}""]}}"#, r#""","#.repeat(2_790_000));
    let most = most_memory(&gateway, || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let kind = "application/json";
                    let (status, text) = gateway.ask("ada", "POST /v1/jobs", kind, spec.as_bytes());
                    assert!((400..500).contains(&status), "{status} {text}");
                });
            }
        });
    });
    assert!(most < MOST, "{} MiB", most >> 20);
    // Each leaves as soon as its call was sent.
    gateway.deploy_echo("ada");
    let input = vec![b'x'; 48 << 20];
    let call = |input: &[u8]| gateway.ask("ada", "POST /v1/functions/echo", "", input);
    assert_eq!(call(b"first").0, 200);
    // What is sent on meanwhile is nothing.
    signal(grid.scheduler.pid(), libc::SIGSTOP);
    let most = most_memory(&gateway, || {
        for _ in 0..24 {
            drop(gateway.send("ada", "POST /v1/functions/echo", "text/plain", &input));
        }
    });
    signal(grid.scheduler.pid(), libc::SIGCONT);
    assert!(most < MOST, "{} MiB", most >> 20);
    // There is room again for who stays.
    wait_until("an answer", || call(&input).0 == 200);
}

/// Reads results from a cursor on until there are so many, with a new request whenever one ends.
fn read_on(gateway: &Gateway, job: &str, count: usize) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    while all.len() < count {
        let path = format!("{job}/results?follow=true&cursor={}", all.len());
        let (status, reader) = answered(gateway.get("ada", &path));
        // The scheduler may be away.
        if status != 200 {
            continue;
        }
        for line in reader.split(b'\n').map_while(Result::ok) {
            // A line that was cut is not taken.
            let Ok(line) = serde_json::from_slice(&line) else { break };
            all.push(line);
            if all.len() == count {
                break;
            }
        }
    }
    all
}

#[test]
fn readers_lose_nothing_and_have_nothing_twice_when_the_scheduler_is_killed() {
    const READERS: usize = 8;
    const LINES: usize = 400;
    let mut grid = Grid::start(1, 2);
    let gateway = Gateway::start(&grid, &["ada"]);
    let job = gateway.echo("ada");
    let lines = |from: usize| -> String {
        (from..from + LINES).map(|n| format!("{n:05} {}\n", "x".repeat(1_000))).collect()
    };
    thread::scope(|scope| {
        let (gateway, job) = (&gateway, &job);
        let read = |_| scope.spawn(move || read_on(gateway, job, 3 * LINES));
        let readers: Vec<_> = (0..READERS).map(read).collect();
        gateway.append("ada", job, "text/plain", lines(0).as_bytes());
        for round in 1..3 {
            grid.kill_scheduler();
            grid.restart_scheduler();
            grid.wait_for_worker("w1", "ready");
            gateway.append("ada", job, "text/plain", lines(round * LINES).as_bytes());
        }
        for reader in readers {
            let all = reader.join().expect("no panic");
            let cursors: Vec<_> = all.iter().map(|line| line["cursor"].as_u64()).collect();
            assert_eq!(cursors, (0..3 * LINES as u64).map(Some).collect::<Vec<_>>());
            let mut tasks: Vec<_> = all.iter().map(|line| line["index"].as_u64()).collect();
            tasks.sort_unstable();
            tasks.dedup();
            assert_eq!(tasks.len(), 3 * LINES);
        }
    });
}
