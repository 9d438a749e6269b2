//! `wasmgrid function`: tasks that are called by a name.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{runtime::Builder, time::timeout};
use wasmgrid_client::Client;
use wasmgrid_net::{Authority, Endpoint, Role};
use wasmgrid_proto::{FunctionStatus, FunctionTerms, JobSpec, ModuleKind, Outcome, TaskSpec};
use wasmgrid_tests::{Grid, example, guest};

/// A call that takes longer will not come back.
const PATIENCE: Duration = Duration::from_secs(120);

/// Calls that are made at once.
const CALLS: u64 = 2_000;

fn list(grid: &Grid) -> Value {
    let listed = grid.run(&["function", "list", "--output", "json"]);
    serde_json::from_str(listed.ok()).expect("JSON")
}

#[test]
fn a_task_is_called_by_its_name_and_a_new_version_takes_over() {
    let grid = Grid::start(1, 2);
    let first = grid.run(&["function", "deploy", "echo", &guest("noop")]).ok().trim().to_owned();
    let (name, digest) = first.split_once('@').expect("a version");
    assert_eq!((name, digest.len()), ("echo", 64));
    assert_eq!(grid.run(&["function", "call", "echo", "--input", "ada"]).ok(), "ada");
    assert_eq!(
        grid.home.run_with_stdin(["function", "call", &first], b"one\ntwo\n").ok(),
        "one\ntwo\n"
    );
    assert_eq!(list(&grid)[0]["called"], json!(2));

    // The same again is the same; another module is another version.
    assert_eq!(grid.run(&["function", "deploy", "echo", &guest("noop")]).ok().trim(), first);
    let grep = example("grep");
    let deployed = ["function", "deploy", "echo", &grep, "--ok-exit", "1", "--", "o"];
    let second = grid.run(&deployed).ok().trim().to_owned();
    assert_ne!(first, second);
    assert_eq!(
        grid.home.run_with_stdin(["function", "call", "echo"], b"one\ntwo\nsix\n").ok(),
        "one\ntwo\n"
    );
    grid.run(&["function", "call", &first, "--input", "x"])
        .fails_with(2, &["echo", "deploy that version"]);
    let listed = list(&grid);
    assert_eq!((&listed[0]["called"], &listed[0]["open"]), (&json!(3), &json!(0)));

    grid.run(&["function", "delete", "echo"]).ok();
    assert_eq!(list(&grid), json!([]));
    grid.run(&["function", "call", "echo", "--input", "x"])
        .fails_with(2, &["there is no function"]);
}

#[test]
fn a_call_that_fails_says_how() {
    let grid = Grid::start(1, 1);
    grid.run(&["function", "deploy", "moods", &guest("moods")]).ok();
    let failed = grid.run(&["function", "call", "moods", "--input", "reject"]);
    failed.fails_with(1, &["the call failed"]);
    let failed = grid.run(&["function", "call", "moods", "--input", "reject", "--output", "json"]);
    let shown: Value = serde_json::from_str(failed.text()).expect("JSON");
    assert!(shown["error"].is_string(), "{shown}");
    for (args, said) in [
        (&["function", "deploy", "Bad", "task"][..], "invalid function name"),
        (&["function", "call", "a b"], "invalid function name"),
        (&["function", "call", "f@12"], "invalid digest"),
    ] {
        let refused = grid.run(args);
        assert!(refused.code != Some(0) && refused.to_string().contains(said), "{refused}");
    }
    let useless = ["function", "deploy", "f", &guest("noop"), "--deadline", "1m"];
    grid.run(&useless).fails_with(2, &["--deadline is for jobs"]);
}

#[test]
fn calls_at_once_are_each_answered_once_though_the_scheduler_is_killed() {
    let mut grid = Grid::start(2, 2);
    let authority = Authority::load(&grid.state_dir().join("ca")).expect("the grid's authority");
    let issued = authority.issue(Role::Operator, "admin", Authority::MEMBER_VALIDITY);
    let endpoint = Endpoint::new(&issued.expect("a certificate"));
    let addresses = vec![grid.address().to_owned()];
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
    let client = runtime.block_on(Client::connect(move || {
        let (endpoint, addresses) = (endpoint.clone(), addresses.clone());
        async move { endpoint.connect_client(&addresses).await }
    }));
    let client = client.expect("the grid answers");
    let module = Bytes::from(std::fs::read(guest("noop")).expect("a module"));
    let digest = runtime.block_on(client.put_module(module)).expect("it is a task");
    let spec = JobSpec::new("echo".into(), TaskSpec::new(digest, ModuleKind::Task));
    let spec = spec.of_function(FunctionTerms::default()).expect("encodes");
    runtime.block_on(client.deploy("echo", spec)).expect("deployed");
    let before = runtime.block_on(client.functions()).expect("listed");
    let caller = runtime.block_on(async { client.caller("echo", None) }).expect("a caller");
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let caller = caller.clone();
            runtime.spawn(async move {
                let input = Bytes::from(number.to_string());
                let result = timeout(PATIENCE, caller.call(input.clone())).await;
                let result = result.expect("it is answered").expect("it is taken");
                assert_eq!((result.meta.outcome.clone(), result.output()), (Outcome::Ok, input));
                (result.job, result.meta.index)
            })
        })
        .collect();
    grid.kill_scheduler();
    grid.restart_scheduler();
    let mut tasks: Vec<_> = runtime.block_on(async {
        let mut tasks = Vec::new();
        for call in calls {
            tasks.push(call.await.expect("it ended well"));
        }
        tasks
    });
    tasks.sort_unstable();
    tasks.dedup();
    assert_eq!(tasks.len() as u64, CALLS, "each has a task of its own");
    let after = runtime.block_on(client.functions()).expect("listed");
    let called = |list: &[FunctionStatus]| list.first().map(|one| one.called);
    assert_eq!(called(&after), called(&before).map(|called| called + CALLS), "and none ran twice");
}
