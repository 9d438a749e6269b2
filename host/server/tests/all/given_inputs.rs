//! Inputs that clients ask for later: whose they are, how many at once, and what is answered for those
//! that are deleted.

use bytes::Bytes;
use wasmgrid_proto::{
    InputBlock, JobId, JobState, Reason, TaskRange,
    wire::{Reply, Request, Role, Submit, ToClient},
};
use wasmgrid_server::{Server, ServerConfig};
use wasmgrid_store::{MemoryStore, memory};

use crate::harness::*;

/// What is answered: the first one's index, and the inputs.
type Given = (u64, InputBlock, Bytes);

const ALL: TaskRange = TaskRange { first: 0, count: 1_000 };

fn from(first: u64) -> TaskRange {
    TaskRange { first, ..ALL }
}

fn packed(lengths: &[u32]) -> InputBlock {
    InputBlock::Packed(lengths.to_vec())
}

async fn answer(client: &mut Client, id: u64) -> Given {
    client
        .next(|envelope| match &envelope.message {
            ToClient::Reply(frame) if frame.id == id => match &frame.reply {
                Ok(Reply::Inputs { first, inputs }) => {
                    Some((*first, inputs.clone(), envelope.payload.clone()))
                }
                other => panic!("no inputs: {other:?}"),
            },
            _ => None,
        })
        .await
}

async fn ask(client: &mut Client, job: JobId, tasks: TaskRange) -> Given {
    client.ask(7, Request::Inputs { job, tasks }, &[]).await;
    answer(client, 7).await
}

async fn ann(server: &Server) -> Client {
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    ann
}

/// Waits until the job has ended, all of whose tasks a worker runs well.
async fn run(server: &Server, client: &mut Client, job: JobId, tasks: u64) {
    join(&server.handle(), "w").await.work(tasks, b"out").await;
    while client.job(job).await.state != JobState::Ok {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn inputs_of_an_ended_job_are_given_also_after_a_restart() {
    let store = memory();
    let server = start(store.reopen());
    let mut client = ann(&server).await;
    let (spec, inputs) = (spec(), packed(&[1, 2]));
    let open = Submit { spec, idempotency_key: None, inputs, closed: false, watch: None };
    let job = status(client.request(Request::Submit(open), b"abb").await).job;
    let skip = Request::Skip { job, first: 2, count: 3 };
    assert_eq!(client.request(skip, &[]).await, Ok(Reply::Done));
    for (first, inputs, payload) in [(5, packed(&[3]), &b"ccc"[..]), (6, packed(&[0, 1]), b"d")] {
        let append = Request::AppendAt { job, first, inputs };
        assert_eq!(client.request(append, payload).await, Ok(Reply::Done));
    }
    assert_eq!(client.request(Request::Close { job }, &[]).await, Ok(Reply::Done));
    run(&server, &mut client, job, 5).await;
    let early = ask(&mut client, job, ALL).await;
    assert_eq!(early, (0, packed(&[1, 2]), "abb".into()));
    server.shutdown().await.expect("in order");

    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    assert_eq!(ask(&mut client, job, ALL).await, early);
    // Appends that follow each other are one answer.
    assert_eq!(ask(&mut client, job, from(2)).await, (5, packed(&[3, 0, 1]), "cccd".into()));
    let one = TaskRange::one(1);
    assert_eq!(ask(&mut client, job, one).await, (1, packed(&[2]), "bb".into()));
    assert_eq!(ask(&mut client, job, from(8)).await, (8, packed(&[]), "".into()));
    let job = JobId(99);
    let error = client.request(Request::Inputs { job, tasks: ALL }, &[]).await;
    assert_eq!(error, Err(Reason::NoJob { job }.into()));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn numbers_of_a_range_are_given_as_such() {
    let server = start_fresh();
    let mut client = ann(&server).await;
    let range = InputBlock::Numbers { start: -3, step: 2, count: 1 << 30 };
    let job = status(client.request(submit(range, None), &[]).await).job;
    let numbers = InputBlock::Numbers { start: 7, step: 2, count: 4 };
    let tasks = TaskRange { first: 5, count: 4 };
    assert_eq!(ask(&mut client, job, tasks).await, (5, numbers, Bytes::new()));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn inputs_that_are_deleted_are_answered_by_none() {
    let mut config = ServerConfig::new("test");
    config.grid.keep_inputs = 0;
    let store: MemoryStore = memory();
    let server = Server::start(config, Box::new(store), admission()).expect("starts");
    let mut client = ann(&server).await;
    let job = status(client.request(submit(packed(&[1, 2]), None), b"abb").await).job;
    assert_eq!(ask(&mut client, job, ALL).await, (0, packed(&[1, 2]), "abb".into()));
    run(&server, &mut client, job, 2).await;
    assert_eq!(ask(&mut client, job, from(1)).await, (1, packed(&[]), Bytes::new()));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_retry_has_the_inputs_of_its_own_tasks() {
    let server = start_fresh();
    let mut client = ann(&server).await;
    let job = status(client.request(submit(packed(&[1, 2, 3]), None), b"abbccc").await).job;
    assert_eq!(client.request(Request::Cancel { job }, &[]).await, Ok(Reply::Done));
    let retry = Request::Retry { job, limits: None, idempotency_key: None };
    let again = status(client.request(retry, &[]).await).job;
    assert_eq!(ask(&mut client, again, from(1)).await, (1, packed(&[2, 3]), "bbccc".into()));
    run(&server, &mut client, again, 3).await;
    assert_eq!(ask(&mut client, again, from(2)).await, (2, packed(&[3]), "ccc".into()));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn many_large_answers_wait_for_their_reader_and_for_nobody_else() {
    const LARGE: usize = 700 << 10;
    const QUESTIONS: u64 = 100;
    let server = start_fresh();
    let mut client = ann(&server).await;
    let payload = [vec![b'a'; LARGE], vec![b'b'; LARGE]].concat();
    let inputs = packed(&[LARGE as u32; 2]);
    let job = status(client.request(submit(inputs, None), &payload).await).job;
    let request = |id: u64| Request::Inputs { job, tasks: from(id % 2) };
    for id in 1..=QUESTIONS {
        client.ask(id, request(id), &[]).await;
    }
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    bob.put(MODULE).await.expect("served meanwhile");
    for id in 1..=QUESTIONS {
        let (first, inputs, payload) = answer(&mut client, id).await;
        assert_eq!((first, inputs), (id % 2, packed(&[LARGE as u32])), "one at a time");
        assert!(payload.iter().all(|byte| *byte == b"ab"[(id % 2) as usize]));
    }
    server.shutdown().await.expect("in order");
}
