//! More output, records or log than anybody wants.

use wasmgrid_proto::{Limit, text::CUT_MARK};

use super::{
    Attack, Expect, Used,
    make::{command, for_ever, task},
};

const MIB: u64 = 1 << 20;

/// The default limits of a task.
const OUTPUT: u64 = 16 * MIB;
const RECORD: u64 = MIB;
const LOG: u64 = 256 << 10;

/// The most records of one task.
const RECORDS: u64 = 65_536;

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = of_records();
    attacks.extend(of_output());
    attacks.extend(of_logs());
    attacks
}

fn of_records() -> Vec<Attack> {
    vec![
        Attack::new(
            "one record of 64 MB",
            || task("(call $emit (i32.const 0) (i32.const 64000000)) (i32.const 0)", ""),
            Expect::exactly(Limit::Record, 64_000_000, RECORD),
        )
        .fuel(1_000_000_000),
        Attack::new(
            "a record of a byte too many",
            || task("(call $emit (i32.const 0) (i32.const 1048577)) (i32.const 0)", ""),
            Expect::exactly(Limit::Record, RECORD + 1, RECORD),
        ),
        Attack::new(
            "endless records",
            || {
                task(
                    concat!(
                        for_ever!("(call $emit (i32.const 0) (i32.const 1000))"),
                        "(i32.const 0)"
                    ),
                    "",
                )
            },
            // The first whole record beyond the limit.
            Expect::exactly(Limit::Output, 16_778_000, OUTPUT),
        )
        .fuel(1_000_000_000),
        Attack::new(
            "endless empty records",
            || {
                task(
                    concat!(for_ever!("(call $emit (i32.const 0) (i32.const 0))"), "(i32.const 0)"),
                    "",
                )
            },
            Expect::exactly(Limit::Resources, RECORDS + 1, RECORDS),
        ),
    ]
}

/// Writes without end, and heeds no error.
const SHOUT: &str = for_ever!("(drop (call $write (i32.const 1) (i32.const 0) (i32.const 4096)))");

fn of_output() -> Vec<Attack> {
    let limit = || Expect::Limit { limit: Limit::Output, used: Used::More, allowed: OUTPUT };
    vec![
        Attack::new("endless stdout that heeds no error", || command(SHOUT, ""), limit())
            .fuel(1_000_000_000),
        Attack::new(
            "endless stdout that heeds its errors",
            || {
                command(
                    "(loop $again (br_if $again (i32.eqz
                        (call $write (i32.const 1) (i32.const 0) (i32.const 4096)))))",
                    "",
                )
            },
            limit(),
        )
        .fuel(1_000_000_000),
        Attack::new(
            "60 MB of stdout in one call",
            || {
                command(
                    "(drop (memory.grow (i32.const 960)))
                     (drop (call $write (i32.const 1) (i32.const 0) (i32.const 60000000)))",
                    "",
                )
            },
            limit(),
        )
        .fuel(1_000_000_000),
        Attack::new(
            "an output of 60 MB",
            || task("(call $ok (i32.const 0) (i32.const 60000000))", ""),
            Expect::exactly(Limit::Output, 60_000_000, OUTPUT),
        )
        .fuel(1_000_000_000),
    ]
}

fn of_logs() -> Vec<Attack> {
    let mut attacks = of_long_logs();
    attacks.extend(of_bytes_in_logs());
    attacks
}

/// It comes to its end without output, and this is left of its log.
const fn logged(log_kept: u64, log_dropped: u64) -> Expect {
    Expect::Ok { output: Vec::new(), log_kept, log_dropped }
}

fn of_long_logs() -> Vec<Attack> {
    vec![
        Attack::new(
            "4 MiB of log",
            || {
                command(
                    "(local $turn i32)
                     (loop $again
                        (drop (call $write (i32.const 2) (i32.const 0) (i32.const 4096)))
                        (local.set $turn (i32.add (local.get $turn) (i32.const 1)))
                        (br_if $again (i32.lt_u (local.get $turn) (i32.const 1024))))",
                    "",
                )
            },
            logged(LOG, 4 * MIB - LOG),
        )
        .fuel(1_000_000_000),
        Attack::new(
            "one log message of 1 MiB",
            || {
                task(
                    "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0)
                        (i32.const 1048576))
                     (call $ok (i32.const 0) (i32.const 0))",
                    "",
                )
            },
            // With its level before it and a line end behind it.
            logged(LOG, MIB + "INFO \n".len() as u64 - LOG),
        ),
        Attack::out_of_fuel("an endless log", || {
            command(
                for_ever!("(drop (call $write (i32.const 2) (i32.const 0) (i32.const 4096)))"),
                "",
            )
        }),
    ]
}

fn of_bytes_in_logs() -> Vec<Attack> {
    vec![
        Attack::new(
            "a log that is no UTF-8",
            || {
                command(
                    "(drop (call $write (i32.const 2) (i32.const 1024) (i32.const 4)))",
                    r#"(data (i32.const 1024) "\ff\fe\c3\28")"#,
                )
            },
            logged(4, 0),
        ),
        Attack::new(
            "terminal escapes in a log",
            || {
                command(
                    "(drop (call $write (i32.const 2) (i32.const 1024) (i32.const 12)))
                     (call $exit (i32.const 1))",
                    r#"(data (i32.const 1024) "\1b[2J\1b]0;h\07\r\08")"#,
                )
            },
            Expect::Exit(1),
        ),
        Attack::new(
            "terminal escapes in an error message",
            || {
                task(
                    "(call $err (i32.const 0) (i32.const 1024) (i32.const 18))",
                    // With a mark that turns the text around it from right to left.
                    r#"(data (i32.const 1024) "\1b[2Jred \1b[31m\e2\80\aella")"#,
                )
            },
            Expect::Rejected("\u{1b}[2Jred \u{1b}[31m\u{202e}ll"),
        ),
        Attack::new(
            "an error message of 1 MiB",
            || {
                task(
                    "(memory.fill (i32.const 65536) (i32.const 120) (i32.const 1048576))
                     (call $err (i32.const 0) (i32.const 65536) (i32.const 1048576))",
                    "",
                )
            },
            Expect::Rejected(LONG_MESSAGE),
        ),
    ]
}

/// What is kept of a message of `x`.
const LONG_MESSAGE: &str = {
    const KEPT: usize = 4 << 10;
    const MARK: &[u8] = CUT_MARK.as_bytes();
    const BYTES: [u8; KEPT] = {
        let mut bytes = [b'x'; KEPT];
        let mut at = 0;
        while at < MARK.len() {
            bytes[KEPT - MARK.len() + at] = MARK[at];
            at += 1;
        }
        bytes
    };
    match str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// A command that never reads its input.
#[must_use]
pub fn deaf() -> Vec<u8> {
    command("", "")
}

/// A task that goes on until it is cancelled, and then emits a record and returns an output.
#[must_use]
pub fn late() -> Vec<u8> {
    task(
        "(loop $again (br_if $again (i32.eqz (call $cancelled))))
         (call $emit (i32.const 1024) (i32.const 4))
         (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 4))
         (call $ok (i32.const 1024) (i32.const 4))",
        r#"(data (i32.const 1024) "late")"#,
    )
}
