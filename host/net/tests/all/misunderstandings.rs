//! Two sides of different releases, of which one sends what the other does not know: each link
//! between them ends, and both say which releases they are.

use wasmgrid_net::{LinkError, Release, Role};
use wasmgrid_proto::{
    frame,
    wire::{FromClient, Heartbeat, Request, RequestFrame, ToWorker},
};

use crate::{grid::Grid, raw};

/// The frame by which a side says its release.
fn release(text: &str) -> Vec<u8> {
    frame_of(0x0002, text.as_bytes())
}

fn frame_of(kind: u16, meta: &[u8]) -> Vec<u8> {
    let meta_len = u32::try_from(meta.len()).unwrap();
    let mut frame = (6 + meta_len).to_le_bytes().to_vec();
    frame.extend(kind.to_le_bytes());
    frame.extend(meta_len.to_le_bytes());
    frame.extend(meta);
    frame
}

/// A frame of a kind that is known, with a variant that is not: what a newer release's request is
/// to an older one.
fn unknown_variant() -> Vec<u8> {
    frame_of(0x0102, &[0xff; 40])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_what_is_not_known_is_told_and_both_name_the_releases_of_both() {
    let grid = Grid::new();
    let folder = grid.folder.path().join("newer");
    grid.credentials(Role::Worker, "newer").save(&folder).unwrap();
    let address = grid.listener.local_addr();
    let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
    let connection = connecting.await.unwrap();
    let ((mut send, mut receive), mut scheduler) =
        tokio::join!(raw::open(&connection), grid.accept_worker());
    // The scheduler says its release first of all.
    let ours = Release::ours().to_string();
    let expected = release(ours.strip_prefix("wasmgrid ").unwrap());
    let mut said = vec![0; expected.len()];
    receive.read_exact(&mut said).await.unwrap();
    assert_eq!(said, expected);
    send.write_all(&release("9.8.7 (protocol 1.6)")).await.unwrap();
    send.write_all(&unknown_variant()).await.unwrap();
    let ended = scheduler.receiver.recv().await.unwrap_err();
    assert!(ended.is_misunderstanding(), "{ended}");
    let text = ended.to_string();
    assert!(text.contains("wasmgrid 9.8.7 (protocol 1.6)") && text.contains(&ours), "{text}");
    let told = connection.closed().await.to_string();
    assert!(told.contains("0x0102") && told.contains("code 1"), "{told}");
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_understood_learns_it_with_the_releases_of_both() {
    let grid = Grid::new();
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![crate::grid::uri("spiffe://home/scheduler/older")];
    });
    let older = raw::listen(&folder, "wasmgrid/1");
    let addresses = [older.local_addr().unwrap().to_string()];
    let scheduler = tokio::spawn(async move {
        let connection = older.accept().await.unwrap().await.unwrap();
        let (mut send, mut receive) = connection.accept_bi().await.unwrap();
        let mut opened = [0; raw::OPEN_WORKER.len()];
        receive.read_exact(&mut opened).await.unwrap();
        send.write_all(&opened).await.unwrap();
        send.write_all(&release("0.0.1 (protocol 1.0)")).await.unwrap();
        // The release, then the first message: it is one too many.
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
    let request = FromClient::Request(RequestFrame { id: 1, request: Request::Workers });
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
    // Its release has come before anything it could ask.
    scheduler
        .sender
        .send(ToWorker::Drain(wasmgrid_proto::wire::Drain { leave: false }))
        .await
        .unwrap();
    worker.receiver.recv().await.unwrap().unwrap();
    assert_eq!(worker.receiver.release(), Release::ours());
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
