//! Attempts to tell the time.

use super::{
    Attack, Expect,
    make::{command, command_with},
};

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("a timing probe of a short loop", || probe(1_000), moved()),
        // The same reading after ten thousand times the work.
        Attack::new("a timing probe of a long loop", || probe(10_000_000), moved())
            .fuel(1_000_000_000),
        Attack::new("a timing probe of 4 MB of random bytes", probe_of_random, moved()),
        Attack::new("the date", date, Expect::output(EPOCH_NS.to_le_bytes())),
    ]
}

/// What two readings differ by.
const TICK_NS: u64 = 1_000;

/// 2000-01-01T00:00:00Z.
const EPOCH_NS: u64 = 946_684_800_000_000_000;

fn moved() -> Expect {
    Expect::output(TICK_NS.to_le_bytes())
}

/// Puts out how much the monotonic clock moved while this ran.
fn around(body: &str) -> Vec<u8> {
    command_with(
        128,
        &format!(
            "(local $turn i32)
             (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 512)))
             {body}
             (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 520)))
             (i64.store (i32.const 528)
                (i64.sub (i64.load (i32.const 520)) (i64.load (i32.const 512))))
             (drop (call $write (i32.const 1) (i32.const 528) (i32.const 8)))"
        ),
        "",
    )
}

fn probe(turns: u32) -> Vec<u8> {
    around(&format!(
        "(loop $again
            (local.set $turn (i32.add (local.get $turn) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $turn) (i32.const {turns}))))"
    ))
}

fn probe_of_random() -> Vec<u8> {
    around("(drop (call $random (i32.const 65536) (i32.const 4000000)))")
}

fn date() -> Vec<u8> {
    command(
        "(drop (call $clock (i32.const 0) (i64.const 1) (i32.const 512)))
         (drop (call $write (i32.const 1) (i32.const 512) (i32.const 8)))",
        "",
    )
}
