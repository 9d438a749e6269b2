//! What one identity may make a scheduler hold, over all its links.

use std::time::Duration;

use bytes::Bytes;
use wasmgrid_net::{Accepted, Envelope, Link, LinkError, ListenerConfig, Role};
use wasmgrid_proto::{
    Digest,
    wire::{FromClient, Request, RequestFrame, ToClient},
};

use crate::{
    crowd::{self, CLAIMED},
    grid::Grid,
};

/// A large message, as a client sends one.
fn large(id: u64) -> Envelope<FromClient> {
    let payload = Bytes::from(vec![9; 1 << 20]);
    let put = Request::PutModule { digest: Digest::of(&payload), size_bytes: 1 << 20 };
    Envelope { message: FromClient::Request(RequestFrame { id, request: put }), payload }
}

async fn accept_client(grid: &Grid) -> Link<ToClient, FromClient> {
    match grid.listener.accept().await {
        Some(Accepted::Client(link)) => link,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_messages_on_many_links_take_no_more_than_one_budget() {
    const LINKS: usize = 12;
    let grid = Grid::new();
    let folder = grid.folder.path().join("greedy");
    grid.credentials(Role::Client, "greedy").save(&folder).unwrap();
    let mut accepted = Vec::new();
    let crowd = crowd::half_sent(grid.listener.local_addr(), &folder, (LINKS, 64), async || {
        accepted.push(accept_client(&grid).await);
    })
    .await;
    // Its budget, what a link may send ahead, halved with each further one, and what the crowd's
    // own side has in its buffers.
    let ahead = (64 + 3 * LINKS) * (5 << 18);
    let (budget, buffers) = (2 * (CLAIMED as usize), LINKS * (10 << 20));
    let most = (budget + ahead + buffers) as u64;
    // Another one's messages arrive meanwhile, until nothing more is taken of the crowd's.
    let (mut scheduler, other) = grid.client().await;
    let (mut before, mut still, mut id) = (0, 0, 0);
    while (still < 50 || before < u64::from(CLAIMED)) && before <= most {
        id += 1;
        other.sender.send(large(id)).await.unwrap();
        let arrived = scheduler.receiver.recv().await.unwrap().unwrap();
        assert!(arrived == large(id));
        let taken = *crowd.taken.borrow();
        still = if taken == before { still + 1 } else { 0 };
        before = taken;
    }
    assert!(before <= most, "{} MiB", before >> 20);
    assert_eq!(crowd.connections.iter().filter(|at| at.close_reason().is_some()).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_wait_for_room_do_not_hold_up_those_that_have_it() {
    let grid = Grid::new();
    let folder = grid.folder.path().join("greedy");
    grid.credentials(Role::Client, "greedy").save(&folder).unwrap();
    let mut accepted = Vec::new();
    let crowd = crowd::half_sent(grid.listener.local_addr(), &folder, (1, 64), async || {
        accepted.push(accept_client(&grid).await);
    })
    .await;
    // There is room for two, which are read as far as they were sent; the others wait with all that
    // may be sent ahead of them.
    let mut taken = crowd.taken.clone();
    let most = u64::from(2 * CLAIMED) - (1 << 20);
    tokio::select! {
        taken = taken.wait_for(|taken| *taken >= most) => {
            _ = taken.unwrap();
        }
        ended = crowd.connections[0].closed() => panic!("it stood still: {ended}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_does_not_go_on_ends_its_link_and_gives_its_room_back() {
    let patience = Duration::from_millis(200);
    let identity_bytes = CLAIMED as usize;
    let grid = Grid::with(ListenerConfig { patience, identity_bytes, ..Default::default() });
    let folder = grid.folder.path().join("test");
    grid.credentials(Role::Client, "test").save(&folder).unwrap();
    let mut accepted = None;
    let address = grid.listener.local_addr();
    let crowd = crowd::half_sent(address, &folder, (1, 1), async || {
        accepted = Some(accept_client(&grid).await);
    })
    .await;
    // It has all the room there is for its identity; another link of that waits for it.
    let (mut scheduler, client) = grid.client().await;
    client.sender.send(large(1)).await.unwrap();
    assert!(scheduler.receiver.recv().await.unwrap().unwrap() == large(1));
    let ended = accepted.unwrap().receiver.recv().await;
    assert!(matches!(ended, Err(LinkError::Lost { .. })), "{ended:?}");
    let told = crowd.connections[0].closed().await.to_string();
    assert!(told.contains("began a large message and sent no more of it"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_messages_do_not_wait_for_the_room_of_large_ones() {
    let grid = Grid::with(ListenerConfig { identity_bytes: 1 << 20, ..Default::default() });
    let (mut scheduler, client) = grid.client().await;
    client.sender.send(large(1)).await.unwrap();
    let (first, held) = scheduler.receiver.recv_reserved().await.unwrap().unwrap();
    assert!(first == large(1) && held.is_some());
    // The second has no room until the first is done with, and a small one overtakes it.
    client.sender.send(large(2)).await.unwrap();
    let small = FromClient::Request(RequestFrame { id: 3, request: Request::Contests });
    client.sender.send(small.clone()).await.unwrap();
    assert_eq!(scheduler.receiver.recv().await, Ok(Some(small.into())));
    drop(held);
    assert!(scheduler.receiver.recv().await.unwrap().unwrap() == large(2));
}
