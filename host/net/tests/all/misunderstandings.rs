//! Two sides of which one sends what the other cannot read: each link between them ends, and both say
//! which releases they are.

use wasmgrid_net::{LinkError, Release, Role};
use wasmgrid_proto::{
    frame,
    wire::{FromClient, Heartbeat, Hello, Minors, Request, RequestFrame},
};

use crate::{
    grid::Grid,
    raw::{self, frame_of},
};

/// A release that speaks these minors.
fn speaking(release: &str, least: u16, most: u16) -> Hello {
    Hello { minors: Minors { least, most }, ..Hello::new(release) }
}

/// A frame of a kind that is known, with bytes that are none of its messages.
fn malformed() -> Vec<u8> {
    frame_of(0x0102, &[0xff; 40])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_what_cannot_be_read_is_told_and_both_name_the_releases_of_both() {
    let grid = Grid::new();
    let folder = grid.folder.path().join("newer");
    grid.credentials(Role::Worker, "newer").save(&folder).unwrap();
    let address = grid.listener.local_addr();
    let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
    let connection = connecting.await.unwrap();
    let newer = speaking("9.8.7", 0, 6);
    let ((mut send, _receive, said), mut scheduler) =
        tokio::join!(raw::open_saying(&connection, raw::OPEN_WORKER, &newer), grid.accept_worker());
    let ours = Release::ours().to_string();
    assert_eq!(Release::of(&said).to_string(), ours);
    assert_eq!(scheduler.peer.release(), Release::of(&newer));
    send.write_all(&malformed()).await.unwrap();
    let ended = scheduler.receiver.recv().await.unwrap_err();
    assert!(ended.is_misunderstanding(), "{ended}");
    let text = ended.to_string();
    let theirs = "wasmgrid 9.8.7 (protocol 1.0 to 1.6)";
    assert!(text.contains(theirs) && text.contains(&ours), "{text}");
    let told = connection.closed().await.to_string();
    assert!(told.contains("0x0102") && told.contains("code 1"), "{told}");
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_not_understood_learns_it_with_the_releases_of_both() {
    let grid = Grid::new();
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![crate::grid::uri("spiffe://home/scheduler/older")];
    });
    let older = raw::listen(&folder, "wasmgrid/1");
    let addresses = [older.local_addr().unwrap().to_string()];
    let scheduler = tokio::spawn(async move {
        let connection = older.accept().await.unwrap().await.unwrap();
        let (_send, mut receive, _) =
            raw::accept(&connection, &speaking("0.0.1", 0, 0), raw::OPEN_CLIENT.len()).await;
        // The first message is one too many.
        let mut heard = Vec::new();
        while !heard.windows(2).any(|kind| kind == [0x01, 0x03]) {
            let chunk = receive.read_chunk(1_024, true).await.unwrap().unwrap();
            heard.extend_from_slice(&chunk.bytes);
        }
        connection.close(1_u32.into(), b"message of kind 0x0301 cannot be read");
        older.wait_idle().await;
    });
    let endpoint = grid.endpoint(Role::Client);
    let mut link = endpoint.connect_client(&addresses).await.unwrap();
    let request = FromClient::Request(RequestFrame { id: 1, request: Request::Contests });
    link.sender.send(request).await.unwrap();
    let ended = link.receiver.recv().await.unwrap_err();
    assert!(matches!(ended, LinkError::Misunderstood { .. }), "{ended}");
    let (text, ours) = (ended.to_string(), Release::ours().to_string());
    assert!(text.contains("wasmgrid 0.0.1 (protocol 1.0)") && text.contains(&ours), "{text}");
    assert!(text.contains("0x0301"), "{text}");
    scheduler.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_is_refused_in_words_whatever_carries_the_link() {
    let grid = Grid::new();
    let (scheduler, mut worker) = grid.worker().await;
    assert_eq!(worker.peer.release(), Release::ours());
    scheduler.sender.refuse("it spoke before it joined");
    let ended = worker.receiver.recv().await.unwrap_err();
    assert!(ended.is_misunderstanding(), "{ended}");
    assert!(ended.to_string().contains("it spoke before it joined"), "{ended}");
}

#[test]
fn a_frame_by_hand_is_a_frame() {
    let heartbeat = wasmgrid_proto::wire::FromWorker::Heartbeat(Heartbeat::default());
    let bytes = frame::encode_one(&heartbeat.into()).unwrap();
    assert_eq!(bytes, frame_of(0x0102, &bytes[frame::HEADER_LEN..]));
}
