//! A connection to a gateway: as much of HTTP/1.1 as asking one after the other takes.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who asks where.
#[derive(Clone)]
pub struct Asker {
    /// `HOST:PORT`.
    pub address: String,
    /// The header that says who.
    pub who: String,
}

/// A connection that is kept.
pub struct Connection {
    stream: BufReader<TcpStream>,
    asker: Asker,
}

/// An answer, whole.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The lines of its head; a gateway writes their names in small letters.
    pub head: Vec<String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Who reads a stream.
pub struct Reader {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Reader {
    /// Reads no more.
    pub fn stop(self) {
        self.stream.shutdown(Shutdown::Both).expect("a socket");
        self.thread.join().expect("it reads and nothing else");
    }
}

impl Asker {
    /// Of a URL.
    pub fn new(url: &str, who: String) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { address, who }
    }

    /// A new connection.
    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).expect("the gateway is there");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Connection { stream: BufReader::new(stream), asker: self.clone() }
    }

    /// A question with an answer, on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.connect().ask(method, path, kind, body)
    }
}

impl Connection {
    /// Asks, and reads the whole answer.
    pub fn ask(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.send(method, path, kind, body);
        let (status, head) = self.head();
        let body = self.body(&head);
        Answer { status, head, body }
    }

    /// Asks for a stream, and reads the head of it.
    pub fn begin(&mut self, path: &str) {
        self.send("GET", path, "text/plain", b"");
        let (status, _) = self.head();
        assert_eq!(status, 200, "{path}");
    }

    fn send(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) {
        let Asker { address, who } = &self.asker;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{who}\r\nSec-Fetch-Site: same-origin\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let whole = [head.as_bytes(), body].concat();
        self.stream.get_mut().write_all(&whole).expect("the gateway listens");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the gateway answers");
        line.trim_end().to_owned()
    }

    fn head(&mut self) -> (u16, Vec<String>) {
        let status = self.line();
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut head = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return (status.expect("a status"), head);
            }
            head.push(line);
        }
    }

    fn body(&mut self, head: &[String]) -> Vec<u8> {
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = Vec::new();
        if let Some(length) = length {
            self.take(length.parse().expect("a length"), &mut body);
        } else {
            while self.chunk(&mut body) > 0 {}
        }
        body
    }

    /// Reads a stream that has begun, whatever comes, on a thread of its own.
    pub fn read_on(self) -> Reader {
        let stream = self.stream.get_ref().try_clone().expect("a socket");
        let mut rest = self.stream;
        let thread = thread::spawn(move || {
            // It ends when the reader stops.
            drop(io::copy(&mut rest, &mut io::sink()));
        });
        Reader { stream, thread }
    }

    /// Reads the next chunk of a stream; its length, which is 0 at the end.
    pub fn chunk(&mut self, into: &mut Vec<u8>) -> usize {
        let length = usize::from_str_radix(&self.line(), 16).expect("the length of a chunk");
        self.take(length, into);
        self.line();
        length
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) {
        let wanted = u64::try_from(length).expect("a length");
        let read = self.stream.by_ref().take(wanted).read_to_end(into).expect("it goes on");
        assert_eq!(read, length, "the stream broke off");
    }
}
