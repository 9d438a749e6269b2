//! Ways to leave.

use wasmgrid_proto::TrapKind;

use super::{
    Attack, Expect,
    make::{command, wat},
};

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("exit code 1", || command("(call $exit (i32.const 1))", ""), Expect::Exit(1)),
        Attack::new(
            "exit code 126",
            || command("(call $exit (i32.const 126))", ""),
            Expect::Exit(126),
        ),
        Attack::new(
            "exit code 255",
            || command("(call $exit (i32.const 255))", ""),
            Expect::Exit(255),
        ),
        Attack::new(
            "exit code 0xDEADBEEF",
            || command("(call $exit (i32.const 0xDEADBEEF))", ""),
            Expect::Exit(0xDEAD_BEEF_u32 as i32),
        ),
        Attack::new(
            "exit code 0 with output",
            || {
                command(
                    "(drop (call $write (i32.const 1) (i32.const 1024) (i32.const 3)))
                     (call $exit (i32.const 0)) unreachable",
                    r#"(data (i32.const 1024) "bye")"#,
                )
            },
            Expect::output("bye"),
        ),
        Attack::new("exit code 77 of a component", || leaving(77), Expect::Exit(77)),
        Attack::new("a run that says it failed", failing, Expect::Exit(1)),
        Attack::new(
            "an exit in a start function",
            || command("", "(func $begin (call $exit (i32.const 3))) (start $begin)"),
            Expect::Exit(3),
        ),
        Attack::new(
            "unreachable after everything",
            || {
                command(
                    "(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1))) unreachable",
                    "",
                )
            },
            Expect::Trap(TrapKind::Unreachable, &["main"]),
        ),
    ]
}

/// A component that leaves with a code.
fn leaving(code: u8) -> Vec<u8> {
    wat(&format!(
        r#"(component
            (import "wasi:cli/exit@0.2.3" (instance $exit
                (export "exit-with-code" (func (param "status-code" u8)))))
            (core func $exit (canon lower (func $exit "exit-with-code")))
            (core module $m
                (import "host" "exit" (func $exit (param i32)))
                (func (export "f") (result i32) (call $exit (i32.const {code})) (i32.const 0)))
            (core instance $c (instantiate $m
                (with "host" (instance (export "exit" (func $exit))))))
            (func $f (result (result)) (canon lift (core func $c "f")))
            (instance $i (export "run" (func $f)))
            (export "wasi:cli/run@0.2.0" (instance $i)))"#
    ))
}

/// A component whose `run` returns an error.
fn failing() -> Vec<u8> {
    wat(r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 1)))
            (core instance $c (instantiate $m))
            (func $f (result (result)) (canon lift (core func $c "f")))
            (instance $i (export "run" (func $f)))
            (export "wasi:cli/run@0.2.0" (instance $i)))"#)
}
