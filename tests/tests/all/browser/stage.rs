//! Pages with made-up content, served from the test's own process as a gateway does: with the policy
//! that holds for all pages, the files that they name, and streams into which the test writes.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use wasmgrid_pages::{Page, Shell, asset, event};
use wasmgrid_tests::wait_until;

#[path = "../../../../host/pages/examples/samples/mod.rs"]
pub mod samples;

/// As the first page of `host/pages` says.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A server of pages, for as long as the test's process runs.
pub struct Stage {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Whole pages and files by their path: the type, and the bytes.
    pages: BTreeMap<String, (&'static str, Vec<u8>)>,
    streams: Vec<TcpStream>,
    streams_are: Streams,
    posts: Vec<(String, String)>,
}

/// What is answered to who asks for a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// A stream.
    #[default]
    Open,
    /// Nothing: the connection ends.
    Gone,
    /// Another page, as to somebody without a session; so is every other request for a page.
    Login,
}

/// A request, as far as it matters.
struct Request {
    method: String,
    path: String,
    body: String,
}

impl Stage {
    /// A server without pages.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                // A browser that goes away in the middle is no failure of a page.
                thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        Self { url, state }
    }

    /// Serves a page where it belongs; its address.
    pub fn show(&self, page: &dyn Page, shell: &Shell) -> String {
        self.put(&page.path(), "text/html; charset=utf-8", page.html(shell));
        format!("{}{}", self.url, page.path())
    }

    /// Serves something.
    pub fn put(&self, path: &str, kind: &'static str, bytes: impl Into<Vec<u8>>) {
        self.state().pages.insert(path.to_owned(), (kind, bytes.into()));
    }

    /// Waits until a page has its stream, and sends a part on it.
    pub fn send(&self, id: &str, inside: &str) {
        wait_until("a stream", || !self.state().streams.is_empty());
        let event = event(id, inside);
        self.state().streams.retain_mut(|stream| stream.write_all(event.as_bytes()).is_ok());
    }

    /// Ends all streams, and answers so to who asks for one.
    pub fn streams_are(&self, streams: Streams) {
        let mut state = self.state();
        state.streams_are = streams;
        state.streams.clear();
    }

    /// What was sent to it: the paths, each with its body.
    pub fn posts(&self) -> Vec<(String, String)> {
        self.state().posts.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let request = read(&stream)?;
    let path = request.path.split('?').next().unwrap_or_default();
    let mut state = state.lock().expect("nobody panics with it");
    if request.method == "POST" {
        state.posts.push((request.path, request.body));
        return write!(stream, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    }
    let is_stream = path.ends_with("/live");
    match state.streams_are {
        Streams::Gone if is_stream => return Ok(()),
        Streams::Login if path != "/login" && asset(path).is_none() => {
            let head = "HTTP/1.1 303 See Other\r\nLocation: /login\r\nContent-Length: 0";
            return write!(stream, "{head}\r\nConnection: close\r\n\r\n");
        }
        Streams::Open if is_stream => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream";
            write!(stream, "{head}\r\nConnection: close\r\n\r\n")?;
            state.streams.push(stream);
            return Ok(());
        }
        Streams::Open | Streams::Gone | Streams::Login => {}
    }
    let found = state.pages.get(path).cloned();
    let found = found.or_else(|| asset(path).map(|it| (it.content_type, it.bytes.to_vec())));
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let (kind, bytes) = found.unwrap_or(("text/plain", Vec::new()));
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Security-Policy: {POLICY}\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len()
    )?;
    stream.write_all(&bytes)
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, path, body: String::from_utf8_lossy(&body).into_owned() })
}
