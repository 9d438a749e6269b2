//! Host calls without end, calls that wait for ever, and calls that ask for too much at once.

use wasmgrid_proto::{Grant, Limit};

use super::{
    Attack, Expect, SHORT_DEADLINE_MS, Used,
    make::{command, command_with, for_ever, wat},
};

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = floods();
    attacks.extend(waits());
    attacks.extend(requests());
    attacks
}

fn floods() -> Vec<Attack> {
    let out_of_fuel = Attack::out_of_fuel;
    vec![
        out_of_fuel("a flood of readings of the clock", || {
            command(
                for_ever!("(drop (call $clock (i32.const 1) (i64.const 1) (i32.const 64)))"),
                "",
            )
        }),
        out_of_fuel("a flood of yields", || command(for_ever!("(drop (call $yield))"), "")),
        out_of_fuel("a flood of random bytes", || {
            command(for_ever!("(drop (call $random (i32.const 64) (i32.const 16)))"), "")
        }),
        out_of_fuel("a flood of large random requests", || {
            command(for_ever!("(drop (call $random (i32.const 0) (i32.const 1000000)))"), "")
        }),
        out_of_fuel("a flood of empty writes", || {
            command(for_ever!("(drop (call $write (i32.const 1) (i32.const 0) (i32.const 0)))"), "")
        }),
        out_of_fuel("a flood of calls that fail", || {
            command(for_ever!("(drop (call $prestat (i32.const 3) (i32.const 64)))"), "")
        }),
        out_of_fuel("a flood of short sleeps", || {
            command(for_ever!("(drop (call $sleep (i64.const 1)))"), "")
        }),
    ]
}

/// An hour, in nanoseconds.
const LONG_SLEEP: &str = "(drop (call $sleep (i64.const 3600000000000)))";

fn waits() -> Vec<Attack> {
    let virtually = |name, module| {
        let (limit, allowed) = (Limit::VirtualDeadline, SHORT_DEADLINE_MS);
        let expect = Expect::Limit { limit, used: Used::More, allowed };
        Attack::new(name, module, expect).deadline_ms(allowed)
    };
    vec![
        virtually("a sleep for ever", || command("(drop (call $sleep (i64.const -1)))", "")),
        virtually("endless sleeps", || {
            command(for_ever!("(drop (call $sleep (i64.const 1000000)))"), "")
        }),
        virtually("a poll for ever", || polling(1, POLL_FOR_EVER)),
        Attack::out_of_time("a real sleep for ever", || command(LONG_SLEEP, ""))
            .grant(Grant::Clock),
        Attack::out_of_time("endless real sleeps", || {
            command(for_ever!("(drop (call $sleep (i64.const 1000000)))"), "")
        })
        .grant(Grant::Clock),
        Attack::out_of_time("a real poll for ever", || polling(1, POLL_FOR_EVER))
            .grant(Grant::Clock),
    ]
}

fn requests() -> Vec<Attack> {
    vec![
        Attack::new(
            "16 million subscriptions",
            || {
                polling(
                    2_500,
                    &format!(
                        "(call $poll (i32.const 0) (i32.const {SUBSCRIPTIONS}) (i32.const 64))"
                    ),
                )
            },
            Expect::exactly(Limit::Resources, SUBSCRIPTIONS, 1_024),
        )
        // Each is charged before they are counted.
        .fuel(1_000_000_000)
        .memory_bytes(256 << 20),
        Attack::new(
            "40 million subscriptions",
            || polling(2_500, "(call $poll (i32.const 0) (i32.const 40000000) (i32.const 64))"),
            Expect::exactly(Limit::Resources, (256 << 20) + 1, 256 << 20),
        )
        .fuel(1_000_000_000)
        .memory_bytes(256 << 20),
        Attack::new(
            "65 MB of random bytes in one call",
            || command_with(1_100, "(drop (call $random (i32.const 0) (i32.const 65000000)))", ""),
            Expect::exactly(Limit::Resources, 65_000_000, 4 << 20),
        )
        .memory_bytes(128 << 20),
        Attack::new(
            "endless timers",
            || polling(1, for_ever!("(drop (call $timer (i64.const 1000)))")),
            Expect::exactly(Limit::Resources, 65, 64),
        ),
        Attack::new(
            "a poll of nothing",
            || polling(1, "(call $poll (i32.const 0) (i32.const 0) (i32.const 64))"),
            Expect::Trap(wasmgrid_proto::TrapKind::HostCall, &["nothing"]),
        ),
        Attack::new(
            "a timer that was never made",
            || {
                polling(
                    1,
                    "(i32.store (i32.const 0) (i32.const 7777))
                     (call $poll (i32.const 0) (i32.const 1) (i32.const 64))",
                )
            },
            Expect::Trap(wasmgrid_proto::TrapKind::ComponentRule, &[]),
        ),
    ]
}

const SUBSCRIPTIONS: u64 = 16_000_000;

/// Waits for a timer that is never ready.
const POLL_FOR_EVER: &str = "
    (i32.store (i32.const 0) (call $timer (i64.const -1)))
    (call $poll (i32.const 0) (i32.const 1) (i32.const 64))";

/// A command component with so much memory, whose `run` has this body, with timers and `poll` at
/// hand.
fn polling(pages: u32, body: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type $pollable (sub resource)))
                (export "poll" (func (param "in" (list (borrow $pollable)))
                    (result (list u32))))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (alias outer 1 $pollable (type $outer))
                (export "pollable" (type $pollable (eq $outer)))
                (export "subscribe-duration" (func (param "when" u64)
                    (result (own $pollable))))))
            (core module $memory
                (memory (export "memory") {pages})
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
            (core instance $memory (instantiate $memory))
            (core func $poll (canon lower (func $poll "poll")
                (memory (core memory $memory "memory"))
                (realloc (core func $memory "realloc"))))
            (core func $timer (canon lower (func $clock "subscribe-duration")))
            (core module $main
                (import "host" "memory" (memory {pages}))
                (import "host" "poll" (func $poll (param i32 i32 i32)))
                (import "host" "timer" (func $timer (param i64) (result i32)))
                (func (export "run") (result i32) {body} (i32.const 0)))
            (core instance $main (instantiate $main (with "host" (instance
                (export "memory" (memory $memory "memory"))
                (export "poll" (func $poll))
                (export "timer" (func $timer))))))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $command)))"#
    ))
}
