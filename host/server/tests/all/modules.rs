//! Modules that are looked at elsewhere: in turn, within bounds, and not for longer than the server
//! lives.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use wasmgrid_proto::{
    Digest, ModuleInfo, ModuleKind, Reason, Resource,
    reason::Upload,
    wire::{ApiError, ErrorCode, Reply, Request, Role},
};
use wasmgrid_server::{Admission, Admit, Admitting, NotAdmitted, Server, ServerConfig};

use crate::{harness::*, quotas::used};

/// Where the answer about a module is given.
type Answer = oneshot::Sender<Result<(), NotAdmitted>>;

/// A judge whose answers wait until they are given.
#[derive(Clone)]
struct Judge {
    open: Arc<Mutex<BTreeMap<Digest, Answer>>>,
    /// How many it was asked for, and how many of these are over.
    counts: watch::Sender<(usize, usize)>,
}

/// Counts when it goes.
struct Ended(watch::Sender<(usize, usize)>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_modify(|(_, ended)| *ended += 1);
    }
}

impl Judge {
    fn new() -> Self {
        Self { open: Arc::default(), counts: watch::channel((0, 0)).0 }
    }

    fn start(&self) -> Server {
        self.start_with(ServerConfig::new("test"))
    }

    fn start_with(&self, config: ServerConfig) -> Server {
        let this = self.clone();
        let admit = move |bytes: Bytes| -> Admitting {
            let (answer, answered) = oneshot::channel();
            let digest = Digest::of(&bytes);
            this.open.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, answer);
            this.counts.send_modify(|(asked, _)| *asked += 1);
            let ended = Ended(this.counts.clone());
            Box::pin(async move {
                let _ended = ended;
                answered.await.expect("an answer")?;
                Ok(ModuleInfo {
                    digest,
                    size_bytes: bytes.len() as u64,
                    kind: ModuleKind::Task,
                    imports: Vec::new(),
                    exports: Vec::new(),
                })
            })
        };
        let check_task = Arc::new(|_: &ModuleInfo, _: &wasmgrid_proto::TaskSpec| Ok(()));
        let admission = Admission { admit: Admit::Apart(Arc::new(admit)), check_task };
        Server::start(config, Box::new(wasmgrid_store::memory()), admission).expect("starts")
    }

    /// Waits until so many were asked for.
    async fn asked(&self, count: usize) {
        let mut counts = self.counts.subscribe();
        counts.wait_for(|(asked, _)| *asked >= count).await.expect("a judge");
    }

    fn answer(&self, module: &[u8], answer: Result<(), NotAdmitted>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = open.remove(&Digest::of(module)).expect("it was asked for");
        asked.send(answer).expect("somebody waits");
    }
}

fn put(module: &[u8]) -> Request {
    Request::PutModule { digest: Digest::of(module), size_bytes: module.len() as u64 }
}

