//! A worker with good credentials that announces a frame over the cap, and prints what it is told:
//! `oversized ADDRESS CREDENTIALS_FOLDER`. For the tests of the whole grid, which do not speak QUIC.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's peer, which may fail")]

#[path = "../tests/all/raw.rs"]
#[expect(dead_code, reason = "its other half is for the tests of this crate")]
mod raw;

use std::{env, path::Path};

/// More than any control frame may have.
const LENGTH: u32 = 300_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [_, address, folder] = <[String; 3]>::try_from(env::args().collect::<Vec<_>>())
        .expect("oversized ADDRESS CREDENTIALS_FOLDER");
    let address = address.parse().expect("an address");
    let connecting =
        raw::connect(address, Some(Path::new(&folder)), "wasmgrid/1", Default::default());
    let connection = connecting.await.expect("a scheduler that accepts the credentials");
    let (mut send, _receive) = raw::open(&connection).await;
    send.write_all(&LENGTH.to_le_bytes()).await.expect("a stream");
    println!("{}", connection.closed().await);
}
