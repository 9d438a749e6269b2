//! A session with a browser's driver: the part of WebDriver that tests need, JSON over plain HTTP to a
//! process on this machine. No client from elsewhere: they turn on features of what the engine and the
//! command line are built with, so that tests would see another binary than users.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::PATIENCE;

/// The key by which an answer names an element; a constant of the standard.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser that a driver has started.
#[derive(Debug)]
pub(super) struct Session {
    port: u16,
    path: String,
}

/// An element of the page that is shown.
#[derive(Clone, Debug)]
pub(super) struct Element(String);

/// Why the driver did not do what it was asked: in its words.
pub(super) type Refused = String;

impl Session {
    /// Has the driver on this port start a browser.
    pub(super) fn start(port: u16, capabilities: &Value) -> Result<Self, Refused> {
        let asked = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let answer = ask(port, "POST", "/session", &asked)?;
        let id = answer["sessionId"].as_str().ok_or_else(|| format!("no session: {answer}"))?;
        Ok(Self { port, path: format!("/session/{id}") })
    }

    /// Asks for something of the session, by the standard's name for it.
    pub(super) fn ask(&self, what: &str, with: &Value) -> Result<Value, Refused> {
        ask(self.port, "POST", &format!("{}/{what}", self.path), with)
    }

    /// The address of the page.
    pub(super) fn url(&self) -> Result<String, Refused> {
        let answer = ask(self.port, "GET", &format!("{}/url", self.path), &Value::Null)?;
        answer.as_str().map(Into::into).ok_or_else(|| answer.to_string())
    }

    /// What the body of a function returns in the page.
    pub(super) fn script(&self, script: &str) -> Result<Value, Refused> {
        self.ask("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Something that the browser's own protocol has and the standard does not.
    pub(super) fn devtools(&self, method: &str, with: &Value) -> Result<Value, Refused> {
        self.ask("goog/cdp/execute", &json!({ "cmd": method, "params": with }))
    }

    /// The first element that a selector of CSS finds.
    pub(super) fn find(&self, selector: &str) -> Result<Element, Refused> {
        let answer = self.ask("element", &json!({ "using": "css selector", "value": selector }))?;
        let id = answer[ELEMENT].as_str().ok_or_else(|| answer.to_string())?;
        Ok(Element(id.to_owned()))
    }

    /// Presses the middle of an element; refused where something else covers it.
    pub(super) fn click(&self, element: &Element) -> Result<(), Refused> {
        self.ask(&format!("element/{}/click", element.0), &json!({})).map(drop)
    }

    /// Presses keys one after the other, where the focus is.
    pub(super) fn keys(&self, keys: &str) -> Result<(), Refused> {
        let press = |key: char| {
            let key = key.to_string();
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let presses: Vec<Value> = keys.chars().flat_map(press).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": presses });
        self.ask("actions", &json!({ "actions": [keyboard] })).map(drop)
    }

    /// The entries of a log since it was read last: level and message.
    pub(super) fn log(&self, kind: &str) -> Result<Vec<(String, String)>, Refused> {
        let answer = self.ask("se/log", &json!({ "type": kind }))?;
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let entries = answer.as_array().into_iter().flatten();
        Ok(entries.map(|entry| (text(entry, "level"), text(entry, "message"))).collect())
    }

    /// Ends the browser.
    pub(super) fn end(&self) -> Result<(), Refused> {
        ask(self.port, "DELETE", &self.path, &Value::Null).map(drop)
    }
}

/// Asks the driver for something: what is in its answer's `value`.
fn ask(port: u16, method: &str, path: &str, with: &Value) -> Result<Value, Refused> {
    let answer = exchange(port, method, path, with).map_err(|error| error.to_string())?;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default())),
        None => Ok(value),
    }
}

/// A request on a connection of its own, and the body of the answer.
fn exchange(port: u16, method: &str, path: &str, with: &Value) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = if with.is_null() { String::new() } else { with.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    Ok(body)
}
