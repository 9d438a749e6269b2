//! Questions and their answers, over links that come and go.

use std::future::ready;

use bytes::Bytes;
use wasmgrid_client::{Client, ClientConfig, ClientError, ClientLink};
use wasmgrid_net::{Hello, NetError, Release};
use wasmgrid_proto::{
    InputBlock, JobFilter, JobId, JobState, Millis, Reason, TokenGives,
    frame::{FRAME_MAX, META_MAX},
    wire::{
        ApiError, ErrorCode, Minors, More, Reply, ReplyFrame, Request, Role, ToClient, TokenRequest,
    },
};

use crate::grid::{Grid, NEVER, Server, in_process_link, status, submit};

#[tokio::test]
async fn an_error_of_the_scheduler_arrives_with_its_code_and_words() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, _) = server.request().await;
        let error = Reason::NoJob { job: JobId(7) }.into();
        server.say(ToClient::Reply(ReplyFrame { id, reply: Err(error) })).await;
        server
    };
    let (answer, _server) = tokio::join!(client.job(JobId(7)), server);
    match answer {
        Err(ClientError::Api(error)) => {
            assert_eq!(*error.reason, Reason::NoJob { job: JobId(7) });
            assert_eq!(
                (error.code, error.to_string()),
                (ErrorCode::NotFound, "there is no job 7".into())
            );
        }
        other => panic!("not the scheduler's error: {other:?}"),
    }
}

#[tokio::test]
async fn a_store_that_takes_no_new_work_is_told_from_one_that_does() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        for refusal in [Some(ApiError::from(Reason::DiskFull)), None] {
            let (id, request) = server.request().await;
            assert_eq!(request, Request::Intake);
            server.answer(id, Reply::Intake { refusal }).await;
        }
        server
    };
    let asked = async { [client.refuses_work().await, client.refuses_work().await] };
    let ([full, takes], _server) = tokio::join!(asked, server);
    assert_eq!(full.expect("answered"), Some(Reason::DiskFull.into()));
    assert_eq!(takes.expect("answered"), None);
}

#[tokio::test]
async fn answers_find_their_questions_in_any_order() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (first, second) = (server.request().await, server.request().await);
        for (id, request) in [second, first] {
            let reply = match request {
                Request::WorkerPage { after: None, all: false } => {
                    Reply::WorkerPage { workers: Vec::new(), more: 0, hidden: 0 }
                }
                _ => Reply::Job(status(JobState::Active, 3)),
            };
            server.answer(id, reply).await;
        }
        server
    };
    let (job, workers, _server) = tokio::join!(client.job(JobId(1)), client.workers(), server);
    assert_eq!(job.expect("answered").results, 3);
    assert_eq!(workers.expect("answered"), []);
}

#[tokio::test]
async fn what_was_unanswered_when_the_link_died_is_asked_again_and_answered_once() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut asked = Vec::new();
        for _ in 0..3 {
            // The link is lost after the question, and before the answer.
            asked.push(grid.accept().await.request().await);
        }
        let mut server = grid.accept().await;
        let (id, request) = server.request().await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        server.answer(id, Reply::Job(status(JobState::Active, 99))).await;
        asked.push((id, request));
        (asked, server)
    };
    let (answer, (asked, mut server)) = tokio::join!(client.submit(submit(false)), server);
    assert_eq!(answer.expect("answered").0.results, 0);
    assert!(asked.windows(2).all(|pair| pair[0] == pair[1]), "the same question: {asked:?}");
    assert!(matches!(&asked[0].1, Request::Submit(submit) if submit.idempotency_key.is_some()));

    // Nothing is asked once more: the next message is the next question.
    let next = async {
        let (id, request) = server.request().await;
        assert_eq!(request, Request::WorkerPage { after: None, all: false });
        server.answer(id, Reply::WorkerPage { workers: Vec::new(), more: 0, hidden: 0 }).await;
        server
    };
    let (workers, _server) = tokio::join!(client.workers(), next);
    workers.expect("answered");
}

