//! Attempts on what is outside: files, variables, sockets, names. There is nothing there.

use std::fs;

use super::{Attack, Expect, make::command};
use crate::guest;

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new("../../etc/passwd", || open("../../etc/passwd"), Expect::output(errno(BADF))),
        Attack::new("/etc/passwd", || open("/etc/passwd"), Expect::output(errno(BADF))),
        Attack::new(
            "a directory that is open already",
            || says("(i32.store (i32.const 512) (call $prestat (i32.const 3) (i32.const 64)))", ""),
            Expect::output(errno(BADF)),
        ),
        Attack::new(
            "the environment",
            || {
                says(
                    "(drop (call $environ_sizes (i32.const 64) (i32.const 68)))
                     (i32.store (i32.const 512)
                        (i32.add (i32.load (i32.const 64)) (i32.load (i32.const 68))))",
                    "",
                )
            },
            Expect::output(errno(0)),
        ),
        Attack::new(
            "a socket that is open already",
            || {
                says(
                    "(i32.store (i32.const 512)
                        (call $accept (i32.const 3) (i32.const 0) (i32.const 64)))",
                    "",
                )
            },
            Expect::output(errno(BADF)),
        ),
        Attack::new("a burglar by the standard library", burglar, Expect::output(BURGLAR)),
    ]
}

/// Preview 1's word for a descriptor that there is not.
const BADF: u32 = 8;

fn errno(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

/// A command that does this and puts out what is then at 512.
fn says(body: &str, more: &str) -> Vec<u8> {
    command(
        &format!("{body} (drop (call $write (i32.const 1) (i32.const 512) (i32.const 4)))"),
        more,
    )
}

/// Opens a path in the first directory there could be.
fn open(path: &str) -> Vec<u8> {
    says(
        &format!(
            "(i32.store (i32.const 512) (call $open (i32.const 3) (i32.const 1)
                (i32.const 1024) (i32.const {}) (i32.const 0) (i64.const 2) (i64.const 0)
                (i32.const 0) (i32.const 64)))",
            path.len()
        ),
        &format!(r#"(data (i32.const 1024) "{path}")"#),
    )
}

/// The guest that tries every door the standard library has.
fn burglar() -> Vec<u8> {
    fs::read(guest("burglar")).expect("it was built just now")
}

/// What it finds.
const BURGLAR: &str = "\
files: nothing
directories: nothing
writing: nothing
variables: nothing
arguments: 1
tcp: nothing
listening: nothing
udp: nothing
names: nothing
";
