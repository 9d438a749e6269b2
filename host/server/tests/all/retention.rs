//! What is kept, for how long, and what is said of what is not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use wasmgrid_proto::{
    ByteCount, Digest, DropReason, Epoch, InputBlock, JobFilter, JobId, JobState, Millis, Reason,
    Seq,
    reason::KeyUse,
    wire::{ErrorCode, More, Reply, Request, Role, Submit, ToClient, WatchRequest},
};
use wasmgrid_server::{Blocking, Server, ServerConfig, ServerError};
use wasmgrid_store::{Commit, EachRecord, LogKind, MemoryStore, Reader, Store, StoreError, memory};

use crate::harness::*;

fn start_with(config: ServerConfig, store: &MemoryStore) -> Server {
    Server::start(config, Box::new(store.reopen()), admission()).expect("starts")
}

fn watch_from(cursor: u64) -> WatchRequest {
    WatchRequest { watch: 7, cursor, credit_bytes: PLENTY }
}

/// Waits until the first result of a job is refused as gone; what is said then.
async fn wait_until_gone(client: &mut Client, job: JobId) -> Reason {
    loop {
        let request = Request::Watch { job, watch: watch_from(0) };
        match client.request(request, &[]).await {
            Err(error) if error.code == ErrorCode::Gone => return *error.reason,
            Err(error) => panic!("{error:?}"),
            Ok(_) => {
                let unwatch = wasmgrid_proto::wire::Unwatch { watch: 7 };
                client.send(wasmgrid_proto::wire::FromClient::Unwatch(unwatch)).await;
                // The end's update may come before it.
                tokio::task::yield_now().await;
            }
        }
    }
}

fn segments(store: &MemoryStore, log: LogKind) -> usize {
    let sizes = store.reader().and_then(|mut reader| reader.sizes()).expect("readable");
    sizes.iter().filter(|size| size.log == log).count()
}

