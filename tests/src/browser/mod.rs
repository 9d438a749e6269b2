//! A real browser without a window: Debian's Chromium, driven through its driver. It has an empty home,
//! and finds nothing but this machine.

mod driver;
mod site;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::driver::{Refused, Session};
pub use self::site::Site;
use crate::{Daemon, wait_for, wait_until};

/// The key that takes the focus to the next link, button or field, in WebDriver's alphabet.
pub const TAB: &str = "\u{e004}";

/// The key that presses what has the focus.
pub const ENTER: &str = "\u{e007}";

/// What the browser is told, beside where its profile is.
const FLAGS: &[&str] = &[
    "--headless",
    "--disable-gpu",
    // A container's folder for shared memory may be too small for a page.
    "--disable-dev-shm-usage",
    "--no-first-run",
    // It asks nobody for anything but the pages: no updates, no accounts, no suggestions.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--hide-scrollbars",
];

/// The colours that a user prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// Its name in CSS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A browser with one window; ended with the value.
pub struct Browser {
    session: Session,
    /// Before the home, which it has open.
    _driver: Daemon,
    _home: TempDir,
}

impl Browser {
    /// Starts one; says what is missing where that cannot be.
    ///
    /// # Panics
    /// Where it is there and does not start.
    pub fn start() -> Option<Self> {
        let (Some(browser), Some(program)) = (program("chromium"), program("chromedriver")) else {
            println!("skipped: chromium and chromium-driver are not installed");
            return None;
        };
        let home = tempfile::tempdir().expect("a temporary folder");
        let (driver, port) = driver(&program, home.path());
        let session = Session::start(port, &capabilities(&browser, home.path()))
            .unwrap_or_else(|error| panic!("no browser: {error}\n{}", driver.said()));
        Some(Self { session, _driver: driver, _home: home })
    }

    /// Goes to an address, and waits until its page is there.
    pub fn go(&self, url: &str) {
        done(url, self.session.ask("url", &json!({ "url": url })));
    }

    /// Where it is.
    pub fn url(&self) -> String {
        done("the address", self.session.url())
    }

    /// What the body of a function returns in the page.
    pub fn script(&self, script: &str) -> Value {
        // A page that loads itself anew ends what runs in it: the next one is asked.
        wait_for("a page that stays", || match self.session.script(script) {
            Err(error) if error.to_string().contains("aborted by navigation") => None,
            answer => Some(done(script, answer)),
        })
    }

    /// What a test can see of the page: the text of the first element that a selector finds. `None`
    /// also while one page follows another.
    pub fn text(&self, selector: &str) -> Option<String> {
        let selector = json!(selector);
        let script = format!("return document.querySelector({selector})?.innerText ?? null");
        self.session.script(&script).ok()?.as_str().map(Into::into)
    }

    /// How many elements a selector finds.
    pub fn count(&self, selector: &str) -> u64 {
        let selector = json!(selector);
        let count = self.script(&format!("return document.querySelectorAll({selector}).length"));
        count.as_u64().expect("a count")
    }

    /// Waits until the text of an element contains this.
    pub fn wait_for_text(&self, selector: &str, part: &str) {
        wait_until(&format!("{part:?} in {selector} of {}", self.url()), || {
            self.text(selector).is_some_and(|text| text.contains(part))
        });
    }

    /// Presses an element as a mouse does: in its middle, if nothing covers it.
    pub fn click(&self, selector: &str) {
        let element = done(selector, self.session.find(selector));
        done(selector, self.session.click(&element));
    }

    /// Presses an element, and waits until another page is there.
    pub fn follow(&self, selector: &str) {
        self.leave(|| self.click(selector));
    }

    /// Does what leads to another page, and waits until that is there.
    pub fn leave(&self, go: impl FnOnce()) {
        let before = self.page();
        go();
        self.wait_for_another_page(&before);
    }

    /// Presses keys one after the other, where the focus is.
    pub fn keys(&self, keys: &str) {
        done("the keyboard", self.session.keys(keys));
    }

    /// What tells this page from the same address loaded again.
    pub fn page(&self) -> Value {
        self.script("return performance.timeOrigin")
    }

