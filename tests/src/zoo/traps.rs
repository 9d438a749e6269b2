//! What WebAssembly or the component model forbids.

use wasmgrid_proto::{Limit, TrapKind};

use super::{
    Attack, Expect,
    make::{command, for_ever, task, task_with},
};

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = by_instructions();
    attacks.extend(by_recursion());
    attacks.extend(by_arguments());
    attacks.extend(by_results());
    attacks.extend(by_pointers_to_wasi());
    attacks.extend(by_allocators());
    attacks
}

/// A task that traps in the function `culprit`, which its backtrace must name.
macro_rules! culprit {
    ($name:literal, $kind:ident, $body:literal) => {
        culprit!($name, $kind, $body, "")
    };
    ($name:literal, $kind:ident, $body:literal, $more:literal) => {
        Attack::new(
            $name,
            || task("(call $culprit) (i32.const 0)", concat!("(func $culprit ", $body, ")", $more)),
            Expect::Trap(TrapKind::$kind, &["culprit", "run"]),
        )
    };
}

fn by_instructions() -> Vec<Attack> {
    vec![
        culprit!("unreachable", Unreachable, "unreachable"),
        culprit!(
            "a division by zero",
            DivisionByZero,
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))"
        ),
        culprit!(
            "a division that overflows",
            IntegerOverflow,
            "(drop (i32.div_s (i32.const -2147483648) (i32.const -1)))"
        ),
        culprit!(
            "a number that fits no integer",
            IntegerOverflow,
            "(drop (i32.trunc_f32_s (f32.const 1e30)))"
        ),
        culprit!("a read out of bounds", MemoryOutOfBounds, "(drop (i32.load (i32.const -8)))"),
        culprit!(
            "a write out of bounds by its offset",
            MemoryOutOfBounds,
            "(i32.store offset=4294967295 (i32.const -1) (i32.const 1))"
        ),
        culprit!(
            "a copy out of bounds",
            MemoryOutOfBounds,
            "(memory.copy (i32.const 0) (i32.const -8) (i32.const 64))"
        ),
        culprit!(
            "a call through an empty place of a table",
            BadIndirectCall,
            "(call_indirect $t (type $void) (i32.const 0))",
            "(table $t 1 funcref) (type $void (func))"
        ),
        culprit!(
            "a call through a table by another type",
            BadIndirectCall,
            "(call_indirect $t (type $void) (i32.const 0))",
            "(table $t 1 funcref) (type $void (func)) (elem (i32.const 0) $other)
             (func $other (param i64))"
        ),
        culprit!(
            "a call behind the end of a table",
            TableOutOfBounds,
            "(call_indirect $t (type $void) (i32.const 9))",
            "(table $t 1 funcref) (type $void (func))"
        ),
        culprit!(
            "a read behind the end of a table",
            TableOutOfBounds,
            "(drop (table.get $t (i32.const -1)))",
            "(table $t 1 funcref)"
        ),
        Attack::new(
            "unreachable in a start function",
            || task("(i32.const 0)", "(func $begin unreachable) (start $begin)"),
            Expect::Trap(TrapKind::Unreachable, &["begin"]),
        ),
        Attack::new(
            "unreachable in a command",
            || command("unreachable", ""),
            Expect::Trap(TrapKind::Unreachable, &["main"]),
        ),
    ]
}

fn by_recursion() -> Vec<Attack> {
    vec![
        Attack::new(
            "an endless recursion",
            || task("(call $deep) (i32.const 0)", "(func $deep (call $deep))"),
            Expect::Trap(TrapKind::Stack, &["deep"]),
        ),
        Attack::new(
            "a recursion with fat frames",
            fat_frames,
            Expect::Trap(TrapKind::Stack, &["fat"]),
        ),
        Attack::new(
            "an endless recursion of two",
            || command("(call $ping)", "(func $ping (call $pong)) (func $pong (call $ping))"),
            Expect::Trap(TrapKind::Stack, &["ping", "pong"]),
        ),
        Attack::new(
            "an endless recursion in a start function",
            || command("", "(func $deep (call $deep)) (start $deep)"),
            Expect::Trap(TrapKind::Stack, &["deep"]),
        ),
    ]
}

/// A function that calls itself while 1,000 of its values are alive.
fn fat_frames() -> Vec<u8> {
    let read: String =
        (0..1_000).map(|place| format!("(i64.load (i32.const {}))", place * 8)).collect();
    let sum = "i64.add ".repeat(999);
    let fat = format!("(func $fat (result i64) {read} (drop (call $fat)) {sum})");
    command("(drop (call $fat))", &fat)
}

