//! What admission leaves to the compiler, and what the compiler holds by itself: the rules inside
//! functions, and the caps of its own worker.

use bytes::Bytes;
use wasmgrid_proto::{Digest, ModuleKind, TaskSpec};
use wasmgrid_sandbox::{
    Caps, Isolation, ModuleSource, PrepareError, Refusal, Sandbox, SandboxConfig, admit,
};

use crate::{
    bytes::{body, command},
    modules::wat,
};

/// Why a worker of these caps does not compile a module that was admitted before.
async fn refusal(module: &[u8], kind: ModuleKind, isolation: Isolation, caps: Caps) -> Refusal {
    let config = SandboxConfig {
        slots: 0,
        isolation,
        caps,
        program: env!("CARGO_BIN_EXE_sandbox-children").into(),
        ..SandboxConfig::default()
    };
    let (sandbox, _) = Sandbox::start(config).unwrap();
    let spec = TaskSpec { tenant: "test".into(), ..TaskSpec::new(Digest::of(module), kind) };
    let source = ModuleSource::Bytes(Bytes::copy_from_slice(module));
    match sandbox.prepare(&spec, source).await {
        Err(PrepareError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_module_that_is_invalid_in_a_function_is_refused_where_it_is_compiled() {
    // i32.add without operands, alone and in a component.
    let module = command(&[body(&[0x6a])], &[], &[]);
    let component = wat(r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 0)) (func (i64.const 9)))
        (core instance $c (instantiate $m))
        (func $f (result (result)) (canon lift (core func $c "f")))
        (instance $i (export "run" (func $f)))
        (export "wasi:cli/run@0.2.0" (instance $i)))"#);
    for (invalid, kind, found) in
        [(module, ModuleKind::Preview1, [0x6a, 0x0b]), (component, ModuleKind::Command, [0x42, 9])]
    {
        assert_eq!(admit::admit(&invalid, &Caps::default()).unwrap().kind, kind);
        let place = invalid.windows(2).rposition(|bytes| bytes == found).unwrap() as u64;
        for isolation in [Isolation::Process, Isolation::InProcess] {
            let refusal = refusal(&invalid, kind, isolation, Caps::default()).await;
            let Refusal::Invalid { offset, reason } = &refusal else { panic!("{refusal}") };
            assert!(reason.contains("type mismatch") || reason.contains("values remaining"));
            // The validator says where the operator stands or where it ends.
            assert!((place..=place + 3).contains(offset), "{offset:#x}, not {place:#x}");
        }
    }
}

#[tokio::test]
async fn a_compiler_holds_the_caps_of_its_own_worker() {
    let module = command(&[body(&[]), body(&[])], &[], &[]);
    let caps = Caps { functions: 1, ..Caps::default() };
    for isolation in [Isolation::Process, Isolation::InProcess] {
        let refusal = refusal(&module, ModuleKind::Preview1, isolation, caps.clone()).await;
        assert!(matches!(refusal, Refusal::Cap { .. }), "{refusal}");
        assert!(refusal.to_string().contains("functions is 2"), "{refusal}");
    }
}