#[tokio::test]
async fn a_tenants_module_is_looked_at_while_many_of_another_wait() {
    let judge = Judge::new();
    let server = judge.start();
    let mut bomber = client_link(&server.handle(), Role::Client, "bomber");
    for bomb in 0..5 {
        bomber.ask(bomb, put(&[0xb0, bomb as u8]), &[0xb0, bomb as u8]).await;
    }
    judge.asked(1).await;
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.ask(1, put(MODULE), MODULE).await;
    // None of the bomber's has an answer yet.
    judge.asked(2).await;
    judge.answer(MODULE, Ok(()));
    assert_eq!(ann.answer(1).await, Ok(Reply::Done));
    for bomb in 0..5 {
        judge.asked(2 + bomb as usize).await;
        judge.answer(&[0xb0, bomb as u8], Ok(()));
        assert_eq!(bomber.answer(bomb).await, Ok(Reply::Done));
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_module_that_was_refused_is_not_looked_at_again() {
    let judge = Judge::new();
    let server = judge.start();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.ask(1, put(MODULE), MODULE).await;
    judge.asked(1).await;
    judge.answer(MODULE, Err(NotAdmitted::Refused(no_task())));
    let first = ann.answer(1).await.expect_err("refused");
    assert_eq!(first, Reason::NotAdmitted { refusal: no_task().into() }.into());
    assert_eq!(ann.put(MODULE).await, Err(first));
    assert_eq!(*judge.counts.borrow(), (1, 1));

    // What was not of the module is tried again.
    ann.ask(2, put(b"another"), b"another").await;
    judge.asked(2).await;
    judge.answer(b"another", Err(NotAdmitted::Unavailable("no process".into())));
    assert_eq!(ann.answer(2).await.expect_err("not now").code, ErrorCode::Unavailable);
    ann.ask(3, put(b"another"), b"another").await;
    judge.asked(3).await;
    judge.answer(b"another", Ok(()));
    assert_eq!(ann.answer(3).await, Ok(Reply::Done));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_waits_of_one_tenant_is_bounded_and_goes_with_its_link() {
    let judge = Judge::new();
    let server = judge.start();
    let mut bomber = client_link(&server.handle(), Role::Client, "bomber");
    for bomb in 0..70_u8 {
        bomber.ask(bomb.into(), put(&[0xb0, bomb]), &[0xb0, bomb]).await;
    }
    // One is looked at, 64 wait.
    for refused in 65..70 {
        let error = bomber.answer(refused).await.expect_err("too many");
        assert_eq!(error, Reason::UploadsWait { what: Upload::Module }.into());
    }
    drop(bomber);
    judge.asked(1).await;
    let mut ann = client_link(&server.handle(), Role::Client, "bomber");
    let mut number = 0;
    loop {
        number += 1;
        ann.ask(number, put(MODULE), MODULE).await;
        // It is answered at once, and behind a refusal of the module.
        let have = Request::HaveModule { digest: Digest::of(MODULE) };
        ann.ask(1_000 + number, have, &[]).await;
        ann.answer(1_000 + number).await.expect("answered");
        // There is room once it is known that the link is gone.
        if !ann.was_answered(number) {
            break;
        }
    }
    judge.answer(&[0xb0, 0], Ok(()));
    // Its next would have come first.
    judge.asked(2).await;
    judge.answer(MODULE, Ok(()));
    assert_eq!(ann.answer(number).await, Ok(Reply::Done));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_waits_counts_among_its_tenants_bytes_until_it_is_refused_or_its_link_ends() {
    const MODULE_BYTES: usize = 1 << 20;
    let judge = Judge::new();
    let mut config = ServerConfig::new("test");
    config.grid.quotas.insert(Resource::Bytes, 3 << 20);
    let server = judge.start_with(config);
    let module = |number: u8| vec![number; MODULE_BYTES];
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    for number in 0..3 {
        ann.ask(number.into(), put(&module(number)), &module(number)).await;
    }
    let over = |answer: Result<Reply, ApiError>| match answer {
        Err(error) => matches!(&*error.reason, Reason::OverQuota { excess, .. }
            if (excess.used, excess.allowed) == (3 << 20, 3 << 20)),
        Ok(_) => false,
    };
    // One is looked at, and two wait.
    assert!(over(ann.put(&module(3)).await));
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    assert_eq!(used(&mut ann, "ann").await, 3 << 20);
    bob.ask(1, put(&module(9)), &module(9)).await;
    judge.asked(2).await;
    judge.answer(&module(9), Ok(()));
    assert_eq!(bob.answer(1).await, Ok(Reply::Done));
    judge.answer(&module(0), Err(NotAdmitted::Refused(no_task())));
    ann.answer(0).await.expect_err("refused");
    assert_eq!(used(&mut ann, "ann").await, 2 << 20);
    // Of what waits, a part goes with the link that sent it.
    drop(ann);
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    while used(&mut ann, "ann").await > 1 << 20 {}
    judge.asked(3).await;
    judge.answer(&module(1), Ok(()));
    ann.ask(1, put(&module(4)), &module(4)).await;
    judge.asked(4).await;
    judge.answer(&module(4), Ok(()));
    assert_eq!(ann.answer(1).await, Ok(Reply::Done));
    assert_eq!(used(&mut ann, "ann").await, 2 << 20);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_server_stops_while_a_module_is_looked_at() {
    let judge = Judge::new();
    let server = judge.start();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.ask(1, put(MODULE), MODULE).await;
    judge.asked(1).await;
    server.shutdown().await.expect("in order");
    assert_eq!(*judge.counts.borrow(), (1, 1), "what looked at it was ended");
}
