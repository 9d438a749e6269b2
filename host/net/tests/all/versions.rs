//! Peers of other minor versions: with the one before this and the one after it, all that both know is
//! understood both ways; what one of them does not know does no harm.

use std::fmt::Debug;

use quinn::Endpoint as RawEndpoint;
use wasmgrid_net::{Endpoint, NetError, Release, Role};
use wasmgrid_proto::{
    Extension, Extensions,
    frame::{self, Envelope},
    wire::{
        Features, FromClient, FromWorker, Hello, Message, Minors, PROTOCOL_MINOR, Request,
        RequestFrame, ToClient, ToWorker,
    },
};

use crate::{
    grid::Grid,
    raw::{self, frame_of},
};

/// Every message that the minor before this one knew, as its bytes were.
const BEFORE: [&str; PROTOCOL_MINOR as usize] = [
    include_str!("../../../proto/tests/golden/messages-0.txt"),
    include_str!("../../../proto/tests/golden/messages-1.txt"),
    include_str!("../../../proto/tests/golden/messages-2.txt"),
];

/// The minor before this one, this one, and the one after it.
fn neighbours() -> [Minors; 3] {
    let before = PROTOCOL_MINOR - 1;
    [
        Minors { least: before, most: before },
        Minors { least: before, most: PROTOCOL_MINOR },
        Minors { least: PROTOCOL_MINOR, most: PROTOCOL_MINOR + 1 },
    ]
}

fn hello(minors: Minors) -> Hello {
    // What the release after this one may have.
    let list = vec![Extension { id: 77, critical: false, bytes: vec![1] }];
    let extensions = Extensions::new(list).unwrap();
    Hello { minors, features: Features(1 << 40), extensions, ..Hello::new("9.8.7") }
}

/// The frames of one direction.
fn golden(direction: &str) -> Vec<Vec<u8>> {
    let hex = |text: &str| {
        let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect()
    };
    let lines = BEFORE.iter().flat_map(|text| text.lines()).filter_map(|line| line.split_once(' '));
    let of_direction = |(name, _): &(&str, &str)| name.starts_with(&format!("{direction}."));
    let frames: Vec<_> = lines.filter(of_direction).map(|(_, bytes)| hex(bytes)).collect();
    assert!(frames.len() > 2, "{direction}");
    frames
}

fn read<M: Message + PartialEq>(frame: Vec<u8>) -> Envelope<M> {
    frame::decode(frame.into()).unwrap().unwrap()
}

/// Takes these messages off a link, in order.
async fn expect<M: Message + PartialEq + Debug>(
    receiver: &mut wasmgrid_net::Receiver<M>,
    frames: Vec<Vec<u8>>,
) {
    for frame in frames {
        let heard = receiver.recv().await.unwrap().unwrap();
        assert_eq!(heard, read(frame));
    }
}

