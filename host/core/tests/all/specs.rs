//! What a job's spec may say: what makes no sense is refused where it is submitted, with what would.

use wasmgrid_core::Input;
use wasmgrid_proto::{
    Arg, BLOBS_MAX, Blob, Digest, JobSpec, ModuleKind, TaskSpec,
    wire::{ApiError, ErrorCode},
};

use crate::world::{World, by_alice, bytes_of, content, spec};

fn refused(task: TaskSpec) -> String {
    let error = submit(task).expect_err("refused");
    assert_eq!(error.code, ErrorCode::Invalid);
    let text = error.to_string();
    assert!(text.len() < 1_000, "it quotes what it was given");
    text
}

fn submit(task: TaskSpec) -> Result<(), ApiError> {
    let mut world = World::new();
    let (request, spec) = (world.request(), Box::new(JobSpec { task, ..spec() }));
    let (digest, idempotency_key) = (content(0, 1, true), None);
    let (inputs, bytes, closed) = (1, bytes_of(0), true);
    world.drive(Input::Submit {
        request: by_alice(request),
        spec,
        idempotency_key,
        inputs,
        bytes,
        closed,
        digest,
    });
    world.reply(request).map(|_| ())
}

fn task(kind: ModuleKind) -> TaskSpec {
    TaskSpec { kind, ..spec().task }
}

#[test]
fn arguments_that_are_no_text_are_for_preview_1_commands_alone() {
    let args = vec![Arg::from("-v"), Arg::from(b"\xff".to_vec())];
    let given = |kind| TaskSpec { args: args.clone(), ..task(kind) };
    assert_eq!(submit(given(ModuleKind::Preview1)), Ok(()));
    let said = refused(given(ModuleKind::Command));
    assert!(said.contains("argument 2") && said.contains("preview 1"), "{said}");
}

#[test]
fn exit_codes_are_for_commands_and_not_without_end() {
    let given = |kind, codes: u32| TaskSpec { ok_exits: (0..codes).collect(), ..task(kind) };
    assert_eq!(submit(given(ModuleKind::Command, 256)), Ok(()));
    assert!(refused(given(ModuleKind::Command, 257)).contains("256 allowed"));
    assert!(refused(given(ModuleKind::Task, 1)).contains("commands"));
}

#[test]
fn blobs_are_few_and_each_has_a_name_of_its_own() {
    let blob = |name: &str| Blob { name: name.into(), digest: Digest([1; 32]) };
    let given = |names: &[&str]| TaskSpec {
        blobs: names.iter().map(|name| blob(name)).collect(),
        ..task(ModuleKind::Task)
    };
    let names = ["a", "b", "c", "d"];
    assert_eq!(names.len(), BLOBS_MAX);
    assert_eq!(submit(given(&names)), Ok(()));
    assert!(refused(given(&["a", "b", "c", "d", "e"])).contains("4 allowed"));
    assert!(refused(given(&["a", "b", "a"])).contains("two blobs named a"));
    for name in ["", "a b", "A", &"x".repeat(100_000)] {
        assert!(refused(given(&["a", name])).contains("blob 2 has an invalid name"), "{name:.10}");
    }
}

#[test]
fn the_blobs_of_known_jobs_are_named_with_their_tenants() {
    let mut world = World::new();
    let digest = Digest([1; 32]);
    let blobs = vec![Blob { name: "with".into(), digest }];
    let mut with = spec();
    with.task.blobs = blobs;
    world.submit(with, 1);
    world.submit(spec(), 1);
    assert_eq!(world.grid.blobs().collect::<Vec<_>>(), [("default", digest)]);
    world.check_replay();
}