    /// Waits until another page is there than the one before.
    pub fn wait_for_another_page(&self, before: &Value) {
        wait_until("another page", || {
            // In between there may be none to ask.
            let now = self.session.script("return [performance.timeOrigin, document.readyState]");
            now.is_ok_and(|now| now[0] != *before && now[1] == "complete")
        });
    }

    /// Makes the window as wide and high as this, in pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Prefers these colours from now on.
    pub fn prefer(&self, scheme: Scheme) {
        let colours = json!({ "name": "prefers-color-scheme", "value": scheme.name() });
        // What moves would be measured halfway.
        let still = json!({ "name": "prefers-reduced-motion", "value": "reduce" });
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [colours, still] }));
    }

    /// Whether pages may run scripts from now on.
    pub fn allow_scripts(&self, allow: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": !allow }));
    }

    /// What is seen, as a PNG; with `whole`, all of the page, however long.
    pub fn picture(&self, whole: bool) -> Vec<u8> {
        let mut asked = json!({ "format": "png", "captureBeyondViewport": whole });
        if whole {
            let size = self.script(
                "const all = document.scrollingElement; \
                 return [all.clientWidth, all.scrollHeight]",
            );
            asked["clip"] =
                json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        }
        let answer = self.devtools("Page.captureScreenshot", &asked);
        STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64")
    }

    /// Writes what is seen into a file.
    pub fn save_picture(&self, path: &Path, whole: bool) {
        fs::write(path, self.picture(whole)).expect("a place for a picture");
    }

    /// What pages complained of since this was asked last, a line each.
    pub fn complaints(&self) -> Vec<String> {
        let log = done("the log", self.session.log("browser"));
        log.into_iter().map(|(level, message)| format!("{level}: {message}")).collect()
    }

    /// The addresses on the network that were asked for anything since this was asked last. What is in
    /// the browser, or in an address itself, is none.
    pub fn requests(&self) -> Vec<String> {
        let log = done("the log", self.session.log("performance"));
        let asked = log.iter().filter_map(|(_, message)| requested(message));
        let is_inside =
            |address: &str| ["chrome:", "data:"].iter().any(|it| address.starts_with(it));
        asked.filter(|address| !is_inside(address)).collect()
    }

    fn devtools(&self, method: &str, with: &Value) -> Value {
        done(method, self.session.devtools(method, with))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Where the driver cannot end it, the test has failed already.
        drop(self.session.end());
    }
}

/// A driver, and its port. It wants the port that the system gave it for IPv4 for IPv6 too, and ends if
/// somebody else has that: the next one is given another port.
fn driver(program: &Path, home: &Path) -> (Daemon, u16) {
    wait_for("a driver with a port", || {
        let mut command = Command::new(program);
        command.arg("--port=0").env("HOME", home).env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut driver = Daemon::start(command);
        let port = wait_for("the driver's port, or its end", || match port_in(&driver.said()) {
            None if driver.has_ended() => Some(None),
            None => None,
            port => Some(port),
        });
        port.map(|port| (driver, port))
    })
}

/// The port of which a driver has said that it has it.
fn port_in(said: &str) -> Option<u16> {
    let (_, rest) = said.split_once("successfully on port ")?;
    rest.lines().next()?.trim_end_matches('.').parse().ok()
}

fn done<T>(what: &str, answer: Result<T, Refused>) -> T {
    answer.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// What is asked of the driver.
fn capabilities(browser: &Path, home: &Path) -> Value {
    let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.into()).collect();
    flags.push(format!("--user-data-dir={}", home.join("profile").display()));
    if rustix::process::geteuid().is_root() {
        // Its own sandbox does not run as root.
        flags.push("--no-sandbox".into());
    }
    json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": browser, "args": flags },
        "goog:loggingPrefs": { "browser": "WARNING", "performance": "ALL" },
    })
}

/// The address that an entry of the browser's log of events says was asked for.
fn requested(message: &str) -> Option<String> {
    let entry: Value = serde_json::from_str(message).ok()?;
    let event = &entry["message"];
    let url = event["params"]["request"]["url"].as_str()?;
    (event["method"] == "Network.requestWillBeSent").then(|| url.to_owned())
}

/// A program, found as a shell finds it.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
