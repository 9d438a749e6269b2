//! What a slot does around tasks: order, cancellations, revocations.

use bytes::Bytes;
use wasmgrid_proto::{InputBlock, JobId, LeaseId, ModuleKind, Outcome, TaskRange};
use wasmgrid_sandbox::{Isolation, SlotBatch, SlotError, SlotEvent};

use super::{Bench, ISOLATIONS, echo_or_spin, spec, task};

#[tokio::test]
async fn all_kinds_of_runner_give_the_same_results_in_order() {
    let module = echo_or_spin();
    let spec = spec(&module, ModuleKind::Task);
    let inputs: Vec<Vec<u8>> = (0..300u32).map(|n| n.to_string().into_bytes()).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let mut all = Vec::new();
    for isolation in ISOLATIONS {
        let mut bench = Bench::new(isolation);
        let batch = bench.batch(&module, &spec, &inputs).await;
        bench.slot.input.run(batch).await.unwrap();
        let ended = bench.results(inputs.len()).await;
        assert!(ended.iter().zip(0..).all(|(task, index)| task.index == index));
        assert!(ended.iter().zip(&inputs).all(|(task, input)| task.output == *input));
        all.push(ended.into_iter().map(|task| (task.output, task.usage.fuel)).collect::<Vec<_>>());
        bench.sandbox.shutdown().await;
    }
    assert!(all.iter().all(|each| *each == all[0]));
}

#[tokio::test]
async fn numbers_are_inputs_without_a_payload() {
    let module = echo_or_spin();
    let mut bench = Bench::new(Isolation::InProcess);
    let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b"x"]).await;
    let inputs = InputBlock::Numbers { start: 5, step: -3, count: 4 };
    bench.slot.input.run(SlotBatch { inputs, payload: Bytes::new(), ..batch }).await.unwrap();
    let outputs: Vec<_> = bench.results(4).await.into_iter().map(|task| task.output).collect();
    assert_eq!(outputs, [&b"5"[..], b"2", b"-1", b"-4"]);
}

#[tokio::test]
async fn a_batch_whose_payload_does_not_fit_is_refused() {
    let module = echo_or_spin();
    let bench = Bench::new(Isolation::InProcess);
    let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b"x"]).await;
    let error = bench.slot.input.run(SlotBatch { payload: Bytes::new(), ..batch }).await;
    assert!(matches!(error, Err(SlotError::Inputs(_))), "{error:?}");
}

#[tokio::test]
async fn results_do_not_wait_behind_a_task_that_takes_long() {
    let module = echo_or_spin();
    let mut bench = Bench::new(Isolation::InProcess);
    let spec = spec(&module, ModuleKind::Task);
    let batch = bench.batch(&module, &spec, &[b"a", b"b", b"", b"c"]).await;
    bench.slot.input.run(batch).await.unwrap();
    let ended = bench.results(2).await;
    assert_eq!(ended.len(), 2, "while the third runs");
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_job_ends_what_runs_and_what_waits() {
    for isolation in ISOLATIONS {
        let module = echo_or_spin();
        let mut bench = Bench::new(isolation);
        let spec = spec(&module, ModuleKind::Task);
        let first = bench.batch(&module, &spec, &[b"", b"a"]).await;
        let second = SlotBatch { first: 2, ..bench.batch(&module, &spec, &[b"b"]).await };
        let other = SlotBatch {
            job: JobId(2),
            lease: LeaseId(2),
            ..bench.batch(&module, &spec, &[b"other"]).await
        };
        bench.slot.input.run(first).await.unwrap();
        bench.slot.input.run(second).await.unwrap();
        bench.started().await;
        bench.slot.input.cancel(JobId(1), "ann");
        let ended = bench.results(3).await;
        let cancelled = Outcome::Cancelled("ann".into());
        assert!(ended.iter().all(|task| task.outcome == cancelled), "{ended:?}");
        bench.slot.input.run(other).await.unwrap();
        assert_eq!(bench.results(1).await[0].output, b"other", "other jobs are not touched");
        bench.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_task_sees_its_cancellation_and_what_it_returns_is_dropped() {
    let module = task(
        r#"(call $progress (i64.const 3) (i64.const 4))
           (loop $again (br_if $again (i32.eqz (call $cancelled))))
           (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
           (call $ok (local.get $in) (local.get $len))"#,
        "",
    );
    let mut bench = Bench::new(Isolation::Process);
    let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b"output"]).await;
    bench.slot.input.run(batch).await.unwrap();
    bench.started().await;
    bench.slot.input.cancel(JobId(1), "ann");
    let ended = bench.results(1).await.remove(0);
    assert_eq!(ended.outcome, Outcome::Cancelled("ann".into()));
    assert_eq!((&ended.output[..], &ended.log[..]), (&b""[..], "INFO \n"));
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn what_has_not_begun_can_be_taken_back() {
    let module = echo_or_spin();
    let mut bench = Bench::new(Isolation::Process);
    let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b"", b"b", b"c"]).await;
    bench.slot.input.run(batch).await.unwrap();
    bench.started().await;
    bench.slot.input.revoke(JobId(1), LeaseId(1), &[TaskRange { first: 0, count: 2 }]);
    let SlotEvent::Returned { tasks, .. } = bench.next().await else { panic!("not returned") };
    assert_eq!(
        tasks,
        [TaskRange { first: 1, count: 1 }],
        "the first runs, the third was not asked for"
    );
    bench.slot.input.cancel(JobId(1), "ann");
    let indices: Vec<_> = bench.results(2).await.iter().map(|task| task.index).collect();
    assert_eq!(indices, [0, 2]);
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_slot_of_a_sandbox_that_was_shut_down_is_closed() {
    let module = echo_or_spin();
    let mut bench = Bench::new(Isolation::InProcess);
    let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b""]).await;
    bench.slot.input.run(batch.clone()).await.unwrap();
    bench.started().await;
    bench.sandbox.shutdown().await;
    assert_eq!(bench.slot.input.run(batch).await, Err(SlotError::Closed));
    while bench.slot.events.next().await.is_some() {}
}

#[tokio::test]
async fn tasks_that_no_message_can_carry_to_a_runner_are_refused_and_the_slot_goes_on() {
    let module = echo_or_spin();
    for isolation in ISOLATIONS {
        let mut bench = Bench::new(isolation);
        let mut large = spec(&module, ModuleKind::Task);
        large.args = vec!["x".repeat(2 << 20).into()];
        let batch = bench.batch(&module, &large, &[b"a", b"b"]).await;
        bench.slot.input.run(batch).await.unwrap();
        for ended in bench.results(2).await {
            let Outcome::Refused(why) = &ended.outcome else { panic!("{ended:?}") };
            assert!(why.contains("cannot be sent to a runner"), "{why}");
        }
        let small = SlotBatch {
            lease: LeaseId(2),
            ..bench.batch(&module, &spec(&module, ModuleKind::Task), &[b"c"]).await
        };
        bench.slot.input.run(small).await.unwrap();
        assert_eq!(bench.results(1).await[0].output, b"c", "{isolation:?}");
        bench.sandbox.shutdown().await;
    }
}