#[tokio::test]
async fn what_is_not_safe_to_repeat_is_not_repeated() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        grid.accept().await.request().await;
        grid.accept().await
    };
    let token = TokenRequest { role: Role::Worker, ttl: Millis(60_000), uses: 1 };
    let (answer, mut server) =
        tokio::join!(client.create_token(token, TokenGives::default()), server);
    assert!(matches!(answer, Err(ClientError::Lost)), "{answer:?}");
    let next = async { server.request().await };
    let asked = tokio::select! {
        _ = client.workers() => panic!("nobody answered"),
        asked = next => asked,
    };
    assert_eq!(asked.1, Request::WorkerPage { after: None, all: false });
}

#[tokio::test]
async fn two_submits_have_two_keys() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let mut keys = Vec::new();
        for _ in 0..2 {
            let (id, request) = server.request().await;
            let Request::Submit(submit) = request else { panic!("no submit") };
            keys.push(submit.idempotency_key.expect("a key"));
            server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        }
        keys
    };
    let (first, second, keys) =
        tokio::join!(client.submit(submit(false)), client.submit(submit(false)), server);
    first.and(second).expect("answered");
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_module_is_sent_only_where_it_is_missing() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, _) = server.request().await;
        server.answer(id, Reply::Module { present: false }).await;
        let (id, put) = server.request().await;
        assert!(matches!(put, Request::PutModule { size_bytes: 6, .. }), "{put:?}");
        server.answer(id, Reply::Done).await;
        let (id, _) = server.request().await;
        server.answer(id, Reply::Module { present: true }).await;
        server
    };
    let twice = async {
        let first = client.put_module(b"module"[..].into()).await;
        (first, client.put_module(b"module"[..].into()).await)
    };
    let ((first, second), _server) = tokio::join!(twice, server);
    assert_eq!(first.expect("taken"), second.expect("there"));
}

#[tokio::test]
async fn an_answer_to_another_question_is_an_error() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, _) = server.request().await;
        server.answer(id, Reply::Done).await;
        server
    };
    let filter = JobFilter::default();
    let (answer, _server) = tokio::join!(client.jobs(10, &filter), server);
    assert!(matches!(answer, Err(ClientError::Protocol(_))), "{answer:?}");
}

#[tokio::test]
async fn shutdown_closes_the_link_and_ends_what_waits() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.workers().await }
    });
    server.request().await;
    client.shutdown().await;
    let answer = waiting.await.expect("no panic");
    assert!(matches!(answer, Err(ClientError::Stopped)), "{answer:?}");
    assert!(matches!(server.0.receiver.recv().await, Ok(None)), "closed in order");
}

#[tokio::test]
async fn the_link_is_closed_with_the_last_handle() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    let other = client.clone();
    drop(client);
    drop(other);
    assert!(matches!(server.0.receiver.recv().await, Ok(None)), "closed in order");
}

#[tokio::test]
async fn a_grid_that_cannot_be_reached_is_an_error_at_once() {
    let refused = || std::future::ready(Err(unreachable()));
    let result = Client::connect(refused).await;
    assert!(matches!(result, Err(ClientError::Unreachable(_))), "{result:?}");
}