/// A scheduler of other minors, which says all these messages.
async fn scheduler_saying(listener: RawEndpoint, hello: Hello, frames: Vec<Vec<u8>>) {
    let connection = listener.accept().await.unwrap().await.unwrap();
    let (mut send, _receive, _) = raw::accept(&connection, &hello, raw::OPEN_WORKER.len()).await;
    // Whoever refuses the link takes none of it.
    let said = [frame_of(0x7fff, b"of a later minor"), frames.concat()].concat();
    let _ = send.write_all(&said).await;
    connection.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_understands_workers_and_clients_of_the_minors_beside_its_own() {
    for minors in neighbours() {
        let grid = Grid::new();
        for role in [Role::Worker, Role::Client] {
            let folder = grid.folder.path().join(role.name());
            grid.credentials(role, "other").save(&folder).unwrap();
            let address = grid.listener.local_addr();
            let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
            let (connection, hello) = (connecting.await.unwrap(), hello(minors));
            let is_worker = role == Role::Worker;
            let first = if is_worker { raw::OPEN_WORKER } else { raw::OPEN_CLIENT };
            let opening = raw::open_saying(&connection, first, &hello);
            let ((mut send, _receive, said), accepted) =
                tokio::join!(opening, grid.listener.accept());
            assert_eq!(said.minors, Minors::OURS);
            let frames = golden(if is_worker { "FromWorker" } else { "FromClient" });
            send.write_all(&frame_of(0x7fff, b"of a later minor")).await.unwrap();
            send.write_all(&frames.concat()).await.unwrap();
            let agreed = minors.most.min(PROTOCOL_MINOR);
            match accepted.unwrap() {
                wasmgrid_net::Accepted::Worker(mut link) => {
                    assert_eq!((&link.peer.hello, link.peer.minor), (&hello, agreed));
                    expect::<FromWorker>(&mut link.receiver, frames).await;
                }
                wasmgrid_net::Accepted::Client(mut link) => {
                    assert_eq!((&link.peer.hello, link.peer.minor), (&hello, agreed));
                    expect::<FromClient>(&mut link.receiver, frames).await;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_and_clients_understand_a_scheduler_of_the_minors_beside_their_own() {
    for minors in neighbours() {
        let grid = Grid::new();
        let folder = grid.forge(|params| {
            params.subject_alt_names = vec![crate::grid::uri("spiffe://home/scheduler/other")];
        });
        for role in [Role::Worker, Role::Client] {
            let listener = raw::listen(&folder, "wasmgrid/1");
            let addresses = [listener.local_addr().unwrap().to_string()];
            let direction = if role == Role::Worker { "ToWorker" } else { "ToClient" };
            let frames = golden(direction);
            let says = scheduler_saying(listener, hello(minors), frames.clone());
            let scheduler = tokio::spawn(says);
            let (endpoint, agreed) = (grid.endpoint(role), minors.most.min(PROTOCOL_MINOR));
            if role == Role::Worker {
                let mut link = endpoint.connect_worker(&addresses).await.unwrap();
                assert_eq!((&link.peer.hello, link.peer.minor), (&hello(minors), agreed));
                expect::<ToWorker>(&mut link.receiver, frames).await;
            } else {
                let mut link = endpoint.connect_client(&addresses).await.unwrap();
                assert_eq!((&link.peer.hello, link.peer.minor), (&hello(minors), agreed));
                expect::<ToClient>(&mut link.receiver, frames).await;
            }
            endpoint.close().await;
            scheduler.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agreed_minor_does_not_know_is_not_sent() {
    let grid = Grid::new();
    // Which knows no request that was added since.
    let (older, addresses) = (Minors { least: 0, most: 0 }, grid.addresses());
    let endpoint = Endpoint::saying(hello(older), &grid.credentials(Role::Client, "older"));
    let (accepted, dialled) =
        tokio::join!(grid.listener.accept(), endpoint.connect_client(&addresses));
    let Some(wasmgrid_net::Accepted::Client(mut scheduler)) = accepted else { panic!() };
    let client = dialled.unwrap();
    assert_eq!((scheduler.peer.minor, client.peer.minor), (older.most, older.most));
    let request = |id, request| FromClient::Request(RequestFrame { id, request });
    assert!(request(1, Request::Metrics).since() > older.most);
    client.sender.send(request(1, Request::Metrics)).await.unwrap();
    client.sender.send(request(2, Request::Contests)).await.unwrap();
    let heard = scheduler.receiver.recv().await.unwrap();
    assert_eq!(heard, Some(request(2, Request::Contests).into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_not_known_arrives_as_one_and_the_link_lives() {
    let grid = Grid::new();
    let (mut scheduler, client) = grid.client().await;
    let request = |id, request| FromClient::Request(RequestFrame { id, request });
    let unknown = Request::Unknown { number: Request::KNOWN + 3 };
    client.sender.send(request(7, unknown.clone())).await.unwrap();
    client.sender.send(request(8, Request::Contests)).await.unwrap();
    let heard = scheduler.receiver.recv().await.unwrap();
    assert_eq!(heard, Some(request(7, unknown).into()));
    let heard = scheduler.receiver.recv().await.unwrap();
    assert_eq!(heard, Some(request(8, Request::Contests).into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sides_without_a_common_minor_make_no_link_and_name_the_versions_of_both() {
    let grid = Grid::new();
    let later = Minors { least: PROTOCOL_MINOR + 1, most: PROTOCOL_MINOR + 2 };
    let (ours, theirs) = (Release::ours().to_string(), Release::of(&hello(later)).to_string());
    let names_both = |error: NetError| {
        let NetError::Minor { reason, .. } = &error else { panic!("{error:?}") };
        assert!(reason.contains(&ours) && reason.contains(&theirs), "{reason}");
    };
    // The scheduler refuses.
    let endpoint = Endpoint::saying(hello(later), &grid.credentials(Role::Client, "later"));
    names_both(endpoint.connect_client(&grid.addresses()).await.unwrap_err());
    grid.still_accepts().await;
    // The scheduler is of a later release, and says so.
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![crate::grid::uri("spiffe://home/scheduler/later")];
    });
    let listener = raw::listen(&folder, "wasmgrid/1");
    let addresses = [listener.local_addr().unwrap().to_string()];
    let scheduler = tokio::spawn(scheduler_saying(listener, hello(later), Vec::new()));
    names_both(grid.endpoint(Role::Client).connect_client(&addresses).await.unwrap_err());
    scheduler.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_with_an_unknown_critical_extension_is_refused_by_its_number() {
    let grid = Grid::new();
    let list = vec![Extension { id: 77, critical: true, bytes: Vec::new() }];
    let extensions = Extensions::new(list).unwrap();
    let hello = Hello { extensions, ..Hello::new("9.8.7") };
    let endpoint = Endpoint::saying(hello.clone(), &grid.credentials(Role::Client, "later"));
    let refused = endpoint.connect_client(&grid.addresses()).await.unwrap_err();
    assert!(matches!(refused, NetError::Minor { .. }), "{refused:?}");
    assert!(refused.to_string().contains("the hello has the extension 77"), "{refused}");
    grid.still_accepts().await;
    // The same of a scheduler's.
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![crate::grid::uri("spiffe://home/scheduler/later")];
    });
    let listener = raw::listen(&folder, "wasmgrid/1");
    let addresses = [listener.local_addr().unwrap().to_string()];
    let scheduler = tokio::spawn(scheduler_saying(listener, hello, Vec::new()));
    let refused = grid.endpoint(Role::Client).connect_client(&addresses).await.unwrap_err();
    assert!(matches!(refused, NetError::Minor { .. }), "{refused:?}");
    assert!(refused.to_string().contains("the hello has the extension 77"), "{refused}");
    scheduler.await.unwrap();
}
