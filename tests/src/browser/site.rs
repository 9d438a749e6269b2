//! A fresh grid with its pages, and a browser in front of it.

use std::net::TcpListener;

use super::Browser;
use crate::{Daemon, Home, free_address, guest, wait_until};
use serde_json::Value;

/// A grid of one machine, as `wasmgrid up` makes it.
pub struct Site {
    /// Before what it looks at.
    pub browser: Browser,
    /// The operator's home, where `wasmgrid up` ran.
    pub home: Home,
    /// The scheduler, with the pages and a worker.
    pub scheduler: Daemon,
    /// Where the pages are.
    pub url: String,
    args: Vec<String>,
}

impl Site {
    /// A fresh grid with a worker of two slots; `None` where there is no browser.
    pub fn start() -> Option<Self> {
        let browser = Browser::start()?;
        let (home, http) = (Home::new(), free_http_address());
        let listen = free_address();
        let args = ["up", "--listen", &listen, "--state-dir", "state", "--slots", "2"];
        let args = [&args[..], &["--http", &http]].concat();
        let args: Vec<String> = args.into_iter().map(Into::into).collect();
        let scheduler = up(&home, &args);
        let site = Self { browser, home, scheduler, url: format!("http://{http}"), args };
        wait_until("a worker", || site.workers().iter().any(|worker| worker["state"] == "ready"));
        Some(site)
    }

    /// The same, with an operator who has logged in.
    pub fn logged_in() -> Option<Self> {
        let site = Self::start()?;
        site.log_in();
        Some(site)
    }

    /// Logs in by the link that the command line prints.
    pub fn log_in(&self) {
        self.browser.go(&self.login_link());
        self.browser.follow("button.main");
        assert_eq!(self.browser.url(), format!("{}/", self.url));
    }

    /// A link that logs in once.
    pub fn login_link(&self) -> String {
        self.run(&["ui", "--print", "--http", &self.url]).trim().to_owned()
    }

    /// kill -9 of the scheduler, with its pages.
    pub fn kill(&mut self) {
        self.scheduler.kill();
    }

    /// Starts it again, where it was.
    pub fn restart(&mut self) {
        self.scheduler = up(&self.home, &self.args);
    }

    /// What a command that succeeds prints.
    pub fn run(&self, args: &[&str]) -> String {
        self.home.run(args).ok().to_owned()
    }

    /// The workers that the grid lists.
    pub fn workers(&self) -> Vec<Value> {
        let listed = self.home.run(["worker", "list", "--output", "json"]);
        serde_json::from_slice(&listed.stdout).unwrap_or_default()
    }

    /// The name of the only one.
    pub fn worker(&self) -> String {
        self.workers()[0]["name"].as_str().expect("a name").to_owned()
    }

    /// What `job show` tells.
    pub fn job(&self, job: &str) -> Value {
        serde_json::from_str(&self.run(&["job", "show", job, "--output", "json"])).expect("JSON")
    }

    /// Submits a job of a guest with these flags: its id.
    pub fn submit(&self, module: &str, flags: &[&str]) -> String {
        let module = guest(module);
        self.run(&[&["submit", &*module], flags].concat()).trim().to_owned()
    }

    /// A job of a task for each of these lines.
    pub fn submit_lines(&self, module: &str, lines: &str, flags: &[&str]) -> String {
        self.home.write("lines", lines);
        self.submit(module, &[&["--lines", "lines"], flags].concat())
    }

    /// Appends a task for each of these lines to an open job.
    pub fn append(&self, job: &str, lines: &str) {
        let append = ["job", "append", job, "--lines", "-"];
        self.home.run_with_stdin(append, lines.as_bytes()).ok();
    }

    /// Waits until a job has so many results.
    pub fn wait_for_results(&self, job: &str, count: u64) {
        wait_until("results", || self.job(job)["results"] == count);
    }

    /// Goes to a page.
    pub fn open(&self, path: &str) {
        self.browser.go(&format!("{}{path}", self.url));
    }

    /// Fails if a page complained, or asked anybody else for anything.
    pub fn assert_quiet(&self, place: &str) {
        assert_eq!(self.browser.complaints(), Vec::<String>::new(), "{place}");
        for address in self.browser.requests() {
            let is_ours = address.starts_with(&format!("{}/", self.url));
            assert!(is_ours, "{place} asked for {address}");
        }
    }
}

fn up(home: &Home, args: &[String]) -> Daemon {
    let mut daemon = Daemon::start(home.command(args));
    daemon.hear("HTTP", |line| line.contains("serves HTTP").then_some(()));
    daemon
}

/// An address that stays free while the scheduler is away.
fn free_http_address() -> String {
    loop {
        let address = free_address();
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}