#[tokio::test]
async fn a_grid_that_stays_away_is_an_error_for_all_that_wait() {
    let (near, far) = in_process_link();
    let mut links = vec![near];
    // The link can be made once, and never again; nobody has patience.
    let dial = move || std::future::ready(links.pop().ok_or_else(unreachable));
    let config = ClientConfig { patience: Millis(0), ..ClientConfig::default() };
    let client = Client::connect_with(config, dial).await.expect("reachable once");
    let mut server = Server(far);
    let lose = async {
        let (id, _) = server.watched().await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        server.request().await;
        drop(server);
    };
    let wait = async {
        let (_, mut stream) = client.watch(JobId(1), 0).await.expect("answered");
        let answer = client.workers().await;
        (answer, stream.next().await.expect("an error"))
    };
    let ((answer, last), ()) = tokio::join!(wait, lose);
    assert!(matches!(answer, Err(ClientError::Unreachable(_))), "{answer:?}");
    assert!(matches!(last, Err(ClientError::Unreachable(_))), "{last:?}");
    let late = client.workers().await;
    assert!(matches!(late, Err(ClientError::Unreachable(_))), "the same reason: {late:?}");
}

fn unreachable() -> NetError {
    NetError::Unreachable { address: "127.0.0.1:1".into(), reason: "nobody is there".into() }
}

#[tokio::test]
async fn what_no_frame_can_carry_fails_at_once_and_the_link_stays() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, request) = server.request().await;
        assert_eq!(
            request,
            Request::WorkerPage { after: None, all: false },
            "nothing else was asked on this link"
        );
        server.answer(id, Reply::WorkerPage { workers: Vec::new(), more: 0, hidden: 0 }).await;
        server
    };
    let questions = async {
        let job = JobId(1);
        let many = InputBlock::Packed(vec![0; 70_000]);
        let long = InputBlock::Packed(vec![u32::try_from(FRAME_MAX).expect("fits")]);
        let wrong = InputBlock::Packed(vec![7]);
        let mut spec = submit(false);
        spec.spec.task.args = vec!["x".repeat(META_MAX).into()];
        let answers = [
            client.uploads(job).push(0, many, Bytes::new()).await,
            client.uploads(job).push(0, long, vec![0; FRAME_MAX].into()).await,
            client.uploads(job).push(0, wrong, Bytes::new()).await,
            client.submit(spec).await.map(drop),
        ];
        for answer in answers {
            let invalid =
                matches!(&answer, Err(ClientError::Api(error)) if error.code == ErrorCode::Invalid);
            assert!(invalid, "{answer:?}");
        }
        client.workers().await
    };
    let both = async { tokio::join!(questions, server) };
    let (workers, _server) = tokio::time::timeout(NEVER, both).await.expect("answers");
    workers.expect("answered");
}

/// Ends links with the first question until the client dials no more; how many it dialled.
async fn refuse_all(mut grid: Grid) -> usize {
    let mut links = 0;
    while let Some(mut server) = grid.next().await {
        links += 1;
        server.request().await;
        server.0.sender.refuse("message of kind 0x0301 cannot be read");
    }
    links
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_does_not_know_a_question_is_dialled_three_times_and_both_releases_named()
{
    let (client, grid) = Grid::connect(ClientConfig::default()).await;
    let asked = async {
        let error = client.workers().await.expect_err("nobody knows it");
        // What is asked later is not asked at all, for the same reason.
        let late = client.workers().await.expect_err("nobody is asked");
        assert_eq!(late.to_string(), error.to_string());
        error
    };
    let (error, links) = tokio::join!(asked, refuse_all(grid));
    assert!(matches!(error, ClientError::Misunderstood { times: 3, .. }), "{error}");
    let source = std::error::Error::source(&error).expect("how the last link ended").to_string();
    let ours = Release::ours().to_string();
    assert_eq!(source.matches(&ours).count(), 2, "the scheduler's and this one's: {source}");
    assert!(source.contains("0x0301"), "{source}");
    assert_eq!(links, 3);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_ends_each_link_is_given_up_and_the_client_goes_on() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut links = 0;
        loop {
            let mut server = grid.accept().await;
            links += 1;
            match server.request().await {
                // The scheduler dies of it.
                (_, Request::Job { .. }) => drop(server),
                (id, request) => {
                    assert_eq!(request, Request::WorkerPage { after: None, all: false });
                    server
                        .answer(id, Reply::WorkerPage { workers: Vec::new(), more: 0, hidden: 0 })
                        .await;
                    return (links, server);
                }
            }
        }
    };
    let asked = async {
        let error = client.job(JobId(1)).await.expect_err("nobody survives it");
        client.workers().await.expect("the client lives");
        error
    };
    let (error, (links, _server)) = tokio::join!(asked, server);
    assert!(matches!(error, ClientError::Unanswered { times: 10, .. }), "{error}");
    assert_eq!(error.to_string().matches(&Release::ours().to_string()).count(), 2, "{error}");
    assert_eq!(links, 11);
}

