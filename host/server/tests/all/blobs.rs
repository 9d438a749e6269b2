//! Blobs: given once, of their tenant alone, counted, and sent to workers as modules are.

use wasmgrid_proto::{
    BLOB_BYTES_MAX, Blob, Digest, Reason, Resource, WITH,
    wire::{ErrorCode, FromWorker, NeedModule, Reply, Request, Role, Submit, ToWorker},
};

use crate::harness::{Client, MODULE, client_link, join, numbers, spec, start_fresh, status};

const VALUE: &[u8] = b"the same for all";

fn put(blob: &[u8]) -> Request {
    Request::PutBlob { digest: Digest::of(blob), size_bytes: blob.len() as u64 }
}

fn have(blob: &[u8]) -> Request {
    Request::HaveBlob { digest: Digest::of(blob) }
}

fn submit_with(blob: &[u8]) -> Request {
    let mut spec = spec();
    spec.task.blobs = vec![Blob { name: WITH.into(), digest: Digest::of(blob) }];
    let (inputs, closed) = (numbers(1), true);
    Request::Submit(Submit { spec, idempotency_key: None, inputs, closed, watch: None })
}

async fn bytes_of(client: &mut Client) -> u64 {
    let reply = client.request(Request::Tenants { after: None }, &[]).await;
    let Ok(Reply::Tenants { tenants, .. }) = reply else { panic!("no tenants: {reply:?}") };
    let uses = tenants[0].uses.iter();
    uses.filter(|one| one.resource == Resource::Bytes).map(|one| one.used).sum()
}

#[tokio::test]
async fn a_blob_is_named_by_jobs_of_who_has_given_it_and_counts_for_each() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    ann.put(MODULE).await.expect("kept");
    let error = ann.request(submit_with(VALUE), &[]).await.expect_err("not given");
    let name = WITH.into();
    assert_eq!(
        error,
        Reason::NoBlob { tenant: "ann".into(), name, digest: Digest::of(VALUE) }.into()
    );
    let before = bytes_of(&mut ann).await;
    assert_eq!(ann.request(put(VALUE), VALUE).await, Ok(Reply::Done));
    assert_eq!(ann.request(put(VALUE), VALUE).await, Ok(Reply::Done), "once is enough");
    assert_eq!(bytes_of(&mut ann).await - before, VALUE.len() as u64);
    status(ann.request(submit_with(VALUE), &[]).await);
    // To know the digest is not to have it.
    assert_eq!(bob.request(have(VALUE), &[]).await, Ok(Reply::Module { present: false }));
    let error = bob.request(submit_with(VALUE), &[]).await.expect_err("another's");
    assert_eq!(error.code, ErrorCode::NotFound);
    bob.request(put(VALUE), VALUE).await.expect("given");
    assert_eq!(bytes_of(&mut bob).await, VALUE.len() as u64);
    status(bob.request(submit_with(VALUE), &[]).await);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_is_no_blob_is_refused_with_what_would_be_one() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let error = ann.request(put(b""), b"").await.expect_err("empty");
    assert_eq!(error.code, ErrorCode::Invalid);
    let large = vec![1; usize::try_from(BLOB_BYTES_MAX).expect("small") + 1];
    let error = ann.request(put(&large), &large).await.expect_err("too large");
    let (bytes, allowed) = (BLOB_BYTES_MAX + 1, BLOB_BYTES_MAX);
    assert_eq!(error, Reason::BlobSize { bytes, allowed }.into());
    let lie = Request::PutBlob { digest: Digest::of(b"other"), size_bytes: VALUE.len() as u64 };
    let error = ann.request(lie, VALUE).await.expect_err("other bytes");
    assert!(matches!(*error.reason, Reason::WrongDigest { .. }), "{error}");
    assert_eq!(ann.request(have(VALUE), &[]).await, Ok(Reply::Module { present: false }));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_worker_gets_the_blob_that_it_asks_for() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    ann.request(put(VALUE), VALUE).await.expect("given");
    let mut worker = join(&server.handle(), "w").await;
    status(ann.request(submit_with(VALUE), &[]).await);
    let (assign, _) = worker.assigned().await;
    let digest = assign.spec.blob(WITH).expect("its digest");
    worker.send(FromWorker::NeedModule(NeedModule { digest })).await;
    let sent = worker.next(|envelope| match &envelope.message {
        ToWorker::Module(module) if module.digest == digest => Some(envelope.payload.clone()),
        _ => None,
    });
    assert_eq!(sent.await, VALUE);
    server.shutdown().await.expect("in order");
}
