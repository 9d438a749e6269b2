//! A crowd at a scheduler's port, as a process of its own, for the tests of the whole grid, which
//! do not speak QUIC. It says what it has and stays until it is killed:
//!
//! - `crowd half-sent ADDRESS CREDENTIALS_FOLDER LINKS MESSAGES`
//! - `crowd unread ADDRESS CREDENTIALS_FOLDER LINKS QUESTIONS`
//! - `crowd unfinished ADDRESS COUNT`
//! - `crowd silent ADDRESS COUNT`

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's peer, which may fail"
)]

#[path = "../tests/all/crowd.rs"]
#[expect(dead_code, reason = "some of it is for the tests of this crate")]
mod crowd;
#[path = "../tests/all/raw.rs"]
#[expect(dead_code, reason = "its other half is for the tests of this crate")]
mod raw;

use std::{env, net::SocketAddr, path::Path, time::Duration};

use bytes::BytesMut;
use wasmgrid_proto::{
    JobFilter,
    frame::{Envelope, encode},
    wire::{FromClient, Request, RequestFrame},
};

/// How often it says how much was taken of it.
const TELL_EVERY: Duration = Duration::from_millis(200);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["half-sent", address, folder, links, messages] => {
            half_sent(at(address), Path::new(folder), (number(links), number(messages))).await;
        }
        ["unread", address, folder, links, questions] => {
            unread(at(address), Path::new(folder), (number(links), number(questions))).await;
        }
        ["unfinished", address, count] => {
            let _crowd = crowd::unfinished(at(address), number(count)).await;
            println!("in place");
            std::future::pending().await
        }
        ["silent", address, count] => {
            let _crowd = crowd::silent(at(address), number(count), true).await;
            println!("in place");
            std::future::pending().await
        }
        _ => panic!("unknown arguments: {arguments:?}"),
    }
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

async fn half_sent(address: SocketAddr, folder: &Path, counts: (usize, usize)) {
    let crowd = crowd::half_sent(address, folder, counts, async || {}).await;
    println!("in place");
    loop {
        println!("taken {}", *crowd.taken.borrow());
        tokio::time::sleep(TELL_EVERY).await;
    }
}

fn jobs() -> Request {
    Request::JobPage { before: None, limit: 1_000, filter: JobFilter::default() }
}

/// Asks for the list of jobs again and again, on many links, and reads none.
async fn unread(address: SocketAddr, folder: &Path, (links, questions): (usize, usize)) {
    let mut opened = Vec::new();
    for _ in 0..links {
        let connecting = raw::connect(address, Some(folder), "wasmgrid/1", Default::default());
        let connection = connecting.await.unwrap();
        let (mut send, receive) = raw::open_as(&connection, raw::OPEN_CLIENT).await;
        let mut asked = BytesMut::new();
        for id in 1..=questions as u64 {
            let request = RequestFrame { id, request: jobs() };
            encode(&Envelope::from(FromClient::Request(request)), &mut asked).unwrap();
        }
        // What is not taken any more ends with the link.
        let _ = send.write_all(&asked).await;
        opened.push((connection, send, receive));
    }
    println!("in place");
    std::future::pending().await
}
