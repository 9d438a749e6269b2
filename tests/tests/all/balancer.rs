//! Two gateways behind nginx, with the configuration that the book has.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};
use wasmgrid_tests::{Daemon, Grid, Home, free_address, guest, repository, wait_until};

use crate::http::{Web, has_curl, joined, key};

/// The book's page with the configuration.
const PAGE: &str = "docs/book/src/operating/gateways.md";

/// The name that clients use, as the book has it.
const NAME: &str = "grid.example";

/// Streams that are open while a gateway dies.
const STREAMS: usize = 100;

/// Requests that append inputs, and how many each has.
const APPENDS: u64 = 40;
const INPUTS: u64 = 25;

/// A balancer in front of some gateways.
struct Nginx {
    process: Daemon,
    address: String,
}

impl Nginx {
    /// That of the book, but for addresses and the certificate. It keeps its files in the home's folder.
    fn start(home: &Home, gateways: &[String; 2]) -> Self {
        let page = fs::read_to_string(repository().join(PAGE)).expect("the page is there");
        let (_, rest) = page.split_once("```nginx\n").expect("it has a configuration");
        let (mut server, _) = rest.split_once("```").expect("it ends");
        let (address, made) = (free_address(), rcgen::generate_simple_self_signed([NAME.into()]));
        let made = made.expect("a certificate");
        let certificate = home.write("grid.pem", made.cert.pem()).display().to_string();
        let key = home.write("grid.key", made.signing_key.serialize_pem()).display().to_string();
        let mut text = String::new();
        for (of_book, ours) in [
            ("10.0.0.5:7434", &*gateways[0]),
            ("10.0.0.6:7434", &*gateways[1]),
            ("listen 443 ssl", &format!("listen {address} ssl")),
            ("/etc/nginx/grid.pem", &certificate),
            ("/etc/nginx/grid.key", &key),
        ] {
            let (before, after) =
                server.split_once(of_book).expect("the book has it, in this order");
            text.extend([before, ours]);
            server = after;
        }
        text += server;
        let folder = home.path().join("nginx");
        fs::create_dir(&folder).expect("a folder");
        let folder = folder.display();
        let stored = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let stored = stored.map(|kind| format!("{kind}_temp_path {folder}/{kind};\n")).concat();
        let whole = format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/errors;\n\
             events {{ worker_connections 1024; }}\nhttp {{\naccess_log off;\n{stored}{text}}}\n"
        );
        let file = home.write("nginx.conf", whole);
        let mut command = Command::new("nginx");
        command
            .arg("-e")
            .arg(home.path().join("nginx/errors"))
            .arg("-p")
            .arg(home.path())
            .arg("-c")
            .arg(file);
        Self { process: Daemon::start(command), address }
    }

    /// What clients ask, with a key.
    fn web(&self, key: &str) -> Web {
        let port = self.address.rsplit(':').next().expect("a port");
        Web { url: format!("https://{NAME}:{port}"), key: key.into() }
    }

    /// What curl is told for the name.
    fn resolves(&self) -> String {
        let (host, port) = self.address.rsplit_once(':').expect("a port");
        format!("{NAME}:{port}:{host}")
    }
}

fn has_nginx() -> bool {
    let found = Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: nginx is not installed");
    }
    found
}

/// Reads all results of a job, over as many streams as it takes: their lines, and how many streams.
fn read_all(web: &Web, resolve: &str, job: &str, read: &AtomicUsize) -> (Vec<Value>, usize) {
    let (mut lines, mut streams) = (Vec::<Value>::new(), 0);
    loop {
        streams += 1;
        let path = format!("{job}/results?follow=true&cursor={}", lines.len());
        let mut command = web.command(&["--resolve", resolve, "--fail"], &path);
        let mut curl = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("curl");
        let mut answer = BufReader::new(curl.stdout.take().expect("it is piped"));
        let mut line = Vec::new();
        // A line without its end was cut off.
        while answer.read_until(b'\n', &mut line).is_ok() && line.pop() == Some(b'\n') {
            if lines.is_empty() {
                read.fetch_add(1, Ordering::SeqCst);
            }
            lines.push(serde_json::from_slice(&line).expect("a line is JSON"));
            line.clear();
        }
        if curl.wait().expect("a child of ours").success() {
            return (lines, streams);
        }
    }
}