/// It breaks a rule of the component model.
const fn rule(parts: &'static [&'static str]) -> Expect {
    Expect::Trap(TrapKind::ComponentRule, parts)
}

fn by_arguments() -> Vec<Attack> {
    vec![
        Attack::new(
            "a record outside the memory",
            || task("(call $emit (i32.const -16) (i32.const 64)) (i32.const 0)", ""),
            rule(&["run"]),
        ),
        Attack::new(
            "a record of length -1",
            || task("(call $emit (i32.const 0) (i32.const -1)) (i32.const 0)", ""),
            rule(&["run"]),
        ),
        Attack::new(
            "a log message outside the memory",
            || {
                task(
                    "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const -16)
                        (i32.const 64)) (i32.const 0)",
                    "",
                )
            },
            rule(&["run"]),
        ),
        Attack::new(
            "a level of logging that there is not",
            || {
                task(
                    "(call $log (i32.const 77) (i32.const 0) (i32.const 0) (i32.const 0)
                        (i32.const 0)) (i32.const 0)",
                    "",
                )
            },
            rule(&["run"]),
        ),
    ]
}

fn by_results() -> Vec<Attack> {
    vec![
        Attack::new("a result outside the memory", || task("(i32.const -4)", ""), rule(&[])),
        Attack::new("a result that is not aligned", || task("(i32.const 17)", ""), rule(&[])),
        Attack::new(
            "an output outside the memory",
            || task("(call $ok (i32.const -16) (i32.const 64))", ""),
            rule(&[]),
        ),
        Attack::new(
            "an output of length -1",
            || task("(call $ok (i32.const 0) (i32.const -1))", ""),
            rule(&[]),
        ),
        Attack::new(
            "a result of a kind that there is not",
            || task("(i32.store8 (i32.const 16) (i32.const 9)) (i32.const 16)", ""),
            rule(&[]),
        ),
        Attack::new(
            "a message that is no UTF-8",
            || {
                task(
                    "(call $err (i32.const 0) (i32.const 1024) (i32.const 3))",
                    r#"(data (i32.const 1024) "\ff\fe\fd")"#,
                )
            },
            rule(&[]),
        ),
    ]
}

fn by_pointers_to_wasi() -> Vec<Attack> {
    vec![
        Attack::new(
            "a pointer outside the memory given to WASI",
            || {
                command(
                    "(drop (call $fd_write (i32.const 1) (i32.const -8) (i32.const 1)
                        (i32.const 8)))",
                    "",
                )
            },
            Expect::Trap(TrapKind::MemoryOutOfBounds, &["main"]),
        ),
        Attack::new(
            "a length of -1 given to WASI",
            || command("(drop (call $write (i32.const 1) (i32.const 0) (i32.const -1)))", ""),
            Expect::Trap(TrapKind::MemoryOutOfBounds, &["main"]),
        ),
    ]
}

/// A task whose allocator does this.
macro_rules! allocator {
    ($body:expr) => {
        || task_with($body, 2, "(call $ok (local.get $in) (local.get $len))", "")
    };
}

fn by_allocators() -> Vec<Attack> {
    vec![
        Attack::new(
            "an allocator that gives what is not there",
            allocator!("(i32.const -16)"),
            rule(&[]),
        ),
        Attack::new(
            "an allocator that gives the last byte of the memory",
            allocator!("(i32.const 131071)"),
            rule(&[]),
        ),
        Attack::new(
            "an allocator that traps",
            allocator!("unreachable"),
            Expect::Trap(TrapKind::Unreachable, &["cabi_realloc"]),
        ),
        Attack::new(
            "an allocator without end",
            allocator!(concat!(for_ever!(""), "(i32.const 0)")),
            Expect::exactly(Limit::Fuel, super::FUEL, super::FUEL),
        ),
        Attack::new(
            "an allocator that gives the same each time",
            allocator!("(i32.const 4096)"),
            Expect::output(INPUT),
        ),
        Attack::new(
            "an allocator that calls the host",
            allocator!("(drop (call $cancelled)) (i32.const 4096)"),
            rule(&["cabi_realloc"]),
        ),
    ]
    .into_iter()
    .map(|attack| attack.input(INPUT))
    .collect()
}

const INPUT: &[u8] = b"what the allocator is asked to hold";