#[tokio::test]
async fn results_of_an_ended_job_go_by_age_and_a_reader_is_told() {
    let (store, mut config) = (memory(), ServerConfig::new("test"));
    config.grid.keep_results = Some(Millis(1));
    let server = start_with(config, &store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let job = status(client.request(submit(numbers(5), None), &[]).await).job;
    join(&server.handle(), "w").await.work(5, b"out").await;
    let said = wait_until_gone(&mut client, job).await;
    let why = DropReason::Age;
    assert_eq!(said, Reason::ResultsDeleted { job, cursor: 0, last: 4, why });
    // The job itself is known, once its end is durable.
    while client.job(job).await.state != JobState::Ok {
        tokio::task::yield_now().await;
    }
    server.shutdown().await.expect("in order");
    assert_eq!((segments(&store, LogKind::Result), segments(&store, LogKind::Input)), (0, 0));
}

#[tokio::test]
async fn a_forgotten_job_is_not_found_and_its_module_may_go() {
    let (store, mut config) = (memory(), ServerConfig::new("test"));
    config.grid.keep_jobs = Some(Millis(1));
    let server = start_with(config, &store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let job = status(client.request(submit(numbers(5), None), &[]).await).job;
    join(&server.handle(), "w").await.work(5, b"out").await;
    let code = loop {
        if let Err(error) = client.request(Request::Job { job }, &[]).await {
            break error.code;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(code, ErrorCode::NotFound);
    server.shutdown().await.expect("in order");
    assert_eq!((segments(&store, LogKind::Result), segments(&store, LogKind::Input)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_module_goes_an_hour_after_somebody_last_asked_for_it_unless_a_job_names_it() {
    let (store, mut config) = (memory(), ServerConfig::new("test"));
    config.blocking = Blocking::InTurn(Arc::new(|| Duration::from_millis(1)));
    let server = Server::start(config, Box::new(store.reopen()), admission()).expect("starts");
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let (named, asked_for, forgotten) = (MODULE, b"asked for".as_slice(), b"forgotten".as_slice());
    for module in [named, asked_for, forgotten] {
        client.put(module).await.expect("kept");
    }
    client.request(submit(numbers(1), None), &[]).await.expect("taken");
    let minutes = async |count: u64| tokio::time::sleep(Duration::from_secs(60 * count)).await;
    let mut has = async |module: &[u8]| {
        let request = Request::HaveModule { digest: Digest::of(module) };
        let here = Ok(Reply::Module { present: true });
        client.request(request, &[]).await == here
    };
    minutes(50).await;
    assert!(has(asked_for).await, "for an hour everything stays");
    minutes(15).await;
    assert_eq!((has(asked_for).await, has(forgotten).await), (true, false));
    minutes(65).await;
    assert_eq!((has(asked_for).await, has(named).await), (false, true));
    server.shutdown().await.expect("in order");
    let mut reader = store.reader().expect("a reader");
    let kept = [named, asked_for, forgotten].map(|module| reader.has_module(Digest::of(module)));
    assert!(matches!(kept, [Ok(true), Ok(false), Ok(false)]), "{kept:?}");
}

#[tokio::test]
async fn results_over_the_bytes_that_are_kept_go_and_the_oldest_first() {
    let (store, mut config) = (memory(), ServerConfig::new("test"));
    config.keep_bytes = Some(ByteCount(150_000));
    let server = start_with(config, &store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    for _ in 0..2 {
        let request = submit(numbers(10), Some(watch(1, PLENTY)));
        client.request(request, &[]).await.expect("taken");
        worker.work(10, &[b'x'; 10_000]).await;
        assert_eq!(client.watched(1).await.0.len(), 10);
    }
    let said = wait_until_gone(&mut client, JobId(1)).await;
    let is_meant = matches!(said, Reason::ResultsDeleted { why: DropReason::Bytes, .. });
    assert!(is_meant, "{said}");
    let request = Request::Watch { job: JobId(2), watch: watch(2, PLENTY) };
    client.request(request, &[]).await.expect("kept");
    assert_eq!(client.watched(2).await.0.len(), 10);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_slow_reader_of_an_open_job_is_told_where_the_log_begins_now() {
    let (store, mut config) = (memory(), ServerConfig::new("test"));
    config.keep_open_bytes = Some(ByteCount(50_000));
    let server = start_with(config, &store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    // It has no credit: nothing is sent to it.
    let (watch, inputs) = (Some(watch(1, 0)), numbers(20));
    let request = Submit { spec: spec(), idempotency_key: None, inputs, closed: false, watch };
    let job = status(client.request(Request::Submit(request), &[]).await).job;
    let mut worker = join(&server.handle(), "w").await;
    worker.work(20, &[b'x'; 10_000]).await;
    let ended = |envelope: &wasmgrid_proto::frame::Envelope<ToClient>| match &envelope.message {
        ToClient::WatchEnded(ended) if ended.watch == 1 => Some(ended.error.clone()),
        _ => None,
    };
    let error = client.next(ended).await;
    let Reason::ResultsSkipped { why, next: from, .. } = *error.reason else { panic!("{error}") };
    assert_eq!(why, DropReason::JobBytes);
    assert!(from > 0 && from < 20, "{from}");
    let request = Request::Watch { job, watch: watch_from(from) };
    client.request(request, &[]).await.expect("there");
    client.request(Request::Close { job }, &[]).await.expect("closed");
    let (results, _) = client.watched(7).await;
    assert_eq!(
        results.iter().map(|result| result.0).collect::<Vec<_>>(),
        (from..20).collect::<Vec<_>>()
    );
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn another_job_or_other_inputs_under_a_key_are_a_conflict_that_names_the_job() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let submit = |priority, inputs: &[u8]| {
        let mut spec = spec();
        spec.priority = priority;
        let inputs = InputBlock::Packed(inputs.iter().map(|_| 1).collect());
        let idempotency_key = Some("key".into());
        Request::Submit(Submit { spec, idempotency_key, inputs, closed: true, watch: None })
    };
    for _ in 0..2 {
        let job = status(client.request(submit(0, b"ab"), b"ab").await).job;
        assert_eq!(job, JobId(1));
    }
    for (priority, inputs) in [(0, b"ac"), (1, b"ab")] {
        let error = client.request(submit(priority, inputs), inputs).await.expect_err("another");
        let with = if priority == 0 { KeyUse::OtherInputs } else { KeyUse::OtherJob };
        assert_eq!(error, Reason::KeyInUse { job: JobId(1), with }.into());
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_append_at_a_place_that_is_taken_is_a_conflict_that_says_where_to_go_on() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let inputs = InputBlock::Packed(Vec::new());
    let open = Submit { spec: spec(), idempotency_key: None, inputs, closed: false, watch: None };
    let job = status(client.request(Request::Submit(open), &[]).await).job;
    let append = || Request::AppendAt { job, first: 0, inputs: InputBlock::Packed(vec![1, 1]) };
    client.request(append(), b"ab").await.expect("appended");
    client.request(append(), b"ab").await.expect("repeated");
    let error = client.request(append(), b"cd").await.expect_err("taken");
    assert_eq!(error, Reason::Overlap { job, first: 0, next: 2 }.into());
    assert_eq!(client.job(job).await.counts.total, 2);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_list_that_is_cut_says_how_much_is_missing_and_goes_on_from_there() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    for _ in 0..5 {
        client.request(submit(numbers(1), None), &[]).await.expect("taken");
    }
    let (mut before, mut seen) = (None, Vec::new());
    for (limit, left) in [(2, 3), (2, 1), (2, 0)] {
        match client
            .request(Request::JobPage { before, limit, filter: JobFilter::default() }, &[])
            .await
        {
            Ok(Reply::JobPage { jobs, next, more }) => {
                assert_eq!((more, next.is_none()), (More::Exactly(left), left == 0));
                seen.extend(jobs.iter().map(|job| job.job.0));
                before = next;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    for name in ["a", "b"] {
        drop(join(&server.handle(), name).await);
    }
    match client.request(Request::WorkerPage { after: None, all: false }, &[]).await {
        Ok(Reply::WorkerPage { workers, more: 0, hidden: 0 }) => assert_eq!(workers.len(), 2),
        other => panic!("{other:?}"),
    }
    server.shutdown().await.expect("in order");
}

/// A store whose commits panic once that is asked for.
struct Panicking {
    store: MemoryStore,
    panics: Arc<AtomicBool>,
}

impl Store for Panicking {
    fn fence(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.store.fence(epoch)
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        assert!(!self.panics.load(Ordering::Relaxed), "asked for by the test");
        self.store.commit(epoch, commit)
    }

    fn resolve(&mut self) -> Result<Seq, StoreError> {
        self.store.resolve()
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        self.store.replay(each)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.store.reader()
    }
}

#[tokio::test]
async fn a_panic_of_the_thread_that_commits_ends_the_server_with_an_error() {
    let panics = Arc::new(AtomicBool::new(false));
    let store = Panicking { store: memory(), panics: panics.clone() };
    let server = Server::start(ServerConfig::new("test"), Box::new(store), admission());
    let server = server.expect("starts");
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    panics.store(true, Ordering::Relaxed);
    client.ask(1, submit(numbers(1), None), &[]).await;
    let failed = tokio::time::timeout(NEVER, server.failed()).await.expect("it ends");
    assert!(matches!(failed, ServerError::Writer), "{failed:?}");
    let stopped = tokio::time::timeout(NEVER, server.shutdown()).await.expect("it ends");
    assert!(matches!(stopped, Err(ServerError::Writer)), "{stopped:?}");
    let answered = |message: &ToClient| matches!(message, ToClient::Reply(frame) if frame.id == 1);
    assert!(!client.has(answered).await, "nothing is acknowledged");
}

#[tokio::test]
async fn reading_goes_on_while_the_disk_is_full_and_results_wait() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let done = status(client.request(submit(numbers(3), None), &[]).await).job;
    worker.work(3, b"out").await;
    let job = status(client.request(submit(numbers(3_000), None), &[]).await).job;
    // More than may be uncommitted: from then on results wait. While the disk is full no task is
    // given out, so it is full only after all of these were.
    valve.close();
    for batch in 1..=8 {
        let (assign, _) = worker.assigned().await;
        let count: u64 = assign.leases.iter().map(|grant| grant.inputs.count()).sum();
        let output = vec![b'x'; 9_000_000 / usize::try_from(count).expect("few")];
        worker.finish(batch, &assign, &output).await;
        if batch == 8 {
            worker.finish(9, &assign, b"late").await;
        }
    }
    valve.fill();
    valve.open();
    valve.refused().await;
    let refused = |message: &ToClient| match message {
        ToClient::Reply(frame) => {
            frame.reply.as_ref().is_err_and(|error| *error.reason == Reason::DiskFull)
        }
        _ => false,
    };
    let mut id = 100;
    while !client.has(refused).await {
        client.ask(id, submit(numbers(1), None), &[]).await;
        id += 1;
        tokio::task::yield_now().await;
    }
    // Also what would add to a job that there is not: so it can be asked with no job at all.
    let nothing = Request::Skip { job: JobId(u64::MAX), first: 0, count: 0 };
    let full = client.request(nothing.clone(), &[]).await.expect_err("refused");
    assert_eq!(full, Reason::DiskFull.into());
    let request = Request::Watch { job: done, watch: watch(1, PLENTY) };
    client.request(request, &[]).await.expect("reading goes on");
    assert_eq!(client.watched(1).await.0.len(), 3);
    assert_eq!(client.job(job).await.state, JobState::Active);
    valve.make_room();
    // It goes on without a restart.
    while !worker.committed().await.contains(&9) {}
    client.request(submit(numbers(1), None), &[]).await.expect("taken again");
    let none = client.request(nothing, &[]).await.expect_err("there is no such job");
    assert_eq!(none.code, ErrorCode::NotFound, "{none}");
    server.shutdown().await.expect("in order");
}