#[test]
fn all_streams_go_on_when_one_of_two_gateways_behind_nginx_is_killed() {
    if !(has_curl() && has_nginx()) {
        return;
    }
    let grid = Grid::start(1, 2);
    let machines = [joined(&grid), joined(&grid)];
    let mut gateways = machines.each_ref().map(|home| {
        let args = ["gateway", "--http", "127.0.0.1:0", "--http-host", NAME];
        Daemon::start(home.command(args))
    });
    let addresses = gateways.each_mut().map(|daemon| {
        let url = Web::of(daemon, String::new()).url;
        url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    });
    let nginx = Nginx::start(&grid.home, &addresses);
    let (web, resolve) = (Arc::new(nginx.web(&key(&grid.home))), nginx.resolves());
    let ask = |args: &[&str], path: &str| {
        let args = [&["--resolve", &resolve], args].concat();
        web.command(&args, path).output().expect("curl is here")
    };
    wait_until("nginx to serve", || ask(&["--fail"], "/healthz").status.success());

    let form = format!("module=@{}", guest("echo"));
    let made = ask(&["-F", "spec={}", "-F", &form], "/v1/jobs");
    let job: Value = serde_json::from_slice(&made.stdout).expect("a job");
    let job = format!("/v1/jobs/{}", job["id"]);
    let read = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..STREAMS)
        .map(|_| {
            let (web, resolve) = (Arc::clone(&web), resolve.clone());
            let (job, read) = (job.clone(), Arc::clone(&read));
            thread::spawn(move || read_all(&web, &resolve, &job, &read))
        })
        .collect();
    for number in 1..=APPENDS {
        let producer = format!("Wasmgrid-Producer: 77/{number}");
        let inputs: String =
            (0..INPUTS).map(|n| format!("{}\n", (number - 1) * INPUTS + n)).collect();
        let close = if number == APPENDS { "?close=true" } else { "" };
        let head = ["-H", &producer, "-H", "Content-Type: text/plain"];
        let args = [&head[..], &["--fail", "--data-binary", &inputs]].concat();
        let path = format!("{job}/inputs{close}");
        // The gateway that is to die may have it, and done it.
        wait_until("the inputs to be taken", || ask(&args, &path).status.success());
        if number == APPENDS / 2 {
            wait_until("all streams to have results", || read.load(Ordering::SeqCst) == STREAMS);
            gateways[0].kill();
        }
    }
    let all: Vec<_> = readers.into_iter().map(|reader| reader.join().expect("it ends")).collect();
    let tasks = APPENDS * INPUTS;
    for (lines, _) in &all {
        let cursors = lines.iter().map(|line| line["cursor"].clone());
        assert!(cursors.eq((0..tasks).map(|cursor| json!(cursor))), "each cursor once, in order");
        let mut outputs: Vec<u64> = lines.iter().map(number_of).collect();
        outputs.sort_unstable();
        assert!(outputs.into_iter().eq(0..tasks), "each input once");
    }
    let resumed = all.iter().filter(|(_, streams)| *streams > 1).count();
    assert!(resumed > 0, "no stream was of the gateway that died");
    assert!(all.iter().all(|(lines, _)| lines == &all[0].0), "all have read the same");
    assert!(!gateways[1].has_ended() && gateways[0].has_ended());
    drop(nginx.process);
}

/// What a task has put out.
fn number_of(line: &Value) -> u64 {
    let output = line["output"].as_str().expect("a text");
    output.parse().expect("it is the input")
}
