//! Jobs that live of one submitter's inputs: they wait for one that is gone, and not for ever.

use wasmgrid_proto::{
    JobId, JobSpec, JobState, JobStatus, Millis,
    wire::{ErrorCode, Reply, Request, Role, Submit},
};
use wasmgrid_server::{Server, ServerConfig};
use wasmgrid_store::{MemoryStore, memory};

use crate::harness::*;

/// The number of a question that stays open.
const ATTENDS: u64 = 77;

fn start_waiting(store: MemoryStore) -> Server {
    let mut config = ServerConfig::new("test");
    config.producer_grace = Millis(400);
    Server::start(config, Box::new(store), admission()).expect("starts")
}

/// Makes a job of one input, to which more may come.
async fn open_job(client: &mut Client, attached: bool) -> JobId {
    let spec = JobSpec { attached, ..spec() };
    let (inputs, closed) = (numbers(1), false);
    let submit = Submit { spec, idempotency_key: None, inputs, closed, watch: None };
    status(client.request(Request::Submit(submit), &[]).await).job
}

async fn until(client: &mut Client, job: JobId, holds: impl Fn(&JobStatus) -> bool) -> JobStatus {
    loop {
        let status = client.job(job).await;
        if holds(&status) {
            return status;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_job_whose_submitter_is_gone_is_closed_and_runs_what_it_has() {
    let server = start_waiting(memory());
    let mut reader = client_link(&server.handle(), Role::Client, "ann");
    reader.put(MODULE).await.expect("kept");
    let mut submitter = client_link(&server.handle(), Role::Client, "ann");
    let attended = open_job(&mut submitter, true).await;
    submitter.ask(ATTENDS, Request::Attend { job: attended }, &[]).await;
    let mut gone = client_link(&server.handle(), Role::Client, "ann");
    let left = open_job(&mut gone, true).await;
    gone.ask(ATTENDS, Request::Attend { job: left }, &[]).await;
    let open = open_job(&mut gone, false).await;
    // One that died before it could say that it feeds its job.
    let never = open_job(&mut gone, true).await;
    drop(gone);
    for job in [left, never] {
        let closed = until(&mut reader, job, |status| status.closed).await;
        assert_eq!((closed.state, closed.counts.total), (JobState::Active, 1));
    }
    // What somebody feeds, and what anybody may feed, waits.
    for job in [attended, open] {
        assert!(!reader.job(job).await.closed);
    }
    let mut worker = join(&server.handle(), "w").await;
    worker.work(4, b"done").await;
    let ended = until(&mut reader, left, |status| status.state.is_terminal()).await;
    assert_eq!((ended.state, ended.results), (JobState::Ok, 1));
    // Who feeds a job hears of its end.
    reader.request(Request::Close { job: attended }, &[]).await.expect("it is open");
    assert_eq!(submitter.answer(ATTENDS).await, Ok(Reply::Done));
    let again = submitter.request(Request::Attend { job: attended }, &[]).await;
    assert_eq!(again, Ok(Reply::Done));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_submitter_that_comes_back_in_time_feeds_on_also_after_a_restart() {
    let store = memory();
    let again = store.reopen();
    let server = start_waiting(store);
    let mut submitter = client_link(&server.handle(), Role::Client, "ann");
    submitter.put(MODULE).await.expect("kept");
    let (mine, other) =
        (open_job(&mut submitter, true).await, open_job(&mut submitter, true).await);
    submitter.ask(ATTENDS, Request::Attend { job: mine }, &[]).await;
    server.shutdown().await.expect("in order");

    let server = start_waiting(again);
    let mut submitter = client_link(&server.handle(), Role::Client, "ann");
    submitter.ask(ATTENDS, Request::Attend { job: mine }, &[]).await;
    until(&mut submitter, other, |status| status.closed).await;
    let append = Request::AppendAt { job: mine, first: 1, inputs: numbers(1) };
    assert_eq!(submitter.request(append, &[]).await, Ok(Reply::Done));
    // Another link of the same submitter is enough.
    let mut second = client_link(&server.handle(), Role::Client, "ann");
    second.ask(ATTENDS, Request::Attend { job: mine }, &[]).await;
    let third = open_job(&mut submitter, true).await;
    drop(submitter);
    until(&mut second, third, |status| status.closed).await;
    assert!(!second.job(mine).await.closed);
    let mut stranger = client_link(&server.handle(), Role::Client, "bob");
    let error = stranger.request(Request::Attend { job: mine }, &[]).await.expect_err("not bob's");
    assert_eq!(error.code, ErrorCode::Forbidden);
    server.shutdown().await.expect("in order");
}
