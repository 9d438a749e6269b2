//! What one party says is too much for a message: it is cut or ends in a typed outcome, and neither
//! it nor anybody else loses a link for it.

use std::{fs, sync::Arc};

use wasmgrid_proto::{
    Extensions, Outcome, ResultBlock, ResultMeta, Usage, WorkerId,
    frame::{Envelope, encode_one},
    wire::{Assign, FromWorker, Request, ToClient, WatchRequest, WorkerResults},
};
use wasmgrid_tests::{
    Grid, Home, guest,
    liar::{LyingClient, LyingWorker},
};

#[test]
fn a_job_whose_grant_is_quoted_in_each_refusal_takes_no_worker_out_of_the_grid() {
    let grid = Grid::start(1, 2);
    let grant = format!("dir:/{}:/g:ro", "a".repeat(4_000));
    let args = ["submit", &guest("files"), "--range", "0..2000", "--allow", &grant];
    let job = grid.run(&args).ok().trim().to_owned();
    let waited = grid.run(&["job", "wait", &job]);
    assert!(matches!(waited.code, Some(1 | 3)), "{waited}");
    assert_eq!(grid.job(&job)["counts"]["failed"], 2_000);
    let results = grid.run(&["job", "results", &job, "--output", "json"]);
    assert_eq!(results.text().lines().count(), 2_000);
    assert!(results.text().contains("dir:/aaa") && results.text().contains("(cut)"));
    // The worker is the same process on the same link, and works.
    assert_eq!(grid.run(&["run", &guest("noop"), "--range", "0..3"]).ok(), "0\n1\n2\n");
    let said = grid.workers[0].process.said();
    assert_eq!(said.matches("joined the grid worker=").count(), 1, "{said}");
    assert!(!said.contains("cannot be sent"), "{said}");
}

/// Results of all tasks of an assignment whose texts fill a frame to its last byte.
fn fat(assign: &Assign, batch: u64) -> Envelope<FromWorker> {
    let meta = |index| ResultMeta {
        index,
        outcome: Outcome::Rejected(String::new()),
        usage: Usage::default(),
        output_len: 0,
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    };
    let block = |grant: &wasmgrid_proto::wire::LeaseGrant| ResultBlock {
        job: assign.job,
        lease: grant.lease,
        worker: WorkerId(0),
        attempt: grant.attempt,
        results: (grant.first..grant.first + grant.inputs.count()).map(meta).collect(),
        extensions: Extensions::NONE,
    };
    let mut blocks: Vec<_> = assign.leases.iter().map(block).collect();
    let envelope = |blocks: &[ResultBlock]| {
        let blocks = blocks.iter().cloned().map(Arc::new).collect();
        Envelope::from(FromWorker::Results(WorkerResults { batch, blocks }))
    };
    let fits = |blocks: &[ResultBlock]| encode_one(&envelope(blocks)).is_ok();
    // As long as it fits: the steps become smaller, down to a byte.
    for step in [100_000, 1_000, 30, 1] {
        loop {
            let mut longer = blocks.clone();
            let Outcome::Rejected(text) = &mut longer[0].results[0].outcome else { unreachable!() };
            text.push_str(&"y".repeat(step));
            if !fits(&longer) {
                break;
            }
            blocks = longer;
        }
    }
    envelope(&blocks)
}

#[test]
fn a_job_with_a_result_that_fills_its_workers_frame_can_be_read_by_everybody() {
    let grid = Grid::start(0, 0);
    let token = grid.run(&["token", "create", "--role", "worker"]);
    let mut liar = LyingWorker::join(token.ok().trim(), "liar", LyingWorker::capacity(4));
    grid.wait_for_worker("liar", "ready");
    let token = grid.run(&["token", "create", "--role", "client"]);
    let mut client = LyingClient::link(token.ok().trim(), "reader");
    let noop = fs::read(guest("noop")).expect("a guest");
    for tasks in [1_u64, 40] {
        let number = client.submit(&noop, tasks, |_| {});
        let job = number.to_string();
        let mut left = tasks;
        while left > 0 {
            let (assign, _) = liar.assigned();
            left -= assign.leases.iter().map(|grant| grant.inputs.count()).sum::<u64>();
            liar.say(fat(&assign, 7 + left));
            liar.acknowledged(7 + left);
        }
        grid.run(&["job", "wait", &job]).fails_with(1, &[]);
        let results = grid.run(&["job", "results", &job, "--output", "json"]);
        assert_eq!(results.code, Some(1), "{results}");
        assert_eq!(results.text().lines().count() as u64, tasks);
        assert!(results.text().contains("(cut)"), "what is too long says that it was cut");
        let shown = grid.run(&["job", "show", &job, "--task", "0"]);
        assert!(shown.ok().contains("rejected"), "{shown}");
        // And by a watch whose number is the longest there is.
        let watch = WatchRequest { watch: u64::MAX, cursor: 0, credit_bytes: u64::MAX };
        client.answer(Request::Watch { job: number, watch }, Vec::new()).expect("it is there");
        let mut read = 0;
        while read < tasks {
            read += client.hear("its results", |envelope| match &envelope.message {
                ToClient::Results(frame) => {
                    Some(frame.blocks.iter().map(|block| block.results.len() as u64).sum::<u64>())
                }
                _ => None,
            });
        }
        assert_eq!(read, tasks);
    }
}

#[test]
fn a_worker_whose_labels_no_list_could_show_does_not_start() {
    let grid = Grid::start(0, 0);
    let label = format!("zone={}", "x".repeat(9_000));
    let refused = Home::new().run(["join", grid.token(), "--label", &label]);
    refused.fails_with(2, &["the worker's labels take", "8192 allowed"]);
}
