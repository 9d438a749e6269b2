//! Inputs for an open job: sent ahead, overtaken, refused, and given up.

use bytes::Bytes;
use wasmgrid_client::{ClientConfig, ClientError};
use wasmgrid_proto::{
    InputBlock, JobId, Reason,
    reason::NotOpen,
    wire::{Reply, ReplyFrame, Request, ToClient},
};

use crate::grid::{Grid, Server};

/// One input of one byte.
fn one() -> (InputBlock, Bytes) {
    (InputBlock::Packed(vec![1]), Bytes::from_static(b"i"))
}

impl Server {
    /// The next request, which appends behind `first` inputs.
    async fn append_at(&mut self, first: u64) -> u64 {
        match self.request().await {
            (id, Request::AppendAt { first: found, .. }) if found == first => id,
            other => panic!("no append at {first}: {other:?}"),
        }
    }

    async fn refuse(&self, id: u64, reason: Reason) {
        let error = reason.into();
        self.say(ToClient::Reply(ReplyFrame { id, reply: Err(error) })).await;
    }
}

#[tokio::test]
async fn appends_are_asked_in_order_ahead_of_their_answers() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    let mut uploads = client.uploads(JobId(1));
    for first in 0..8 {
        let (inputs, payload) = one();
        uploads.push(first, inputs, payload).await.expect("sent");
    }
    let mut asked = Vec::new();
    for first in 0..8 {
        asked.push(server.append_at(first).await);
    }
    for id in asked.into_iter().rev() {
        server.answer(id, Reply::Done).await;
    }
    uploads.finish().await.expect("all are taken");
    assert!(uploads.is_empty());
}

fn gap() -> Reason {
    Reason::Gap { job: JobId(1), first: 1, next: 0 }
}

#[tokio::test]
async fn an_append_that_came_too_early_is_asked_again_though_no_other_follows() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    let mut uploads = client.uploads(JobId(1));
    for first in 0..2 {
        let (inputs, payload) = one();
        uploads.push(first, inputs, payload).await.expect("sent");
    }
    let (overtaken, early) = (server.append_at(0).await, server.append_at(1).await);
    server.refuse(early, gap()).await;
    server.answer(overtaken, Reply::Done).await;
    // The caller waits for the next input meanwhile, and stops waiting now and then.
    let settled = async {
        while !uploads.is_empty() {
            tokio::select! {
                biased;
                settled = uploads.settle() => settled.expect("taken"),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let answered = async {
        let again = server.append_at(1).await;
        server.answer(again, Reply::Done).await;
    };
    tokio::join!(settled, answered);
}

#[tokio::test]
async fn an_append_is_not_asked_twice_where_it_is_refused_for_what_it_is() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    // What came too early is asked again, and refused again; what has nothing before it, or is
    // refused for what it is, is not.
    let large = Reason::InputTooLarge { index: 0, allowed: 1 };
    for (count, asks, reason) in [(1, 1, gap()), (2, 2, gap()), (2, 1, large)] {
        let mut uploads = client.uploads(JobId(1));
        for first in 0..count {
            let (inputs, payload) = one();
            uploads.push(first, inputs, payload).await.expect("sent");
        }
        let answered = async {
            let mut ids = Vec::new();
            for first in 0..count {
                ids.push(server.append_at(first).await);
            }
            for (first, id) in ids.into_iter().enumerate() {
                match first as u64 + 1 == count {
                    true => server.refuse(id, reason.clone()).await,
                    false => server.answer(id, Reply::Done).await,
                }
            }
            for _ in 1..asks {
                let again = server.append_at(count - 1).await;
                server.refuse(again, reason.clone()).await;
            }
        };
        let (finished, ()) = tokio::join!(uploads.finish(), answered);
        assert!(matches!(finished, Err(ClientError::Api(_))), "{finished:?}");
    }
    let next = async { server.request().await };
    let asked = tokio::select! {
        _ = client.workers() => panic!("nobody answered"),
        asked = next => asked,
    };
    assert_eq!(asked.1, Request::WorkerPage { after: None, all: false });
}

/// The next request of a server, which appends: by whom, and their number of it.
async fn extended(server: &mut Server) -> (u64, (u64, u64)) {
    match server.request().await {
        (id, Request::Append { producer, number, .. }) => (id, (producer, number)),
        other => panic!("no append: {other:?}"),
    }
}

#[tokio::test]
async fn a_producer_never_gives_other_inputs_a_number_that_may_be_used() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    let mut producer = client.producer(JobId(1)).expect("random bytes");
    let mut seen = Vec::new();
    // Taken, refused, and given up by who asked; the last is taken.
    for turn in 0..4 {
        let (inputs, payload) = one();
        let answered = async {
            let (id, who) = extended(&mut server).await;
            let why = NotOpen::Closed { at: 9 };
            let refusal = Reason::JobClosed { job: JobId(1), why }.into();
            let reply = if turn == 1 { Err(refusal) } else { Ok(Reply::Appended { first: turn }) };
            if turn != 2 {
                server.say(ToClient::Reply(ReplyFrame { id, reply })).await;
            }
            who
        };
        let append = producer.append(inputs, payload);
        if turn == 2 {
            tokio::select! {
                biased;
                _ = append => panic!("nobody answered"),
                who = answered => seen.push(who),
            }
        } else {
            let (answer, who) = tokio::join!(append, answered);
            assert_eq!(answer.ok(), (turn != 1).then_some(turn));
            seen.push(who);
        }
    }
    let numbers: Vec<u64> = seen.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, [1, 2, 1, 1], "what was refused may have been done before");
    assert!(seen[0].0 == seen[1].0 && seen[1].0 != seen[2].0 && seen[2].0 != seen[3].0);
}
