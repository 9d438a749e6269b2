//! What one tenant may store, over the links of real clients: the others have room beside it.

use wasmgrid_proto::{
    Allowance, Digest, InputBlock, Limit, Outcome, Resource,
    wire::{ApiError, ErrorCode, Reply, Request, Role, ToClient},
};
use wasmgrid_server::{Server, ServerConfig};
use wasmgrid_store::{MemoryStore, memory};

use crate::harness::*;

/// What each tenant may have of the store.
const BYTES: u64 = 4 << 20;

fn start_bounded(store: MemoryStore) -> Server {
    let mut config = ServerConfig::new("test");
    config.grid.quotas.insert(Resource::Bytes, BYTES);
    Server::start(config, Box::new(store), admission()).expect("starts")
}

fn module(number: u8) -> Vec<u8> {
    vec![number; 1 << 20]
}

async fn put_until_refused(client: &mut Client) -> (u8, ApiError) {
    for number in 0..u8::MAX {
        if let Err(error) = client.put(&module(number)).await {
            return (number, error);
        }
    }
    panic!("modules without end")
}

pub async fn used(client: &mut Client, name: &str) -> u64 {
    let reply = client.request(Request::Tenants { after: None }, &[]).await;
    let Ok(Reply::Tenants { tenants, more: 0 }) = reply else { panic!("{reply:?}") };
    let tenant = tenants.into_iter().find(|tenant| tenant.name == name).expect("it is listed");
    tenant.uses.iter().find(|one| one.resource == Resource::Bytes).expect("told").used
}

#[tokio::test]
async fn modules_that_nobody_names_end_at_the_quota_of_who_sent_them() {
    let store = memory();
    let server = start_bounded(store.reopen());
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let (kept, error) = put_until_refused(&mut ann).await;
    assert_eq!((kept, error.code), (4, ErrorCode::Refused), "{error}");
    assert!(error.to_string().contains("4MiB of its quota of 4MiB bytes"), "{error}");
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    bob.put(&module(200)).await.expect("bob has his own");
    // Whoever names a module has it counted, and the client who sent it first still has it too.
    let have = |number| Request::HaveModule { digest: Digest::of(&module(number)) };
    let put = ann.put(&module(200)).await.expect_err("it would be hers as well");
    let asked = ann.request(have(200), &[]).await.expect_err("as above");
    assert_eq!([put.code, asked.code], [ErrorCode::Refused; 2]);
    let present = Ok(Reply::Module { present: true });
    assert_eq!(bob.request(have(0), &[]).await, present);
    assert_eq!(bob.request(have(0), &[]).await, present);
    assert_eq!(used(&mut bob, "bob").await, 2 << 20);
    server.shutdown().await.expect("in order");
    // Whose they are outlives the scheduler.
    let server = start_bounded(store.reopen());
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    assert_eq!(used(&mut ann, "ann").await, 4 << 20);
    assert_eq!(ann.put(&module(201)).await.expect_err("full").code, ErrorCode::Refused);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn inputs_that_no_worker_runs_end_at_the_quota_and_are_counted_after_a_restart() {
    let store = memory();
    let server = start_bounded(store.reopen());
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let input = vec![7; 1 << 20];
    let request = || submit(InputBlock::Packed(vec![1 << 20]), None);
    let mut taken = 0_u64;
    let error = loop {
        match ann.request(request(), &input).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((taken, error.code), (3, ErrorCode::Refused), "{error}");
    let before = used(&mut ann, "ann").await;
    server.shutdown().await.expect("in order");
    let server = start_bounded(store.reopen());
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let after = used(&mut ann, "ann").await;
    assert!(after.abs_diff(before) < 1_000, "{before} before, {after} after");
    assert_eq!(ann.request(request(), &input).await.expect_err("full").code, ErrorCode::Refused);
    // Another tenant's work goes on.
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    bob.request(submit(numbers(1), None), &[]).await.expect("bob has room");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn results_under_way_take_no_more_than_the_quota_and_its_margin() {
    const MARGIN: u64 = 1 << 20;
    const OUTPUT: usize = 2 << 20;
    let mut config = ServerConfig::new("test");
    config.grid.quotas.insert(Resource::Bytes, BYTES);
    config.grid.bytes_margin = MARGIN;
    let server = Server::start(config, Box::new(memory()), admission()).expect("starts");
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let request = submit(numbers(4), Some(watch(7, PLENTY)));
    let job = status(ann.request(request, &[]).await).job;
    worker.work(4, &[1; OUTPUT]).await;
    let (mut ok, mut over) = (0, 0);
    while ok + over < 4 {
        let envelope =
            ann.next(|envelope| (!entries(envelope).is_empty()).then(|| envelope.clone()));
        let envelope = envelope.await;
        let ToClient::Results(frame) = &envelope.message else { panic!("{envelope:?}") };
        for meta in frame.blocks.iter().flat_map(|block| &block.results) {
            match meta.outcome {
                Outcome::Ok => ok += 1,
                Outcome::Limit { limit: Limit::Quota, used, allowed: BYTES } => {
                    assert!(used > BYTES + MARGIN && meta.payload_len() == 0, "{meta:?}");
                    over += 1;
                }
                _ => panic!("{meta:?}"),
            }
        }
    }
    assert!(over > 0, "{ok} results of 2 MiB were kept");
    assert_eq!(ann.job(job).await.counts.failed, over);
    let used = used(&mut ann, "ann").await;
    assert!(used <= BYTES + MARGIN, "{used}");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_client_sees_itself_alone_and_an_operator_sets_what_it_may_have() {
    let server = start_bounded(memory());
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    let mut operator = client_link(&server.handle(), Role::Operator, "olga");
    for client in [&mut ann, &mut bob] {
        client.put(MODULE).await.expect("kept");
        client.request(submit(numbers(1), None), &[]).await.expect("taken");
    }
    let list = |reply: Result<Reply, ApiError>| match reply {
        Ok(Reply::Tenants { tenants, .. }) => {
            tenants.into_iter().map(|tenant| tenant.name).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let ask = || Request::Tenants { after: None };
    assert_eq!(list(ann.request(ask(), &[]).await), ["ann"]);
    assert_eq!(list(operator.request(ask(), &[]).await), ["ann", "bob"]);
    let set =
        |allowed| Request::SetQuota { tenant: "ann".into(), resource: Resource::Jobs, allowed };
    let refused = ann.request(set(Allowance::Unbounded), &[]).await.expect_err("it may not");
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert_eq!(operator.request(set(Allowance::Most(1)), &[]).await, Ok(Reply::Done));
    let refused = ann.request(submit(numbers(1), None), &[]).await.expect_err("over");
    assert_eq!(refused.code, ErrorCode::Refused);
    assert!(refused.to_string().contains("1 of its quota of 1 jobs"), "{refused}");
    bob.request(submit(numbers(1), None), &[]).await.expect("bob may have more");
    server.shutdown().await.expect("in order");
}