#[tokio::test]
async fn a_request_that_the_schedulers_minor_does_not_know_is_not_sent() {
    let (near, far) = in_process_link();
    let mut links = vec![older(near)];
    let dial = move || ready(Ok(links.pop().expect("one link")));
    let client = Client::connect_with(ClientConfig::default(), dial).await.expect("reachable");
    let mut server = Server(far);
    let error = client.metrics().await.expect_err("too old to be asked");
    let ClientError::Unsupported { since: 2, theirs } = &error else { panic!("{error:?}") };
    assert_eq!(theirs.to_string(), "wasmgrid 0.0.1 (protocol 1.0)");
    let text = error.to_string();
    assert!(text.contains(&theirs.to_string()) && text.contains(&Release::ours().to_string()));
    // The first that it hears is something that it knows.
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.contests().await }
    });
    let (id, request) = server.request().await;
    assert_eq!(request, Request::Contests);
    server.answer(id, Reply::Contests(Vec::new())).await;
    assert_eq!(asked.await.expect("no panic").expect("answered"), []);
}

/// A link whose scheduler knows no request that was added since the first minor.
fn older(mut link: ClientLink) -> ClientLink {
    let minors = Minors { least: 0, most: 0 };
    link.peer.hello = Hello { minors, ..Hello::new("0.0.1") };
    link.peer.minor = minors.most;
    link
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_error_that_names_both_releases() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, _) = server.request().await;
        server.answer(id, Reply::Unreadable).await;
        server
    };
    let (answer, _server) = tokio::join!(client.contests(), server);
    let error = answer.expect_err("unreadable");
    assert!(matches!(error, ClientError::Unreadable { .. }), "{error:?}");
    let ours = Release::ours().to_string();
    assert_eq!(error.to_string().matches(&ours).count(), 2, "{error}");
}

#[tokio::test]
async fn a_list_goes_on_over_pages_without_a_job() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let mut expected = None;
        for next in [Some(JobId(900)), Some(JobId(700)), None] {
            let (id, request) = server.request().await;
            let Request::JobPage { before, limit: 10, .. } = request else { panic!("{request:?}") };
            assert_eq!(before, expected);
            let jobs = if next.is_none() { vec![status(JobState::Ok, 0)] } else { Vec::new() };
            let more = next.map_or(More::Exactly(0), |_| More::AtMost(5));
            server.answer(id, Reply::JobPage { jobs, next, more }).await;
            expected = next;
        }
        server
    };
    let filter = JobFilter { name: Some("rare".into()), ..JobFilter::default() };
    let (listed, _server) = tokio::join!(client.jobs(10, &filter), server);
    let (jobs, more) = listed.expect("listed");
    assert_eq!((jobs.len(), more), (1, More::Exactly(0)));
}

#[tokio::test]
async fn a_list_that_does_not_go_on_is_an_error() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        for _ in 0..2 {
            let (id, _) = server.request().await;
            let (jobs, next) = (Vec::new(), Some(JobId(900)));
            server.answer(id, Reply::JobPage { jobs, next, more: More::Many }).await;
        }
        server
    };
    let filter = JobFilter::default();
    let (listed, _server) = tokio::join!(client.jobs(10, &filter), server);
    assert!(matches!(listed, Err(ClientError::Protocol(_))), "{listed:?}");
}
