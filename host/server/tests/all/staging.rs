//! Large data is written in short commits before the one that names it.

use wasmgrid_proto::{
    InputBlock, JobId,
    wire::{ErrorCode, Request, Role, Submit},
};
use wasmgrid_server::ServerConfig;
use wasmgrid_store::{Entry, StagedId};

use crate::harness::*;

/// Data of so many bytes is staged.
const STAGE_FROM: usize = 1 << 20;

/// More than a piece by far.
const LARGE: usize = 3 * STAGE_FROM;

/// No commit has more data than a piece and what describes it.
const SHORT: usize = STAGE_FROM / 2;

fn large(byte: u8) -> (InputBlock, Vec<u8>) {
    (InputBlock::Packed(vec![LARGE as u32]), vec![byte; LARGE])
}

fn named(written: &[Entry]) -> Vec<StagedId> {
    let named = written.iter().filter_map(|entry| match entry {
        Entry::StagedSegment { staged, .. } | Entry::StagedModule { staged, .. } => Some(*staged),
        _ => None,
    });
    named.collect()
}

fn dropped(written: &[Entry]) -> Vec<StagedId> {
    let dropped = written.iter().filter_map(|entry| match entry {
        Entry::DropStaged { staged } => Some(*staged),
        _ => None,
    });
    dropped.collect()
}

#[tokio::test]
async fn large_inputs_are_written_before_the_record_that_names_them() {
    let (server, valve) = start_held_staging(ServerConfig::new("test"), Some(STAGE_FROM));
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    valve.take_written();

    let (inputs, payload) = large(7);
    let Request::Submit(submit) = submit(inputs, None) else { unreachable!("a submit") };
    let open = Request::Submit(Submit { closed: false, ..submit });
    let job = status(client.request(open, &payload).await).job;
    let (written, longest) = valve.take_written();
    assert_eq!(named(&written).len(), 1);
    assert!(longest < SHORT, "a commit of {longest} bytes");
    let mut worker = join(&server.handle(), "w").await;
    let (assign, given) = worker.assigned().await;
    assert!(given == payload, "the worker has what was sent");

    // Results too.
    worker.finish(1, &assign, &payload).await;
    assert_eq!(worker.committed().await, [1]);
    let (written, longest) = valve.take_written();
    assert_eq!(named(&written).len(), 1);
    assert!(longest < SHORT, "a commit of {longest} bytes");
    client.request(Request::Watch { job, watch: watch(1, PLENTY) }, &[]).await.expect("watched");

    // And modules.
    client.put(&payload).await.expect("kept");
    let (written, longest) = valve.take_written();
    assert_eq!(named(&written).len(), 1);
    assert!(longest < SHORT, "a commit of {longest} bytes");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn large_inputs_that_are_refused_are_deleted_with_the_next_commit() {
    let (server, valve) = start_held_staging(ServerConfig::new("test"), Some(STAGE_FROM));
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    valve.take_written();

    let (inputs, payload) = large(7);
    let append = Request::AppendAt { job: JobId(99), first: 0, inputs };
    let refused = client.request(append, &payload).await.expect_err("there is no such job");
    assert_eq!(refused.code, ErrorCode::NotFound);
    status(client.request(submit(numbers(1), None), &[]).await);
    let (written, _) = valve.take_written();
    assert_eq!((named(&written).len(), dropped(&written).len()), (0, 1));
    server.shutdown().await.expect("in order");
}
