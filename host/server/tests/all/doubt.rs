//! Commits of which it is not known at first whether they are durable: the store is asked again, and
//! nobody notices but by waiting.

use wasmgrid_proto::{
    JobState, Reason, Record,
    wire::{Reply, Request, Role, Submit, ToClient},
};
use wasmgrid_server::ServerError;
use wasmgrid_store::{Fault, MemoryStore, Store as _, StoreError, memory};

use crate::harness::*;

/// All records that a scheduler would replay.
fn journal(store: &MemoryStore) -> Vec<Record> {
    let mut records = Vec::new();
    let mut each = |_, bytes: &[u8]| {
        records.push(postcard::from_bytes(bytes).expect("a record"));
        Ok(())
    };
    store.reopen().replay(&mut each).expect("whole");
    records
}

/// Why the server takes no new work.
async fn refusal(client: &mut Client) -> Option<Reason> {
    match client.request(Request::Intake, &[]).await {
        Ok(Reply::Intake { refusal }) => refusal.map(|error| *error.reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn commits_in_doubt_are_made_once_and_the_server_goes_on() {
    let store = memory();
    let (faults, again) = (store.faults().clone(), store.reopen());
    faults.plan(Fault::AnswerLost);
    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    faults.plan(Fault::AnswerLost);
    client.put(MODULE).await.expect("kept");
    let (spec, idempotency_key, inputs) = (spec(), Some("key".into()), numbers(0));
    let open =
        Submit { spec, idempotency_key, inputs, closed: false, watch: Some(watch(1, PLENTY)) };
    faults.plan(Fault::Failed);
    let job = status(client.request(Request::Submit(open.clone()), &[]).await).job;
    for first in 0..20 {
        faults.plan(if first % 2 == 0 { Fault::AnswerLost } else { Fault::Failed });
        let append = Request::AppendAt { job, first, inputs: numbers(1) };
        assert_eq!(client.request(append, &[]).await, Ok(Reply::Done));
    }
    // A repeat, of which the first one is watched already.
    let repeat = Submit { watch: None, ..open };
    assert_eq!(status(client.request(Request::Submit(repeat), &[]).await).job, job);
    let mut worker = join(&server.handle(), "w").await;
    for fault in [Fault::AnswerLost, Fault::Failed, Fault::Failed, Fault::AnswerLost] {
        faults.plan(fault);
    }
    worker.work(20, b"out").await;
    client.request(Request::Close { job }, &[]).await.expect("closed");
    let (results, end) = client.watched(1).await;
    assert_eq!((results.len(), end.state, end.results), (20, JobState::Ok, 20));
    server.shutdown().await.expect("in order");

    let records = journal(&again);
    let count = |wanted: fn(&Record) -> bool| records.iter().filter(|one| wanted(one)).count();
    assert_eq!(count(|record| matches!(record, Record::JobSubmitted { .. })), 1);
    assert_eq!(count(|record| matches!(record, Record::InputsAppended { .. })), 20);
    let server = start(again);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.request(Request::Watch { job, watch: watch(1, PLENTY) }, &[]).await.expect("there");
    assert_eq!(client.watched(1).await.0, results);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn while_the_store_gives_no_answer_nothing_is_acknowledged_and_reading_goes_on() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let done = status(client.request(submit(numbers(1), None), &[]).await).job;
    valve.cut();
    client.ask(7, submit(numbers(1), None), &[]).await;
    while refusal(&mut client).await != Some(Reason::StoreInDoubt) {}
    assert_eq!(client.job(done).await.state, JobState::Active);
    let refused = client.request(submit(numbers(1), None), &[]).await;
    assert_eq!(refused, Err(Reason::StoreInDoubt.into()));
    assert!(!client.was_answered(7));
    valve.connect();
    let job = status(client.answer(7).await).job;
    assert!(job > done);
    while refusal(&mut client).await.is_some() {}
    client.request(submit(numbers(1), None), &[]).await.expect("taken again");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_server_whose_store_gives_no_answer_can_be_stopped() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    valve.cut();
    client.ask(7, submit(numbers(1), None), &[]).await;
    while refusal(&mut client).await != Some(Reason::StoreInDoubt) {}
    let stopped = tokio::time::timeout(NEVER, server.shutdown()).await.expect("it ends");
    let in_doubt = |error: &StoreError| matches!(error, StoreError::InDoubt { .. });
    assert!(matches!(&stopped, Err(ServerError::Commit(why)) if in_doubt(why)), "{stopped:?}");
    let answered = |message: &ToClient| matches!(message, ToClient::Reply(frame) if frame.id == 7);
    assert!(!client.has(answered).await, "nothing is acknowledged");
}
