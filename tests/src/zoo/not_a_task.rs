//! WebAssembly that is valid and none of the three kinds.

use super::{Attack, make::wat};

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::refused(
            "a core module without _start",
            || wat(r#"(module (memory (export "memory") 1) (func (export "main")))"#),
            &[
                "not a task",
                "a core module without _start, which exports main, memory",
                "wasmgrid:task/guest",
                "wasi:cli/run",
                "preview 1 command",
            ],
        ),
        Attack::refused(
            "a module of nothing",
            || wat("(module)"),
            &["not a task", "a core module without _start, which exports nothing"],
        ),
        Attack::refused(
            "a _start with parameters and results",
            || wat(r#"(module (func (export "_start") (param i32) (result i64) (i64.const 0)))"#),
            &["not a task", "whose _start is (i32) -> (i64), not () -> ()"],
        ),
        Attack::refused(
            "a global named _start",
            || wat(r#"(module (global (export "_start") i32 (i32.const 0)))"#),
            &["not a task", "whose _start is a global, not a function"],
        ),
        Attack::refused(
            "a component of a foreign world",
            || wat(r#"(component (instance $i) (export "acme:math/add@1.0.0" (instance $i)))"#),
            &[
                "not a task",
                "a component that exports acme:math/add@1.0.0",
                "wasmgrid:task/guest",
                "wasi:cli/run",
                "preview 1 command",
            ],
        ),
        Attack::refused(
            "a component of a version to come",
            || wat(r#"(component (instance $i) (export "wasi:cli/run@0.3.0" (instance $i)))"#),
            &["not a task", "exports wasi:cli/run@0.3.0, where wasi:cli/run@0.2.x is run here"],
        ),
        Attack::refused(
            "a component whose run is of another type",
            || {
                wat(r#"(component
                    (core module $m (func (export "f") (param i32)))
                    (core instance $c (instantiate $m))
                    (func $f (param "n" u32) (canon lift (core func $c "f")))
                    (instance $i (export "run" (func $f)))
                    (export "wasi:cli/run@0.2.0" (instance $i)))"#)
            },
            &["not a task", "has `run: func(u32)`", "`run: func() -> result`"],
        ),
        Attack::refused(
            "a component of nothing",
            || wat("(component)"),
            &["not a task", "a component that exports nothing"],
        ),
    ]
}
